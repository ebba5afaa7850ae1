"""Functions of Python that take a descriptor number."""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import selectors
import socket
import stat
import sys
from typing import Any

from tests.ways.way import Place, way

GROUP = "descriptors"


def _opened(at: Place, name: str = "data.bin", flags: int = os.O_RDONLY) -> int:
    return os.open(at(name), flags, 0o644)


def _made(at: Place) -> int:
    return _opened(at, "new.bin", os.O_WRONLY | os.O_CREAT)


@way(GROUP, "read and lseek")
def _(at: Place) -> object:
    number = _opened(at)
    try:
        return os.read(number, 5), os.lseek(number, -3, os.SEEK_END), os.read(number, 10), os.read(number, 1)
    finally:
        os.close(number)


@way(GROUP, "pread")
def _(at: Place) -> object:
    number = _opened(at)
    try:
        return os.pread(number, 5, 300), os.lseek(number, 0, os.SEEK_CUR), os.pread(number, 5, 10**6)
    finally:
        os.close(number)


@way(GROUP, "readv and preadv")
def _(at: Place) -> object:
    number = _opened(at)
    first, second = bytearray(3), bytearray(4)
    try:
        return os.readv(number, [first, second]), bytes(first), os.preadv(number, [second], 9), bytes(second)
    finally:
        os.close(number)


@way(GROUP, "write and writev")
def _(at: Place) -> object:
    number = _made(at)
    try:
        return os.write(number, b"one"), os.writev(number, [b"two", bytearray(b"three")])
    finally:
        os.close(number)


@way(GROUP, "pwrite and pwritev")
def _(at: Place) -> object:
    number = _made(at)
    try:
        return os.pwrite(number, b"one", 0), os.pwritev(number, [b"two", b"3"], 3), os.lseek(number, 0, os.SEEK_CUR)
    finally:
        os.close(number)


@way(GROUP, "fstat, fstatvfs, isatty, fpathconf")
def _(at: Place) -> object:
    number = _opened(at)
    try:
        found = os.fstat(number)
        return (
            found.st_size,
            stat.S_ISREG(found.st_mode),
            os.path.sameopenfile(number, number),
            type(os.fstatvfs(number)),
            os.isatty(number),
            os.fpathconf(number, "PC_NAME_MAX"),
            found.st_ino == os.stat(at("data.bin")).st_ino,
        )
    finally:
        os.close(number)


@way(GROUP, "fsync and fdatasync")
def _(at: Place) -> object:
    number = _made(at)
    os.write(number, b"synced")
    try:
        return os.fsync(number), os.fdatasync(number)
    finally:
        os.close(number)


@way(GROUP, "ftruncate", mode="staged")
def _(at: Place) -> object:
    number = _opened(at, flags=os.O_RDWR)
    try:
        return os.ftruncate(number, 100), os.fstat(number).st_size
    finally:
        os.close(number)


@way(GROUP, "dup and dup2")
def _(at: Place) -> object:
    number = _opened(at)
    other = os.dup(number)
    third = os.dup2(number, other + 50)
    try:
        return os.read(number, 2), os.read(other, 2), os.read(third, 2), os.get_inheritable(other)
    finally:
        for each in (number, other, third):
            os.close(each)


@way(GROUP, "dup of a writer")
def _(at: Place) -> object:
    number = _made(at)
    other = os.dup(number)
    os.write(number, b"a")
    os.close(number)
    os.write(other, b"b")
    return os.close(other)


@way(GROUP, "dup2 onto a standard stream")
def _(at: Place) -> object:
    sys.stdout.flush()
    kept = os.dup(1)
    number = _made(at)
    try:
        os.dup2(number, 1)
        os.close(number)
        os.write(1, b"on standard output\n")
        os.system("echo from a child")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    return at.bytes_of("new.bin")


@way(GROUP, "fcntl: F_DUPFD, F_DUPFD_CLOEXEC, F_GETFL, F_GETFD, F_SETFD")
def _(at: Place) -> object:
    number = _opened(at)
    other = fcntl.fcntl(number, fcntl.F_DUPFD, 200)
    third = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 200)
    try:
        fcntl.fcntl(third, fcntl.F_SETFD, 0)
        return (
            other >= 200,
            os.read(other, 3),
            os.read(third, 3),
            fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE,
            fcntl.fcntl(number, fcntl.F_GETFD),
            os.get_inheritable(third),
        )
    finally:
        for each in (number, other, third):
            os.close(each)


