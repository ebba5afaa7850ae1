"""Operations on a directory: making, removing, renaming, copying."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

from tests.semantics.posix import content, operation

# -- directories --


@operation("mkdir")
def _(top: Path) -> object:
    os.mkdir(top / "new")
    os.makedirs(top / "deep/er/and/deeper")
    return sorted(os.listdir(top)), os.listdir(top / "deep/er/and"), os.path.isdir(top / "new")


@operation("mkdir of what is there")
def _(top: Path) -> object:
    return os.mkdir(top / "dir")


@operation("mkdir of a file's name")
def _(top: Path) -> object:
    return os.mkdir(top / "file")


@operation("mkdir below what is missing")
def _(top: Path) -> object:
    return os.mkdir(top / "missing/new")


@operation("mkdir below a file")
def _(top: Path) -> object:
    return os.mkdir(top / "file/new")


@operation("rmdir")
def _(top: Path) -> object:
    os.rmdir(top / "made")
    return sorted(os.listdir(top))


@operation("rmdir of a file")
def _(top: Path) -> object:
    return os.rmdir(top / "file")


@operation("rmdir of what is missing")
def _(top: Path) -> object:
    return os.rmdir(top / "missing")


@operation("rmdir of what holds a directory")
def _(top: Path) -> object:
    os.mkdir(top / "made/inner")
    return os.rmdir(top / "made")


@operation("rmdir of what another file made")
def _(top: Path) -> object:
    return os.rmdir(top / "dir")


@operation("rmdir after the last file")
def _(top: Path) -> object:
    os.unlink(top / "dir/inner")
    os.rmdir(top / "dir")
    return sorted(os.listdir(top))


@operation("rmtree")
def _(top: Path) -> object:
    shutil.rmtree(top / "dir")
    return sorted(os.listdir(top))


@operation("create in a removed directory")
def _(top: Path) -> object:
    os.rmdir(top / "made")
    return open(top / "made/new", "wb")


@operation("work in a directory")
def _(top: Path) -> object:
    before = os.getcwd()
    os.chdir(top / "dir")
    try:
        Path("new").write_bytes(b"1")
        return os.path.basename(os.getcwd()), sorted(os.listdir()), os.stat("../file").st_size
    finally:
        os.chdir(before)


@operation("chdir to a file")
def _(top: Path) -> object:
    return os.chdir(top / "file")


@operation("open relative to a directory")
def _(top: Path) -> object:
    fd = os.open(top / "dir", os.O_RDONLY | os.O_DIRECTORY)
    try:
        inner = os.open("inner", os.O_RDONLY, dir_fd=fd)
        found = os.read(inner, 10), os.stat("inner", dir_fd=fd).st_size
        os.close(inner)
        return found
    finally:
        os.close(fd)


@operation("fsync of a directory")
def _(top: Path) -> object:
    fd = os.open(top / "dir", os.O_RDONLY)
    try:
        return os.fsync(fd)
    finally:
        os.close(fd)


# -- removing and renaming --


@operation("unlink")
def _(top: Path) -> object:
    os.unlink(top / "file")
    return os.path.exists(top / "file"), "file" in os.listdir(top)


@operation("unlink of what is missing")
def _(top: Path) -> object:
    return os.unlink(top / "missing")


@operation("unlink of a directory")
def _(top: Path) -> object:
    return os.unlink(top / "dir")


@operation("unlink below a file")
def _(top: Path) -> object:
    return os.unlink(top / "file/below")


@operation("rename")
def _(top: Path) -> object:
    os.rename(top / "file", top / "dir/moved")
    return os.path.exists(top / "file"), content(top / "dir/moved")


@operation("rename over a file")
def _(top: Path) -> object:
    os.replace(top / "file", top / "dir/inner")
    return os.path.exists(top / "file"), content(top / "dir/inner")


@operation("rename onto itself")
def _(top: Path) -> object:
    os.rename(top / "file", top / "file")
    return content(top / "file")


@operation("rename of what is missing")
def _(top: Path) -> object:
    return os.rename(top / "missing", top / "new")


@operation("rename into what is missing")
def _(top: Path) -> object:
    return os.rename(top / "file", top / "missing/new")


@operation("rename of a file over a directory")
def _(top: Path) -> object:
    return os.rename(top / "file", top / "made")


@operation("rename of a directory over a file")
def _(top: Path) -> object:
    return os.rename(top / "dir", top / "file")


@operation("rename of a directory")
def _(top: Path) -> object:
    os.rename(top / "dir", top / "moved")
    return sorted(os.listdir(top)), content(top / "moved/inner")


@operation("rename of a directory over an empty one")
def _(top: Path) -> object:
    os.rename(top / "dir", top / "made")
    return sorted(os.listdir(top)), content(top / "made/inner")


@operation("rename of a directory over a full one")
def _(top: Path) -> object:
    return os.rename(top / "made", top / "dir")


@operation("rename of a directory into itself")
def _(top: Path) -> object:
    return os.rename(top / "dir", top / "dir/below")


@operation("move")
def _(top: Path) -> object:
    shutil.move(top / "file", top / "made")
    return content(top / "made/file"), os.path.exists(top / "file")


# -- copies and what else there is --


@operation("copy")
def _(top: Path) -> object:
    shutil.copyfile(top / "file", top / "copy")
    return content(top / "copy")


@operation("copy onto itself")
def _(top: Path) -> object:
    try:
        shutil.copyfile(top / "file", top / "file")
    except shutil.SameFileError:
        return "SameFileError"
    return None


@operation("copy with metadata")
def _(top: Path) -> object:
    shutil.copy2(top / "file", top / "copy")
    return content(top / "copy")


@operation("chmod")
def _(top: Path) -> object:
    os.chmod(top / "file", 0o600)
    return stat.S_IMODE(os.stat(top / "file").st_mode)


@operation("fchmod")
def _(top: Path) -> object:
    with open(top / "file", "rb") as file:
        os.fchmod(file.fileno(), 0o600)
    return stat.S_IMODE(os.stat(top / "file").st_mode)


@operation("chown")
def _(top: Path) -> object:
    return os.chown(top / "file", os.geteuid(), os.getegid())


@operation("utime")
def _(top: Path) -> object:
    os.utime(top / "file", (1, 2))
    return os.stat(top / "file").st_mtime


@operation("utime while writing")
def _(top: Path) -> object:
    with open(top / "new", "wb"):
        os.utime(top / "new", (2, 2))
        return os.stat(top / "new").st_mtime


@operation("utime of a directory")
def _(top: Path) -> object:
    return os.utime(top / "dir", (1, 2))


@operation("symlink")
def _(top: Path) -> object:
    os.symlink("file", top / "link")
    return content(top / "link")


@operation("symlink over a file")
def _(top: Path) -> object:
    return os.symlink("file", top / "empty")


@operation("link")
def _(top: Path) -> object:
    os.link(top / "file", top / "link")
    return content(top / "link")


@operation("mkfifo")
def _(top: Path) -> object:
    return os.mkfifo(top / "pipe")


@operation("flock")
def _(top: Path) -> object:
    with open(top / "file", "rb") as file:
        return fcntl.flock(file, fcntl.LOCK_SH)


@operation("lockf")
def _(top: Path) -> object:
    with open(top / "new", "wb") as file:
        return fcntl.lockf(file, fcntl.LOCK_EX)


@operation("posix_fallocate")
def _(top: Path) -> object:
    with open(top / "new", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 10)
    return len(content(top / "new"))


@operation("statvfs")
def _(top: Path) -> object:
    found = os.statvfs(top / "file")
    return found.f_namemax, found.f_bavail > 0
