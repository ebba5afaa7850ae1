"""Time as a seam, so that TTLs and backoff are tested without sleeping."""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

FOREVER: Final = threading.TIMEOUT_MAX
"""Seconds: for waits of the main thread that have no limit. A library may have SIGINT restart system calls (polars
does); Ctrl-C then ends only waits that have one. Source: signal(7).
"""


class RequestLock:
    """Re-entrant, for what is held across requests: Ctrl-C ends the main thread's wait for it, see :data:`FOREVER`.

    What ``with`` calls is C, so that no signal handler runs between the acquisition and the block that gives it back.
    """

    __slots__ = ("__enter__", "__exit__", "acquire", "release")

    if TYPE_CHECKING:

        def __enter__(self) -> bool: ...
        def __exit__(self, *_: object) -> None: ...

    def __init__(self) -> None:
        lock = threading.RLock()
        self.acquire: Final = lock.acquire
        self.release: Final = lock.release
        self.__enter__ = functools.partial(lock.acquire, True, FOREVER)  # type: ignore[method-assign]
        self.__exit__ = lock.__exit__  # type: ignore[assignment, method-assign]


class Clock(Protocol):
    """What the layers above ask of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own."""

    __slots__ = ()

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
