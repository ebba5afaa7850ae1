"""What Python cannot be made to serve: each fails loudly, and leaves the bucket as it was."""

from __future__ import annotations

import ctypes
import errno
import io
import mmap
import os
import sqlite3
import stat
import tempfile
import zoneinfo
from typing import Any

import pytest

from tests.ways.native import LIBC, read
from tests.ways.way import Place, unreached
from vfsmount import real


class Before(io.FileIO):
    """Made before anything was mounted."""


class Keeper:
    """Keeps what it is given, out of the sight of any search."""

    __slots__ = ("opener",)

    def __init__(self, opener: Any) -> None:
        self.opener = opener


ABSENT = (errno.ENOENT, errno.ENOTDIR)


def _fails(call: Any, *args: Any, **kwargs: Any) -> int | None:
    with pytest.raises(OSError) as caught:
        call(*args, **kwargs)
    return caught.value.errno


@unreached(
    "C code with a path",
    "open(2) or fopen(3) of a mounted path in a library without a hook",
    why="no Python function is called; `vfsmount run --native`, a hook or `vfsmount.materialize` serve it",
    instead="ENOENT or ENOTDIR: nothing is on the disk there, or the mount point's guard",
)
def _(at: Place) -> None:
    assert LIBC.open(os.fsencode(at("text.txt")), os.O_RDONLY) == -1
    assert ctypes.get_errno() in ABSENT
    assert LIBC.open(os.fsencode(at("new.txt")), os.O_WRONLY | os.O_CREAT, 0o644) == -1
    assert ctypes.get_errno() in ABSENT


@unreached(
    "C code with a descriptor",
    "read(2), pread(2) and mmap(2) on a number of os.open that was never handed out",
    why="the content is fetched when the number escapes: fileno(), dup, mmap, a child, send_fds",
    instead="EISDIR from read, ENODEV from mmap; a write is EBADF",
)
def _(at: Place) -> None:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        assert read(number, 5) == errno.EISDIR
        assert LIBC.write(number, b"x", 1) == -1
        assert LIBC.mmap(None, 100, 1, 2, number, 0) == ctypes.c_void_p(-1).value
        assert ctypes.get_errno() == errno.ENODEV
        assert os.read(number, 5) == b"alpha"
    finally:
        os.close(number)


@unreached(
    "C code with a descriptor",
    "open(2) by C of /proc/self/fd/N for such a number",
    why="as above; Python's own open of it is served",
    instead="a directory: EISDIR from read",
)
def _(at: Place) -> None:
    number = os.open(at("text.txt"), os.O_RDONLY)
    again = LIBC.open(b"/proc/self/fd/%d" % number, os.O_RDONLY)
    try:
        assert read(again, 5) == errno.EISDIR
    finally:
        LIBC.close(again)
        os.close(number)


@unreached(
    "C code with a descriptor",
    "writing behind the end of a file that is written in sequence",
    why='`writes="sequential"`',
    instead="EINVAL from the next call or from close; nothing is uploaded",
)
def _(at: Place) -> None:
    number = os.open(at("new.bin"), os.O_WRONLY | os.O_CREAT)
    os.write(number, b"0123456789")
    LIBC.lseek(number, 2, os.SEEK_SET)
    LIBC.write(number, b"XX", 2)
    assert _fails(os.close, number) == errno.EINVAL


@unreached(
    "C code with a descriptor",
    "a writable shared mapping of a file that is written in sequence",
    why='`writes="sequential"`; works with "staged"',
    instead="EACCES from mmap",
)
def _(at: Place) -> None:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        assert _fails(mmap.mmap, number, 0, access=mmap.ACCESS_WRITE) == errno.EACCES
    finally:
        os.close(number)


@unreached(
    "/proc and /dev",
    "os.stat of /dev/fd/N or /proc/self/fd/N",
    why="local paths that mean no mount take the shortest way; os.fstat(N) is served",
    instead="the facts of what stands behind the number: a directory before it is handed out, the content after",
)
def _(at: Place) -> None:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        assert stat.S_ISDIR(os.stat(f"/dev/fd/{number}").st_mode)
        other = os.dup(number)
        assert os.stat(f"/dev/fd/{number}").st_size == os.fstat(number).st_size == 17
        os.close(other)
    finally:
        os.close(number)


