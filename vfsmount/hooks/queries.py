"""duckdb: files on a mount are read and written through a file system made of Python's own functions.

DuckDB knows such a file system by the beginning of a path, ``vfsmount://``. So paths on a mount get it, where the
caller gives a path, and in SQL where a statement names a file (``vfsmount.hooks.sql``). DuckDB reads the ranges that
it wants, and writes in order.

DuckDB looks up names of tables among the variables of whoever calls it, so that a statement runs in a frame that has
the caller's.
"""

from __future__ import annotations

import os
import shutil
import sys
import weakref
from types import ModuleType
from typing import Any, Final

from vfsmount import real
from vfsmount.hooks.hook import CHUNK, Function, Hook, Seam, local_copy, writing
from vfsmount.hooks.queryfiles import PREFIX, READ_ONLY, Served, file_system, on_mount
from vfsmount.hooks.sql import literal, rewrite, with_places
from vfsmount.hooks.trees import copy_out
from vfsmount.transfer.spool import ScratchDirectory

_STATEMENTS: Final = ("execute", "executemany", "extract_statements", "from_query", "query", "sql")
_READERS: Final = ("from_csv_auto", "from_parquet", "read_csv", "read_json", "read_parquet")
_WRITERS: Final = ("to_csv", "to_parquet", "write_csv", "write_parquet")
_CALL: Final = compile("__vfsmount_call(*__vfsmount_args, **__vfsmount_more)", "<vfsmount>", "eval")
_served: Final = Served()


def _duckdb(seam: Seam, module: ModuleType) -> None:
    _served.seam = seam
    served = _Replacements(seam, module)
    for name in _STATEMENTS:
        seam.wrap(module, name, served.statement)
        seam.wrap(module.DuckDBPyConnection, name, served.method)
    for name in _READERS:
        seam.wrap(module, name, served.reader)
        seam.wrap(module.DuckDBPyConnection, name, served.reading_method)
    for name in _WRITERS:
        seam.wrap(module.DuckDBPyRelation, name, served.writer)
    seam.wrap(module, "connect", served.connect)
    for name in ("cursor", "duplicate"):
        seam.wrap(module.DuckDBPyConnection, name, served.cursor)


