"""What is collected while own code is at work.

The garbage collector runs wherever an object is made, so that a file's finalizer may interrupt our own code in the
middle of what it does under a lock. Closing the file takes such locks, and would wait for the very code that it
interrupts. It is then closed by another thread, as soon as it can be.
"""

from __future__ import annotations

import _thread
import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

from vfsmount.clock import RequestLock

_LOCKING: Final = (
    "vfsmount.children",
    "vfsmount.counters",
    "vfsmount.shim.description",
    "vfsmount.shim.descriptors",
    "vfsmount.store",
    "vfsmount.transfer",
    "vfsmount.vfs",
)
"""Where locks are held."""


def interrupts_own_code(frame: FrameType | None) -> bool:
    """Whether ``frame``, or what called it, may hold one of our locks."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and name.startswith(_LOCKING):
            return True
        frame = frame.f_back
    return False


class Later:
    """Does what finalizers have to leave undone; in the order in which it was put, one at a time."""

    __slots__ = ("_tasks", "_turn")

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._turn = RequestLock()

    def put(self, task: Callable[[], None]) -> None:
        """Leave ``task``, which raises nothing, to another thread; takes no lock."""
        self._tasks.put(task)
        with contextlib.suppress(RuntimeError):  # no thread can be started: done at deactivation
            _thread.start_new_thread(self.run, ())  # threading's own waits for the thread, which may wait for us

    def run(self) -> None:
        """Do what is left; when this returns nothing is that was put before."""
        with self._turn:
            while True:
                try:
                    task = self._tasks.get_nowait()
                except Empty:
                    return
                task()
