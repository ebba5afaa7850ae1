"""Paths that end in a slash, ``.`` or ``..``: each call on each of them, in one directory that they all leave alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.semantics.posix import observe, operation

ENDINGS = ("", "/", "//", "/.", "/./", "/..", "/../")
NAMES = ("made", "dir", "file", "missing", "missing/below", "file/below")


def _each(top: Path, call: Callable[[str], object], names: tuple[str, ...] = NAMES) -> object:
    seen: dict[str, object] = {}
    for name in names:
        for ending in ENDINGS:
            if name in ("made", "file") and ending in ("", "/", "//"):
                continue  # what is usual, and changes something
            seen[name + ending] = observe(lambda _, text=name + ending: call(f"{top}/{text}"), top)  # type: ignore[misc]
    return seen, sorted(os.listdir(top)), os.listdir(top / "dir"), os.listdir(top / "made")


def _opened(path: str, flags: int) -> bool:
    os.close(os.open(path, flags))
    return True


@operation("endings: rmdir")
def _(top: Path) -> object:
    return _each(top, os.rmdir, ("made", "file", "missing", "missing/below", "file/below"))


@operation("endings: mkdir")
def _(top: Path) -> object:
    return _each(top, os.mkdir, ("made", "dir", "file", "missing/below", "file/below"))


@operation("endings: mkdir where a file is")
def _(top: Path) -> object:
    return [observe(lambda _, end=end: os.mkdir(f"{top}/file{end}"), top) for end in ("", "/", "//", "/.")]  # type: ignore[misc]


@operation("endings: the top itself, to create")
def _(top: Path) -> object:
    return observe(lambda _: _opened(f"{top}/", os.O_WRONLY | os.O_CREAT | os.O_EXCL), top)


@operation("endings: mkdir of a new name")
def _(top: Path) -> object:
    seen = [observe(lambda _, end=end: os.mkdir(f"{top}/new{end}"), top) for end in ("/.", "/..", "//")]  # type: ignore[misc]
    return seen, sorted(os.listdir(top))


@operation("endings: unlink")
def _(top: Path) -> object:
    return _each(top, os.unlink)


@operation("endings: truncate")
def _(top: Path) -> object:
    return _each(top, lambda path: os.truncate(path, 0), ("made", "dir", "missing", "missing/below", "file/below"))


@operation("endings: open to read")
def _(top: Path) -> object:
    return _each(top, lambda path: _opened(path, os.O_RDONLY))


@operation("endings: open to write")
def _(top: Path) -> object:
    return _each(top, lambda path: _opened(path, os.O_WRONLY), ("made", "dir", "file", "missing", "missing/below"))


@operation("endings: open to create")
def _(top: Path) -> object:
    seen = [
        observe(lambda _, text=f"{top}/{name}{end}": _opened(text, os.O_WRONLY | os.O_CREAT), top)  # type: ignore[misc]
        for name in ("made", "dir", "file", "missing", "missing/below", "file/below")
        for end in ENDINGS[1:]
    ]
    return seen, sorted(os.listdir(top))


@operation("endings: open(..., 'w')")
def _(top: Path) -> object:
    seen = [observe(lambda _, text=f"{top}/{name}/": open(text, "w"), top) for name in NAMES]  # type: ignore[misc]
    return seen, (top / "file").read_bytes()


@operation("endings: open(..., 'x')")
def _(top: Path) -> object:
    return [observe(lambda _, text=f"{top}/{name}/": open(text, "x"), top) for name in NAMES]  # type: ignore[misc]


@operation("endings: rename from")
def _(top: Path) -> object:
    return _each(top, lambda path: os.rename(path, top / "new"), ("made", "file", "missing", "missing/below"))


@operation("endings: rename to")
def _(top: Path) -> object:
    return _each(top, lambda path: os.rename(top / "empty", path), ("made", "dir", "missing/below", "file/below"))


@operation("endings: rename of a directory to")
def _(top: Path) -> object:
    return _each(top, lambda path: os.rename(top / "made", path), ("missing/below", "file", "file/below"))


@operation("endings: rename of a directory to a new name with a slash")
def _(top: Path) -> object:
    os.rename(top / "made", f"{top}/new/")
    return sorted(os.listdir(top))


@operation("endings: symlink")
def _(top: Path) -> object:
    return _each(top, lambda path: os.symlink("file", path), ("made", "dir", "file"))
