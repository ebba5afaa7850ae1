"""Reading one version of one object ahead of whoever reads it."""

from __future__ import annotations

import gc
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forks import in_child
from vfsmount.errors import Corrupt, NotFound, PreconditionFailed, Unavailable
from vfsmount.store.protocol import GetResult
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore, WrapperStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import ThreadPool, run_inline
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.spool import SpoolFile
from vfsmount.transfer.window import FIRST_REQUEST, PART, WIDTH, split

CONTENT = random.Random(7).randbytes(3 * PART + 5)
BOUNDARIES = [0, 1, FIRST_REQUEST - 1, FIRST_REQUEST, FIRST_REQUEST + 1, PART - 1, PART, PART + 1, 3 * PART + 5]


class MatchingStore(WrapperStore):
    """Remembers the If-Match of each request."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.matches: list[str | None] = []

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        self.matches.append(if_match)
        return super().get_range(key, start, end, if_match=if_match)


class HeedlessStore(WrapperStore):
    """Ignores If-Match, as some services do."""

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        return super().get_range(key, start, end)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool()
    yield pool
    pool.close()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def budget() -> Budget:
    return Budget(512 << 20)


def drain(reader: Reader, block: int, start: int = 0) -> bytes:
    """Read in sequence to the end."""
    out = bytearray()
    buffer = bytearray(block)
    while count := reader.read_into(start + len(out), memoryview(buffer)):
        out += buffer[:count]
    return bytes(out)


def exactly(reader: Reader, offset: int, size: int) -> bytes:
    """``pread`` as a caller loops it."""
    buffer = bytearray(size)
    done = 0
    while done < size and (count := reader.read_into(offset + done, memoryview(buffer)[done:])):
        done += count
    return bytes(buffer[:done])


@pytest.mark.parametrize("size", BOUNDARIES)
@pytest.mark.parametrize("with_first", [True, False])
def test_a_sequential_read_gives_every_byte(
    memory: MemoryStore, pool: ThreadPool, budget: Budget, size: int, with_first: bool
) -> None:
    meta = memory.put_object("k", CONTENT[:size])
    first = memory.get_range("k", 0, FIRST_REQUEST).data if with_first else b""
    reader = Reader(memory, meta, submit=pool.submit, budget=budget, first=first)
    assert drain(reader, 100_003) == CONTENT[:size]
    reader.close()
    assert budget.used == 0


@pytest.mark.parametrize("size", BOUNDARIES)
def test_everything_at_once(memory: MemoryStore, pool: ThreadPool, budget: Budget, size: int) -> None:
    meta = memory.put_object("k", CONTENT[:size])
    reader = Reader(memory, meta, submit=pool.submit, budget=budget)
    assert reader.read_range(0, size + 10) == CONTENT[:size]
    assert reader.read_range(size, size + 10) == b""
    reader.close()


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(BOUNDARIES[1:]),
    calls=st.lists(
        st.tuples(st.booleans(), st.floats(0, 1.1), st.sampled_from([0, 1, 100, 4096, 1 << 17, 1 << 20, PART + 3])),
        max_size=12,
    ),
)
def test_any_mix_of_reads_agrees_with_the_bytes(size: int, calls: list[tuple[bool, float, int]]) -> None:
    store = MemoryStore()
    meta = store.put_object("k", CONTENT[:size])
    budget = Budget(16 << 20)
    reader = Reader(store, meta, submit=run_inline, budget=budget, first=store.get_range("k", 0, FIRST_REQUEST).data)
    position = 0
    for follow, where, count in calls:
        position = position if follow else int(where * size)
        if count > PART:
            got = reader.read_range(position, position + count)
        else:
            got = exactly(reader, position, count)
        assert got == CONTENT[:size][position : position + count]
        position += len(got)
    reader.close()
    assert budget.used == 0


def test_every_request_carries_if_match(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = MatchingStore(memory)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    drain(reader, 1 << 20)
    reader.read_range(0, len(CONTENT))
    exactly(reader, 77, 10)
    reader.close()
    assert len(store.matches) > 5
    assert set(store.matches) == {meta.etag}


def test_a_replaced_object_is_an_error_and_never_a_mix(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    reader = Reader(memory, meta, submit=pool.submit, budget=budget)
    assert exactly(reader, 0, 1000) == CONTENT[:1000]
    memory.put_object("k", bytes(len(CONTENT)))
    with pytest.raises(PreconditionFailed):
        drain(reader, 1 << 20, 1000)
    with pytest.raises(PreconditionFailed):
        reader.read_range(PART, len(CONTENT))
    reader.close()
    assert budget.used == 0


def test_an_object_replaced_in_mid_scan(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    store.before("get_range", lambda: memory.put_object("k", b"short"), nth=4)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    out, buffer = bytearray(), bytearray(1 << 16)
    with pytest.raises(PreconditionFailed):
        while count := reader.read_into(len(out), memoryview(buffer)):
            out += buffer[:count]
    assert len(out) < len(CONTENT)
    assert bytes(out) == CONTENT[: len(out)]
    reader.close()


def test_a_deleted_object_is_an_error(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    reader = Reader(memory, meta, submit=pool.submit, budget=budget)
    memory.delete("k")
    with pytest.raises(NotFound):
        exactly(reader, PART, 5)
    reader.close()


@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_body_is_corrupt(memory: MemoryStore, pool: ThreadPool, budget: Budget, kept: int) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    store.truncate(kept, times=None)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    with pytest.raises(Corrupt):
        exactly(reader, 0, 4096)
    with pytest.raises(Corrupt):
        reader.read_range(0, len(CONTENT))
    reader.close()
    assert budget.used == 0


@pytest.mark.parametrize("offset", [0, 5, PART])
def test_after_an_error_the_next_read_asks_again(
    memory: MemoryStore, pool: ThreadPool, budget: Budget, offset: int
) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    store.fail("get_range", Unavailable("once"))
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    with pytest.raises(Unavailable):
        exactly(reader, offset, 100)
    assert exactly(reader, offset, 100) == CONTENT[offset : offset + 100]
    assert drain(reader, 1 << 20, offset) == CONTENT[offset:]
    reader.close()
    assert budget.used == 0


def test_an_error_in_the_prefetch_comes_when_its_bytes_are_read(
    memory: MemoryStore, pool: ThreadPool, budget: Budget
) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    store.fail("get_range", Unavailable("later"), nth=3)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    out, failures, buffer = bytearray(), 0, bytearray(FIRST_REQUEST)  # requests end on a grid of these
    while len(out) < len(CONTENT):
        try:
            out += buffer[: reader.read_into(len(out), memoryview(buffer))]
        except Unavailable:
            failures += 1
    assert failures == 1
    assert bytes(out) == CONTENT
    reader.close()


def test_the_budget_is_given_back_without_close(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    reader = Reader(memory, meta, submit=pool.submit, budget=budget, first=CONTENT[:FIRST_REQUEST])
    exactly(reader, 0, FIRST_REQUEST + 1)
    assert budget.used > 0
    pool.close()  # what is on its way is charged until it is here
    del reader
    gc.collect()
    assert budget.used == 0


def test_a_small_budget_slows_and_does_not_stop(memory: MemoryStore, pool: ThreadPool) -> None:
    meta = memory.put_object("k", CONTENT)
    budget = Budget(1)
    reader = Reader(memory, meta, submit=pool.submit, budget=budget, first=CONTENT[:FIRST_REQUEST])
    assert drain(reader, 1 << 20) == CONTENT
    reader.close()
    assert budget.used == 0


def test_close_while_requests_are_on_their_way(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    hold = store.hold("get_range")
    reader = Reader(store, meta, submit=pool.submit, budget=budget, first=CONTENT[:FIRST_REQUEST])
    exactly(reader, FIRST_REQUEST // 2, 100)
    hold.wait_arrived()
    reader.close()
    assert budget.used == 0
    hold.release()
    reader.close()
    with pytest.raises(Corrupt, match="after close"):
        exactly(reader, 0, 100)


def test_the_number_of_requests_of_a_scan(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = CountingStore(memory)
    reader = Reader(store, meta, submit=pool.submit, budget=budget, first=CONTENT[:FIRST_REQUEST])
    with store.expect(get_range=6):  # 256 KiB came with the open; then to 1, 2, 4, 8, 16 MiB and the end
        drain(reader, 1 << 20)
    assert store.bytes_read == len(CONTENT) - FIRST_REQUEST
    reader.close()


def test_a_read_of_everything_goes_wide_and_leaves_room_for_others(
    memory: MemoryStore, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the object, what another thread asks for meanwhile waits behind no more than WIDTH parts."""
    meta = memory.put_object("k", CONTENT)
    monkeypatch.setattr("vfsmount.transfer.filling.split", lambda start, end: split(start, end, 100_000))
    faulty = FaultyStore(memory)
    store = CountingStore(faulty)
    hold = faulty.hold("get_range")
    pool = ThreadPool(threads=WIDTH + 1)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(reader.read_range(0, len(CONTENT))))
    thread.start()
    hold.wait_arrived()
    assert pool.submit(lambda: "at once").result(5) == "at once"
    hold.release()
    thread.join(10)
    assert got == [CONTENT]
    assert 2 <= store.most_in_flight <= WIDTH
    pool.close()


