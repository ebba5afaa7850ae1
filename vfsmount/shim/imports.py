"""Importing extension modules from a mount: the dynamic loader needs a file on the disk, so it gets a copy.

Modules written in Python need nothing of their own: ``importlib`` and ``zipimport`` read through ``_io.open_code``,
``posix.stat`` and ``posix.listdir``, which are replaced in place.
"""

from __future__ import annotations

import _imp
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

from vfsmount import real
from vfsmount.shim.calls import Function
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.transfer.spool import ScratchDirectory

if TYPE_CHECKING:
    from vfsmount.vfs.mounts import MountTable


def replacements(context: ShimContext) -> Iterator[Replacement]:
    """``_imp.create_dynamic``, which every extension module is loaded with."""
    original: Function | None = vars(_imp).get("create_dynamic")
    if original is not None:
        yield Replacement(_imp, "create_dynamic", _create_dynamic(context, original))


def _create_dynamic(context: ShimContext, original: Function) -> Function:
    def create_dynamic(_: object, /, spec: object, *args: object) -> object:
        origin = getattr(spec, "origin", None)
        target = context.router.route(origin)
        if target is None:
            return original(spec, *args)
        with real.passthrough(), ScratchDirectory() as directory:
            local = os.path.join(directory, os.path.basename(target))
            _copy(context.table, target, local)
            # The loader keeps the file mapped; its name may go.
            module = original(SimpleNamespace(name=getattr(spec, "name", None), origin=local), *args)
        if vars(module).get("__file__") == local:
            module.__file__ = origin
        return module

    return create_dynamic


def _copy(table: MountTable, source: str, local: str) -> None:
    opened = table.open(source, os.O_RDONLY)
    try:
        with real.open(local, "wb") as copy:
            while block := opened.read(1 << 20):
                copy.write(block)
    finally:
        opened.close()
