"""mkdir, unlink, rename and whatever else changes a directory or a file by its path."""

from __future__ import annotations

import contextlib
import errno
import struct
import time
from typing import Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.call import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    PROCEED,
    Call,
    not_supported,
    signed_long,
)
from vfsmount.errors import os_error
from vfsmount.vfs.ending import Purpose

_NOREPLACE: Final = 1
_UNIX: Final = struct.pack("H", 1)
_MOST_OF_ADDRESS: Final = 110
"""``struct sockaddr_un``."""
_UTIME_NOW: Final = 0x3FFFFFFF
_UTIME_OMIT: Final = 0x3FFFFFFE


def mkdir(call: Call) -> int:
    return _mkdir(call, 0, None)


def mkdirat(call: Call) -> int:
    return _mkdir(call, 1, 0)


def rmdir(call: Call) -> int:
    return _rmdir(call, call.resolve(0, follow=False, purpose=Purpose.REMOVE))


def unlink(call: Call) -> int:
    return _unlink(call, call.resolve(0, follow=False))


def unlinkat(call: Call) -> int:
    if call.integer(2) & AT_REMOVEDIR:
        return _rmdir(call, call.resolve(1, 0, follow=False, purpose=Purpose.REMOVE))
    return _unlink(call, call.resolve(1, 0, follow=False))


def rename(call: Call) -> int:
    source = call.resolve(0, follow=False, purpose=Purpose.LEAVE)
    return _rename(call, source, call.resolve(1, follow=False, purpose=Purpose.TAKE), 0, call.text(1))


def renameat(call: Call) -> int:
    return _rename_between(call, 0)


def renameat2(call: Call) -> int:
    return _rename_between(call, call.integer(4))


def _rename_between(call: Call, flags: int) -> int:
    source = call.resolve(1, 0, follow=False, purpose=Purpose.LEAVE)
    return _rename(call, source, call.resolve(3, 2, follow=False, purpose=Purpose.TAKE), flags, call.text(3))


def link(call: Call) -> int:
    return _link(call, call.resolve(0, follow=False), call.resolve(1, follow=False))


def linkat(call: Call) -> int:
    source = call.resolve(1, 0, follow=bool(call.integer(4) & AT_SYMLINK_FOLLOW))
    if call.integer(4) & AT_EMPTY_PATH and not call.text(1):
        call.family.fill_all()
    return _link(call, source, call.resolve(3, 2, follow=False))


def symlink(call: Call) -> int:
    return _make_node(call, call.resolve(1, follow=False))


def symlinkat(call: Call) -> int:
    return _make_node(call, call.resolve(2, 1, follow=False))


def mknod(call: Call) -> int:
    return _make_node(call, call.resolve(0, follow=False))


def mknodat(call: Call) -> int:
    return _make_node(call, call.resolve(1, 0, follow=False))


def bind(call: Call) -> int:
    """A socket's name may be a path. Raises: ENOTSUP where that is mounted."""
    address = memory.read(call.pid, call.args[1], min(call.args[2], _MOST_OF_ADDRESS))
    call.check()
    path = address[2:].partition(b"\0")[0]
    if address[:2] != _UNIX or call.resolve_text(path, follow=False) is None:
        return PROCEED
    raise not_supported("a mount holds no sockets")


def chmod(call: Call) -> int:
    return _chmod(call, call.resolve(0), call.integer(1))


def fchmodat(call: Call) -> int:
    return _chmod(call, call.resolve(1, 0), call.integer(2))


def chown(call: Call) -> int:
    return _chown(call, call.resolve(0), call.integer(1), call.integer(2))


def lchown(call: Call) -> int:
    return _chown(call, call.resolve(0, follow=False), call.integer(1), call.integer(2))


def fchownat(call: Call) -> int:
    path = call.resolve(1, 0, follow=not call.integer(4) & AT_SYMLINK_NOFOLLOW)
    return _chown(call, path, call.integer(2), call.integer(3))


def truncate(call: Call) -> int:
    path = call.resolve(0)
    if path is None:
        node = call.reopened()
        if node is None or node.writing:
            return PROCEED
        path = node.path
    length = signed_long(call.args[1])
    writer = call.family.writers.get(path)
    if writer is not None:
        real.truncate(writer.node.local, length)
        return 0
    call.family.view.table.truncate(path, length)
    call.family.skeleton.drop(path)
    return 0