def test_a_read_of_everything_that_fails_asks_for_no_more(
    memory: MemoryStore, pool: ThreadPool, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = memory.put_object("k", CONTENT)
    monkeypatch.setattr("vfsmount.transfer.filling.split", lambda start, end: split(start, end, 100_000))
    faulty = FaultyStore(memory)
    store = CountingStore(faulty)
    faulty.fail("get_range", Unavailable("down"))
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    with pytest.raises(Unavailable):
        reader.read_range(0, len(CONTENT))
    assert len(store.calls) <= 2 * WIDTH
    assert reader.read_range(0, len(CONTENT)) == CONTENT
    reader.close()


def test_a_small_random_read_fetches_what_was_asked_for(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = CountingStore(memory)
    reader = Reader(store, meta, submit=pool.submit, budget=budget, first=CONTENT[:FIRST_REQUEST])
    with store.expect(get_range=3):
        for offset in (2 * PART, PART, 2 * PART + PART // 2):
            assert exactly(reader, offset, 4096) == CONTENT[offset : offset + 4096]
    assert store.bytes_read == 3 * 4096
    reader.close()


def test_requests_of_a_scan_run_side_by_side(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    faulty = FaultyStore(memory)
    store = CountingStore(faulty)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    hold = faulty.hold("get_range", nth=4)
    waiting = threading.Thread(target=drain, args=(reader, 1 << 20))
    waiting.start()
    deadline = time.monotonic() + 5
    while store.most_in_flight < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    hold.release()
    waiting.join(10)
    assert store.most_in_flight >= 2
    reader.close()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if failures:
        raise failures[0]


def test_sixteen_threads_read_one_reader(memory: MemoryStore, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    pool = ThreadPool(threads=3)  # fewer than readers, so that requests queue and could be cancelled under a waiter
    reader = Reader(memory, meta, submit=pool.submit, budget=budget)

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(60):
            offset, size = chance.randrange(len(CONTENT)), chance.choice([1, 1000, 70_000])
            assert exactly(reader, offset, size) == CONTENT[offset : offset + size]

    in_threads(16, work)
    reader.close()
    assert budget.used == 0
    pool.close()


def test_a_jump_of_one_thread_does_not_cancel_what_another_waits_for(memory: MemoryStore, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    pool = ThreadPool(threads=1)
    gate = threading.Event()
    pool.submit(lambda: gate.wait(10))  # the only thread is busy: every request queues
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    got: dict[int, bytes] = {}

    def work(number: int) -> None:
        got[number] = exactly(reader, number * PART, 10)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(3)]
    for number, thread in enumerate(threads):
        thread.start()
        deadline = time.monotonic() + 5
        while len(reader._cursors) <= number and time.monotonic() < deadline:
            time.sleep(0)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert got == {number: CONTENT[number * PART : number * PART + 10] for number in range(3)}
    reader.close()
    pool.close()


def test_a_waiting_reader_is_interrupted_by_ctrl_c(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    hold = store.hold("get_range", times=1)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    main = threading.main_thread().ident
    assert main is not None
    interrupted = threading.Event()

    def interrupt() -> None:
        hold.wait_arrived()
        while not interrupted.is_set():  # a signal just before the main thread begins to wait does not wake it
            signal.pthread_kill(main, signal.SIGINT)
            interrupted.wait(0.5)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        exactly(reader, 0, 100)
    interrupted.set()
    thread.join()
    hold.release()
    assert exactly(reader, 0, 100) == CONTENT[:100]
    reader.close()
    assert budget.used == 0


def test_a_forked_child_reads_what_it_inherited(memory: MemoryStore, pool: ThreadPool, budget: Budget) -> None:
    meta = memory.put_object("k", CONTENT)
    store = FaultyStore(memory)
    reader = Reader(store, meta, submit=pool.submit, budget=budget)
    exactly(reader, 0, 100)
    reader._lock.acquire()  # as if a thread of the parent were inside

    def child() -> None:
        budget.after_fork()
        assert exactly(reader, 50, 1000) == CONTENT[50:1050]
        assert drain(reader, 1 << 20, PART) == CONTENT[PART:]
        assert reader.read_range(0, len(CONTENT)) == CONTENT
        reader.close()

    in_child(child)
    reader._lock.release()
    assert exactly(reader, 50, 1000) == CONTENT[50:1050]
    reader.close()


@pytest.mark.parametrize("replacement", [bytes(len(CONTENT)), CONTENT[:-1]], ids=["same size", "shorter"])
def test_replacement_at_a_service_that_ignores_if_match_is_never_mixed_in(
    memory: MemoryStore, budget: Budget, replacement: bytes
) -> None:
    store = HeedlessStore(memory)
    memory.put("k", CONTENT)
    result = store.get_range("k", 0, FIRST_REQUEST)
    reader = Reader(store, result.meta, submit=run_inline, budget=budget, first=result.data)
    memory.put("k", replacement)
    assert exactly(reader, 0, 10) == CONTENT[:10]
    with pytest.raises(PreconditionFailed):  # ESTALE, and not EIO
        reader.read_range(0, len(CONTENT))
    with pytest.raises(PreconditionFailed):  # ESTALE, and not EIO
        drain(reader, PART)


def test_spool_is_never_filled_from_two_versions(memory: MemoryStore) -> None:
    class ReplacedMeanwhile(HeedlessStore):
        def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
            result = super().get_range(key, start, end)
            memory.put("k", bytes(len(CONTENT)))
            return result

    meta = memory.put("k", CONTENT)
    spool = SpoolFile()
    with pytest.raises(PreconditionFailed):
        spool.fill(ReplacedMeanwhile(memory), meta, run_inline)
    spool.close()
