"""Reading all of a range at once, into a buffer that is there."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from vfsmount.transfer.chunk import Chunk, Data, Source
from vfsmount.transfer.window import WIDTH, split


def fill(source: Source, start: int, end: int, out: memoryview, held: list[Chunk]) -> None:
    """Copy ``[start, end)`` into ``out``, part by part as they come, at full width and within the budget.

    ``held``: what is here or on its way from ``start`` on; the caller has entered it. Raises StoreError.
    """
    arrived: SimpleQueue[tuple[Chunk, Future[Data]]] = SimpleQueue()
    pending: dict[Chunk, int] = {}
    """How many requests for it may still succeed; in the order in which they were started."""
    own: set[Chunk] = set()

    def expect(chunk: Chunk, future: Future[Data]) -> None:
        pending[chunk] = pending.get(chunk, 0) + 1
        future.add_done_callback(lambda done: arrived.put((chunk, done)))

    for chunk in held:
        expect(chunk, chunk.future)
    rest = deque(split(held[-1].end if held else start, end))
    try:
        while pending or rest:
            while rest and len(pending) < WIDTH:
                part = rest[0]
                started = source.start(part, must=not pending)
                if started is None:
                    break
                rest.popleft()
                if started.end < part.end:
                    rest.appendleft(part._replace(start=started.end))
                while rest and rest[0].start < started.end:  # found more than was asked for
                    more = rest.popleft()
                    if more.end > started.end:
                        rest.appendleft(more._replace(start=started.end))
                own.add(started)
                expect(started, started.future)
            oldest = next(iter(pending))
            try:
                chunk, future = arrived.get(timeout=None if oldest.raced else source.patience(oldest))
            except Empty:
                twin = source.race(oldest)
                if twin is not None:
                    expect(oldest, twin)
                continue
            if chunk not in pending:
                continue  # its twin was faster
            if pending[chunk] > 1 and (future.cancelled() or future.exception() is not None):
                pending[chunk] -= 1
                continue
            data = future.result()
            del pending[chunk]
            skip = max(start - chunk.start, 0)
            piece = memoryview(data)[skip : end - chunk.start]
            at = chunk.start + skip - start
            out[at : at + len(piece)] = piece
            del data, piece, future
            if chunk in own:
                own.discard(chunk)
                chunk.drop()
    finally:
        for chunk in own:
            chunk.drop()
