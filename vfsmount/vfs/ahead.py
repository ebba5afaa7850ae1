"""Small files fetched before they are opened, for a program that reads a directory's files in listing order."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

from cachetools import LRUCache

from vfsmount import real
from vfsmount.clock import FOREVER, Clock
from vfsmount.errors import StoreError
from vfsmount.model import Entry
from vfsmount.store.protocol import GetResult
from vfsmount.transfer.budget import Budget, Charge
from vfsmount.transfer.chunk import ON_ITS_WAY, same_version
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.sequence import MOST_WIDTH, OpenSequence
from vfsmount.vfs.attrs import AttrCache
from vfsmount.vfs.namespace import child_of, parent_of
from vfsmount.vfs.traversal import is_one_of_several

NAMES: Final = 200_000
"""Names of listed directories that are remembered at most; about 20 MB."""

HELD: Final = 2 * MOST_WIDTH
"""Files held at most, of all directories."""

AGE: Final = 1.0
"""Seconds after which what was fetched ahead is of no use, and ``metadata_ttl`` where that is less."""


class Requests(NamedTuple):
    """How one file is asked for."""

    beginning: Callable[[str], GetResult]
    """Metadata and first bytes of the file at a path. Raises StoreError."""
    length: Callable[[str], int]
    """How many bytes that asks for."""
    hidden: Callable[[str], bool]
    """Whether a directory hides it. Raises StoreError."""
    is_unhidden: Callable[[str], bool]
    """True where that need not be asked."""


class _Fetched(NamedTuple):
    beginning: Future[GetResult]
    hidden: Future[bool] | None
    since: float
    epoch: int
    charge: Charge


class Ahead:
    """What was fetched ahead on one mount; thread-safe.

    An open that takes it gets what the same open would have got when it was asked for: at most ``AGE`` ago, and before
    nothing that was changed here or is known from a listing since.
    """

    def __init__(
        self, requests: Requests, cache: AttrCache, *, ttl: float, submit: Submit, budget: Budget, clock: Clock
    ) -> None:
        self._requests: Final = requests
        self._cache: Final = cache
        self._age: Final = min(ttl, AGE)
        self._submit: Final = submit
        self._budget: Final = budget
        self._now: Final = clock.monotonic
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: the parent's requests never arrive here."""
        self._pid = real.getpid()
        self._lock = threading.Lock()
        self._directories: LRUCache[str, _Directory] = LRUCache(NAMES, getsizeof=len)
        self._fetched: OrderedDict[str, _Fetched] = OrderedDict()
        self._width = 0

    def listed(self, path: str, entries: Sequence[Entry]) -> None:
        """The directory ``path`` was listed."""
        if self._age <= 0 or self._pid != real.getpid():
            return
        names = [entry.name for entry in entries if not entry.attr.is_dir]
        gone: list[_Fetched] = []
        with self._lock:
            if self._fetched:
                here = set(names)
                for one in [one for one in self._fetched if parent_of(one) == path]:
                    if one.rpartition("/")[2] not in here:
                        gone.append(self._fetched.pop(one))
            known = self._directories.get(path)
            if known is None or known.names != names:  # else a sequence goes on
                self._directories.pop(path, None)
                if 1 < len(names) <= NAMES:
                    self._directories[path] = _Directory(names)
        for fetched in gone:
            _drop(fetched)

    def take(self, path: str) -> GetResult | None:
        """The beginning of the file at ``path``, if it is here or on its way, is a file that nothing hides, and is as
        new as an open may expect; has the next ones fetched.
        """
        if not self._directories or self._pid != real.getpid() or real.import_locked():
            return None
        if not is_one_of_several():  # else the next ones are being opened
            self._fetch_next(path)
        with self._lock:
            fetched = self._fetched.pop(path, None)
        if fetched is None:
            return None
        try:
            if self._now() - fetched.since >= self._age or self._cache.changed_since(path, fetched.epoch):
                return None
            result = fetched.beginning.result(FOREVER)
            if fetched.hidden is not None and fetched.hidden.result(FOREVER):
                return None
            known, attr = self._cache.get(path)
            if known and (attr is None or not _same(attr.etag, result.meta.etag)):
                with self._lock:
                    self._directories.pop(parent_of(path), None)
                return None  # another version, or nothing, was seen there
            if self._now() - fetched.since >= self._age or self._cache.changed_since(path, fetched.epoch):
                return None
        except StoreError:
            return None  # the open itself will tell
        finally:
            _drop(fetched)
        return result

    def _fetch_next(self, path: str) -> None:
        above = parent_of(path)
        with self._lock:
            directory = self._directories.get(above)
            wanted = () if directory is None else directory.opened(path.rpartition("/")[2], self._width)
            if directory is not None and directory.ended:
                self._width = directory.width
            elif directory is not None and not directory.width:
                self._width = 0
            paths = [one for name in wanted if (one := child_of(above, name)) not in self._fetched]
        for one in paths:
            charge = self._budget.charge(ON_ITS_WAY * self._requests.length(one))
            if charge is None:
                return
            fetched = self._ask(one, charge)
            with self._lock:
                self._fetched[one] = fetched
                oldest = self._fetched.popitem(last=False)[1] if len(self._fetched) > HELD else None
            if oldest is not None:
                _drop(oldest)

    def _ask(self, path: str, charge: Charge) -> _Fetched:
        requests, epoch, since = self._requests, self._cache.epoch(), self._now()
        hidden = None if requests.is_unhidden(path) else self._submit(lambda: requests.hidden(path))
        return _Fetched(self._submit(lambda: requests.beginning(path)), hidden, since, epoch, charge)


class _Directory:
    """The files of a listed directory, those with one suffix together: a program often reads one kind of file."""

    __slots__ = ("_last", "_sequences", "names")

    def __init__(self, names: list[str]) -> None:
        self.names: Final = names
        self._sequences: dict[str, tuple[list[str], OpenSequence]] = {}
        self._last: OpenSequence | None = None

    def __len__(self) -> int:
        return len(self.names)

    def opened(self, name: str, width: int) -> list[str]:
        """The names to fetch ahead now that ``name`` is opened."""
        suffix = _suffix(name)
        found = self._sequences.get(suffix)
        if found is None:
            names = [one for one in self.names if _suffix(one) == suffix]
            found = self._sequences[suffix] = names, OpenSequence(len(names), width)
        names, self._last = found
        position = bisect_left(names, name)
        if position == len(names) or names[position] != name:
            return []
        return [names[index] for index in self._last.opened(position)]

    @property
    def ended(self) -> bool:
        return self._last is not None and self._last.ended

    @property
    def width(self) -> int:
        return 0 if self._last is None else self._last.width


def _suffix(name: str) -> str:
    return name.rpartition(".")[2] if "." in name else ""


def _same(listed: str | None, fetched: str | None) -> bool:
    return listed is None or fetched is None or same_version(listed) == same_version(fetched)


def _drop(fetched: _Fetched) -> None:
    fetched.beginning.cancel()
    if fetched.hidden is not None:
        fetched.hidden.cancel()
    fetched.charge.release()
