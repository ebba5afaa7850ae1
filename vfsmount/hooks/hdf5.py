"""h5py: ``File`` on a file object. Reading fetches ranges; a new file is staged, and uploaded when it is closed."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, Staged, discard

_MODES: Final = {"w": "wb", "w-": "xb", "x": "xb"}


def _files(seam: Seam, module: ModuleType) -> None:
    def make_init(original: Function) -> Function:
        def __init__(self: Any, name: Any, mode: str = "r", *args: Any, **more: Any) -> None:
            if args or more.get("driver") is not None or not seam.is_mounted(name):
                original(self, name, mode, *args, **more)
                return
            opened = _open(name, mode)
            try:
                if isinstance(opened, Staged):
                    original(self, opened.local, "w", **more)
                    opened.settle = self.id.close  # of no effect on one that is closed
                else:
                    original(self, opened, mode.replace("a", "r+"), **more)
            except BaseException:
                opened.discard() if isinstance(opened, Staged) else discard(opened)
                raise
            self._vfsmount_file = opened

        return __init__

    def make_close(original: Function) -> Function:
        def close(self: Any) -> None:
            original(self)
            opened = getattr(self, "_vfsmount_file", None)
            if opened is not None:
                opened.close()

        return close

    seam.wrap(module.File, "__init__", make_init)
    seam.wrap(module.File, "close", make_close)


def _open(name: Any, mode: str) -> Any:
    if mode in _MODES:
        return Staged(name, _MODES[mode])
    if mode == "r":
        return open(name, "rb")
    try:
        return open(name, "r+b")
    except FileNotFoundError:
        if mode != "a":
            raise
        return Staged(name, "xb")


HOOKS: Final = (Hook("h5py._hl.files", (3, 3), _files),)
