"""One writer or many readers, also between processes that tell each other of their changes."""

from __future__ import annotations

import threading
from typing import Protocol

from vfsmount.errors import os_error
from vfsmount.vfs.policy import IN_USE, IN_USE_BEYOND


class Records(Protocol):
    """What all processes of a group see of the files that each of them has open on one mount."""

    def take(self, path: str, *, writing: bool, staged: bool) -> bool:
        """False where the other side has it open in a way that excludes this. ``staged``: readers exclude nothing."""

    def is_written(self, path: str, *, staged: bool) -> bool:
        """Whether the other side has it open for writing."""

    def drop(self, path: str) -> None:
        """This process has it open no more."""

    def ask(self, path: str) -> None:
        """Have the other side let go of ``path``, if it is only not done yet with what was closed there."""


class Hold:
    """One file that this process has open, however often."""

    __slots__ = ("count", "path", "writing")

    def __init__(self, path: str, *, writing: bool) -> None:
        self.path = path
        self.writing = writing
        self.count = 1


class Sharing:
    """The files of one mount that are open here, and :attr:`records` of them for others; thread-safe, no request.

    Whether this process itself may open a file is for ``LocalState`` to say, first.
    """

    def __init__(self, *, staged: bool) -> None:
        self._staged = staged
        self._lock = threading.Lock()
        self._holds: dict[str, Hold] = {}
        self._records: Records | None = None

    def keep(self, records: Records | None) -> None:
        """Tell of what is open, and will be; None: nobody."""
        with self._lock:
            self._records = records
            for hold in self._holds.values():
                if records is not None:
                    records.take(hold.path, writing=hold.writing, staged=self._staged)

    def begin(self, path: str, display: str, *, writing: bool) -> Hold | None:
        """For :meth:`end`; None where nothing is to be ended. Raises: EPERM: the other side has it open."""
        if self._staged and not writing:
            self.require_unwritten(path, display)
            return None
        hold = self._try(path, writing=writing)
        if hold is None and (records := self._records) is not None:
            records.ask(path)
            hold = self._try(path, writing=writing)
        if hold is None:
            refusal = IN_USE if path in self._holds else IN_USE_BEYOND
            raise os_error(refusal.number, display, hint=refusal.hint)
        return hold

    def require_unwritten(self, path: str, display: str) -> None:
        """Raises: EPERM: the other side writes it."""
        if (records := self._records) is not None and records.is_written(path, staged=self._staged):
            records.ask(path)
            if records.is_written(path, staged=self._staged):
                raise os_error(IN_USE_BEYOND.number, display, hint=IN_USE_BEYOND.hint)

    def end(self, hold: Hold | None) -> None:
        if hold is None:
            return
        with self._lock:
            hold.count -= 1
            if not hold.count and self._holds.get(hold.path) is hold:
                self._drop(hold.path)

    def forget(self, path: str) -> None:
        """What was at ``path``, or below it, was removed or moved by us: its handles have nothing that comes there."""
        below = f"{path}/"
        with self._lock:
            for known in [known for known in self._holds if known == path or known.startswith(below)]:
                self._drop(known)

    def after_fork(self) -> None:
        """In a forked child: what is open is its parent's."""
        self._lock = threading.Lock()
        self._holds = {}

    def _try(self, path: str, *, writing: bool) -> Hold | None:
        with self._lock:
            hold = self._holds.get(path)
            if hold is not None:
                if hold.writing is not writing:  # a reader's open and a writer's met: who comes second has to go
                    return None
                hold.count += 1
                return hold
            if self._records is not None and not self._records.take(path, writing=writing, staged=self._staged):
                return None
            hold = self._holds[path] = Hold(path, writing=writing)
            return hold

    def _drop(self, path: str) -> None:
        del self._holds[path]
        if self._records is not None:
            self._records.drop(path)
