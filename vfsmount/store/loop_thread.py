"""A private event loop in a thread, so that async clients can be called from sync code in any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from vfsmount import real
from vfsmount.errors import Unavailable

T = TypeVar("T")

JOIN_SECONDS: Final = 5.0
"""How long ``close`` waits for the thread."""

LOOK_SECONDS: Final = 1.0
"""How often whoever waits for an answer looks whether the loop is still there."""


class LoopThread:
    """One event loop in one daemon thread, ours alone: fsspec's shared loop belongs to whoever else uses fsspec."""

    def __init__(self, name: str) -> None:
        self.pid: Final = real.getpid()
        """The process whose loop this is; in any other it must not be touched (its epoll set is shared)."""
        self.loop: Final = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(4, thread_name_prefix=f"vfsmount-{name}"))
        self._thread = threading.Thread(target=self._run, name=f"vfsmount-{name}", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``work()`` on the loop and wait; an interrupted wait (Ctrl-C) cancels it.

        Raises what it raises, and Unavailable where the loop is closed meanwhile.
        """
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:
            coroutine.close()
            raise Unavailable("the client is closed") from error
        try:
            while True:
                try:
                    return future.result(LOOK_SECONDS)
                except (TimeoutError, futures.TimeoutError):
                    if future.done():  # its own, or just in time
                        return future.result()
                if not self._thread.is_alive() and not future.done():
                    coroutine.close()  # it was handed to a loop that had stopped
                    raise Unavailable("the client is closed")
        except futures.CancelledError:
            raise Unavailable("the client is closed") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop and join the thread. May be called again."""
        if self.pid != real.getpid() or self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(JOIN_SECONDS)
        if not self._thread.is_alive():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        with real.passthrough():  # certificates, configuration files: never those of a mount
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)  # threads wait for these
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
