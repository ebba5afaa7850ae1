"""soundfile: every function goes through the class ``SoundFile``, which takes file objects.

A new file is staged, because the library goes back to complete the header; one is read by ranges.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, Staged, discard

_MODES: Final = {"w": "wb", "w+": "wb", "x": "xb", "x+": "xb"}
_FORMAT: Final = 4
"""Place of ``format`` behind ``mode`` in SoundFile's arguments."""


def _files(seam: Seam, module: ModuleType) -> None:
    def make_init(original: Function) -> Function:
        def __init__(self: Any, file: Any, mode: Any = "r", *args: Any, **more: Any) -> None:
            if mode not in ("r", "r+", *_MODES) or not seam.is_mounted(file):
                original(self, file, mode, *args, **more)
                return
            if mode not in _MODES:
                reading = open(file, "rb" if mode == "r" else "r+b")
                try:
                    original(self, reading, mode, *args, **more)
                except BaseException:
                    discard(reading)
                    raise
                self._vfsmount_file = reading
                return
            given = args[_FORMAT] if len(args) > _FORMAT else more.pop("format", None)
            if given is None:  # the library tells it from the file's name
                given = module._get_format_from_filename(os.fspath(file), mode)
            if len(args) > _FORMAT:
                args = (*args[:_FORMAT], given, *args[_FORMAT + 1 :])
            else:
                more["format"] = given
            staged = Staged(file, _MODES[mode])
            try:
                original(self, staged.local, mode.replace("x", "w"), *args, **more)
            except BaseException:
                staged.discard()
                raise
            self._vfsmount_file = staged

        return __init__

    def make_close(original: Function) -> Function:
        def close(self: Any) -> None:
            original(self)
            opened = self.__dict__.get("_vfsmount_file")
            if opened is not None:
                opened.close()

        return close

    seam.wrap(module.SoundFile, "__init__", make_init)
    seam.wrap(module.SoundFile, "close", make_close)


HOOKS: Final = (Hook("soundfile", (0, 0), _files),)
