"""netCDF4: ``Dataset`` on a local copy, or on a local file that is uploaded when it is closed.

The class is written in C and cannot be changed, so a subclass stands in its place. Its instances answer attributes
with those of the file, so that what a subclass keeps for itself goes through a slot.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Hook, Seam
from vfsmount.hooks.local import Changed, Fetched, Produced, likeness, named

_made: Final[dict[Any, Any]] = {}
"""Class -> the one in its place. It stays: the collector crashes where it finds it and an object of it together."""

_seams: Final[list[Seam]] = []
"""The one in force; those before are of sessions that have ended."""


def _datasets(seam: Seam, module: ModuleType) -> None:
    def make(original: Any) -> Any:
        _seams[:] = [seam]
        if original not in _made:
            _made[original] = _dataset(original)
        return _made[original]

    seam.wrap(module, "Dataset", make)


def _dataset(original: Any) -> Any:
    class Dataset(original, metaclass=likeness(original)):  # type: ignore[misc,metaclass]
        __slots__ = ("_vfsmount_file", "_vfsmount_path")

        def __init__(self, filename: Any, mode: Any = "r", clobber: Any = True, **more: Any) -> None:
            if more.get("memory") is not None or not _seams[0].is_mounted(filename):
                super().__init__(filename, mode, clobber, **more)
                return
            opened = _open(filename, mode, clobber)
            try:
                super().__init__(opened.local, "r" if isinstance(opened, Fetched) else mode, clobber, **more)
            except BaseException as error:
                opened.close() if isinstance(opened, Fetched) else opened.discard()
                if isinstance(error, OSError) and error.filename == opened.local:
                    error.filename = filename
                raise
            held.__set__(self, opened)
            path.__set__(self, os.path.abspath(os.fspath(filename)))

        def close(self) -> Any:
            opened = kept(self)
            closed = super().close()
            if opened is not None:
                opened.close()
            return closed

        def filepath(self, encoding: Any = None) -> Any:
            return super().filepath(encoding) if kept(self) is None else path.__get__(self)

        def __del__(self) -> None:
            # A file that nobody closes is complete on a disk all the same.
            if isinstance(kept(self), Produced) and self.isopen():
                self.close()

    held, path = Dataset.__dict__["_vfsmount_file"], Dataset.__dict__["_vfsmount_path"]

    def kept(dataset: Any) -> Any:
        try:
            return held.__get__(dataset)
        except AttributeError:
            return None

    return named(Dataset, original)


def _open(filename: Any, mode: Any, clobber: Any) -> Fetched | Produced:
    kind = str(mode).rstrip("s")
    if kind == "r":
        return Fetched(filename)
    if kind == "x" or (kind == "w" and not clobber):
        return Produced(filename, "xb")
    if kind == "w":
        return Produced(filename, "wb")
    try:
        return Changed(filename)
    except FileNotFoundError:
        if kind != "a":
            raise
        return Produced(filename, "xb")


HOOKS: Final = (Hook("netCDF4", (1, 1), _datasets),)
