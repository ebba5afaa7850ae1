"""The threads that requests run on.

``concurrent.futures.ThreadPoolExecutor`` is not used: its threads are not daemons, so a stalled request would hold the
interpreter's exit, and it does not survive a fork.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Protocol, TypeVar

from vfsmount import real
from vfsmount.counters import call_site, on_behalf_of

T = TypeVar("T")

DEFAULT_THREADS: Final = 48
"""Enough for two files read at full width and the look-ups beside them; an idle thread costs a stack."""


class Submit(Protocol):
    """The seam: threads in production, inline or released one by one in a test."""

    def __call__(self, function: Callable[[], T]) -> Future[T]:
        """Run ``function`` some time soon."""


STARTING: Final = 1.0
"""Seconds that ``close`` waits for a thread whose start Ctrl-C has interrupted; it may never have begun."""


class _Worker(threading.Thread):
    """Tells that it has begun."""

    def __init__(self, target: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = target
        self.begun: Final = threading.Event()

    def run(self) -> None:
        self.begun.set()
        self._work()


class ThreadPool:
    """Daemon threads named ``NAME-N``, started on demand and made anew in a forked child."""

    def __init__(self, threads: int = DEFAULT_THREADS, name: str = "vfsmount") -> None:
        self._limit = threads
        self._name = name
        self._lock = threading.Lock()
        self._start_over()

    def _start_over(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[_Worker] = []
        self._idle = 0
        self._closed = False
        self._pid = real.getpid()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Queue ``function``; where a module is being looked for, run it at once. Raises RuntimeError after
        :meth:`close`.
        """
        if self._pid != real.getpid():  # the parent's threads did not come along, and its lock may be held for ever
            self._lock = threading.Lock()
            self._start_over()
        future: Future[T] = Future()
        site = call_site()

        def task() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                with on_behalf_of(site):
                    result = function()
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._closed:
                raise RuntimeError("the session is closed")
            served = not real.import_locked() and self._find_thread()
            if served:
                self._queue.put(task)
        if not served:
            task()
        return future

    def _find_thread(self) -> bool:
        """False where there is none and none can be started (out of threads; at exit of Python 3.12.0 and 3.12.1)."""
        if self._idle > 0:
            self._idle -= 1
        elif len(self._threads) < self._limit:
            name = f"{self._name}-{len(self._threads)}"
            thread = _Worker(functools.partial(self._work, self._queue), name)
            self._threads.append(thread)  # before it starts: Ctrl-C may come while it does
            try:
                thread.start()
            except RuntimeError:
                self._threads.remove(thread)
                return bool(self._threads)
        return True

    def _work(self, queue: SimpleQueue[Callable[[], None] | None]) -> None:
        while True:
            task = queue.get()
            if task is None:
                return
            task()
            del task  # holds the result's bytes
            with self._lock:
                self._idle += 1

    def close(self, timeout: float = 5.0) -> None:
        """Finish what is queued and join the threads, for at most ``timeout`` seconds in all. May be called again."""
        if self._pid != real.getpid():
            self._closed = True
            return
        with self._lock:
            threads = list(self._threads)
            if not self._closed:
                self._closed = True
                for _ in threads:
                    self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in threads:
            left = max(0.0, deadline - time.monotonic())
            if thread is not threading.current_thread() and thread.begun.wait(min(STARTING, left)):
                thread.join(max(0.0, deadline - time.monotonic()))


def run_inline(function: Callable[[], T]) -> Future[T]:
    """A :class:`Submit` that runs at once in the caller's thread."""
    future: Future[T] = Future()
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - as a pool's thread would
        future.set_exception(error)
    return future
