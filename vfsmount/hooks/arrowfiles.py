"""pyarrow's own files and streams, memory maps, and tables in its own format, by paths on a mount."""

from __future__ import annotations

import errno
import os
from types import ModuleType
from typing import Any, Final

from vfsmount.errors import os_error
from vfsmount.hooks.hook import Function, Hook, Seam, Target, local_copy
from vfsmount.hooks.standin import StandIn

_IN_PLACE: Final = "a file on a mount is not changed in place by pyarrow; write it anew, or use native=True"


def _streams(seam: Seam, module: ModuleType) -> None:
    def make_file(original: Any) -> Any:
        def make(path: Any, mode: str = "r", memory_pool: Any = None) -> Any:
            if not seam.is_mounted(path):
                return original(path, mode, memory_pool)
            kind = mode.replace("b", "")
            if kind not in ("r", "w", "a"):
                raise os_error(errno.ENOTSUP, os.fspath(path), hint=_IN_PLACE)
            return module.PythonFile(open(path, f"{kind}b"), mode="r" if kind == "r" else "w")

        return StandIn(original, make)

    def make_map(original: Function) -> Function:
        def memory_map(path: Any, mode: str = "r") -> Any:
            if not seam.is_mounted(path):
                return original(path, mode)
            if mode not in ("r", "rb"):
                raise os_error(errno.ENOTSUP, os.fspath(path), hint=_IN_PLACE)
            with local_copy(path) as local:  # the map stays; its name may go
                return original(local, mode)

        return memory_map

    def make_new_map(original: Function) -> Function:
        def create_memory_map(path: Any, size: Any) -> Any:
            if seam.is_mounted(path):
                raise os_error(errno.ENOTSUP, os.fspath(path), hint=_IN_PLACE)
            return original(path, size)

        return create_memory_map

    seam.wrap(module, "OSFile", make_file)
    seam.wrap(module, "memory_map", make_map)
    seam.wrap(module, "create_memory_map", make_new_map)
    seam.wrap(module, "input_stream", lambda original: _stream(seam, module, original, "rb"))
    seam.wrap(module, "output_stream", lambda original: _stream(seam, module, original, "wb"))


def _stream(seam: Seam, module: ModuleType, original: Function, mode: str) -> Function:
    def stream(source: Any, compression: Any = "detect", buffer_size: Any = None) -> Any:
        if not seam.is_mounted(source):
            return original(source, compression, buffer_size)
        if compression == "detect":  # which it is not of a file object
            try:
                compression = module.Codec.detect(os.fspath(source)).name
            except (TypeError, ValueError):  # None: TypeError, in Arrow's own words
                compression = None
        return original(open(source, mode), compression, buffer_size)

    return stream


def _messages(seam: Seam, module: ModuleType) -> None:
    def make_reader(original: Function) -> Function:
        def __init__(self: Any, source: Any, *args: Any, **more: Any) -> None:
            original(self, open(source, "rb") if seam.is_mounted(source) else source, *args, **more)

        return __init__

    def make_writer(original: Function) -> Function:
        def __init__(self: Any, sink: Any, *args: Any, **more: Any) -> None:
            if not seam.is_mounted(sink):
                original(self, sink, *args, **more)
                return
            target = Target(sink, "wb")
            try:
                original(self, target.file, *args, **more)
            except BaseException:
                target.discard()
                raise
            self._vfsmount_target = target

        return __init__

    def make_close(original: Function) -> Function:
        def close(self: Any) -> None:
            target: Target | None = getattr(self, "_vfsmount_target", None)
            if target is None:
                original(self)
            elif target.is_open:
                try:
                    original(self)
                except BaseException:
                    target.discard()
                    raise
                target.close()

        return close

    for kind in ("File", "Stream"):
        seam.wrap(getattr(module, f"RecordBatch{kind}Reader"), "__init__", make_reader)
        seam.wrap(getattr(module, f"RecordBatch{kind}Writer"), "__init__", make_writer)
        seam.wrap(getattr(module, f"RecordBatch{kind}Writer"), "close", make_close)


HOOKS: Final = (Hook("pyarrow", (25, 26), _streams), Hook("pyarrow.ipc", (25, 26), _messages))
