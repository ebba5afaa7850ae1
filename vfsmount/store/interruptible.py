"""Requests that Ctrl-C can end.

A call into obstore holds the thread it is made in until the answer is there, with all retries: minutes, on a network
that swallows packets. Python runs signal handlers in the main thread only, and only between its own instructions, so
such a call made there would put Ctrl-C off for as long. It is made in another thread, and the main thread waits for it
in Python.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from vfsmount import real
from vfsmount.clock import FOREVER

T = TypeVar("T")


class MainThreadCalls:
    """Runs the main thread's calls in threads of its own, one as a rule; other threads make their calls themselves.

    A call that was interrupted runs on, unheard, and the next one gets another thread. Where it changes an object, a
    later change of that object waits for it, in whatever thread: overtaken, it would undo what was written after it.
    """

    def __init__(self) -> None:
        self._pid = real.getpid()
        self._idle: list[_Worker] = []
        self._unheard: list[tuple[str, Future[Any]]] = []

    def run(self, function: Callable[[], T], *, changes: tuple[str, ...] = ()) -> T:
        """``function()``, which changes the objects ``changes``.

        Raises what it raises, and what a signal handler raises meanwhile.
        """
        if self._pid != real.getpid():  # the threads stayed with the parent
            self._pid = real.getpid()
            self._idle, self._unheard = [], []
        if self._unheard and changes:
            self._let_pass(changes)
        if threading.current_thread() is not threading.main_thread() or real.import_locked():
            return function()
        future: Future[T] = Future()
        try:
            worker = self._idle.pop() if self._idle else _Worker()
        except RuntimeError:  # out of threads, or the interpreter is ending
            return function()
        worker.calls.put(_Call(function, future, self._idle))
        try:
            return future.result(FOREVER)
        finally:
            if not future.done():
                self._unheard.extend((key, future) for key in changes)

    def _let_pass(self, keys: tuple[str, ...]) -> None:
        """Wait for the changes of ``keys`` that nobody hears the end of."""
        for entry in list(self._unheard):
            key, future = entry
            if key in keys:
                future.exception(FOREVER)
            if future.done():
                with contextlib.suppress(ValueError):  # another thread was here
                    self._unheard.remove(entry)

    def close(self) -> None:
        """End the threads; one whose call was interrupted, with the process."""
        idle, self._idle = self._idle, []
        if self._pid == real.getpid():
            for worker in idle:
                worker.calls.put(None)
            for worker in idle:
                if worker.thread is not threading.current_thread():
                    worker.thread.join()


class _Call(NamedTuple):
    function: Callable[[], Any]
    future: Future[Any]
    idle: list[_Worker]
    """Where the worker goes before its answer is heard, so that the next call finds it."""


class _Worker:
    """A thread that makes calls one after another. Raises RuntimeError where none can be started."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="vfsmount-main", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while True:
            call = self.calls.get()
            if call is None:
                return
            try:
                result = call.function()
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
                call.idle.append(self)
                call.future.set_exception(error)
            else:
                call.idle.append(self)
                call.future.set_result(result)
                del result  # the bytes belong to whoever takes them
            del call