def utime(call: Call) -> int:
    path = call.resolve(0)
    if path is None:
        return PROCEED
    seconds = time.time() if not call.args[1] else memory.read_numbers(call.pid, call.args[1], 2)[1]
    return _utime(call, path, int(seconds * 1_000_000_000))


def utimes(call: Call) -> int:
    return _utimes(call, call.resolve(0), 1)


def futimesat(call: Call) -> int:
    return _utimes(call, call.resolve(1, 0), 2) if call.args[1] else PROCEED


def utimensat(call: Call) -> int:
    if not call.args[1]:
        return PROCEED
    path = call.resolve(1, 0, follow=not call.integer(3) & AT_SYMLINK_NOFOLLOW)
    if path is None:
        return PROCEED
    if not call.args[2]:
        return _utime(call, path, time.time_ns())
    _, access, seconds, rest = memory.read_numbers(call.pid, call.args[2], 4)
    if rest == _UTIME_OMIT:
        if access == _UTIME_OMIT:
            call.family.attr(path)
            return 0
        return _utime(call, path, call.family.attr(path)[0].mtime_ns)
    return _utime(call, path, time.time_ns() if rest == _UTIME_NOW else seconds * 1_000_000_000 + rest)


def _mkdir(call: Call, position: int, dirfd: int | None) -> int:
    path = call.resolve(position, dirfd, follow=False, purpose=Purpose.MAKE)
    if path is None:
        return PROCEED
    if not call.family.view.table.covers(path):
        raise os_error(errno.EEXIST, path)
    call.family.view.table.mkdir(path)
    call.family.attr(path)
    return 0


def _rmdir(call: Call, path: str | None) -> int:
    if path is None:
        return PROCEED
    call.family.view.table.rmdir(path)
    call.family.skeleton.drop(path)
    return 0


def _unlink(call: Call, path: str | None) -> int:
    if path is None:
        return PROCEED
    call.family.view.table.unlink(path)
    call.family.skeleton.drop(path)
    return 0


def _rename(call: Call, source: str | None, target: str | None, flags: int, named: bytes) -> int:
    if source is None and target is None:
        return PROCEED
    if source is None or target is None:
        raise os_error(errno.EXDEV, source, target)
    if flags & ~_NOREPLACE:
        raise os_error(errno.EINVAL, source, target)
    family = call.family
    if named.endswith(b"/") and family.view.table.covers(source) and not family.attr(source)[0].is_dir:
        raise os_error(errno.ENOTDIR, source, target)  # rename(2): only a directory becomes "name/"
    if flags & _NOREPLACE:
        try:
            family.view.stat(target)
        except FileNotFoundError:
            pass
        else:
            raise os_error(errno.EEXIST, source, target)
    family.skeleton.release_unused()
    writer = family.writers.get(source)
    with writer.lock if writer is not None else contextlib.nullcontext():
        if writer is not None:
            call.family.take_time()
            writer.hand_over()
        family.view.table.rename(source, target)
    family.skeleton.drop(source)
    family.skeleton.drop(target)
    return 0


def _link(call: Call, source: str | None, target: str | None) -> int:
    if source is None and target is None:
        call.may_reopen()
        return PROCEED
    if source is None or target is None:
        raise os_error(errno.EXDEV, source, target)
    call.family.view.table.link(source, target)


def _make_node(call: Call, path: str | None) -> int:
    if path is None:
        return PROCEED
    call.family.view.table.mknod(path)
    raise os_error(errno.EPERM, path)


def _chmod(call: Call, path: str | None, mode: int) -> int:
    if path is None:
        return PROCEED
    call.family.view.table.chmod(path, mode)
    return 0


def _chown(call: Call, path: str | None, uid: int, gid: int) -> int:
    if path is None:
        return PROCEED
    call.family.view.table.chown(path, uid, gid)
    return 0


def _utimes(call: Call, path: str | None, position: int) -> int:
    if path is None:
        return PROCEED
    if not call.args[position]:
        return _utime(call, path, time.time_ns())
    _, _, seconds, micro = memory.read_numbers(call.pid, call.args[position], 4)
    return _utime(call, path, seconds * 1_000_000_000 + micro * 1000)


def _utime(call: Call, path: str, mtime_ns: int) -> int:
    writer = call.family.writers.get(path)
    if writer is not None:
        real.utime(writer.node.local, ns=(mtime_ns, mtime_ns))
        return 0
    call.family.view.table.utime(path, mtime_ns)
    return 0
