"""A private event loop in a thread, so that async clients can be called from sync code in any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from vfsmount import real

T = TypeVar("T")

JOIN_SECONDS: Final = 5.0
"""How long ``close`` waits for the thread."""


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
        """Run ``work()`` on the loop and wait; an interrupted wait (Ctrl-C) cancels it."""
        future = asyncio.run_coroutine_threadsafe(work(), self.loop)
        try:
            return future.result()
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