class _Replacements:
    """Makes the replacements; each knows whether it is a function of the module or a method of a connection."""

    def __init__(self, seam: Seam, module: ModuleType) -> None:
        self._seam = seam
        self._module = module
        self._is_first = module.__version__.startswith("1.")
        self._files = _served.files
        self._databases: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        """Connection -> the name under which it reads a database on a mount."""

    # -- SQL

    def statement(self, original: Function) -> Function:
        def run(query: Any, *args: Any, **more: Any) -> Any:
            return self._run(original, (), more.get("connection"), query, args, more)

        return run

    def method(self, original: Function) -> Function:
        def run(self_: Any, query: Any, *args: Any, **more: Any) -> Any:
            return self._run(original, (self_,), self_, query, args, more)

        return run

    def _run(self, original: Function, first: Any, connection: Any, query: Any, args: Any, more: dict[str, Any]) -> Any:
        values = [each for each in (*args, *more.values()) if isinstance(each, (list, tuple, dict))]
        if not isinstance(query, str) or not self._may_concern(query, values):
            return _as_called(original, (*first, query, *args), more)
        found = rewrite(query, self.place)
        if found.changed or found.markers:
            self.register(connection)
        if found.markers:
            args = tuple(self._with_places(value, found.markers) for value in args)
            more = {name: self._with_places(value, found.markers) for name, value in more.items()}
        with self._files.writing(found.target):
            return _as_called(original, (*first, found.text, *args), more)

    def _may_concern(self, query: str, values: list[Any]) -> bool:
        if self._seam.may_concern(query):
            return True
        return bool(values) and ("?" in query or "$" in query) and self._seam.may_concern(repr(values))

    def _with_places(self, value: Any, markers: frozenset[str]) -> Any:
        return with_places(value, markers, self.place) if isinstance(value, (list, tuple, dict)) else value

    def place(self, path: str) -> str | None:
        """The address of a path on a mount."""
        return on_mount(self._seam, path)

    def register(self, connection: Any) -> None:
        """Let a connection, or the module's own, know the addresses."""
        if connection is None:
            connection = self._module.default_connection()
        if not connection.filesystem_is_registered(PREFIX):
            connection.register_filesystem(file_system(_served))

    # -- paths

    def _placed(self, connection: Any, source: Any) -> Any:
        if isinstance(source, (list, tuple)):
            return type(source)(self._placed(connection, each) for each in source)
        if not isinstance(source, (str, os.PathLike)):
            return source
        found = self.place(os.fspath(source))
        if found is None:
            return source
        self.register(connection)
        return found

    def reader(self, original: Function) -> Function:
        def read(*args: Any, **more: Any) -> Any:
            connection = more.get("connection", more.get("conn"))
            args, more = self._first_placed(connection, args, more)
            return original(*args, **more)

        return read

    def reading_method(self, original: Function) -> Function:
        def read(self_: Any, *args: Any, **more: Any) -> Any:
            args, more = self._first_placed(self_, args, more)
            return original(self_, *args, **more)

        return read

    def _first_placed(self, connection: Any, args: tuple[Any, ...], more: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (self._placed(connection, args[0]), *args[1:]), more
        return args, {
            name: self._placed(connection, value)
            if name in ("path_or_buffer", "name", "file_glob", "file_globs")
            else value
            for name, value in more.items()
        }

    def writer(self, original: Function) -> Function:
        def write(self_: Any, file_name: Any, *args: Any, **more: Any) -> Any:
            if not isinstance(file_name, (str, os.PathLike)) or self.place(os.fspath(file_name)) is None:
                return original(self_, file_name, *args, **more)
            if self._is_first:  # which does not tell a relation's connection
                return _staged(original, self_, file_name, args, more)
            target = self._placed(self_._con, file_name)
            if any(more.get(name) for name in ("file_size_bytes", "partition_by", "per_thread_output")):
                return original(self_, target, *args, **more)
            more.setdefault("use_tmp_file", False)  # it would be renamed
            with self._files.writing(target):
                return original(self_, target, *args, **more)

        return write

    # -- databases

    def connect(self, original: Function) -> Function:
        def connect(database: Any = ":memory:", *args: Any, **more: Any) -> Any:
            address = self.place(os.fspath(database)) if isinstance(database, (str, os.PathLike)) else None
            if address is None:
                return original(database, *args, **more)
            try:
                os.close(os.open(database, os.O_RDONLY))
            except OSError as error:
                failed = self._module.IOException(f'IO Error: Cannot open file "{database}": {error.strerror}')
                if hasattr(failed, "add_note"):
                    failed.add_note(f"vfsmount: {READ_ONLY}")
                raise failed from error
            config = dict((args[1] if len(args) > 1 else more.get("config")) or {})
            config.pop("access_mode", None)
            if self._is_first:
                return self._copied(original, database, config)
            connection = original(":memory:", config=config)
            self.register(connection)
            name = os.path.basename(address).partition(".")[0]
            quoted = '"' + name.replace('"', '""') + '"'
            connection.execute(f"ATTACH {literal(address)} AS {quoted} (READ_ONLY); USE {quoted}")
            self._databases[connection] = f"USE {quoted}"
            return connection

        return connect

    def _copied(self, original: Function, database: Any, config: dict[str, Any]) -> Any:
        """What DuckDB 1 does not attach from a file system of ours."""
        if os.path.exists(f"{os.fspath(database)}.wal"):
            raise self._module.IOException(
                f'IO Error: "{database}" has a log of changes beside it; checkpoint it first'
            )
        with local_copy(database) as local:  # it stays open; its name may go
            return original(local, read_only=True, config=config)

    def cursor(self, original: Function) -> Function:
        def cursor(self_: Any, *args: Any, **more: Any) -> Any:
            made = original(self_, *args, **more)
            use = self._databases.get(self_)
            if use is not None:
                made.execute(use)
                self._databases[made] = use
            return made

        return cursor


def _staged(original: Function, relation: Any, path: Any, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
    with ScratchDirectory() as place:
        local = f"{place}/{os.path.basename(path)}"
        written = original(relation, local, *args, **more)
        if real.access(f"{local}/.", os.F_OK):
            copy_out(local, os.path.abspath(path))
        else:
            with real.open(local, "rb") as made, writing(path) as file:
                shutil.copyfileobj(made, file, CHUNK)
        return written


def _as_called(original: Function, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """Call ``original`` in a frame with the variables of the one that called ours."""
    caller = sys._getframe(3)
    names = {**caller.f_locals, "__vfsmount_call": original, "__vfsmount_args": args, "__vfsmount_more": more}
    return eval(_CALL, caller.f_globals, names)


HOOKS: Final = (Hook("duckdb", (1, 2), _duckdb),)
