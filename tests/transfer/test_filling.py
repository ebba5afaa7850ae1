"""Reading everything at once, out of what is here, what is kept and what is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vfsmount.clock import SystemClock
from vfsmount.errors import Unavailable
from vfsmount.testing import FaultyStore, MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import Means
from vfsmount.transfer.chunkcache import ChunkCache, Piece, Version
from vfsmount.transfer.pool import ThreadPool, run_inline
from vfsmount.transfer.racing import Racing
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.window import FIRST_REQUEST, WHOLE_PART

CONTENT = random.Random(11).randbytes(3 * WHOLE_PART)


class Shelf:
    """A store, a cache in memory, and readers that share it."""

    def __init__(self) -> None:
        memory = MemoryStore()
        self.meta = memory.put_object("k", CONTENT)
        self.faulty = FaultyStore(memory)
        self.budget = Budget(512 << 20)
        self.chunks = ChunkCache(self.budget)

    def reader(self, first: bytes = b"", pool: ThreadPool | None = None) -> Reader:
        submit = run_inline if pool is None else pool.submit
        means = Means(self.faulty, submit, self.budget, Racing(), SystemClock(), self.chunks, "p")
        return Reader(self.faulty, self.meta, submit=submit, budget=self.budget, first=first, means=means)

    def keep(self, start: int, end: int) -> None:
        """As another reader of the same version does."""
        charge = self.budget.charge(end - start, must=True)
        assert charge is not None
        assert self.meta.etag is not None
        version = Version("p", "k", self.meta.etag, self.meta.size)
        self.chunks.put(version, Piece(start, memoryview(CONTENT)[start:end], charge))
        charge.release()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool()
    yield pool
    pool.close()


def test_a_kept_piece_that_begins_where_a_held_one_does_fills_all_that_it_has(shelf: Shelf) -> None:
    """A first request of 256 KiB is held; it was thrown out of the cache, and another open kept 1 MiB instead."""
    reader = shelf.reader(CONTENT[:FIRST_REQUEST])
    shelf.chunks.clear()
    shelf.keep(0, WHOLE_PART)
    assert reader.read_range(0, len(CONTENT)) == CONTENT


def test_after_a_failed_read_of_everything_the_next_one_asks_again(shelf: Shelf, pool: ThreadPool) -> None:
    reader = shelf.reader(CONTENT[:FIRST_REQUEST], pool)
    shelf.faulty.fail("get_range", Unavailable("down"), times=None)
    out = memoryview(bytearray(1))
    for offset in (0, FIRST_REQUEST // 2, FIRST_REQUEST - 1):  # a scan, so that more is asked for ahead
        assert reader.read_into(offset, out) == 1
    with pytest.raises(Unavailable):
        reader.read_range(0, len(CONTENT))
    shelf.faulty.heal()
    assert reader.read_range(0, len(CONTENT)) == CONTENT


GRID = FIRST_REQUEST
PLACES = st.integers(0, len(CONTENT) // GRID)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@example([("keep", 0, 4)])
@example([("all", 0, 3), ("glance", 1, 1), ("all", 1, 2)])
@given(
    st.lists(
        st.tuples(st.sampled_from(["keep", "clear", "open", "glance", "read", "all"]), PLACES, PLACES), max_size=12
    )
)
def test_whatever_is_kept_and_held_every_byte_is_right(steps: list[tuple[str, int, int]]) -> None:
    shelf = Shelf()
    reader = shelf.reader(CONTENT[:FIRST_REQUEST])
    shelf.chunks.clear()
    for step, one, other in [*steps, ("all", 0, len(CONTENT) // GRID)]:
        start, end = min(one, other) * GRID, max(one, other) * GRID
        if step == "keep" and start < end:
            shelf.keep(start, end)
        elif step == "clear":
            shelf.chunks.clear()
        elif step == "open":
            reader = shelf.reader(CONTENT[:WHOLE_PART])
        elif step == "glance":
            out = bytearray(GRID)
            count = reader.read_into(start, memoryview(out))
            assert out[:count] == CONTENT[start : start + count]
        elif step == "read":
            assert reader.read_on(start, end) == CONTENT[start:end]
        elif step == "all":
            assert reader.read_range(start, end) == CONTENT[start:end]
