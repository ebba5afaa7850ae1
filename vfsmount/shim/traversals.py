"""Recursive traversals of the standard library, which are written in Python on routed functions, say what they are.

``os.walk`` and its like run as they are; around each stretch of their own code the thread is marked, so that a mount
may answer one directory after another out of one flat listing (see ``vfs.traversal``). A traversal that cannot reach
a mount is handed to the original and no more.
"""

from __future__ import annotations

import functools
import glob
import os
import pathlib
import shutil
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.shim.calls import Function
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.vfs.traversal import Traversal, is_under_way

if TYPE_CHECKING:
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable

_GENERATORS: Final = ((os, "walk"), (os, "fwalk"), (glob, "iglob"))
_METHODS: Final = ((pathlib.Path, "walk"), (pathlib.Path, "glob"), (pathlib.Path, "rglob"))
_CALLS: Final = ((shutil, "make_archive"),)


def replacements(context: ShimContext) -> Iterator[Replacement]:
    """Those above that this Python has."""
    reaches = _Reach(context)
    for namespace, name in (*_GENERATORS, *_METHODS):
        original: Function | None = vars(namespace).get(name)
        if original is not None:
            yield Replacement(namespace, name, _step_by_step(original, reaches))
    for namespace, name in _CALLS:
        yield Replacement(namespace, name, announced(vars(namespace)[name], reaches))
    yield Replacement(shutil, "rmtree", _removing(shutil.rmtree, context.table, reaches))
    yield Replacement(shutil, "copytree", _in_parallel(shutil.copytree, context.table, reaches))


def announced(original: Function, reaches: Function) -> Function:
    """``original`` as a traversal from its call to its return, where ``reaches`` says so of one of its arguments."""

    def call(*args: Any, **kwargs: Any) -> object:
        if is_under_way() or not reaches(args, kwargs):
            return original(*args, **kwargs)
        traversal = Traversal()
        args, kwargs = _outside(traversal, args, kwargs)
        with traversal:
            return original(*args, **kwargs)

    return _like(call, original)


def _outside(
    traversal: Traversal, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, the caller's own functions among them as code that is no part of ``traversal``."""

    def one(given: Any) -> Any:
        if not isinstance(given, (FunctionType, MethodType, functools.partial)):
            return given

        def call(*args: Any, **kwargs: Any) -> Any:
            with traversal.left():
                return given(*args, **kwargs)

        return functools.update_wrapper(call, given) if hasattr(given, "__name__") else call

    return tuple(map(one, args)), {name: one(given) for name, given in kwargs.items()}


def _removing(original: Function, table: MountTable, reaches: Function) -> Function:
    """``announced``, as one that deletes all files below."""

    def call(*args: Any, **kwargs: Any) -> object:
        if is_under_way() or not reaches(args, kwargs):
            return original(*args, **kwargs)
        # Below a nested mount, keys of the outer one are out of sight.
        traversal = Traversal(removes=not table.nested)
        args, kwargs = _outside(traversal, args, kwargs)
        try:
            with traversal:
                return original(*args, **kwargs)
        finally:
            traversal.finish()

    return _like(call, original)


def _in_parallel(original: Function, table: MountTable, reaches: Function) -> Function:
    """``announced``, with many files on their way at once."""

    def call(*args: Any, **kwargs: Any) -> object:
        if is_under_way() or not reaches(args, kwargs):
            return original(*args, **kwargs)
        from vfsmount.shim.copytree import copytree

        with Traversal():
            return copytree(table, original, args, kwargs)

    return _like(call, original)


def _step_by_step(original: Function, reaches: Function) -> Function:
    """``original``, which returns an iterator, as a traversal during each step of it."""

    def call(*args: Any, **kwargs: Any) -> object:
        if is_under_way() or not reaches(args, kwargs):
            return original(*args, **kwargs)
        traversal = Traversal()
        with traversal:
            found = original(*args, **kwargs)
        return _steps(found, traversal)

    return _like(call, original)


def _steps(found: Any, traversal: Traversal) -> Iterator[object]:
    try:
        while True:
            with traversal:
                try:
                    step = next(found)
                except StopIteration:
                    return
            yield step
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            with traversal:
                close()


def _like(call: Function, original: Function) -> Function:
    vars(call).update(vars(original))  # shutil.rmtree.avoids_symlink_attacks
    return call


class _Reach:
    """Whether a traversal can come to a mount, as far as the text of its arguments tells."""

    __slots__ = ("_router", "_table")

    def __init__(self, context: ShimContext) -> None:
        self._router: Router = context.router
        self._table: MountTable = context.table

    def __call__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
        if real.in_passthrough():
            return False
        return any(map(self._one, args)) or any(map(self._one, kwargs.values()))

    def _one(self, given: object) -> bool:
        if not isinstance(given, (str, bytes, os.PathLike)):
            return False
        try:
            absolute = self._router.absolute(given)
        except (OSError, TypeError, ValueError):
            return False
        if absolute is None:
            return False
        start = absolute.partition("*")[0].rstrip("/") + "/"
        return any(start.startswith(f"{point}/") or point.startswith(start) for point in self._table.points)
