"""Operations on a directory: looking and reading."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from tests.semantics.posix import content, operation

# -- looking --


@operation("stat")
def _(top: Path) -> object:
    seen = [os.stat(top / name) for name in ("file", "empty", "dir", "made", "dir/inner")]
    return [(stat.S_IFMT(one.st_mode), one.st_size if stat.S_ISREG(one.st_mode) else None) for one in seen]


@operation("stat of what is missing")
def _(top: Path) -> object:
    return os.stat(top / "missing")


@operation("stat below what is missing")
def _(top: Path) -> object:
    return os.stat(top / "missing/deeper")


@operation("stat below a file")
def _(top: Path) -> object:
    return os.stat(top / "file/deeper")


@operation("stat of a file with a slash")
def _(top: Path) -> object:
    return os.stat(f"{top}/file/")


@operation("stat of a directory with a slash")
def _(top: Path) -> object:
    return stat.S_ISDIR(os.stat(f"{top}/dir/").st_mode)


@operation("stat through dots")
def _(top: Path) -> object:
    return os.stat(f"{top}/dir/../made/./../file").st_size, os.path.samefile(top / "file", f"{top}//dir//..//file")


@operation("links of a file")
def _(top: Path) -> object:
    return os.stat(top / "file").st_nlink


@operation("links of a directory")
def _(top: Path) -> object:
    return os.stat(top).st_nlink


@operation("times are whole and agree")
def _(top: Path) -> object:
    found = os.stat(top / "file")
    return found.st_mtime_ns // 10**9 == found[stat.ST_MTIME], found.st_mtime == os.path.getmtime(top / "file")


@operation("listdir")
def _(top: Path) -> object:
    return sorted(os.listdir(top)), os.listdir(top / "made"), os.listdir(top / "dir")


@operation("listdir of a file")
def _(top: Path) -> object:
    return os.listdir(top / "file")


@operation("listdir of what is missing")
def _(top: Path) -> object:
    return os.listdir(top / "missing")


@operation("scandir")
def _(top: Path) -> object:
    with os.scandir(top) as entries:
        return sorted((one.name, one.is_dir(), one.is_file(), one.is_symlink(), one.inode() > 0) for one in entries)


@operation("walk")
def _(top: Path) -> object:
    return sorted((os.path.relpath(one, top), sorted(dirs), sorted(files)) for one, dirs, files in os.walk(top))


@operation("glob")
def _(top: Path) -> object:
    return sorted(str(one.relative_to(top)) for one in top.rglob("*")), sorted(one.name for one in top.glob("*i*"))


@operation("exists and kinds")
def _(top: Path) -> object:
    names = ("file", "dir", "missing", "file/below", "dir/inner")
    return [(os.path.exists(top / name), os.path.isfile(top / name), os.path.isdir(top / name)) for name in names]


@operation("access")
def _(top: Path) -> object:
    return [os.access(top / name, os.R_OK) for name in ("file", "dir", "missing")], os.access(top / "file", os.X_OK)


@operation("readlink of a file")
def _(top: Path) -> object:
    return os.readlink(top / "file")


@operation("a name of 255 bytes")
def _(top: Path) -> object:
    (top / ("n" * 255)).write_bytes(b"1")
    return len(os.listdir(top)), content(top / ("n" * 255))


@operation("a name of 256 bytes")
def _(top: Path) -> object:
    return (top / ("n" * 256)).write_bytes(b"1")


@operation("odd names")
def _(top: Path) -> object:
    return _named(top, "a b", "é", "e\u0301", "日本", "*?[x]", "~", "...")


@operation("a newline in a name")
def _(top: Path) -> object:
    return _named(top, "new\nline")


@operation("a backslash in a name")
def _(top: Path) -> object:
    return _named(top, "back\\slash")


def _named(top: Path, *names: str) -> object:
    for name in names:
        (top / name).write_text(name)
    return sorted(os.listdir(top)), [(top / name).read_text() for name in names]


# -- reading --


@operation("read")
def _(top: Path) -> object:
    with open(top / "file", "rb") as file:
        return file.read(3), file.tell(), file.read(), file.read(), file.seek(-2, 2), file.read()


@operation("read text")
def _(top: Path) -> object:
    (top / "text").write_text("one\ntwo\n", encoding="utf-8")
    with open(top / "text", encoding="utf-8") as file:
        return file.readline(), list(file)


@operation("pread and positions")
def _(top: Path) -> object:
    fd = os.open(top / "file", os.O_RDONLY)
    try:
        return os.pread(fd, 3, 5), os.read(fd, 2), os.lseek(fd, 0, 1), os.lseek(fd, 100, 0), os.read(fd, 5)
    finally:
        os.close(fd)


@operation("seek before the start")
def _(top: Path) -> object:
    with open(top / "file", "rb", buffering=0) as file:
        return file.seek(-1, 0)


@operation("read of a directory")
def _(top: Path) -> object:
    return open(top / "dir", "rb")


@operation("read of what is missing")
def _(top: Path) -> object:
    return open(top / "missing", "rb")


@operation("read through a duplicate")
def _(top: Path) -> object:
    fd = os.open(top / "file", os.O_RDONLY)
    other = os.dup(fd)
    os.read(fd, 4)
    os.close(fd)
    try:
        return os.read(other, 3)
    finally:
        os.close(other)


@operation("read of a write descriptor")
def _(top: Path) -> object:
    fd = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    try:
        return os.read(fd, 1)
    finally:
        os.close(fd)


@operation("write to a read descriptor")
def _(top: Path) -> object:
    fd = os.open(top / "file", os.O_RDONLY)
    try:
        return os.write(fd, b"1")
    finally:
        os.close(fd)


@operation("read through mmap")
def _(top: Path) -> object:
    with open(top / "file", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[2:5]


@operation("read after unlink")
def _(top: Path) -> object:
    with open(top / "file", "rb") as file:
        os.unlink(top / "file")
        return file.read(), os.path.exists(top / "file")
