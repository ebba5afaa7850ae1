"""Operations on a directory: writing."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

from tests.semantics.posix import content, operation

# -- writing --


@operation("write in sequence")
def _(top: Path) -> object:
    with open(top / "new", "wb") as file:
        counts = file.write(b"one"), file.tell(), file.write(b"two"), file.tell()
    return counts, content(top / "new")


@operation("overwrite")
def _(top: Path) -> object:
    (top / "file").write_bytes(b"short")
    return content(top / "file"), os.stat(top / "file").st_size


@operation("write nothing")
def _(top: Path) -> object:
    open(top / "new", "wb").close()
    open(top / "file", "wb").close()
    return content(top / "new"), content(top / "file")


@operation("exclusive creation")
def _(top: Path) -> object:
    with open(top / "new", "xb") as file:
        file.write(b"1")
    return content(top / "new")


@operation("exclusive creation of what is there")
def _(top: Path) -> object:
    return open(top / "file", "xb")


@operation("exclusive creation of a directory's name")
def _(top: Path) -> object:
    return open(top / "dir", "xb")


@operation("write to a directory's name")
def _(top: Path) -> object:
    return open(top / "dir", "wb")


@operation("write below what is missing")
def _(top: Path) -> object:
    return open(top / "missing/new", "wb")


@operation("write below a file")
def _(top: Path) -> object:
    return open(top / "file/new", "wb")


@operation("update what is missing")
def _(top: Path) -> object:
    return open(top / "missing", "r+b")


@operation("size while writing")
def _(top: Path) -> object:
    fd = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b"12345")
        return os.fstat(fd).st_size, os.stat(top / "new").st_size, "new" in os.listdir(top)
    finally:
        os.close(fd)


@operation("append")
def _(top: Path) -> object:
    with open(top / "file", "ab") as file:
        file.write(b"+")
    return content(top / "file")


@operation("append to a new file")
def _(top: Path) -> object:
    with open(top / "new", "ab") as file:
        file.write(b"+")
    return content(top / "new")


@operation("update in place")
def _(top: Path) -> object:
    with open(top / "file", "r+b") as file:
        file.seek(3)
        file.write(b"XYZ")
    return content(top / "file")


@operation("write after a seek")
def _(top: Path) -> object:
    with open(top / "new", "wb", buffering=0) as file:
        file.write(b"12345")
        file.seek(1)
        file.write(b"XX")
    return content(top / "new")


@operation("write leaving a hole")
def _(top: Path) -> object:
    with open(top / "new", "wb", buffering=0) as file:
        file.write(b"1")
        file.seek(5)
        file.write(b"2")
    return content(top / "new")


@operation("read back what is being written")
def _(top: Path) -> object:
    with open(top / "new", "w+b") as file:
        file.write(b"12345")
        file.seek(0)
        return file.read()


@operation("overwrite without truncation")
def _(top: Path) -> object:
    fd = os.open(top / "file", os.O_WRONLY)
    os.write(fd, b"XY")
    os.close(fd)
    return content(top / "file")


@operation("write after fsync")
def _(top: Path) -> object:
    fd = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b"1")
        os.fsync(fd)
        os.write(fd, b"2")
    finally:
        os.close(fd)
    return content(top / "new")


@operation("open with O_SYNC")
def _(top: Path) -> object:
    os.close(os.open(top / "new", os.O_WRONLY | os.O_CREAT | os.O_SYNC))
    return content(top / "new")


@operation("write through mmap")
def _(top: Path) -> object:
    with open(top / "file", "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
        mapped[0:2] = b"XY"
        mapped.close()
        del mapped
    return content(top / "file")


@operation("touch an existing file")
def _(top: Path) -> object:
    (top / "file").touch()
    return content(top / "file")


@operation("touch a new file")
def _(top: Path) -> object:
    (top / "new").touch()
    return content(top / "new")


@operation("truncate to a part")
def _(top: Path) -> object:
    os.truncate(top / "file", 4)
    return content(top / "file")


@operation("truncate to more")
def _(top: Path) -> object:
    os.truncate(top / "file", 12)
    return content(top / "file")


@operation("truncate to nothing")
def _(top: Path) -> object:
    os.truncate(top / "file", 0)
    return content(top / "file")


@operation("truncate what is missing")
def _(top: Path) -> object:
    os.truncate(top / "missing", 0)
    return None


@operation("truncate a directory")
def _(top: Path) -> object:
    os.truncate(top / "dir", 0)
    return None


@operation("ftruncate while writing")
def _(top: Path) -> object:
    fd = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b"12345")
        os.ftruncate(fd, 2)
    finally:
        os.close(fd)
    return content(top / "new")


@operation("ftruncate of a read descriptor")
def _(top: Path) -> object:
    fd = os.open(top / "file", os.O_RDONLY)
    try:
        return os.ftruncate(fd, 0)
    finally:
        os.close(fd)


@operation("two writers")
def _(top: Path) -> object:
    with open(top / "new", "wb", buffering=0) as one, open(top / "new", "r+b", buffering=0) as two:
        one.write(b"12345")
        two.write(b"XX")
    return content(top / "new")


@operation("read while writing")
def _(top: Path) -> object:
    with open(top / "new", "wb", buffering=0) as file:
        file.write(b"12345")
        return content(top / "new")


@operation("truncate while reading")
def _(top: Path) -> object:
    with open(top / "file", "rb"):
        (top / "file").write_bytes(b"new")
    return content(top / "file")


@operation("unlink while writing")
def _(top: Path) -> object:
    with open(top / "new", "wb") as file:
        os.unlink(top / "new")
        file.write(b"12345")
    return os.path.exists(top / "new")


@operation("rename while writing")
def _(top: Path) -> object:
    with open(top / "new", "wb") as file:
        os.rename(top / "new", top / "renamed")
        file.write(b"12345")
    return os.path.exists(top / "new"), content(top / "renamed")


@operation("write through a duplicate")
def _(top: Path) -> object:
    fd = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    other = os.dup(fd)
    os.write(fd, b"12")
    os.close(fd)
    os.write(other, b"34")
    os.close(other)
    return content(top / "new")


@operation("temporary files")
def _(top: Path) -> object:
    with tempfile.NamedTemporaryFile(dir=top, delete=False) as file:
        file.write(b"1")
    return content(Path(file.name)), len(os.listdir(top))
