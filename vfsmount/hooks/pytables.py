"""PyTables, and pandas on it: a local copy, or a local file that is uploaded when it is closed."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, local_copy
from vfsmount.hooks.local import Changed, Fetched, Produced

_MODES: Final = ("r", "r+", "a", "w")


def _files(seam: Seam, module: ModuleType) -> None:
    def make_init(original: Function) -> Function:
        def __init__(self: Any, filename: Any, mode: str = "r", *args: Any, **more: Any) -> None:
            driven = any(name.upper() == "DRIVER" and value is not None for name, value in more.items())
            if driven or mode not in _MODES or not seam.is_mounted(filename):
                original(self, filename, mode, *args, **more)
                return
            opened = _open(filename, mode)
            try:
                original(self, opened.local, mode, *args, **more)
            except BaseException:
                opened.close() if isinstance(opened, Fetched) else opened.discard()
                raise
            self._vfsmount_file = opened

        return __init__

    def make_close(original: Function) -> Function:
        def close(self: Any) -> None:
            opened = self.__dict__.get("_vfsmount_file")
            original(self)
            if opened is not None and not self.isopen:  # it counts how often it was opened
                opened.close()

        return close

    seam.wrap(module.File, "__init__", make_init)
    seam.wrap(module.File, "close", make_close)


def _open(filename: Any, mode: str) -> Fetched | Produced:
    if mode == "r":
        return Fetched(filename)
    if mode == "w":
        return Produced(filename, "wb")
    try:
        return Changed(filename)
    except FileNotFoundError:
        if mode != "a":
            raise
        return Produced(filename, "xb")


def _questions(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def ask(filename: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename)
            with local_copy(filename) as local:
                return original(local)

        return ask

    for name in ("is_hdf5_file", "is_pytables_file"):
        seam.wrap(module, name, make)


HOOKS: Final = (Hook("tables.file", (3, 3), _files), Hook("tables.utilsextension", (3, 3), _questions))
