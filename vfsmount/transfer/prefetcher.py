"""What the readers of one mount have in common, and what is known of an object before it is opened again."""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from vfsmount.clock import Clock, SystemClock
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import Data, Means, same_version
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.racing import Racing
from vfsmount.transfer.reader import Reader

_places: Final = itertools.count()


class Beginning(NamedTuple):
    """The first bytes of a version of an object, from the cache."""

    etag: str
    size: int
    data: Data

    def is_of(self, meta: ObjectMeta) -> bool:
        """True where ``meta`` is of the same version."""
        return meta.etag is not None and same_version(meta.etag) == same_version(self.etag) and meta.size == self.size


class Prefetcher:
    """Makes the readers of one mount."""

    def __init__(
        self,
        store: GetRange,
        *,
        submit: Submit,
        budget: Budget,
        clock: Clock | None = None,
        chunks: ChunkCache | None = None,
        racing: Racing | None = None,
    ) -> None:
        self._means: Final = Means(
            store,
            submit,
            budget,
            racing or Racing(),
            clock or SystemClock(),
            chunks,
            # Two mounts may lead to stores that have nothing in common but their names (in memory, say).
            f"mount {next(_places)}",
        )

    def reader(self, meta: ObjectMeta, first: Data) -> Reader:
        """``first``: the object's beginning, which came with ``meta`` or from the cache."""
        means = self._means
        return Reader(means.store, meta, submit=means.submit, budget=means.budget, first=first, means=means)

    def beginning(self, key: str) -> Beginning | None:
        """Of the version of ``key`` that was read last; the bucket has to say whether it still is in force."""
        means = self._means
        if means.chunks is not None:
            version = means.chunks.latest(means.place, key)
            if version is not None and (piece := means.chunks.find(version, 0)) is not None:
                piece.charge.release()
                return Beginning(version.etag, version.size, piece.data)
        return None

    def after_fork(self) -> None:
        """In a forked child: what threads of the parent held is let go."""
        self._means.racing.renew_lock()
        if self._means.chunks is not None:
            self._means.chunks.after_fork()
