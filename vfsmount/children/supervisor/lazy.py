"""Reading a large file while it is fetched.

Its descriptor in the child has a number from a range that the filter knows, so that the calls that read by it, copy it
or hand it on come here, and what they are about to see is fetched before they see it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.bpf import SHARING_IOCTLS
from vfsmount.children.supervisor.call import PROCEED, Call, signed, signed_long
from vfsmount.children.supervisor.processes import duplicate
from vfsmount.children.supervisor.sharing import position
from vfsmount.errors import os_error

if TYPE_CHECKING:
    from vfsmount.children.supervisor.skeleton import Node

_READS: Final = ("read", "pread64", "readv", "preadv", "preadv2")
_F_DUPFD: Final = 0
_F_DUPFD_CLOEXEC: Final = 1030
_MOST_PIECES: Final = 1024
"""UIO_MAXIOV."""
_POSITIONS: Final = {"mmap": (4,), "sendfile": (1,), "ioctl": (0, 2)}
_HARMLESS_IOCTLS: Final = frozenset({0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451})
"""TCGETS (``isatty``), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Source: asm-generic/ioctls.h."""
_OF_ANY: Final = frozenset({"sendmsg", "sendmmsg", "io_submit", "fsconfig"})
"""Numbers stand in memory that another thread may change, or where only some of these calls have one."""
WITHOUT_NUMBER: Final = frozenset({"pidfd_getfd", "mount", "open_tree", "open_tree_attr", "move_mount"})
"""Reach a file that is open by another process's number, or by a path through ``/proc``."""


def lazy(call: Call, name: str | None) -> int:
    """Have what the call will see, and let the kernel do it."""
    if name in _OF_ANY or (name == "ioctl" and call.args[1] & 0xFFFFFFFF in SHARING_IOCTLS):
        call.family.fill_open(call)
        return PROCEED
    if name in WITHOUT_NUMBER:
        call.family.fill_all()
        return PROCEED
    for argument in _POSITIONS.get(name or "", (0,)):
        number = signed(call.args[argument])
        if not call.family.is_lazy(number):
            continue
        try:
            node = call.family.behind(call.pid, number)
        except PermissionError:  # the process has made itself unreadable
            call.check()
            call.family.fill_all()
            continue
        if node is None or not (node.is_open or node.is_lost) or _is_harmless(call, name):
            continue
        if node.is_lost:
            raise os_error(errno.EIO, node.path, hint="its mount is gone, and not all of it has been fetched")
        if argument == 0 and name in _READS:
            _read(call, name, number, node)
        elif argument == 0 and name == "lseek":
            return _seek(call, number, node)
        else:
            call.family.take_time()
            node.fill()
    return PROCEED


def _is_harmless(call: Call, name: str | None) -> bool:
    """Nothing of the content will be seen."""
    if name == "fcntl":
        return call.integer(1) not in (_F_DUPFD, _F_DUPFD_CLOEXEC)
    if name in ("dup2", "dup3"):  # to where it is trapped too, and nobody is about to read what was there before
        return call.family.stdin and call.integer(1) == 0 and _is_alone(call.pid)
    if name == "ioctl":
        return call.integer(1) in _HARMLESS_IOCTLS
    if name == "copy_file_range":  # fails but between files
        try:
            return not stat.S_ISREG(real.stat(f"/proc/{call.pid}/fd/{call.integer(2)}").st_mode)
        except OSError:
            return True
    return False


def _is_alone(pid: int) -> bool:
    """Whether the process has one thread."""
    try:
        return len(real.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return False


@contextlib.contextmanager
def _held(call: Call, node: Node) -> Iterator[None]:
    """The node's lock, without keeping the family's other calls from being answered."""
    if not node.lock.acquire(blocking=False):
        call.family.take_time()
        node.lock.acquire()
    try:
        yield
    finally:
        node.lock.release()


def _ensure(call: Call, node: Node, start: int, size: int) -> None:
    if size and 0 <= start < node.attr.size and not node.has(start, start + size):
        call.family.take_time()
        node.ensure(start, start + size)


def _fill(call: Call, node: Node) -> None:
    call.family.take_time()
    node.fill()


def _read(call: Call, name: str, number: int, node: Node) -> None:
    if name in ("read", "pread64"):
        size = call.args[2]
    else:
        count = min(call.args[2], _MOST_PIECES)
        try:
            pieces = memory.read(call.pid, call.args[1], 16 * count)
        except memory.Unreadable:
            return _fill(call, node)
        size = sum(length for _, length in struct.iter_unpack("2Q", pieces))
    moves = name in ("read", "readv") or (name == "preadv2" and call.args[3] == (1 << 64) - 1)
    with _held(call, node):
        if not moves:
            _ensure(call, node, call.args[3], size)
            return
        others = node.readers.others(call.pid)
        if others is None:
            _fill(call, node)
        else:
            _ensure(call, node, position(call.pid, number), size + others)
        node.readers.reads(call.pid, size)


def _seek(call: Call, number: int, node: Node) -> int:
    """Done here where it can be, so that nobody has to reckon with one that is still to be done."""
    offset, whence = signed_long(call.args[1]), call.integer(2)
    if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
        _fill(call, node)
        return PROCEED
    if whence == os.SEEK_CUR and not offset:
        return PROCEED
    with _held(call, node):
        others = node.readers.others(call.pid)
        own = _duplicate(call, number, node)
        if own < 0:
            if others == 0:
                node.readers.seeks(call.pid)
            else:
                _fill(call, node)
            return PROCEED
        try:
            if others is None:
                _fill(call, node)
            elif others:
                base = {os.SEEK_SET: 0, os.SEEK_END: node.attr.size}.get(whence)
                _ensure(call, node, offset + (real.lseek(own, 0, os.SEEK_CUR) if base is None else base), others)
            node.readers.has_moved(call.pid)
            call.check()
            return real.lseek(own, offset, whence)
        finally:
            real.fd_close(own)


def _duplicate(call: Call, number: int, node: Node) -> int:
    """Negative where it cannot be had, or where a signal could have the call be made again."""
    if not call.family.killable:
        return -1
    try:
        own = duplicate(call.pid, number)
    except OSError:
        return -1
    found = real.fstat(own)
    if (found.st_dev, found.st_ino) != node.identity:
        real.fd_close(own)
        return -1
    return own
