"""Copies of many files, for libraries that take patterns and directories and open what they find by themselves."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.hooks.hook import CHUNK, writing

_MAGIC: Final = frozenset("*?[")


def is_pattern(path: Any) -> bool:
    """True for what a library may take for a pattern."""
    return not _MAGIC.isdisjoint(os.fspath(path))


def copy_in(sources: Iterable[Any], place: str, is_mounted: Callable[[object], bool]) -> list[Any]:
    """Copy the files that paths, patterns and directories name to below ``place``, each under its whole path.

    Returns the same sources, there; what is not on a mount is returned as it is. Raises: what opening a file raises,
    ENOENT where a pattern names none.
    """
    found: list[Any] = []
    for source in sources:
        if not isinstance(source, (str, os.PathLike)) or not is_mounted(source):
            found.append(source)
            continue
        path = os.path.abspath(os.fspath(source))
        if os.path.isdir(path):
            names = list(_below(path))
            with real.passthrough():
                os.makedirs(place + path, exist_ok=True)
        elif is_pattern(path) and not os.path.exists(path):
            names = sorted(glob.glob(path, recursive=True))
            if not names:
                raise os_error(errno.ENOENT, os.fspath(source))
            names = [name for each in names for name in (_below(each) if os.path.isdir(each) else (each,))]
        else:
            names = [path]
        for name in names:
            _copy(name, place + name)
        found.append(place + path)
    return found


def _below(directory: str) -> Iterator[str]:
    for base, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            yield f"{base}/{name}"


def _copy(path: str, local: str) -> None:
    with real.passthrough():
        os.makedirs(os.path.dirname(local), exist_ok=True)
    with open(path, "rb") as source, real.open(local, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK)


def copy_out(place: str, base: str) -> None:
    """Upload every file below the local directory ``place`` to below ``base``. Raises: what writing a file raises."""
    with real.passthrough():
        names = list(_below(place))
    for local in names:
        path = base + local[len(place) :]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with real.open(local, "rb") as made, writing(path) as file:
            shutil.copyfileobj(made, file, CHUNK)
