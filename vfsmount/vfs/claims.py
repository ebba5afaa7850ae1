"""Names that a rename or a removal is about: no two of them at once, because each is several requests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from vfsmount.clock import FOREVER


class Claims:
    """Claimed paths of one mount; whoever wants one that is taken, or one above or below it, waits.

    A rename copies and then deletes. Two that cross (``a`` to ``b`` and ``b`` to ``a``) would each delete what the
    other one has just made.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._claimed: set[str] = set()

    @contextlib.contextmanager
    def hold(self, *paths: str) -> Iterator[None]:
        """For the length of a ``with`` block. No lock is held meanwhile."""
        with self._free:
            while any(_overlap(one, other) for one in paths for other in self._claimed):
                self._free.wait(FOREVER)
            self._claimed.update(paths)
        try:
            yield
        finally:
            with self._free:
                self._claimed.difference_update(paths)
                self._free.notify_all()

    def after_fork(self) -> None:
        """In a forked child: what other threads claimed is free."""
        self._free = threading.Condition()
        self._claimed.clear()


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
