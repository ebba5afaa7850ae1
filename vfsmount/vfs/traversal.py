"""Announced traversals: what ``os.walk`` and its like ask one directory after another may be listed together.

A traversal is entered for as long as its own code runs in a thread, and left while its caller's does: only the
listings that the traversal itself asks for are fed from what was fetched ahead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Current(threading.local):
    traversal: Traversal | None = None
    missing: set[tuple[int, str]] | None = None
    """What one of several found missing so far: the owner and the path."""


_current = _Current()


class Traversal:
    """One call of ``os.walk`` or its like; a context manager around each stretch of its own code."""

    __slots__ = ("_fed", "_outer", "removes")

    def __init__(self, *, removes: bool = False) -> None:
        """``removes``: it is going to delete every file that it comes to."""
        self.removes = removes
        self._fed: dict[int, tuple[object, object]] = {}
        self._outer: list[Traversal | None] = []

    def __enter__(self) -> Traversal:
        self._outer.append(_current.traversal)
        _current.traversal = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.traversal = self._outer.pop()

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Around code of the caller's that the traversal calls."""
        before = _current.traversal
        _current.traversal = self._outer[-1] if self._outer else None
        try:
            yield
        finally:
            _current.traversal = before

    def of(self, owner: object, make: Callable[[], T]) -> T:
        """What this traversal keeps for ``owner``; made at the first call."""
        found = self._fed.get(id(owner))
        if found is None:
            found = self._fed[id(owner)] = owner, make()
        return found[1]  # type: ignore[return-value]

    def finish(self) -> None:
        """It is over: what it keeps is told, where that has a ``finish``."""
        for _, kept in self._fed.values():
            end = getattr(kept, "finish", None)
            if end is not None:
                end()


class PerTraversal(Generic[T]):
    """One ``T`` for each traversal that comes by, none outside of any."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def current(self) -> T | None:
        """That of the traversal whose code is running in this thread."""
        traversal = _current.traversal
        return None if traversal is None else traversal.of(self, self._make)


def is_under_way() -> bool:
    """True where a traversal's own code is running in this thread."""
    return _current.traversal is not None


def is_removing() -> bool:
    """True where it is that of one that removes."""
    return _current.traversal is not None and _current.traversal.removes


@contextlib.contextmanager
def one_of_several() -> Iterator[None]:
    """This thread reads some files of a directory while others read the rest."""
    before = _current.missing
    _current.missing = set()
    try:
        yield
    finally:
        _current.missing = before


def is_one_of_several() -> bool:
    """True inside :func:`one_of_several`."""
    return _current.missing is not None


def missing_so_far() -> set[tuple[int, str]] | None:
    """Paths, by owner, that this thread found missing since it began with the one file of :func:`one_of_several`, and
    has not made; None outside.
    """
    return _current.missing
