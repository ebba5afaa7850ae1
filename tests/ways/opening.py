"""Functions and classes that open a file for reading, and spellings of its path."""

from __future__ import annotations

import _io
import _pyio
import builtins
import codecs
import io
import os
import pathlib
import tokenize
from typing import Any

from tests.ways.way import Place, way

GROUP = "open to read"


class Named:
    """A path-like object that is no ``pathlib.Path``."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def _all(file: Any) -> Any:
    with file:
        return file.read()


@way(GROUP, "open, text")
def _(at: Place) -> object:
    with open(at("text.txt"), encoding="ascii") as file:
        return file.readline(), list(file), file.name == at("text.txt"), file.mode, file.encoding


@way(GROUP, "open, binary")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as file:
        return type(file), type(file.raw.readall()), file.seek(5), file.read(7), file.peek(1)[:1], file.tell()


@way(GROUP, "open, unbuffered")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb", buffering=0) as file:
        buffer = bytearray(10)
        return isinstance(file, io.FileIO), file.readinto(buffer), buffer, file.readall()


@way(GROUP, "open of a descriptor")
def _(at: Place) -> object:
    return _all(open(os.open(at("text.txt"), os.O_RDONLY)))


@way(GROUP, "open with an opener")
def _(at: Place) -> object:
    return _all(open("text.txt", opener=lambda name, flags: os.open(at(name), flags)))


@way(GROUP, "open with an opener relative to a directory")
def _(at: Place) -> object:
    directory = os.open(at("dir"), os.O_RDONLY)
    try:
        return _all(open("one.txt", opener=lambda name, flags: os.open(name, flags, dir_fd=directory)))
    finally:
        os.close(directory)


@way(GROUP, "builtins.open looked up by code that is executed")
def _(at: Place) -> object:
    space: dict[str, Any] = {"path": at("text.txt")}
    exec("with open(path) as file: result = file.read()", space)
    return space["result"], builtins.open is io.open


@way(GROUP, "io.open")
def _(at: Place) -> object:
    return _all(io.open(at("text.txt")))  # noqa: UP020


@way(GROUP, "_io.open")
def _(at: Place) -> object:
    return _all(_io.open(at("text.txt")))


@way(GROUP, "_pyio.open")
def _(at: Place) -> object:
    return _all(_pyio.open(at("text.txt"))), _all(_pyio.open(at("data.bin"), "rb", 0))


@way(GROUP, "codecs.open")
def _(at: Place) -> object:
    return _all(codecs.open(at("text.txt"), encoding="utf-8"))


@way(GROUP, "tokenize.open")
def _(at: Place) -> object:
    return _all(tokenize.open(at("code/way_module.py")))


@way(GROUP, "io.FileIO")
def _(at: Place) -> object:
    with io.FileIO(at("data.bin")) as file:
        return isinstance(file, io.FileIO), file.read(3), file.mode, file.readall()


@way(GROUP, "_io.FileIO below a BufferedReader of one's own")
def _(at: Place) -> object:
    return _all(io.BufferedReader(_io.FileIO(at("data.bin"), "r"), 100))


@way(GROUP, "a subclass of io.FileIO")
def _(at: Place) -> object:
    class Counted(io.FileIO):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.count = 0

        def readinto(self, buffer: Any) -> int | None:
            self.count += 1
            return super().readinto(buffer)

    file = Counted(at("data.bin"))
    with io.BufferedReader(file) as buffered:
        return buffered.read(), file.count > 0, file.name == at("data.bin"), file.mode


@way(GROUP, "io.open_code")
def _(at: Place) -> object:
    return _all(io.open_code(at("code/way_module.py")))


@way(GROUP, "os.open and os.fdopen")
def _(at: Place) -> object:
    return _all(os.fdopen(os.open(at("text.txt"), os.O_RDONLY), "rb"))


@way(GROUP, "Path.open")
def _(at: Place) -> object:
    return _all(pathlib.Path(at("text.txt")).open())


@way(GROUP, "Path.read_text and read_bytes")
def _(at: Place) -> object:
    path = pathlib.Path(at.root) / "text.txt"
    return path.read_text(), path.read_bytes()


@way("spelling of a path", "bytes")
def _(at: Place) -> object:
    name = os.fsencode(at("text.txt"))
    return _all(open(name)), os.stat(name).st_size, sorted(os.listdir(os.fsencode(at("dir"))))


@way("spelling of a path", "PathLike")
def _(at: Place) -> object:
    name = Named(at("text.txt"))
    return _all(open(name)), os.stat(name).st_size, os.path.exists(name)


@way("spelling of a path", "relative to the working directory")
def _(at: Place) -> object:
    before = os.getcwd()
    os.chdir(at("dir"))
    try:
        return _all(open("one.txt")), _all(open("../text.txt")), os.listdir(), os.path.exists("sub/two.txt")
    finally:
        os.chdir(before)


@way("spelling of a path", "with dots and double slashes")
def _(at: Place) -> object:
    return _all(open(at("dir/./sub//../one.txt"))), _all(open(at(".", "text.txt")))


@way("spelling of a path", "through a local symbolic link")
def _(at: Place) -> object:
    link = os.path.join(at.local, "link")
    os.symlink(at.root, link)
    return _all(open(f"{link}/text.txt")), sorted(os.listdir(f"{link}/dir")), os.path.samefile(f"{link}/dir", at("dir"))


@way("spelling of a path", "a str subclass")
def _(at: Place) -> object:
    class Text(str):
        pass

    return _all(open(Text(at("text.txt")))), os.path.getsize(Text(at("data.bin")))
