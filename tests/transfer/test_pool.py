"""The threads that requests run on."""

from __future__ import annotations

import threading
import time

import pytest

from tests.forks import in_child
from vfsmount.counters import call_site
from vfsmount.errors import Unavailable
from vfsmount.transfer.pool import ThreadPool, run_inline


def test_threads_are_daemons_with_a_name_and_as_many_as_work_asks_for() -> None:
    pool = ThreadPool(threads=4)
    gate = threading.Event()

    def work() -> tuple[str, bool]:
        gate.wait(5)
        thread = threading.current_thread()
        return thread.name, thread.daemon

    futures = [pool.submit(work) for _ in range(20)]
    gate.set()
    found = {future.result(5) for future in futures}
    assert all(name.startswith("vfsmount-") and daemon for name, daemon in found)
    assert len(found) <= 4
    pool.close()


def test_an_idle_thread_is_used_again() -> None:
    pool = ThreadPool(threads=8)
    names = set()
    for _ in range(5):
        names.add(pool.submit(lambda: threading.current_thread().name).result(5))
        deadline = time.monotonic() + 5
        while not pool._idle and time.monotonic() < deadline:  # the thread counts itself idle just after the result
            time.sleep(0)
    assert len(names) == 1
    pool.close()


def test_close_finishes_what_is_queued_and_joins() -> None:
    pool = ThreadPool(threads=2)
    done = []
    for number in range(10):
        pool.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    threads = list(pool._threads)
    pool.close()
    assert sorted(done) == list(range(10))
    assert not any(thread.is_alive() for thread in threads)
    pool.close()


def test_close_waits_no_longer_than_told_in_all() -> None:
    pool = ThreadPool(threads=6)
    gate = threading.Event()
    for _ in range(6):
        pool.submit(lambda: gate.wait(10))
    begun = time.monotonic()
    pool.close(timeout=0.1)
    assert time.monotonic() - begun < 0.5
    gate.set()


def test_close_waits_for_a_thread_whose_start_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool(threads=2)
    closing = threading.Event()
    first = pool.submit(lambda: closing.wait(10))
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        def later() -> None:
            while not pool._closed:
                time.sleep(0)
            start(thread)
            closing.set()

        start(threading.Thread(target=later, daemon=True))
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(lambda: None)
    pool.close(timeout=10)
    assert first.result(10)
    one, late = pool._threads
    assert late.ident is not None
    assert not one.is_alive()
    assert not late.is_alive()


def test_close_waits_not_long_for_a_thread_that_never_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool(threads=1)

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    monkeypatch.setattr("vfsmount.transfer.pool.STARTING", 0.01)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(lambda: None)
    pool.close(timeout=1e9)
    assert pool._threads[0].ident is None


def test_submit_after_close_is_refused() -> None:
    pool = ThreadPool()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(lambda: 1)


@pytest.mark.parametrize("error", [Unavailable("x"), KeyboardInterrupt(), SystemExit(3)])
def test_whatever_is_raised_reaches_the_one_who_waits_and_no_thread_dies(error: BaseException) -> None:
    pool = ThreadPool(threads=1)

    def fail() -> None:
        raise error

    future = pool.submit(fail)
    assert future.exception(5) is error
    assert pool.submit(lambda: 7).result(5) == 7
    pool.close()


def test_a_queued_task_can_be_cancelled() -> None:
    pool = ThreadPool(threads=1)
    gate = threading.Event()
    ran = []
    first = pool.submit(lambda: gate.wait(5))
    second = pool.submit(lambda: ran.append(1))
    assert second.cancel()
    gate.set()
    assert first.result(5)
    pool.close()
    assert ran == []


def test_work_counts_for_the_line_that_submitted_it() -> None:
    pool = ThreadPool()
    future = pool.submit(call_site)
    assert future.result(5).startswith(f"{__file__}:")
    pool.close()


def test_a_forked_child_gets_threads_of_its_own() -> None:
    pool = ThreadPool(threads=2)
    gate = threading.Event()
    pool.submit(lambda: gate.wait(10))
    pool._lock.acquire()  # as if a thread of the parent were inside

    def child() -> None:
        assert [pool.submit(lambda number=number: number * 2).result(10) for number in range(5)] == [0, 2, 4, 6, 8]
        pool.close()

    in_child(child)
    pool._lock.release()
    gate.set()
    assert pool.submit(lambda: "still here").result(5) == "still here"
    pool.close()


def test_where_no_thread_can_be_started_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    pool = ThreadPool()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert pool.submit(threading.get_ident).result(0) == threading.get_ident()
    monkeypatch.undo()
    assert pool.submit(threading.get_ident).result(5) != threading.get_ident()
    pool.close()


def test_inline() -> None:
    assert run_inline(threading.get_ident).result(0) == threading.get_ident()
    assert isinstance(run_inline(lambda: 1 // 0).exception(0), ZeroDivisionError)
