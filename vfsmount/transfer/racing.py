"""When a request has stalled, and whether it may get a twin."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

PATIENCE: Final = 4.0
"""Times the usual duration of a request of its size, after which it has stalled."""

LEAST_PATIENCE: Final = 1.0
"""Seconds. A garbage collection there, or a retry in the client here, is no stall."""

UNKNOWN_PATIENCE: Final = 5.0
"""Seconds, while fewer than SAMPLES requests of the size were seen."""

SAMPLES: Final = 5
REMEMBERED: Final = 31
"""Requests of one size whose durations count."""

ONE_IN: Final = 50
"""At most one request in so many is raced, beside the first: a slow bucket must not be asked for everything twice."""


class Racing:
    """Durations of the requests of one mount, by size (in powers of four); thread-safe."""

    def __init__(self, *, patience: float = PATIENCE, least: float = LEAST_PATIENCE) -> None:
        self._times = patience
        self._least = least
        self.renew_lock()
        self._seconds: dict[int, deque[float]] = {}
        self._medians: dict[int, float] = {}
        self._requests = 0
        self._twins = 0

    @property
    def twins(self) -> int:
        """How many requests were raced."""
        return self._twins

    def took(self, size: int, seconds: float) -> None:
        """A request of ``size`` bytes was answered."""
        with self._lock:
            kept = self._seconds.setdefault(_class(size), deque(maxlen=REMEMBERED))
            kept.append(seconds)
            self._requests += 1
            if len(kept) >= SAMPLES:
                self._medians[_class(size)] = sorted(kept)[len(kept) // 2]

    def patience(self, size: int) -> float:
        """Seconds to wait for a request of ``size`` bytes before it has stalled."""
        median = self._medians.get(_class(size))
        if median is None:
            return max(UNKNOWN_PATIENCE if self._least else 0.0, self._least)
        return max(self._least, self._times * median)

    def may_race(self) -> bool:
        """True, and counted, where one more twin is allowed."""
        with self._lock:
            if self._twins > self._requests // ONE_IN:
                return False
            self._twins += 1
            return True

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()


def _class(size: int) -> int:
    return size.bit_length() // 2
