"""One budget of bytes for all that readers prefetch and writers hold back."""

from __future__ import annotations

import threading
from typing import Final

from vfsmount import real

DEFAULT_LIMIT: Final = 512 << 20
"""Bytes; the container's size may lower it."""

_CGROUP_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Budget:
    """A count of bytes that may be in memory at once; a waiter for more is woken when some come back."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        return self._used

    def try_reserve(self, size: int) -> bool:
        """Take ``size`` bytes if they are free."""
        with self._changed:
            if self._used + size > self.limit:
                return False
            self._used += size
            return True

    def reserve(self, size: int) -> None:
        """Take ``size`` bytes that cannot be done without, over the limit if need be."""
        with self._changed:
            self._used += size

    def wait_reserve(self, size: int) -> None:
        """Take ``size`` bytes, waiting for them; more than the whole limit is given when nothing else is out."""
        with self._changed:
            while self._used and self._used + size > self.limit:
                self._changed.wait()
            self._used += size

    def release(self, size: int) -> None:
        """Give ``size`` bytes back."""
        with self._changed:
            self._used = max(0, self._used - size)  # a forked child gives back what its parent took
            self._changed.notify_all()

    def after_fork(self) -> None:
        """In a forked child: the parent's requests and their bytes are not here."""
        self._used = 0
        self._changed = threading.Condition()


def container_memory() -> int | None:
    """Bytes that the cgroup (version 2, else 1) allows this process, None where there is no limit."""
    for path in _CGROUP_FILES:
        try:
            with real.open(path) as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:  # version 1 spells "no limit" as a huge number
            return int(text)
    return None


def default_limit() -> int:
    """The smaller of 512 MiB and a quarter of the container's memory, at least 32 MiB."""
    memory = container_memory()
    return DEFAULT_LIMIT if memory is None else max(32 << 20, min(DEFAULT_LIMIT, memory // 4))
