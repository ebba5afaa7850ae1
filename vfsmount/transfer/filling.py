"""Reading all of a range at once, into a buffer that is there."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from vfsmount.transfer.chunk import Chunk, Data, Source
from vfsmount.transfer.window import WIDTH, split


def fill(source: Source, start: int, end: int, out: memoryview, held: list[Chunk]) -> None:
    """Copy ``[start, end)`` into ``out``, part by part as they come, at full width and within the budget.

    ``held``: what is here or on its way from ``start`` on; the caller has entered it. Raises StoreError.
    """
    arrived: SimpleQueue[tuple[int, Future[Data]]] = SimpleQueue()
    pending: dict[int, Chunk] = {}
    """By where they start, in the order in which they were asked for."""
    own: set[Chunk] = set()
    hopes: Counter[int] = Counter()
    """How many requests for a chunk may still succeed."""

    def expect(chunk: Chunk, future: Future[Data]) -> None:
        at = chunk.start  # not the chunk: a future whose callback knows it would be freed by the next collection only
        pending[at] = chunk
        hopes[at] += 1
        future.add_done_callback(lambda done: arrived.put((at, done)))

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
            oldest = next(iter(pending.values()))
            try:
                at, future = arrived.get(timeout=None if oldest.raced else source.patience(oldest))
            except Empty:
                twin = source.race(oldest)
                if twin is not None:
                    expect(oldest, twin)
                continue
            if at not in pending:
                continue  # its twin was faster
            if hopes[at] > 1 and (future.cancelled() or future.exception() is not None):
                hopes[at] -= 1
                continue
            skip = max(start - at, 0)
            piece = memoryview(future.result())[skip : end - at]
            out[at + skip - start : at + skip - start + len(piece)] = piece
            chunk = pending.pop(at)
            if chunk in own:
                own.discard(chunk)
                chunk.drop()
            del oldest, chunk, piece, future  # what was copied goes before the next one comes
    finally:
        for chunk in own:
            chunk.drop()
