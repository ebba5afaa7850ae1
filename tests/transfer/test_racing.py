"""A request that has stalled gets a twin; the first good answer counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from vfsmount.clock import SystemClock
from vfsmount.counters import ReadUse
from vfsmount.errors import Unavailable
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import ON_ITS_WAY, Chunk, Data, Means
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.pool import ThreadPool
from vfsmount.transfer.racing import LEAST_PATIENCE, ONE_IN, PATIENCE, SAMPLES, UNKNOWN_PATIENCE, Racing
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.window import Range

CONTENT = bytes(range(256)) * 4096
IMPATIENT = 0.0
"""Seconds: every request has stalled as soon as it is waited for."""


class Raced:
    """One reader, impatient, over a store whose first request is held."""

    def __init__(self) -> None:
        memory = MemoryStore()
        self.meta = memory.put_object("k", CONTENT)
        self.faulty = FaultyStore(memory)
        self.store = CountingStore(self.faulty)
        self.pool = ThreadPool(8)
        self.budget = Budget(64 << 20)
        self.racing = Racing(patience=IMPATIENT, least=IMPATIENT)
        self.use = ReadUse()
        self.chunks = ChunkCache(self.budget, self.use)
        means = Means(
            self.store,
            self.pool.submit,
            self.budget,
            self.racing,
            SystemClock(),
            self.chunks,
        )
        self.reader = Reader(self.store, self.meta, submit=self.pool.submit, budget=self.budget, means=means)

    def read(self, offset: int, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.reader.read_into(offset, memoryview(buffer))])


@pytest.fixture
def raced() -> Iterator[Raced]:
    made = Raced()
    yield made
    made.reader.close()
    made.pool.close()
    assert made.budget.used == made.chunks.bytes


@pytest.mark.parametrize("everything", [False, True])
def test_a_stalled_request_gets_a_twin_whose_answer_is_taken(raced: Raced, everything: bool) -> None:
    hold = raced.faulty.hold("get_range", times=1)
    if everything:
        assert raced.reader.read_range(0, len(CONTENT)) == CONTENT
    else:
        assert raced.read(5000, 100) == CONTENT[5000:5100]
    assert raced.racing.twins == raced.use.snapshot().raced == 1
    hold.release()


def test_the_loser_is_charged_until_it_is_here(raced: Raced) -> None:
    hold = raced.faulty.hold("get_range", times=1)
    assert raced.read(5000, 100) == CONTENT[5000:5100]
    raced.reader.close()
    hold.wait_arrived()
    hold.release()
    raced.pool.close()
    assert raced.budget.peak == 2 * ON_ITS_WAY * 100


def test_the_first_good_answer_counts_where_the_other_fails(raced: Raced) -> None:
    hold = raced.faulty.hold("get_range", times=1)
    raced.faulty.fail("get_range", Unavailable("the twin"), nth=2)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(raced.read(5000, 100)))
    thread.start()
    hold.wait_arrived()
    hold.release()
    thread.join(10)
    assert found == [CONTENT[5000:5100]]


@pytest.mark.parametrize("first_fails", [False, True])
def test_of_two_answers_that_come_at_once_the_good_one_counts(raced: Raced, first_fails: bool) -> None:
    for _ in range(8):  # the order of a set
        good, bad = Future[Data](), Future[Data]()
        good.set_result(memoryview(b"good"))
        bad.set_exception(Unavailable("one of them"))
        charge = raced.budget.charge(0, must=True)
        assert charge is not None
        chunk = Chunk(0, 4, bad if first_fails else good, charge)
        assert bytes(raced.reader._source._first_of(chunk, good if first_fails else bad)) == b"good"
        charge.release()


@pytest.mark.parametrize("everything", [False, True])
def test_where_both_fail_so_does_the_read(raced: Raced, everything: bool) -> None:
    raced.faulty.fail("get_range", Unavailable("both"), times=None)
    with pytest.raises(Unavailable):
        if everything:
            raced.reader.read_range(0, len(CONTENT))
        else:
            raced.read(5000, 100)


def test_many_threads_that_wait_for_one_request_race_it_once(raced: Raced) -> None:
    hold = raced.faulty.hold("get_range", times=2)  # the request and its twin
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(raced.read(5000, 100))) for _ in range(8)]
    for thread in threads:
        thread.start()
    hold.wait_arrived()
    hold.release()
    for thread in threads:
        thread.join(10)
    assert found == [CONTENT[5000:5100]] * 8
    assert raced.racing.twins <= 1


def test_patience_is_a_multiple_of_what_is_usual_for_the_size() -> None:
    racing = Racing()
    assert racing.patience(1000) == UNKNOWN_PATIENCE
    for seconds in (9.0, 1.0, 1.0, 1.0, 1.0):
        racing.took(8 << 20, seconds)
    assert SAMPLES == 5
    assert racing.patience(8 << 20) == PATIENCE * 1.0
    assert racing.patience(4096) == UNKNOWN_PATIENCE
    for _ in range(SAMPLES):
        racing.took(4096, 0.02)
    assert racing.patience(4096) == LEAST_PATIENCE


def test_a_slow_bucket_is_not_asked_for_everything_twice() -> None:
    racing = Racing()
    assert racing.may_race()
    assert not racing.may_race()
    for _ in range(ONE_IN * 3):
        racing.took(1, 1.0)
    assert [racing.may_race() for _ in range(5)] == [True, True, True, False, False]
    assert racing.twins == 4


def test_whoever_waits_for_a_stalled_request_takes_the_answer_of_its_twin(raced: Raced) -> None:
    hold = raced.faulty.hold("get_range", times=1)
    chunk = raced.reader._source.start(Range(0, 100), must=True)
    assert chunk is not None
    stalled = chunk.future
    hold.wait_arrived()
    found: list[bytes] = []
    waiting = threading.Thread(target=lambda: found.append(bytes(raced.reader._source.wait(chunk))))
    chunk.raced = True  # by another thread, whose twin is not answered yet
    waiting.start()
    twin: Future[Data] = Future()
    twin.set_result(CONTENT[:100])
    chunk.future = twin
    waiting.join(10)
    assert found == [CONTENT[:100]]
    assert not stalled.done()
    hold.release()
    chunk.drop()
    raced.pool.close()
