"""A range of an object that is here or on its way, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from vfsmount.clock import FOREVER, Clock
from vfsmount.errors import Corrupt, PreconditionFailed
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange, GetResult
from vfsmount.transfer.budget import Budget, Charge
from vfsmount.transfer.chunkcache import ChunkCache, Piece, Version
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.racing import Racing
from vfsmount.transfer.window import FIRST_REQUEST, Pace, Range

Data = bytes | memoryview

ON_ITS_WAY: Final = 2
"""Bytes in memory for each byte of an answer that is coming in: clients collect its pieces and join them."""


@dataclass(slots=True, eq=False)
class Chunk:
    """A range that is here or on its way."""

    start: int
    end: int
    future: Future[Data]
    charge: Charge
    waiting: int = 0
    """Threads that wait for it; it is not cancelled under them."""
    raced: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def enter(self) -> None:
        """One reader more waits for it; call with the owner's lock."""
        self.waiting += 1
        self.charge.share()

    def leave(self) -> None:
        """The opposite."""
        self.waiting -= 1
        self.charge.release()

    def drop(self) -> None:
        """Its owner lets go."""
        if not self.waiting:
            self.future.cancel()
        self.charge.release()


@dataclass(frozen=True, slots=True)
class Means:
    """What all readers of one mount share."""

    store: GetRange
    submit: Submit
    budget: Budget
    racing: Racing
    clock: Clock
    chunks: ChunkCache | None = None
    place: str = ""
    """The bucket's name in the cache in memory."""


class Source:
    """Ranges of one version of one object: from memory, or by a ranged GET under If-Match."""

    def __init__(self, means: Means, meta: ObjectMeta, pace: Pace) -> None:
        self.meta: Final = meta
        self._means: Final = means
        self._pace: Final = pace
        self._version: Final = Version(means.place, meta.key, meta.etag, meta.size) if meta.etag else None

    def known(self, data: Data) -> Chunk:
        """The object's beginning, which came with its metadata."""
        charge = self._means.budget.charge(len(data), must=True)
        assert charge is not None
        self._keep(0, data, charge)
        return Chunk(0, len(data), _ready(data), charge)

    def start(self, part: Range, *, must: bool) -> Chunk | None:
        """Have ``part`` or its beginning fetched, where memory does not have it; None where the budget has no room.

        ``must``: the reader waits for it, so that a small piece is fetched even then.
        """
        means, version, end = self._means, self._version, part.end
        if means.chunks is not None and version is not None:
            piece = means.chunks.find(version, part.start)
            if piece is not None:
                means.chunks.use.hit(piece.end - part.start)
                return Chunk(piece.start, piece.end, _ready(piece.data), piece.charge)
            means.chunks.use.miss()
            end = means.chunks.first_within(version, part.start, end)
        charge = means.budget.charge(ON_ITS_WAY * (end - part.start))
        if charge is None and must:
            end = min(end, part.start + FIRST_REQUEST)
            charge = means.budget.charge(ON_ITS_WAY * (end - part.start), must=True)
        if charge is None:
            return None
        return Chunk(part.start, end, means.submit(self._job(Range(part.start, end), charge)), charge)

    def wait(self, chunk: Chunk) -> Data:
        """The bytes of ``chunk``; where its request stalls, of a second one. Raises StoreError."""
        while not (future := chunk.future).done():  # another thread may have raced it, and put the winner there
            try:
                return future.result(self._means.racing.patience(chunk.size))
            except (TimeoutError, futures.TimeoutError):
                twin = self.race(chunk)
                if twin is not None:
                    return self._first_of(chunk, twin)
        return future.result()

    def patience(self, chunk: Chunk) -> float:
        """Seconds after which :meth:`race` should be asked."""
        return self._means.racing.patience(chunk.size)

    def race(self, chunk: Chunk) -> Future[Data] | None:
        """Ask a second time for ``chunk``, if it was asked for and that is allowed."""
        if chunk.raced or not chunk.future.running() or not self._means.racing.may_race():
            return None
        chunk.raced = True
        charge = self._means.budget.charge(ON_ITS_WAY * chunk.size, must=True)
        assert charge is not None
        if self._means.chunks is not None:
            self._means.chunks.use.raced()
        twin = self._means.submit(self._job(Range(chunk.start, chunk.end), charge))
        twin.add_done_callback(lambda _: charge.release())
        return twin

    def _first_of(self, chunk: Chunk, twin: Future[Data]) -> Data:
        both = {chunk.future, twin}
        while True:
            done, both = futures.wait(both, FOREVER, futures.FIRST_COMPLETED)
            good = [future for future in done if future.exception() is None]
            if good or not both:
                chunk.future = (good or [*done])[0]
                twin.cancel()
                return chunk.future.result()

    def after_fork(self) -> None:
        """In a forked child."""
        self._means.racing.renew_lock()

    def _job(self, part: Range, charge: Charge) -> Callable[[], Data]:
        def fetch() -> Data:
            data = self._request(part)
            charge.shrink(len(data))
            self._keep(part.start, data, charge)
            return data

        return fetch

    def _keep(self, start: int, data: Data, charge: Charge) -> None:
        if self._means.chunks is not None and self._version is not None:
            self._means.chunks.put(self._version, Piece(start, data, charge))

    def _request(self, part: Range) -> Data:
        """One ranged GET under If-Match."""
        meta = self.meta
        before = self._means.clock.monotonic()
        result: GetResult = self._means.store.get_range(meta.key, part.start, part.end, if_match=meta.etag)
        seconds = self._means.clock.monotonic() - before
        self._means.racing.took(part.end - part.start, seconds)
        self._pace.took(part.end - part.start, seconds)
        if meta.etag and result.meta.etag and same_version(result.meta.etag) != same_version(meta.etag):
            # Not every service heeds If-Match.
            raise PreconditionFailed("another version was sent", operation="get_range", key=meta.key)
        if len(result.data) != part.end - part.start or result.meta.size != meta.size:
            raise Corrupt(
                f"got {len(result.data)} bytes of {result.meta.size} for [{part.start}, {part.end}) of {meta.size}",
                operation="get_range",
                key=meta.key,
            )
        return result.data


def same_version(etag: str) -> str:
    """``etag`` without what proxies change: the quotes and the mark of a weak one."""
    return etag.removeprefix("W/").strip('"')


def _ready(data: Data) -> Future[Data]:
    future: Future[Data] = Future()
    future.set_result(data)
    return future
