"""One budget of bytes for all that readers prefetch and keep, and writers hold back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from vfsmount import real

DEFAULT_LIMIT: Final = 512 << 20
"""Bytes; the container's size may lower it."""

LEAST_LIMIT: Final = 32 << 20
"""Bytes: below, not even four parts are on their way at once."""

_CGROUPS: Final = "/sys/fs/cgroup"
_OWN_CGROUPS: Final = "/proc/self/cgroup"


class Budget:
    """A count of bytes that may be in memory at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._peak = 0
        self._generation = 0
        self._lock = threading.Lock()
        self._reclaim: Callable[[int], object] | None = None
        self._orphans: deque[int] = deque()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        with self._lock:
            self._settle()
            return self._used

    @property
    def peak(self) -> int:
        """Most bytes ever reserved at once."""
        return self._peak

    @property
    def generation(self) -> int:
        """Another one in each forked child: what was reserved before is not the child's to give back."""
        return self._generation

    def reclaim_by(self, reclaim: Callable[[int], object]) -> None:
        """Who gives back memory (at least so many bytes, if it has them) that is only kept in case; called without a
        lock.
        """
        self._reclaim = reclaim

    def try_reserve(self, size: int) -> bool:
        """Take ``size`` bytes if they are free, or can be made so."""
        for _ in range(2):
            with self._lock:
                self._settle()
                short = self._used + size - self.limit
                if short <= 0:
                    self._take(size)
                    return True
            if self._reclaim is None:
                return False
            self._reclaim(short)
        return False

    def reserve(self, size: int) -> None:
        """Take ``size`` bytes that cannot be done without, over the limit if need be."""
        if not self.try_reserve(size):
            with self._lock:
                self._take(size)

    def _take(self, size: int) -> None:
        self._used += size
        self._peak = max(self._peak, self._used)

    def release(self, size: int) -> None:
        """Give ``size`` bytes back."""
        with self._lock:
            self._used = max(0, self._used - size)

    def orphan(self, size: int) -> None:
        """As :meth:`release`, from a finaliser, which may run inside any of these methods."""
        self._orphans.append(size)

    def _settle(self) -> None:
        while self._orphans:
            self._used = max(0, self._used - self._orphans.popleft())

    def charge(self, size: int, *, must: bool = False) -> Charge | None:
        """As :meth:`try_reserve` (``must``: :meth:`reserve`), for bytes that several may hold on to."""
        if must:
            self.reserve(size)
        elif not self.try_reserve(size):
            return None
        return Charge(self, size)

    def after_fork(self) -> None:
        """In a forked child: the parent's requests and their bytes are not here."""
        self._used = self._peak = 0
        self._generation += 1
        self._lock = threading.Lock()
        self._orphans = deque()


class Charge:
    """Reserved bytes with several holders; given back when the last of them lets go, or is collected."""

    __slots__ = ("_budget", "_generation", "_holders", "_lock", "size")

    def __init__(self, budget: Budget, size: int) -> None:
        self.size = size
        self._budget = budget
        self._generation = budget.generation
        self._holders = 1
        self._lock = threading.Lock()

    def share(self) -> bool:
        """One holder more; False where the last one has let go already."""
        with self._lock:
            if not self._holders:
                return False
            self._holders += 1
            return True

    def shrink(self, size: int) -> None:
        """No more than ``size`` bytes are there from now on."""
        with self._lock:
            spare = self.size - size if self._holders else 0
            if spare <= 0:
                return
            self.size = size
        if self._generation == self._budget.generation:
            self._budget.release(spare)

    def release(self) -> None:
        """One holder fewer."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last and self._generation == self._budget.generation:
            self._budget.release(self.size)

    def __del__(self) -> None:
        if self._holders > 0 and self._generation == self._budget.generation:
            self._budget.orphan(self.size)


def container_memory() -> int | None:
    """Bytes that the cgroups this process is in (version 1 or 2) allow it, None where there is no limit."""
    limits = [limit for path in _limit_files() if (limit := _limit_in(path)) is not None]
    return min(limits, default=None)


def _limit_files() -> list[str]:
    """Of this process's groups and all above them; in a container, where the path is another's, of the root."""
    found = {f"{_CGROUPS}/memory.max", f"{_CGROUPS}/memory/memory.limit_in_bytes"}
    try:
        with real.open(_OWN_CGROUPS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            place, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            place, name = f"{_CGROUPS}/memory", "memory.limit_in_bytes"
        else:
            continue
        while path.strip("/"):
            found.add(f"{place}{path}/{name}")
            path = path.rpartition("/")[0]
    return sorted(found)


def _limit_in(path: str) -> int | None:
    try:
        with real.open(path, encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None  # version 1 spells "no limit" as a huge number


def default_limit() -> int:
    """The smaller of 512 MiB and a quarter of the container's memory, at least 32 MiB."""
    memory = container_memory()
    return DEFAULT_LIMIT if memory is None else max(LEAST_LIMIT, min(DEFAULT_LIMIT, memory // 4))
