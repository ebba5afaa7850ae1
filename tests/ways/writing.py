"""Functions that make or change a file."""

from __future__ import annotations

import _pyio
import codecs
import io
import os
import pathlib
import tempfile
from typing import Any

from tests.ways.way import Place, way

GROUP = "open to write"


@way(GROUP, "open, w")
def _(at: Place) -> object:
    with open(at("new.txt"), "w", newline="\r\n") as file:
        return file.write("a\nb\n"), file.writelines(["c\n"]), file.tell(), file.seekable()


@way(GROUP, "open, w over an existing file")
def _(at: Place) -> object:
    with open(at("text.txt"), "wb") as file:
        return file.write(b"anew"), file.tell()


@way(GROUP, "open, x")
def _(at: Place) -> object:
    with open(at("new.txt"), "x") as file:
        file.write("made")
    try:
        open(at("new.txt"), "x")
    except FileExistsError as error:
        return error.errno, error.filename == at("new.txt")
    return None


@way(GROUP, "open, a")
def _(at: Place) -> object:
    with open(at("new.txt"), "a") as file:
        return file.write("line\n"), file.tell()


@way(GROUP, "open, a of an existing file", mode="staged")
def _(at: Place) -> object:
    with open(at("text.txt"), "a") as file:
        return file.tell(), file.write("delta\n"), file.tell()


@way(GROUP, "open, r+", mode="staged")
def _(at: Place) -> object:
    with open(at("data.bin"), "r+b") as file:
        file.seek(100)
        file.write(b"patched")
        file.seek(0)
        return file.read(), file.truncate(5000)


@way(GROUP, "open, w+", mode="staged")
def _(at: Place) -> object:
    with open(at("new.bin"), "w+b") as file:
        file.write(b"0123456789")
        file.seek(3)
        file.write(b"xx")
        file.seek(0)
        return file.read()


@way(GROUP, "open, unbuffered")
def _(at: Place) -> object:
    with open(at("new.bin"), "wb", buffering=0) as file:
        return file.write(b"one"), file.write(memoryview(b"two")), file.tell()


@way(GROUP, "print to a file")
def _(at: Place) -> object:
    with open(at("new.txt"), "w") as file:
        return print("a", 1, file=file, flush=True)


@way(GROUP, "io.FileIO, w")
def _(at: Place) -> object:
    with io.FileIO(at("new.bin"), "w") as file:
        return file.write(b"raw"), file.mode, file.writable(), file.readable()


@way(GROUP, "a subclass of io.FileIO, w")
def _(at: Place) -> object:
    class Sink(io.FileIO):
        pass

    with io.BufferedWriter(Sink(at("new.bin"), "w")) as file:
        return file.write(b"through a subclass"), file.tell()


@way(GROUP, "_pyio.open, w")
def _(at: Place) -> object:
    with _pyio.open(at("new.txt"), "w") as file:
        return file.write("pure Python")


@way(GROUP, "codecs.open, w")
def _(at: Place) -> object:
    with codecs.open(at("new.txt"), "w", "utf-16") as file:
        file.write("\u00e9")
    return at.bytes_of("new.txt")


@way(GROUP, "os.open, os.fdopen")
def _(at: Place) -> object:
    number = os.open(at("new.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(number, "w") as file:
        return file.write("by descriptor"), file.fileno() == number


@way(GROUP, "Path.write_text, write_bytes and touch")
def _(at: Place) -> object:
    root = pathlib.Path(at.root)
    (root / "touched").touch()
    return (root / "new.txt").write_text("text"), (root / "new.bin").write_bytes(b"bytes"), (root / "touched").exists()


@way("temporary files", "NamedTemporaryFile", same_bytes=False)
def _(at: Place) -> object:
    with tempfile.NamedTemporaryFile(dir=at("dir"), suffix=".tmp") as file:
        file.write(b"temporary")
        inside = os.path.dirname(file.name) == at("dir")
    return inside, os.path.exists(file.name)


@way("temporary files", "NamedTemporaryFile that is kept and renamed")
def _(at: Place) -> object:
    with tempfile.NamedTemporaryFile("w", dir=at("dir"), delete=False) as file:
        file.write("whole or not at all")
    os.replace(file.name, at("dir/final.txt"))
    return at.names("dir")


@way("temporary files", "mkstemp")
def _(at: Place) -> object:
    number, name = tempfile.mkstemp(dir=at.root)
    written = os.write(number, b"made")
    os.close(number)
    data = _read(name)
    os.unlink(name)
    return written, data


@way("temporary files", "TemporaryDirectory and mkdtemp")
def _(at: Place) -> object:
    with tempfile.TemporaryDirectory(dir=at.root) as name:
        with open(f"{name}/inside", "w") as file:
            file.write("x")
        found = os.listdir(name)
    made = tempfile.mkdtemp(dir=at.root)
    os.rmdir(made)
    return found, os.path.exists(name), os.path.exists(made)


@way("temporary files", "TemporaryFile", mode="staged")
def _(at: Place) -> object:
    with tempfile.TemporaryFile(dir=at.root) as file:
        file.write(b"nameless")
        file.seek(4)
        return file.read()


@way("temporary files", "SpooledTemporaryFile that outgrows its memory", mode="staged")
def _(at: Place) -> object:
    with tempfile.SpooledTemporaryFile(max_size=10, dir=at.root) as file:
        file.write(b"more than ten bytes")
        file.seek(0)
        return file.read()


def _read(name: Any) -> bytes:
    with open(name, "rb") as file:
        return file.read()
