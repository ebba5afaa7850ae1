"""Stores for tests: wrappers that count, fail and delay, and the suite that every store passes.

Nothing here imports pytest until :class:`StoreSuite` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vfsmount.store.memory import MemoryStore
from vfsmount.testing.counting import CountingStore
from vfsmount.testing.faulty import Fault, FaultyStore, Hold
from vfsmount.testing.latency import LatencyStore
from vfsmount.testing.wrapper import VERBS, Call, WrapperStore

if TYPE_CHECKING:
    from vfsmount.testing.suite import StoreSuite

__all__ = [
    "VERBS",
    "Call",
    "CountingStore",
    "Fault",
    "FaultyStore",
    "Hold",
    "LatencyStore",
    "MemoryStore",
    "StoreSuite",
    "WrapperStore",
]


def __getattr__(name: str) -> Any:
    if name == "StoreSuite":
        from vfsmount.testing.suite import StoreSuite

        return StoreSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