@way(GROUP, "closerange")
def _(at: Place) -> object:
    number = fcntl.fcntl(_opened(at), fcntl.F_DUPFD, 300)
    os.closerange(number, number + 1)
    try:
        os.fstat(number)
    except OSError as error:
        return error.errno
    return None


@way(GROUP, "set_inheritable, set_blocking, posix_fadvise")
def _(at: Place) -> object:
    number = _opened(at)
    try:
        os.set_inheritable(number, True)
        os.set_blocking(number, True)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return os.get_inheritable(number), os.get_blocking(number), os.read(number, 3)
    finally:
        os.close(number)


@way(GROUP, "sendfile to a socket")
def _(at: Place) -> object:
    here, there = socket.socketpair()
    number = _opened(at, "text.txt")
    try:
        return os.sendfile(here.fileno(), number, 2, 100), there.recv(100)
    finally:
        os.close(number)
        here.close()
        there.close()


@way(GROUP, "sendfile from the disk")
def _(at: Place) -> object:
    with open(f"{at.local}/source", "wb") as file:
        file.write(b"local bytes")
    source, target = os.open(f"{at.local}/source", os.O_RDONLY), _made(at)
    try:
        return os.sendfile(target, source, 0, 100)
    finally:
        os.close(source)
        os.close(target)


@way(GROUP, "copy_file_range")
def _(at: Place) -> object:
    source, target = _opened(at), _made(at)
    try:
        return os.copy_file_range(source, target, 100, 50), os.copy_file_range(source, target, 10)
    finally:
        os.close(source)
        os.close(target)


@way(GROUP, "splice to a pipe and from one")
def _(at: Place) -> object:
    if not hasattr(os, "splice"):
        return None
    reader, writer = os.pipe()
    source, target = _opened(at, "text.txt"), _made(at)
    try:
        moved = os.splice(source, writer, 10)
        return moved, os.splice(reader, target, moved)
    finally:
        for each in (reader, writer, source, target):
            os.close(each)


@way(GROUP, "socket.sendfile")
def _(at: Place) -> object:
    here, there = socket.socketpair()
    with here, there, open(at("text.txt"), "rb") as file:
        return here.sendfile(file), there.recv(100), file.tell()


@way(GROUP, "select, poll and selectors")
def _(at: Place) -> object:
    number = _opened(at)
    try:
        poll = select.poll()
        poll.register(number, select.POLLIN)
        with selectors.SelectSelector() as selector:
            selector.register(number, selectors.EVENT_READ)
            chosen = len(selector.select(0))
        refused = None
        try:
            with select.epoll() as epoll:
                epoll.register(number)
        except OSError as error:
            refused = error.errno
        return (
            select.select([number], [], [], 0)[0] == [number],
            [(each == number, event) for each, event in poll.poll(0)],
            chosen,
            refused,
        )
    finally:
        os.close(number)


@way(GROUP, "select on file objects")
def _(at: Place) -> object:
    with open(at("text.txt"), "rb") as reader, open(at("new.txt"), "wb") as writer:
        ready = select.select([reader], [writer], [], 0)
        return ready[0] == [reader], ready[1] == [writer], reader.read(3)


@way(GROUP, "socket.send_fds and recv_fds")
def _(at: Place) -> object:
    here, there = socket.socketpair(socket.AF_UNIX)
    number = _opened(at, "text.txt")
    with here, there:
        socket.send_fds(here, [b"x"], [number])
        _, received, _, _ = socket.recv_fds(there, 10, 4)
    os.close(number)
    try:
        return os.read(received[0], 100)
    finally:
        os.close(received[0])


@way(GROUP, "fileno, and Python calls on it")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as file:
        file.read(10)
        number = file.fileno()
        return os.fstat(number).st_size, os.pread(number, 4, 20), file.read(2), number == file.fileno()


@way("mmap", "read")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[250:260], mapped.find(b"\x05\x06"), len(mapped), mapped.readline()


@way("mmap", "of a bare number, by protection")
def _(at: Place) -> object:
    number = _opened(at)
    mapped = mmap.mmap(number, 512, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(number)
    with mapped:
        mapped[:3] = b"own"
        return mapped[:6], len(mapped)


@way("mmap", "write", mode="staged")
def _(at: Place) -> object:
    with open(at("data.bin"), "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[10:15] = b"stored"[:5]
        mapped.flush()
        file.seek(8)
        return file.read(10)


@way("mmap", "write after the file was closed", mode="staged")
def _(at: Place) -> object:
    with open(at("data.bin"), "r+b") as file:
        mapped: Any = mmap.mmap(file.fileno(), 0)
    mapped[:4] = b"late"
    return mapped.close()
