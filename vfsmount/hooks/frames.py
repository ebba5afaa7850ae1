"""polars: what reads or scans one file gets a file object, what writes one gets one to write to.

polars opens the paths of a scan when the plan is run, in threads that ask nobody. So the content is fetched when the
scan is made: that of one file to where polars maps it, without a name and gone with the plan; that of a pattern or a
directory to a local directory that goes with the plan.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import os
from types import ModuleType
from typing import Any, Final

from vfsmount.errors import os_error
from vfsmount.hooks.hook import Function, Hook, Seam, writing
from vfsmount.hooks.trees import copy_in, copy_out, is_pattern
from vfsmount.transfer.spool import ScratchDirectory

_READERS: Final = (
    "read_avro",
    "read_csv",
    "read_ipc",
    "read_ipc_schema",
    "read_ipc_stream",
    "read_json",
    "read_lines",
    "read_ndjson",
    "read_parquet",
    "read_parquet_metadata",
    "read_parquet_schema",
)
_TAKE_BYTES: Final = ("read_csv", "read_ipc", "read_json", "read_ndjson", "read_parquet")
_SCANNERS: Final = ("scan_csv", "scan_ipc", "scan_lines", "scan_ndjson", "scan_parquet")
_WRITERS: Final = (
    "write_avro",
    "write_csv",
    "write_ipc",
    "write_ipc_stream",
    "write_json",
    "write_ndjson",
    "write_parquet",
)
_SINKS: Final = ("sink_csv", "sink_ipc", "sink_ndjson", "sink_parquet")
_LAZY: Final = "a sink on a mount runs at once; call it without lazy=True"


def _polars(seam: Seam, module: ModuleType) -> None:
    def make_reader(original: Function) -> Function:
        def read(source: Any, *args: Any, **more: Any) -> Any:
            if not _is_mounted(seam, source):
                return original(source, *args, **more)
            if _is_one_file(source, more):
                with open(source, "rb") as file:
                    # polars would map the descriptor of a file object, for which all of it is fetched as well.
                    data = file.read()
                return original(data if original.__name__ in _TAKE_BYTES else io.BytesIO(data), *args, **more)
            with ScratchDirectory() as place:
                found = original(_copied(seam, source, place), *args, **more)
                return _restored(found, place, more, module)

        return read

    def make_scanner(original: Function) -> Function:
        def scan(source: Any, *args: Any, **more: Any) -> Any:
            if not _is_mounted(seam, source):
                return original(source, *args, **more)
            if _is_one_file(source, more):
                with open(source, "rb") as file:
                    return original(file, *args, **more)
            place = ScratchDirectory()
            plan = original(_copied(seam, source, place.path), *args, **more)
            return _restored(plan, place.path, more, module).map_batches(
                _Keeping(place),
                predicate_pushdown=True,
                projection_pushdown=True,
                slice_pushdown=True,
                streamable=True,
                validate_output_schema=False,
            )

        return scan

    def make_writer(original: Function) -> Function:
        def write(self: Any, file: Any = None, *args: Any, **more: Any) -> Any:
            return _written(seam, original, self, file, args, more)

        return write

    def make_sink(original: Function) -> Function:
        def sink(self: Any, path: Any, *args: Any, **more: Any) -> Any:
            return _written(seam, original, self, path, args, more)

        return sink

    for name in _READERS:
        seam.wrap(module, name, make_reader)
    for name in _SCANNERS:
        seam.wrap(module, name, make_scanner)
    for name in _WRITERS:
        seam.wrap(module.DataFrame, name, make_writer)
    for name in _SINKS:
        seam.wrap(module.LazyFrame, name, make_sink)


class _Keeping:
    """The step of a plan that changes nothing, and keeps the files that the plan reads."""

    def __init__(self, place: ScratchDirectory) -> None:
        self._place = place

    def __call__(self, frame: Any) -> Any:
        return frame


def _written(seam: Seam, original: Function, frame: Any, target: Any, args: tuple[Any, ...], more: Any) -> Any:
    partition = getattr(target, "_pl_partition_by", None)
    base = target if partition is None else partition.base_path
    if target is None or not seam.is_mounted(base):
        return original(frame, *(() if target is None else (target,)), *args, **more)
    if more.get("lazy"):
        raise os_error(errno.ENOTSUP, base, hint=_LAZY)
    if partition is None and more.get("partition_by") is None:
        with writing(target) as file:
            return original(frame, _Plain(file), *args, **more)
    with ScratchDirectory() as place:
        if partition is None:
            original(frame, place, *args, **more)
        else:
            target = object.__new__(type(target))
            target._pl_partition_by = dataclasses.replace(partition, base_path=place)
            original(frame, target, *args, **more)
        copy_out(place, os.path.abspath(os.fspath(base)))
    return None


class _Plain:
    """A file to write to and no more: polars would write to the descriptor of a file object, past it."""

    def __init__(self, file: Any) -> None:
        self.write = file.write
        self.flush = file.flush


def _is_mounted(seam: Seam, source: Any) -> bool:
    if isinstance(source, (list, tuple)):
        return any(isinstance(each, (str, os.PathLike)) and seam.is_mounted(each) for each in source)
    return seam.is_mounted(source)


def _copied(seam: Seam, source: Any, place: str) -> Any:
    if isinstance(source, (list, tuple)):
        return copy_in(source, place, seam.is_mounted)
    return copy_in([source], place, seam.is_mounted)[0]


def _is_one_file(source: Any, more: dict[str, Any]) -> bool:
    if isinstance(source, (list, tuple)) or more.get("hive_partitioning") or more.get("include_file_paths"):
        return False
    return not (more.get("glob", True) and is_pattern(source)) and not os.path.isdir(source)


def _restored(frame: Any, place: str, more: dict[str, Any], module: ModuleType) -> Any:
    """With the callers' paths where the paths of the copies would show."""
    name = more.get("include_file_paths")
    if name is None:
        return frame
    return frame.with_columns(module.col(name).str.strip_prefix(place))


HOOKS: Final = (Hook("polars", (2, 2), _polars),)
