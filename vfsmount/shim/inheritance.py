"""What processes that this one starts inherit: the variables by which a Python child mounts the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from vfsmount.shim.context import Replacement, ShimContext

_DIRECTORY: Final = 4
_ENVIRONMENT: Final = 5
"""Positions among ``fork_exec``'s parameters. Source: Modules/_posixsubprocess.c, Python 3.10 to 3.13."""


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """The one function through which ``subprocess``, ``multiprocessing`` and their like start processes."""
    import _posixsubprocess

    if context.children is not None:
        yield Replacement(_posixsubprocess, "fork_exec", _fork_exec(context, _posixsubprocess.fork_exec))


def _fork_exec(context: ShimContext, original: Any) -> Any:
    children = context.children
    assert children is not None

    def fork_exec(_: object, /, *args: Any) -> int:
        if len(args) <= _ENVIRONMENT:
            return int(original(*args))
        given = args[_ENVIRONMENT]
        inside = args[_DIRECTORY] is None
        if given is None:
            children.environment(None, inside=inside)
            return int(original(*args))
        env = children.environment(_mapping(given), inside=inside)
        assert env is not None
        listed = [os.fsencode(name) + b"=" + os.fsencode(value) for name, value in env.items()]
        return int(original(*args[:_ENVIRONMENT], listed, *args[_ENVIRONMENT + 1 :]))

    return fork_exec


def _mapping(entries: Iterable[Any]) -> dict[str, str]:
    return dict(_pairs(entries))


def _pairs(entries: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name, _, value = os.fsdecode(entry).partition("=")
        yield name, value
