"""The first request for a file that is opened for reading: its metadata and first bytes, or what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vfsmount.clock import Clock
from vfsmount.model import Entry
from vfsmount.store.protocol import GetRange, GetResult, Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import ON_ITS_WAY
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.disk_cache import CachedRanges, DiskCache
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.prefetcher import Prefetcher
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.window import FIRST_REQUEST, SECOND_REQUEST
from vfsmount.vfs.ahead import Ahead, Requests
from vfsmount.vfs.attrs import AttrCache
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of
from vfsmount.vfs.neighbours import Neighbours
from vfsmount.vfs.options import FsOptions


class Beginnings:
    """Asks for files of one mount."""

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        cache: AttrCache,
        lookup: Lookup,
        submit: Submit,
        *,
        budget: Budget,
        clock: Clock,
        chunks: ChunkCache | None,
        learn: Callable[[str], bool],
    ) -> None:
        """``learn``: see :class:`~vfsmount.vfs.neighbours.Neighbours`."""
        self._store: Final = store
        self._options: Final = options
        self._lookup: Final = lookup
        self._cache: Final = cache
        self._budget: Final = budget
        self._ranges: Final[GetRange] = _ranges(store, options)
        self._prefetcher: Final = Prefetcher(
            self._ranges, submit=submit, budget=budget, clock=clock, chunks=None if options.cache_dir else chunks
        )
        self._neighbours: Final = Neighbours(learn, ttl=options.metadata_ttl, now=clock.monotonic, submit=submit)
        requests = Requests(self.fetch, self._length, lookup.has_keys_below, self.is_unhidden)
        self._ahead: Final = Ahead(requests, cache, ttl=options.metadata_ttl, submit=submit, budget=budget, clock=clock)

    def listed(self, path: str, entries: Sequence[Entry]) -> None:
        """The directory ``path`` was listed: its files may be opened one after another."""
        self._ahead.listed(path, entries)

    def ahead(self, path: str) -> GetResult | None:
        """What was fetched of a file that nothing hides before it is opened; None where it is to be asked for."""
        return self._ahead.take(path)

    def fetch(self, path: str) -> GetResult:
        """One request, two where what the cache has is old. Raises StoreError."""
        key = key_of(self._options.key_prefix, path)
        known = self._prefetcher.beginning(key)
        if known is not None:
            meta = self._store.head(key)
            if known.is_of(meta):
                return GetResult(meta, known.data)
        length = self._length(path)
        charge = self._budget.charge(ON_ITS_WAY * length)
        if charge is None:
            return self._ranges.get_range(key, 0, FIRST_REQUEST)
        try:
            return self._ranges.get_range(key, 0, length)
        finally:
            charge.release()

    def _length(self, path: str) -> int:
        """Bytes of the first request: all of a file that was seen lately and is not large, so that no second one is
        waited for.
        """
        _, attr = self._cache.get(path)
        return SECOND_REQUEST if attr is not None and FIRST_REQUEST < attr.size <= SECOND_REQUEST else FIRST_REQUEST

    def is_unhidden(self, path: str) -> bool:
        """True where it need not be asked whether a directory hides the file."""
        return self._options.lookup == "cheap" or self._lookup.is_unhidden(path)

    def asked(self, path: str) -> None:
        """It is being asked whether a directory hides the file at ``path``."""
        self._neighbours.asked(path)

    def reader(self, first: GetResult) -> Reader:
        """Of the version that ``first`` is of."""
        return self._prefetcher.reader(first.meta, first.data)

    def after_fork(self) -> None:
        """In a forked child: what threads of the parent held is let go."""
        self._prefetcher.after_fork()
        self._ahead.after_fork()
        self._neighbours.after_fork()


def _ranges(store: Store, options: FsOptions) -> GetRange:
    if options.cache_dir is None:
        return store
    identity = f"{options.endpoint}\0{options.bucket}"
    return CachedRanges(store, DiskCache(options.cache_dir, options.cache_max_bytes, identity))
