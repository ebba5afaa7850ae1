"""polars: the functions that read one whole file, and the methods that write one, on file objects."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, writing

_READERS: Final = ("read_parquet", "read_csv", "read_ipc", "read_ndjson", "read_json")
_WRITERS: Final = ("write_parquet", "write_csv", "write_ipc", "write_ndjson", "write_json")


def _polars(seam: Seam, module: ModuleType) -> None:
    def make_reader(original: Function) -> Function:
        def read(source: Any, *args: Any, **more: Any) -> Any:
            if isinstance(source, (list, tuple)) or not seam.is_mounted(source):
                return original(source, *args, **more)
            with open(source, "rb") as file:
                # polars would map the descriptor of a file object, for which all of it is fetched as well.
                return original(file.read(), *args, **more)

        return read

    def make_writer(original: Function) -> Function:
        def write(self: Any, file: Any = None, *args: Any, **more: Any) -> Any:
            if file is None or not seam.is_mounted(file):
                return original(self, *(() if file is None else (file,)), *args, **more)
            with writing(file) as opened:
                return original(self, opened, *args, **more)

        return write

    for name in _READERS:
        seam.wrap(module, name, make_reader)
    for name in _WRITERS:
        seam.wrap(module.DataFrame, name, make_writer)


HOOKS: Final = (Hook("polars", (2, 2), _polars),)
