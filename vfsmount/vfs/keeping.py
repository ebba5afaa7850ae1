"""Who may write a staged file: those who keep its content at one place."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

from vfsmount.errors import os_error
from vfsmount.vfs.policy import IN_USE_BEYOND


class Keeper(Protocol):
    """Keeps what is written at a place of its own until it is closed, as supervised programs do."""

    def settle(self) -> None:
        """Hand over what has been closed. Raises nothing."""


_opening = threading.local()


@contextlib.contextmanager
def kept_by(keeper: Keeper) -> Iterator[None]:
    """Around this thread's open of a file whose content ``keeper`` is to keep."""
    _opening.keeper = keeper
    try:
        yield
    finally:
        _opening.keeper = None


class Editors:
    """The handles that write one file: all of one keeper, or all of this process itself. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: Keeper | None = None
        self._count = 0

    def let_go(self) -> None:
        """Have another keeper hand over what it is only not done with yet."""
        keeper = self._keeper if self._count else None
        if keeper is not None and keeper is not _opener():
            keeper.settle()

    def enter(self, display: str) -> None:
        """One more. Raises: EPERM: others write it, who would not see what this one writes, nor it what they do."""
        with self._lock:
            if self._count and self._keeper is not _opener():
                raise os_error(IN_USE_BEYOND.number, display, hint=IN_USE_BEYOND.hint)
            self._keeper = _opener()
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._keeper = None

    @contextlib.contextmanager
    def editing(self, display: str) -> Iterator[None]:
        """:meth:`enter`, for the length of a ``with`` block."""
        self.enter(display)
        try:
            yield
        finally:
            self.leave()

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()


def _opener() -> Keeper | None:
    found: Keeper | None = getattr(_opening, "keeper", None)
    return found
