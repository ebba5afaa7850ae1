"""What was read lately, in memory, shared by all handles of a session."""

from __future__ import annotations

import bisect
import threading
from typing import Final, NamedTuple

from cachetools import LRUCache

from vfsmount import real
from vfsmount.counters import ReadUse
from vfsmount.transfer.budget import Budget, Charge

SHARE: Final = 4
"""The cache may keep one byte of so many in the budget; the rest is for what is on its way."""

SMALL: Final = 1 << 20
"""Bytes of a piece that is kept however large its object is: headers, footers, indexes."""


class Version(NamedTuple):
    """One version of one object, wherever it is."""

    place: str
    """Which bucket of which service."""
    key: str
    etag: str
    size: int


class Piece(NamedTuple):
    """Bytes of a version from ``start`` on."""

    start: int
    data: bytes | memoryview
    charge: Charge

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class ChunkCache:
    """Pieces of objects by version and place in it, the least recently used thrown out first; thread-safe.

    Pieces of one version do not overlap. Of an object that is larger than half the cache only small pieces are kept: a
    scan of it would push out everything else, and itself.
    """

    def __init__(self, budget: Budget, use: ReadUse | None = None) -> None:
        self.use: Final = use or ReadUse()
        self.capacity: Final = budget.limit // SHARE
        self._budget = budget
        self._start_over()
        budget.reclaim_by(self.shrink)

    def _start_over(self) -> None:
        self._pid = real.getpid()
        self._lock = threading.Lock()
        self._pieces: LRUCache[tuple[Version, int], Piece] = LRUCache(self.capacity, getsizeof=_size)
        self._starts: dict[Version, list[int]] = {}
        self._latest: dict[tuple[str, str], Version] = {}

    @property
    def bytes(self) -> int:
        """Kept now."""
        return int(self._pieces.currsize)

    def find(self, version: Version, offset: int) -> Piece | None:
        """The piece with the byte at ``offset``; its charge is shared with the caller."""
        self._renew()
        with self._lock:
            starts = self._starts.get(version, ())
            index = bisect.bisect_right(starts, offset) - 1
            if index < 0:
                return None
            piece = self._pieces[version, starts[index]]
            if piece.end <= offset:
                return None
            piece.charge.share()
            return piece

    def first_within(self, version: Version, start: int, end: int) -> int:
        """Where the first piece that begins after ``start`` begins, at most ``end``: up to there nothing is known."""
        self._renew()
        with self._lock:
            starts = self._starts.get(version, ())
            index = bisect.bisect_right(starts, start)
            return min(starts[index], end) if index < len(starts) else end

    def latest(self, place: str, key: str) -> Version | None:
        """The version of ``key`` of which something was kept last."""
        self._renew()
        with self._lock:
            return self._latest.get((place, key))

    def put(self, version: Version, piece: Piece) -> None:
        """Keep ``piece`` as long as there is room; its charge is shared."""
        size = len(piece.data)
        if not size or size > self.capacity or (2 * version.size > self.capacity and size > SMALL):
            return
        self._renew()
        piece = piece._replace(data=_compact(piece.data))
        with self._lock:
            starts = self._starts.setdefault(version, [])
            index = bisect.bisect_right(starts, piece.start)
            overlaps = (index < len(starts) and starts[index] < piece.end) or (
                index > 0 and self._pieces.get((version, starts[index - 1]), piece).end > piece.start
            )
            if overlaps or not piece.charge.share():
                if not starts:
                    del self._starts[version]
                return
            starts.insert(index, piece.start)
            self._latest[version.place, version.key] = version
            while self._pieces.currsize + size > self.capacity:
                self._evict()
            self._pieces[version, piece.start] = piece

    def shrink(self, size: int) -> int:
        """Throw out at least ``size`` bytes, or all; what it threw out."""
        self._renew()
        done = 0
        with self._lock:
            while done < size and self._pieces:
                done += self._evict()
        return done

    def _evict(self) -> int:
        (version, start), piece = self._pieces.popitem()
        starts = self._starts[version]
        starts.remove(start)
        if not starts:
            del self._starts[version]
            if self._latest.get((version.place, version.key)) == version:
                del self._latest[version.place, version.key]
        piece.charge.release()
        return len(piece.data)

    def clear(self) -> None:
        """Throw out everything."""
        self.shrink(self.capacity + 1)

    def after_fork(self) -> None:
        """In a forked child: begin empty; a thread of the parent may have been half-way through a change."""
        self._start_over()
        self.use.renew_lock()

    def _renew(self) -> None:
        if self._pid != real.getpid():
            self.after_fork()


def _compact(data: bytes | memoryview) -> bytes | memoryview:
    """``data`` itself, unless it is a small view that would keep a large thing alive."""
    if isinstance(data, memoryview) and len(data) <= SMALL and len(memoryview(data.obj).cast("B")) > 2 * len(data):
        return bytes(data)
    return data


def _size(piece: Piece) -> int:
    return len(piece.data)
