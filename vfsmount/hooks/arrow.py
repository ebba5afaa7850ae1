"""pyarrow: a file system of its own kind for paths on a mount, so that Arrow reads the ranges it wants."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.fileobjects import all_of, reads, writes
from vfsmount.hooks.hook import Function, Hook, Seam, open_to_write, writing


def _file_systems(seam: Seam, module: ModuleType) -> None:
    """The one function through which parquet, dataset and orc come from a path to a file system."""
    mount = module.PyFileSystem(_handler(seam, module))

    def make(original: Function) -> Function:
        def _resolve_filesystem_and_path(path: Any, filesystem: Any = None, **more: Any) -> Any:
            if _is_local(filesystem) and seam.is_mounted(path):
                return mount, os.path.abspath(os.fspath(path))
            return original(path, filesystem, **more)

        return _resolve_filesystem_and_path

    seam.wrap(module, "_resolve_filesystem_and_path", make)


def _is_local(filesystem: Any) -> bool:
    """True for none, Arrow's own and fsspec's, which Arrow takes for its own, by its name too."""
    return filesystem is None or type(filesystem).__name__ == "LocalFileSystem"


def _datasets(seam: Seam, module: ModuleType) -> None:
    """A list of files, as dask gives it, comes to its file system in a way of its own."""
    systems = importlib.import_module("pyarrow.fs")
    mount = systems.PyFileSystem(_handler(seam, systems))

    def make(original: Function) -> Function:
        def _ensure_multiple_sources(paths: Any, filesystem: Any = None) -> Any:
            if not (_is_local(filesystem) and any(seam.is_mounted(path) for path in paths)):
                return original(paths, filesystem)
            # Those of the disk too: the file system is made of Python's functions. Arrow asks for each file only of a
            # local disk whether it is there; elsewhere, opening it tells.
            return mount, [os.path.abspath(os.fspath(path)) for path in paths]

        return _ensure_multiple_sources

    seam.wrap(module, "_ensure_multiple_sources", make)


def _parquet(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def write_table(table: Any, where: Any, *args: Any, filesystem: Any = None, **more: Any) -> Any:
            if filesystem is not None or not seam.is_mounted(where):
                return original(table, where, *args, filesystem=filesystem, **more)
            # A failure leaves the block, which uploads nothing; the original would remove the object that was there.
            with writing(where) as file:
                return original(table, file, *args, **more)

        return write_table

    seam.wrap(module, "write_table", make)


def _handler(seam: Seam, module: ModuleType) -> Any:
    """An Arrow file system made of Python's own file functions."""
    arrow = importlib.import_module("pyarrow")

    class MountHandler(module.FileSystemHandler):  # type: ignore[misc,name-defined]
        def get_type_name(self) -> str:
            return "vfsmount"

        def __eq__(self, other: object) -> bool:
            return type(other) is type(self)

        def __ne__(self, other: object) -> bool:
            return not self == other

        def __hash__(self) -> int:
            return hash(type(self))

        def normalize_path(self, path: str) -> str:
            return path

        def get_file_info(self, paths: Iterable[str]) -> list[Any]:
            return [self._info(path) for path in paths]

        def _info(self, path: str) -> Any:
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                return module.FileInfo(path, module.FileType.NotFound)
            if os.path.isdir(path):
                return module.FileInfo(path, module.FileType.Directory)
            return module.FileInfo(path, module.FileType.File, size=found.st_size, mtime=found.st_mtime)

        def get_file_info_selector(self, selector: Any) -> list[Any]:
            if not os.path.isdir(selector.base_dir):
                if selector.allow_not_found and not os.path.exists(selector.base_dir):
                    return []
                os.listdir(selector.base_dir)  # raises what is wrong
            found = []
            for base, directories, files in os.walk(selector.base_dir):
                found += [self._info(f"{base}/{name}") for name in sorted([*directories, *files])]
                if not selector.recursive:
                    break
            return found

        def create_dir(self, path: str, recursive: bool) -> None:
            if recursive:
                os.makedirs(path, exist_ok=True)
            elif not os.path.isdir(path):
                os.mkdir(path)

        def delete_dir(self, path: str) -> None:
            shutil.rmtree(path)

        def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
            if missing_dir_ok and not os.path.exists(path):
                return
            for name in os.listdir(path):
                inside = f"{path}/{name}"
                if os.path.isdir(inside):
                    shutil.rmtree(inside)
                else:
                    os.remove(inside)

        def delete_root_dir_contents(self) -> None:
            raise NotImplementedError("the root directory is not on a mount")

        def delete_file(self, path: str) -> None:
            os.remove(path)

        def move(self, src: str, dest: str) -> None:
            os.replace(src, dest)

        def copy_file(self, src: str, dest: str) -> None:
            shutil.copyfile(src, dest)

        def open_input_stream(self, path: str) -> Any:
            return self.open_input_file(path)

        def open_input_file(self, path: str) -> Any:
            if not seam.is_mounted(path):  # one of several, see _datasets
                return arrow.OSFile(path)
            return arrow.PythonFile(open(path, "rb"), mode="r")

        def open_output_stream(self, path: str, metadata: Any) -> Any:
            return arrow.PythonFile(open_to_write(path, "wb"), mode="w")

        def open_append_stream(self, path: str, metadata: Any) -> Any:
            return arrow.PythonFile(open(path, "ab"), mode="w")

    return MountHandler()


HOOKS: Final = (
    Hook("pyarrow.fs", (25, 26), _file_systems),
    Hook("pyarrow.dataset", (25, 26), _datasets),
    Hook("pyarrow.parquet.core", (25, 26), _parquet),
    Hook("pyarrow.csv", (25, 26), all_of(reads("read_csv"), writes("write_csv"))),
    Hook("pyarrow.json", (25, 26), reads("read_json")),
    Hook("pyarrow.feather", (25, 26), all_of(reads("read_table", "read_feather"), writes("write_feather"))),
)
