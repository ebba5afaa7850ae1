"""A store that misbehaves on script: the nth call of a verb fails, waits, comes short, or meets another client."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from vfsmount.errors import StoreError
from vfsmount.store.protocol import GetResult, Store
from vfsmount.testing.wrapper import VERBS, Call, WrapperStore

T = TypeVar("T")


@dataclass(slots=True)
class Fault:
    """One scripted event; counts its own calls from when it was set."""

    verb: str
    key: str | None
    nth: int
    times: int | None
    before: Callable[[Call], None] | None = None
    after: Callable[[Call], None] | None = None
    change: Callable[[GetResult], GetResult] | None = None
    seen: int = 0
    fired: int = 0
    """How often it struck."""

    def strikes(self, call: Call) -> bool:
        """True where this call is among those scripted; counts it."""
        if call.verb != self.verb or (self.key is not None and call.key != self.key):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.seen >= self.nth + self.times):
            return False
        self.fired += 1
        return True


@dataclass(frozen=True, slots=True)
class Hold:
    """Calls that wait until the test lets them go."""

    fault: Fault
    _arrived: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def wait_arrived(self, timeout: float = 10.0) -> None:
        """Wait until a call stands at the gate. Raises AssertionError after ``timeout`` seconds."""
        assert self._arrived.wait(timeout), f"no {self.fault.verb} came within {timeout} s"

    def release(self) -> None:
        """Let them go, and whoever comes later."""
        self._released.set()

    def _pass(self, call: Call, timeout: float) -> None:
        self._arrived.set()
        # A test that forgets to release fails instead of hanging.
        assert self._released.wait(timeout), f"{call} was held for {timeout} s and never released"


class FaultyStore(WrapperStore):
    """Scripted faults, in the order they were set. ``nth`` counts from 1, from now; ``times=None`` is for ever."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def fail(
        self,
        verb: str,
        error: StoreError | Callable[[], StoreError],
        *,
        nth: int = 1,
        times: int | None = 1,
        key: str | None = None,
        after: bool = False,
    ) -> Fault:
        """Raise ``error`` instead of the call; ``after``: when the call has taken effect (a lost answer)."""

        def strike(call: Call) -> None:
            raise error if isinstance(error, StoreError) else error()

        if after:
            return self._add(Fault(verb, key, nth, times, after=strike))
        return self._add(Fault(verb, key, nth, times, before=strike))

    def truncate(self, size: int, *, nth: int = 1, times: int | None = 1, key: str | None = None) -> Fault:
        """``get_range`` brings at most ``size`` bytes and says nothing of it."""
        return self._add(Fault("get_range", key, nth, times, change=lambda got: GetResult(got.meta, got.data[:size])))

    def flip(self, *, nth: int = 1, times: int | None = 1, key: str | None = None) -> Fault:
        """``get_range`` brings its first byte inverted."""

        def change(got: GetResult) -> GetResult:
            data = bytearray(got.data)
            if data:
                data[0] ^= 0xFF
            return GetResult(got.meta, bytes(data))

        return self._add(Fault("get_range", key, nth, times, change=change))

    def before(
        self, verb: str, callback: Callable[[], object], *, nth: int = 1, times: int | None = 1, key: str | None = None
    ) -> Fault:
        """Run ``callback`` just before the call, e.g. to replace the object."""
        return self._add(Fault(verb, key, nth, times, before=lambda call: _run(callback)))

    def after(
        self, verb: str, callback: Callable[[], object], *, nth: int = 1, times: int | None = 1, key: str | None = None
    ) -> Fault:
        """Run ``callback`` when the call has succeeded, before its caller sees the answer."""
        return self._add(Fault(verb, key, nth, times, after=lambda call: _run(callback)))

    def hold(
        self,
        verb: str,
        *,
        nth: int = 1,
        times: int | None = None,
        key: str | None = None,
        answered: bool = False,
        timeout: float = 10.0,
    ) -> Hold:
        """Keep calls waiting before they take effect, or (``answered``) after, until :meth:`Hold.release`."""
        fault = Fault(verb, key, nth, times)
        hold = Hold(fault)
        if answered:
            fault.after = lambda call: hold._pass(call, timeout)
        else:
            fault.before = lambda call: hold._pass(call, timeout)
        self._add(fault)
        return hold

    def heal(self) -> None:
        """Forget every fault; calls held stay held until released."""
        with self._lock:
            self._faults.clear()

    def around(self, call: Call, action: Callable[[], T]) -> T:
        with self._lock:
            striking = [fault for fault in self._faults if fault.strikes(call)]
        # Outside the lock: a callback may use this very store.
        for fault in striking:
            if fault.before is not None:
                fault.before(call)
        result = action()
        for fault in striking:
            if fault.after is not None:
                fault.after(call)
            if fault.change is not None and isinstance(result, GetResult):
                result = cast(T, fault.change(result))
        return result

    def _add(self, fault: Fault) -> Fault:
        if fault.verb not in VERBS:
            raise ValueError(f"no such verb: {fault.verb}; there are {', '.join(VERBS)}")
        with self._lock:
            self._faults.append(fault)
        return fault


def _run(callback: Callable[[], object]) -> None:
    callback()
