"""A clock that moves when a test says so."""

from __future__ import annotations


class SteppedClock:
    """Starts at 1000 s; ``sleep`` steps it too."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1_000_000_000)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def step(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds
