"""A store that counts: "this stat costs two requests" as an assertion."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from vfsmount.store.protocol import GetResult, Store
from vfsmount.testing.wrapper import VERBS, Call, WrapperStore

T = TypeVar("T")


class CountingStore(WrapperStore):
    """Counts calls and bytes; failed calls count too, because they cost a request."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._bytes_read = 0
        self._in_flight = 0
        self._most_in_flight = 0

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls since the start or the last reset, in order of their beginning."""
        with self._lock:
            return tuple(self._calls)

    @property
    def counts(self) -> Counter[str]:
        """Number of calls by verb."""
        return Counter(call.verb for call in self.calls)

    @property
    def bytes_read(self) -> int:
        """Bytes that ``get_range`` brought."""
        return self._bytes_read

    @property
    def bytes_written(self) -> int:
        """Bytes that ``put`` and ``put_part`` carried."""
        return sum(call.sent for call in self.calls)

    @property
    def most_in_flight(self) -> int:
        """The most calls that ran at once."""
        return self._most_in_flight

    def reset(self) -> None:
        """Start from nothing; calls in flight are not counted again."""
        with self._lock:
            self._calls.clear()
            self._bytes_read = 0
            self._most_in_flight = self._in_flight

    @contextlib.contextmanager
    def expect(self, **counts: int) -> Iterator[None]:
        """Assert that the block makes exactly these calls; a verb that is not named must not be called at all.

        Raises AssertionError that lists the calls made.
        """
        unknown = counts.keys() - set(VERBS)
        if unknown:
            raise ValueError(f"no such verb: {', '.join(sorted(unknown))}; there are {', '.join(VERBS)}")
        first = len(self.calls)
        yield
        made = self.calls[first:]
        got = Counter(call.verb for call in made)
        if got != Counter(counts):
            listed = "".join(f"\n    {call}" for call in made)
            wanted = {verb: count for verb, count in counts.items() if count}
            raise AssertionError(f"expected requests {wanted}, got {dict(got)}:{listed or ' none'}")

    def around(self, call: Call, action: Callable[[], T]) -> T:
        with self._lock:
            self._calls.append(call)
            self._in_flight += 1
            self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            result = action()
        finally:
            with self._lock:
                self._in_flight -= 1
        if isinstance(result, GetResult):
            with self._lock:
                self._bytes_read += len(result.data)
        return result
