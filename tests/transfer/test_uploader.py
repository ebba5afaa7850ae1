"""Writing one object: one PUT, or parts in parallel; nothing is left of a failure."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

from vfsmount.errors import AlreadyExists, NotSupported, PreconditionFailed, StoreError, TooLarge, Unavailable
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import PutAttributes, StoreTraits
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit, ThreadPool, run_inline
from vfsmount.transfer.uploader import WIDTH, Condition, Uploader, part_size_at

T = TypeVar("T")

PART = 100
SMALL = StoreTraits(min_part_size=PART)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore(traits=SMALL)


@pytest.fixture
def budget() -> Budget:
    return Budget(1 << 20)


def uploader(
    store: MemoryStore | CountingStore | FaultyStore,
    budget: Budget,
    submit: Submit = run_inline,
    condition: Condition | None = None,
    attributes: PutAttributes | None = None,
) -> Uploader:
    return Uploader(
        store,
        "k",
        attributes=attributes or PutAttributes(),
        part_size=PART,
        submit=submit,
        budget=budget,
        condition=condition,
    )


def nothing_left(memory: MemoryStore, budget: Budget) -> None:
    assert memory.objects() == {}
    assert memory.uploads() == ()
    assert budget.used == 0


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART])
def test_up_to_a_part_is_one_put(memory: MemoryStore, budget: Budget, size: int) -> None:
    store = CountingStore(memory)
    upload = uploader(store, budget)
    with store.expect(put=1):
        upload.write(b"x" * size)
        meta = upload.commit()
    assert meta.size == size
    assert memory.objects() == {"k": b"x" * size}


@pytest.mark.parametrize(("size", "parts"), [(PART + 1, 2), (2 * PART, 2), (2 * PART + 1, 3), (7 * PART - 1, 7)])
@pytest.mark.parametrize("block", [1, 33, PART, 3 * PART, 10_000])
def test_more_goes_in_parts(memory: MemoryStore, budget: Budget, size: int, parts: int, block: int) -> None:
    store = CountingStore(memory)
    content = bytes(number % 251 for number in range(size))
    upload = uploader(store, budget)
    with store.expect(create_multipart=1, put_part=parts, complete=1):
        for start in range(0, size, block):
            assert upload.write(memoryview(content)[start : start + block]) == len(content[start : start + block])
            assert upload.size == min(size, start + block)
        upload.commit()
    assert memory.objects() == {"k": content}
    assert [call.sent for call in store.calls if call.verb == "put_part"][:-1] == [PART] * (parts - 1)
    assert budget.used == 0


@pytest.mark.parametrize("base", [5 << 20, 8 << 20, 64 << 20, 5 << 30])
def test_ten_thousand_parts_reach_the_limit_of_the_store(base: int) -> None:
    traits = StoreTraits()
    sizes = [part_size_at(number, base, traits) for number in range(1, traits.max_parts + 1)]
    assert sum(sizes) >= traits.max_object_size
    assert sizes == sorted(sizes)
    assert sizes[0] == base
    assert max(sizes) <= traits.max_part_size


def test_equal_parts_stay_equal() -> None:
    traits = StoreTraits(equal_parts=True)
    assert {part_size_at(number, 8 << 20, traits) for number in range(1, 10_001)} == {8 << 20}


def test_the_uploader_cuts_where_the_size_grows(
    memory: MemoryStore, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfsmount.transfer.uploader.GROW_EVERY", 2)
    store = CountingStore(memory)
    upload = uploader(store, budget)
    upload.write(b"y" * 1000)
    upload.commit()
    sizes = [call.sent for call in store.calls if call.verb == "put_part"]
    assert sizes == [100, 100, 200, 200, 400]
    assert memory.objects() == {"k": b"y" * 1000}


def test_attributes_are_stored_both_ways(memory: MemoryStore, budget: Budget) -> None:
    for size in (1, 5 * PART):
        upload = uploader(memory, budget, attributes=PutAttributes(content_type="text/csv"))
        upload.write(b"z" * size)
        upload.commit()
        assert memory.attributes("k").content_type == "text/csv"


@pytest.mark.parametrize("size", [1, 3 * PART])
@pytest.mark.parametrize(
    ("condition", "error"),
    [(Condition(if_none_match=True), AlreadyExists), (Condition(if_match='"other"'), PreconditionFailed)],
)
def test_conditions_reach_put_and_complete(
    memory: MemoryStore, budget: Budget, size: int, condition: Condition, error: type[StoreError]
) -> None:
    upload = uploader(memory, budget, condition=condition)
    upload.write(b"new" * size)
    memory.put_object("k", b"somebody else's")
    with pytest.raises(error):
        upload.commit()
    assert memory.objects() == {"k": b"somebody else's"}
    assert memory.uploads() == ()
    assert budget.used == 0


@pytest.mark.parametrize("size", [1, 3 * PART])
def test_if_match_replaces_the_version_named(memory: MemoryStore, budget: Budget, size: int) -> None:
    etag = memory.put_object("k", b"old").etag
    upload = uploader(memory, budget, condition=Condition(if_match=etag))
    upload.write(b"n" * size)
    upload.commit()
    assert memory.objects() == {"k": b"n" * size}


def test_parts_run_side_by_side_but_no_more_than_the_width(memory: MemoryStore, budget: Budget) -> None:
    faulty = FaultyStore(memory)
    store = CountingStore(faulty)
    hold = faulty.hold("put_part")
    pool = ThreadPool()
    upload = uploader(store, budget, pool.submit)
    written = threading.Event()

    def write() -> None:
        upload.write(b"w" * (WIDTH + 4) * PART)
        written.set()

    thread = threading.Thread(target=write)
    thread.start()
    hold.wait_arrived()
    for _ in range(1000):  # ten seconds at most, until all of them have come
        assert not written.wait(0.01)
        if store.most_in_flight >= WIDTH:
            break
    assert len(upload._in_flight) == WIDTH
    assert budget.used == (2 * WIDTH + 1) * PART  # each once more in the client, and what is collected
    hold.release()
    thread.join(10)
    upload.commit()
    assert store.most_in_flight == WIDTH
    assert memory.objects() == {"k": b"w" * (WIDTH + 4) * PART}
    assert budget.used == 0
    pool.close()


def test_without_budget_one_part_still_goes(memory: MemoryStore) -> None:
    store = CountingStore(memory)
    pool = ThreadPool()
    budget = Budget(PART // 2)
    budget.reserve(PART)  # somebody else has it all
    upload = uploader(store, budget, pool.submit)
    upload.write(b"b" * 10 * PART)
    upload.commit()
    assert memory.objects() == {"k": b"b" * 10 * PART}
    assert store.most_in_flight == 1
    assert budget.used == PART
    pool.close()


@pytest.mark.parametrize("verb", ["create_multipart", "put_part", "complete"])
def test_a_failure_surfaces_and_leaves_nothing(memory: MemoryStore, budget: Budget, verb: str) -> None:
    store = FaultyStore(memory)
    store.fail(verb, Unavailable("down"))
    upload = uploader(store, budget)

    def write_all() -> None:
        for _ in range(5):
            upload.write(b"f" * PART)
        upload.commit()

    with pytest.raises(Unavailable, match="down"):
        write_all()
    with pytest.raises(Unavailable, match="down"):
        upload.write(b"more")
    with pytest.raises(Unavailable, match="down"):
        upload.commit()
    nothing_left(memory, budget)


def test_a_failed_put_leaves_nothing(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    store.fail("put", Unavailable("down"))
    upload = uploader(store, budget)
    upload.write(b"f")
    for _ in range(2):
        with pytest.raises(Unavailable):
            upload.commit()
    nothing_left(memory, budget)


def test_a_failure_in_the_background_comes_with_the_next_call(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    store.fail("put_part", Unavailable("later"), nth=2)
    hold = store.hold("put_part", nth=2, times=1)
    pool = ThreadPool()
    upload = uploader(store, budget, pool.submit)
    upload.write(b"p" * (3 * PART + 1))
    hold.release()
    with pytest.raises(Unavailable, match="later"):
        upload.commit()
    nothing_left(memory, budget)
    pool.close()


def test_abort_leaves_nothing_and_waits_for_what_runs(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    hold = store.hold("put_part")
    pool = ThreadPool(threads=2)
    upload = uploader(store, budget, pool.submit)
    upload.write(b"a" * (4 * PART + 1))
    hold.wait_arrived()
    releasing = threading.Timer(0.02, hold.release)
    releasing.start()
    upload.abort()
    nothing_left(memory, budget)
    upload.abort()
    with pytest.raises(StoreError, match="finished"):
        upload.write(b"more")
    with pytest.raises(StoreError, match="finished"):
        upload.commit()
    nothing_left(memory, budget)
    releasing.join()
    pool.close()


def test_abort_after_commit_does_nothing(memory: MemoryStore, budget: Budget) -> None:
    store = CountingStore(memory)
    upload = uploader(store, budget)
    upload.write(b"c" * 3 * PART)
    upload.commit()
    with store.expect():
        upload.abort()
    assert memory.objects() == {"k": b"c" * 3 * PART}


def test_an_abort_that_fails_is_told_in_the_log_only(
    memory: MemoryStore, budget: Budget, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore(memory)
    store.fail("abort", NotSupported("no"))
    upload = uploader(store, budget)
    upload.write(b"a" * (PART + 1))
    upload.abort()
    assert "could not be dropped" in caplog.text


def test_too_large_for_the_store(budget: Budget) -> None:
    memory = MemoryStore(traits=StoreTraits(min_part_size=PART, max_object_size=250))
    upload = uploader(memory, budget)
    upload.write(b"t" * 250)
    with pytest.raises(TooLarge):
        upload.write(b"t")
    upload.abort()
    nothing_left(memory, budget)


def test_too_many_parts(budget: Budget) -> None:
    memory = MemoryStore(traits=StoreTraits(min_part_size=PART, max_parts=3))
    upload = uploader(memory, budget)
    with pytest.raises(TooLarge):
        upload.write(b"t" * (4 * PART + 1))
    with pytest.raises(TooLarge):
        upload.commit()
    nothing_left(memory, budget)


def test_the_budget_is_given_back_without_close(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    hold = store.hold("put_part")
    pool = ThreadPool()
    upload = uploader(store, budget, pool.submit)
    upload.write(b"g" * (3 * PART + 1))
    assert budget.used > 0
    del upload
    gc.collect()
    assert budget.used == 0
    hold.release()
    pool.close()


def test_a_write_interrupted_by_ctrl_c_loses_no_byte_of_what_it_counted(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    hold = store.hold("put_part")
    pool = ThreadPool()
    upload = uploader(store, budget, pool.submit)
    content = bytes(range(250)) * 8  # 20 parts, and only WIDTH may be on their way
    main = threading.main_thread().ident
    assert main is not None
    interrupted = threading.Event()

    def interrupt() -> None:
        hold.wait_arrived()
        while len(upload._in_flight) < WIDTH or upload.size < (WIDTH + 1) * PART:
            pass
        while not interrupted.is_set():  # a signal just before the main thread begins to wait does not wake it
            signal.pthread_kill(main, signal.SIGINT)
            interrupted.wait(0.5)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        upload.write(content)
    interrupted.set()
    thread.join()
    hold.release()
    taken = upload.size
    assert 0 < taken < len(content)
    upload.write(content[taken:])
    upload.commit()
    assert memory.objects() == {"k": content}
    assert budget.used == 0
    pool.close()


def test_a_commit_interrupted_by_ctrl_c_leaves_nothing(memory: MemoryStore, budget: Budget) -> None:
    store = FaultyStore(memory)
    upload = uploader(store, budget)

    def interrupt() -> None:
        raise KeyboardInterrupt

    store.before("complete", interrupt)
    upload.write(b"i" * 3 * PART)
    with pytest.raises(KeyboardInterrupt):
        upload.commit()
    nothing_left(memory, budget)


def test_a_failed_upload_whose_memory_the_client_keeps_is_collected_in_silence(
    budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a request that was interrupted. Python 3.12.1 crashed, and 3.13 reported a failing ``close``."""
    kept: list[object] = []

    class Keeping(MemoryStore):
        def put(self, key: str, data: object, **_: object) -> ObjectMeta:  # type: ignore[override]
            kept.append(memoryview(data))  # type: ignore[arg-type]
            raise Unavailable("interrupted", operation="put", key=key)

    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    upload = uploader(Keeping(traits=SMALL), budget)
    upload.write(b"x" * 10)
    with pytest.raises(Unavailable) as caught:
        upload.commit()
    cycle = [upload, *kept, caught.value]
    cycle.append(cycle)
    del upload, caught, cycle
    kept.clear()
    gc.collect()
    assert said == []


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_part_that_an_interruption_lost_is_missed_at_the_commit(
    memory: MemoryStore, budget: Budget, number: int, when: str
) -> None:
    calls = 0

    def submit(function: Callable[[], T]) -> Future[T]:
        nonlocal calls
        calls += 1
        if calls != number:
            return run_inline(function)
        if when == "after":
            run_inline(function)
        raise KeyboardInterrupt

    upload = uploader(memory, budget, submit)
    with pytest.raises(KeyboardInterrupt):
        upload.write(b"i" * 4 * PART)
    with pytest.raises(StoreError):
        upload.commit()
    nothing_left(memory, budget)


def test_collecting_an_upload_does_not_wait_for_the_budget(memory: MemoryStore, budget: Budget) -> None:
    """The collector may run in a thread that just counts in the budget."""
    upload = uploader(memory, budget)
    upload.write(b"c" * 10)
    with budget._lock:
        collecting = threading.Thread(target=upload.__del__, daemon=True)
        collecting.start()
        collecting.join(5)
        assert not collecting.is_alive()
    assert budget.used == 0
