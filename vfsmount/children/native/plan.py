"""A child of a supervised process: it is supervised as its parent is, and inherits that by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vfsmount.children.staging import by_prelude

if TYPE_CHECKING:
    from vfsmount.children.native.peer import Peer


@dataclass(slots=True)
class NativePlan:
    """The command as it was given."""

    argv: list[str]
    executable: object
    cwd: object
    env: Mapping[Any, Any] | None
    peer: Peer
    pid: int = 0
    killed: bool = False
    restore_signals: bool = False

    def in_place(self) -> list[str]:
        """``argv``, by way of a Python that changes the directory."""
        if self.cwd is None:
            return self.argv
        return by_prelude(self.argv, self.executable, self.cwd, restore_signals=self.restore_signals)

    def started(self, pid: int) -> None:
        """Nothing is left to do."""
        self.pid = pid

    def finish(self) -> bool:
        """What it wrote is uploaded. False where something could not be, which was said."""
        known = len(self.peer.failures)
        self.peer.settle()
        failed = len(self.peer.failures) > known
        del self.peer.failures[known:]
        self.killed = self.pid in self.peer.killed
        self.peer.killed.discard(self.pid)
        return not failed

    def discard(self) -> None:
        """Nothing was made for it."""
