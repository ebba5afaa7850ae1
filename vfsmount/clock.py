"""Time as a seam, so that TTLs and backoff are tested without sleeping."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

FOREVER: Final = threading.TIMEOUT_MAX
"""Seconds: for waits of the main thread that have no limit. A library may have SIGINT restart system calls (polars
does); Ctrl-C then ends only waits that have one. Source: signal(7).
"""


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
