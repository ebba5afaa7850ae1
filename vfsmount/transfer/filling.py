"""Reading all of a range at once, into a buffer that is there."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from vfsmount.clock import FOREVER
from vfsmount.transfer.chunk import Chunk, Data, Source
from vfsmount.transfer.window import WIDTH, split


def fill(source: Source, start: int, end: int, out: memoryview, held: list[Chunk]) -> None:
    """Copy ``[start, end)`` into ``out``, part by part as they come, at full width and within the budget.

    ``held``: what is here or on its way from ``start`` on; the caller has entered it. Raises StoreError.
    """
    arrived: SimpleQueue[tuple[int, Future[Data]]] = SimpleQueue()
    pending: dict[int, Chunk] = {}
    """By number, in the order in which they were asked for. Two may begin at the same place: the cache has pieces of
    any size."""
    own: set[Chunk] = set()
    hopes: Counter[int] = Counter()
    """How many requests for a chunk may still succeed."""
    numbers = itertools.count()

    def expect(number: int, future: Future[Data]) -> None:
        hopes[number] += 1  # not the chunk: a future whose callback knows it would be freed by the next collection only
        future.add_done_callback(lambda done: arrived.put((number, done)))

    def add(chunk: Chunk) -> None:
        number = next(numbers)
        pending[number] = chunk
        expect(number, chunk.future)

    for chunk in held:
        add(chunk)
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
                add(started)
            first, oldest = next(iter(pending.items()))
            try:
                number, future = arrived.get(timeout=FOREVER if oldest.raced else source.patience(oldest))
            except Empty:
                twin = source.race(oldest)
                if twin is not None:
                    expect(first, twin)
                continue
            if number not in pending:
                continue  # its twin was faster
            if hopes[number] > 1 and (future.cancelled() or future.exception() is not None):
                hopes[number] -= 1
                continue
            at = pending[number].start
            skip = max(start - at, 0)
            piece = memoryview(future.result())[skip : end - at]
            out[at + skip - start : at + skip - start + len(piece)] = piece
            chunk = pending.pop(number)
            if chunk in own:
                own.discard(chunk)
                chunk.drop()
            del oldest, chunk, piece, future  # what was copied goes before the next one comes
    finally:
        for chunk in own:
            chunk.drop()
