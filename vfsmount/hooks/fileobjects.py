"""Hooks for functions that take a file object in place of a path, made from their names."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Seam, writing

Apply = Callable[[Seam, ModuleType], None]

_NAMES: Final = ("dest", "f", "filename", "input_file", "output_file", "source")
"""What the parameters for a path are called in the libraries that have hooks made here."""


def reads(*names: str) -> Apply:
    """For functions whose first argument is a path, or a file object, to read."""

    def apply(seam: Seam, module: ModuleType) -> None:
        def make(original: Function) -> Function:
            def read(*args: Any, **more: Any) -> Any:
                source = _path(args, 0, more)
                if not seam.is_mounted(source):
                    return original(*args, **more)
                with open(source, "rb") as file:
                    args, more = _replaced(args, 0, more, file)
                    return original(*args, **more)

            return read

        for name in names:
            seam.wrap(module, name, make)

    return apply


def writes(*names: str) -> Apply:
    """For functions whose second argument is a path, or a file object, to write."""

    def apply(seam: Seam, module: ModuleType) -> None:
        def make(original: Function) -> Function:
            def write(*args: Any, **more: Any) -> Any:
                target = _path(args, 1, more)
                if not seam.is_mounted(target):
                    return original(*args, **more)
                with writing(target) as file:
                    args, more = _replaced(args, 1, more, file)
                    return original(*args, **more)

            return write

        for name in names:
            seam.wrap(module, name, make)

    return apply


def all_of(*parts: Apply) -> Apply:
    """Several hooks of one module."""

    def apply(seam: Seam, module: ModuleType) -> None:
        for part in parts:
            part(seam, module)

    return apply


def _path(args: tuple[Any, ...], place: int, more: dict[str, Any]) -> Any:
    if len(args) > place:
        return args[place]
    return next((more[name] for name in _NAMES if name in more), None)


def _replaced(args: tuple[Any, ...], place: int, more: dict[str, Any], file: Any) -> tuple[tuple[Any, ...], Any]:
    """The arguments with ``file`` for the path."""
    if len(args) > place:
        return (*args[:place], file, *args[place + 1 :]), more
    return args, {**more, next(name for name in _NAMES if name in more): file}