@unreached(
    "captured before",
    "an original in a tuple, a list of lists, a slot, or a variable of a running function",
    why="no search finds it",
    instead="ENOENT or ENOTDIR, as in C code",
)
def _(at: Place) -> None:
    # As if kept since before the mount; kept that long, they would cost each activation of the tests a whole search.
    captured, nested, keeper = (real.open, real.stat), [[real.open]], Keeper(real.open)
    assert _fails(captured[0], at("text.txt")) in ABSENT
    assert _fails(captured[1], at("text.txt")) in ABSENT
    assert _fails(nested[0][0], at("text.txt")) in ABSENT
    assert _fails(keeper.opener, at("new.txt"), "w") in ABSENT


@unreached(
    "captured before",
    "a subclass of io.FileIO that was made before the mount was activated",
    why="its base is the original class, written in C",
    instead="ENOENT or ENOTDIR",
)
def _(at: Place) -> None:
    assert _fails(Before, at("text.txt")) in ABSENT
    assert _fails(Before, at("new.txt"), "w") in ABSENT


@unreached(
    "captured before",
    "zoneinfo, where PYTHONTZPATH or reset_tzpath names a mounted directory",
    why="its C code has kept io.open since it was imported; ZoneInfo.from_file takes a mounted file",
    instead="ENOENT or ENOTDIR",
)
def _(at: Place) -> None:
    zoneinfo.reset_tzpath([at.root])
    try:
        assert _fails(zoneinfo.ZoneInfo, "text.txt") in ABSENT
    finally:
        zoneinfo.reset_tzpath()


@unreached(
    "spelling of a path",
    "what an entry of os.scandir tells of a local link into a mount, to others than the standard library's walks",
    why="os.DirEntry follows links in C; os.path.isdir(entry) and os.stat(entry) are served",
    instead="ENOTDIR, or as for a link to nothing where no guard stands at the mount point",
)
def _(at: Place) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.symlink(at("text.txt"), f"{place}/link")
        with os.scandir(place) as entries:
            (entry,) = entries
        assert _fails(entry.stat) in ABSENT
        assert os.stat(entry).st_size == os.path.getsize(at("text.txt"))


@unreached(
    "databases",
    "writing to a database with sqlite3",
    why="SQLite says that a transaction is durable before vfsmount could upload it",
    instead="sqlite3.OperationalError: attempt to write a readonly database, or unable to open database file",
    mode="staged",
)
def _(at: Place) -> None:
    connection = sqlite3.connect(at("some.db"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("insert into t values (1, 'x')")
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.connect(at("new.db"))


@unreached(
    "databases",
    "ATTACH of a mounted database, and sqlite3.Connection called by itself",
    why="SQLite opens the path in C",
    instead="sqlite3.OperationalError: unable to open database",
)
def _(at: Place) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connection.execute("attach ? as other", [at("some.db")])
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.Connection(at("some.db"))


@unreached(
    "databases",
    "dbm.gnu and dbm.ndbm",
    why="their libraries open the path in C",
    instead="dbm.error",
)
def _(at: Place) -> None:
    tried = 0
    for name in ("dbm.gnu", "dbm.ndbm"):
        try:
            module = __import__(name, fromlist=["error"])
        except ImportError:
            continue
        tried += 1
        with pytest.raises(module.error):
            module.open(at("new"), "c")
    if not tried:
        pytest.skip("neither is built into this Python")


@unreached(
    "child programs",
    "os.exec* with a mounted path",
    why="nobody would be left to serve the program",
    instead="ENOTSUP; use subprocess",
)
def _(at: Place) -> None:
    assert _fails(os.execv, "/bin/cat", ["cat", at("text.txt")]) == errno.ENOTSUP


@unreached(
    "open to write",
    "O_TMPFILE",
    why="a bucket has no nameless objects; tempfile.TemporaryFile falls back to a name",
    instead="EISDIR or EOPNOTSUPP",
)
def _(at: Place) -> None:
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        pytest.skip("Linux only")
    assert _fails(os.open, at("dir"), os.O_RDWR | flag) in (errno.EISDIR, errno.EOPNOTSUPP, errno.EINVAL)
