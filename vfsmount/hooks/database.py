"""sqlite3: a database on a mount is read from a local copy. SQLite opens files by path, in C.

The copy is opened with ``mode=ro&immutable=1``, so that a write fails in SQLite's own words (``attempt to write a
readonly database``): it could not be made durable when SQLite says that it is. A database that was left with a
write-ahead log or a rollback journal is recovered in the copy first, as SQLite would do at the next opening.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from types import ModuleType
from typing import Any, Final

from vfsmount import real
from vfsmount.hooks.hook import CHUNK, Function, Hook, Seam
from vfsmount.transfer.spool import ScratchDirectory

_URI_PLACE: Final = 6
"""Place of ``uri`` behind ``database`` in the arguments of ``sqlite3.connect``."""

_SIDE_FILES: Final = ("-wal", "-journal")
"""What SQLite keeps beside a database while changes are not in it yet. Source: sqlite.org/tempfiles.html."""

_NO_FILE: Final = ("", ":memory:")
"""Names of databases that are in no file. Source: sqlite.org/inmemorydb.html."""

_HINT: Final = (
    "vfsmount: a database on a mount can be read only; make it in a local file and copy that with shutil.copyfile"
)


def _sqlite(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def connect(database: Any, *args: Any, **more: Any) -> Any:
            is_uri = args[_URI_PLACE] if len(args) > _URI_PLACE else more.get("uri", False)
            path, query = _parts(database, bool(is_uri))
            if path is None or not seam.is_mounted(path):
                return original(database, *args, **more)
            with ScratchDirectory() as place:
                local = os.path.join(place, "copy.db")
                try:
                    _copy(path, local)
                except OSError as error:
                    failed = module.OperationalError("unable to open database file")
                    if hasattr(failed, "add_note"):
                        failed.add_note(_HINT)
                    raise failed from error
                if any(os.path.exists(local + ending) for ending in _SIDE_FILES):
                    _recover(original, local)
                # SQLite keeps the file open; its name may go.
                if len(args) > _URI_PLACE:
                    args = (*args[:_URI_PLACE], True, *args[_URI_PLACE + 1 :])
                else:
                    more["uri"] = True
                return original(f"file:{_quoted(local)}?{query}mode=ro&immutable=1", *args, **more)

        return connect

    seam.wrap(module, "connect", make)


def _parts(database: Any, is_uri: bool) -> tuple[str | None, str]:
    """The path of ``database`` and the options of a URI that are kept; None for what is no path."""
    try:
        text = real.fsdecode(database)
    except TypeError:
        return None, ""
    if not (is_uri and text.startswith("file:")):
        return None if text in _NO_FILE else text, ""
    from urllib.parse import parse_qsl, unquote, urlencode, urlsplit  # most sessions never see a URI

    found = urlsplit(text)
    options, path = parse_qsl(found.query), unquote(found.path)
    in_memory = path in _NO_FILE or ("mode", "memory") in options or ("vfs", "memdb") in options
    if in_memory or found.netloc not in ("", "localhost"):
        return None, ""
    kept = [(name, value) for name, value in options if name not in ("mode", "immutable", "nolock")]
    return path, f"{urlencode(kept)}&" if kept else ""


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _copy(path: str, local: str) -> None:
    _copy_file(path, local)
    for ending in _SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            _copy_file(path + ending, local + ending)


def _copy_file(path: str, local: str) -> None:
    with open(path, "rb") as source, real.open(local, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK)


def _recover(connect: Function, local: str) -> None:
    connection = connect(local)
    try:
        connection.execute("pragma journal_mode = delete").fetchone()
        connection.execute("select count(*) from sqlite_master").fetchone()
    finally:
        connection.close()


HOOKS: Final = (Hook("sqlite3.dbapi2", None, _sqlite),)
