"""A store that takes its time, as a network does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from vfsmount.clock import Clock, SystemClock
from vfsmount.store.protocol import GetResult, Store
from vfsmount.testing.wrapper import Call, WrapperStore

T = TypeVar("T")

_SYSTEM_CLOCK: Final = SystemClock()


class LatencyStore(WrapperStore):
    """Every call waits ``delay`` seconds, and the time that its bytes take at ``rate`` bytes per second."""

    def __init__(
        self, inner: Store, delay: float = 0.020, *, rate: float | None = None, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        super().__init__(inner)
        self.delay = delay
        self.rate = rate
        self._clock = clock

    def around(self, call: Call, action: Callable[[], T]) -> T:
        self._clock.sleep(self.delay + self._transfer(call.sent))
        result = action()
        if isinstance(result, GetResult) and self.rate is not None:
            self._clock.sleep(self._transfer(len(result.data)))
        return result

    def _transfer(self, size: int) -> float:
        return 0.0 if self.rate is None else size / self.rate
