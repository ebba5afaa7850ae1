"""torch: what it saves goes to a file object; what it maps or opens again is read from a local copy."""

from __future__ import annotations

import errno
import os
from types import ModuleType
from typing import Any, Final

from vfsmount.errors import os_error
from vfsmount.hooks.fileobjects import all_of, reads, writes
from vfsmount.hooks.hook import Function, Hook, Seam, local_copy, writing

_SHARED: Final = "a file on a mount can be mapped with shared=False only: it is a copy"


def _mapped(seam: Seam, module: ModuleType) -> None:
    """``load(mmap=True)``, which opens the file again by its path; without it ``load`` goes through Python."""

    def make(original: Function) -> Function:
        def load(f: Any, *args: Any, mmap: Any = None, **more: Any) -> Any:
            maps = _maps_by_default(module) if mmap is None else mmap
            if not maps or not seam.is_mounted(f):
                return original(f, *args, mmap=mmap, **more)
            with local_copy(f) as local:  # torch keeps it mapped; its name may go
                return original(local, *args, mmap=mmap, **more)

        return load

    seam.wrap(module, "load", make)


def _maps_by_default(module: ModuleType) -> bool:
    asked = getattr(module, "get_default_mmap_options", None)
    found = getattr(getattr(getattr(module, "config", None), "load", None), "mmap", False)
    return asked is not None and bool(found)


def _methods(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def save(self: Any, f: Any, **more: Any) -> Any:
            if not seam.is_mounted(f):
                return original(self, f, **more)
            data = self.save_to_buffer(**more)
            with writing(f) as file:
                file.write(data)
            return None

        return save

    seam.wrap(module.RecursiveScriptModule, "save", make)


def _files(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def from_file(filename: Any, shared: Any = None, *args: Any, **more: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename, shared, *args, **more)
            if shared:
                raise os_error(errno.ENOTSUP, os.fspath(filename), hint=_SHARED)
            with local_copy(filename) as local:
                return original(local, shared, *args, **more)

        return from_file

    seam.wrap(module, "from_file", make)


HOOKS: Final = (
    Hook("torch", (2, 2), _files),
    Hook("torch.serialization", (2, 2), all_of(writes("save"), _mapped)),
    Hook("torch.jit._serialization", (2, 2), all_of(writes("save"), reads("load"))),
    Hook("torch.jit._script", (2, 2), _methods),
    Hook("torch.export", (2, 2), all_of(writes("save"), reads("load"))),
)
