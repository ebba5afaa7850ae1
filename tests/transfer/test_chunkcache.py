"""The cache in memory: what is kept, for how long, and what it costs the budget."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from tests.forks import in_child
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunkcache import SHARE, SMALL, ChunkCache, Piece, Version

LIMIT = 400


def version(key: str = "k", etag: str = "e", size: int = 40, place: str = "p") -> Version:
    return Version(place, key, etag, size)


def piece(budget: Budget, start: int, data: bytes) -> Piece:
    charge = budget.charge(len(data), must=True)
    assert charge is not None
    return Piece(start, data, charge)


def keep(cache: ChunkCache, budget: Budget, of: Version, start: int, data: bytes) -> None:
    made = piece(budget, start, data)
    cache.put(of, made)
    made.charge.release()


def found(cache: ChunkCache, of: Version, offset: int) -> bytes | None:
    got = cache.find(of, offset)
    if got is None:
        return None
    got.charge.release()
    return bytes(got.data[offset - got.start :])


def test_what_is_kept_is_found_at_every_offset_in_it() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    keep(cache, budget, version(), 10, b"abc")
    assert [found(cache, version(), offset) for offset in range(9, 14)] == [None, b"abc", b"bc", b"c", None]
    assert (cache.bytes, budget.used) == (3, 3)
    assert cache.first_within(version(), 0, 40) == 10
    assert cache.first_within(version(), 10, 40) == 40
    cache.clear()
    assert (cache.bytes, budget.used) == (0, 0)


def test_another_version_key_bucket_or_size_is_another_thing() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    keep(cache, budget, version(), 0, b"abc")
    for other in (version(etag="f"), version(key="l"), version(place="q"), version(size=41)):
        assert found(cache, other, 0) is None
    assert cache.latest("p", "k") == version()
    keep(cache, budget, version(etag="f"), 0, b"def")
    assert cache.latest("p", "k") == version(etag="f")
    assert found(cache, version(), 0) == b"abc"
    assert cache.latest("q", "k") is None


def test_the_least_recently_used_goes_first() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    assert cache.capacity == LIMIT // SHARE == 100
    for name in "abcde":
        keep(cache, budget, version(name), 0, bytes(20))
    assert found(cache, version("a"), 0) is not None
    keep(cache, budget, version("f"), 0, bytes(20))
    assert [name for name in "abcdef" if found(cache, version(name), 0) is not None] == list("acdef")
    assert cache.bytes == budget.used == 100


def test_what_is_on_its_way_wins_over_what_is_kept() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    for name in "abcde":
        keep(cache, budget, version(name), 0, bytes(20))
    assert budget.try_reserve(350)
    assert cache.bytes == 40
    assert budget.used <= LIMIT
    assert not budget.try_reserve(60)
    assert cache.bytes == 0


def test_what_a_reader_holds_is_charged_after_it_was_thrown_out() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    keep(cache, budget, version(), 0, bytes(20))
    held = cache.find(version(), 0)
    assert held is not None
    cache.clear()
    assert budget.used == 20
    held.charge.release()
    assert budget.used == 0


def test_large_pieces_of_large_objects_are_not_kept() -> None:
    budget = Budget(16 * SMALL * SHARE)
    cache = ChunkCache(budget)
    keep(cache, budget, version(size=9 * SMALL), 0, bytes(SMALL + 1))
    assert cache.bytes == 0
    keep(cache, budget, version(size=9 * SMALL), 0, bytes(SMALL))
    keep(cache, budget, version("small", size=8 * SMALL), 0, bytes(SMALL + 1))
    assert cache.bytes == 2 * SMALL + 1
    keep(cache, budget, version("huge", size=3), 0, bytes(17 * SMALL))
    assert cache.bytes == 2 * SMALL + 1


def test_a_piece_that_overlaps_another_is_not_kept() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    keep(cache, budget, version(), 10, bytes(10))
    for start, size in ((5, 6), (10, 10), (19, 5), (12, 3), (5, 30)):
        keep(cache, budget, version(), start, bytes(size))
    assert cache.bytes == budget.used == 10
    keep(cache, budget, version(), 20, bytes(5))
    keep(cache, budget, version(), 5, bytes(5))
    assert cache.bytes == budget.used == 20


def test_a_forked_child_begins_empty_whatever_was_locked() -> None:
    budget = Budget(LIMIT)
    cache = ChunkCache(budget)
    keep(cache, budget, version(), 0, b"abc")
    cache._lock.acquire()

    def child() -> None:
        budget.after_fork()
        assert found(cache, version(), 0) is None
        keep(cache, budget, version(), 0, b"abc")
        assert found(cache, version(), 0) == b"abc"
        assert budget.used == 3

    in_child(child)
    cache._lock.release()
    assert found(cache, version(), 0) == b"abc"


def test_threads_share_it() -> None:
    budget = Budget(4000)
    cache = ChunkCache(budget)
    failures: list[object] = []

    def work(number: int) -> None:
        for step in range(300):
            name = str((number * 7 + step) % 90)
            keep(cache, budget, version(name), 0, name.encode() * 10)
            got = found(cache, version(name), 0)
            if got is not None and got != name.encode() * 10:
                failures.append((name, got))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.bytes == budget.used <= cache.capacity


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 12)),
        max_size=25,
    ),
    shrink=st.integers(0, 60),
)
def test_never_wrong_bytes_never_more_than_the_capacity(pieces: list[tuple[str, int, int]], shrink: int) -> None:
    content = {name: bytes((ord(name) + at) % 256 for at in range(42)) for name in "abc"}
    budget = Budget(160)
    cache = ChunkCache(budget)
    for name, start, size in pieces:
        keep(cache, budget, version(name, size=42), start, content[name][start : start + size])
        assert cache.bytes == budget.used <= cache.capacity
    cache.shrink(shrink)
    for name in "abc":
        for offset in range(42):
            got = found(cache, version(name, size=42), offset)
            assert got is None or content[name][offset : offset + len(got)] == got
            assert got is not None or cache.first_within(version(name, size=42), offset, 42) > offset
    assert cache.bytes == budget.used
