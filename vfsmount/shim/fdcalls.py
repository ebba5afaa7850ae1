"""``os.open`` and the functions of ``os`` that take a descriptor number.

For a number that is not ours each costs one dict look-up before the real call. What is refused here has the errno that a kernel
file system without the feature would give. Left alone, because they are right on a placeholder or a spool too: ``get_inheritable``,
``get_blocking``, ``isatty``, ``fpathconf``, ``device_encoding``. ``os.fdopen`` ends in ``io.open``.
"""

from __future__ import annotations

import errno
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from vfsmount.errors import os_error
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.rawfile import number_of
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.shim.description import Description
    from vfsmount.shim.descriptors import FdTable

_Function = Callable[..., Any]


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """Everything by descriptor: what is in ``os`` here, copies, ``fcntl`` and ``mmap`` from :mod:`vfsmount.shim.transfers`."""
    from vfsmount.shim import transfers

    for function in (_open(context), *_reading(context.fds), *_writing(context.fds), *_lifetime(context.fds), *_facts(context)):
        if hasattr(os, function.__name__):
            yield Replacement(os, function.__name__, function)
    yield from transfers.replacements(context)


def view_of(data: Any) -> memoryview:
    """``data`` as bytes. Raises: TypeError as ``os.write`` does."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None


def _count(value: Any) -> int:
    number = operator.index(value)
    if number < 0:
        raise os_error(errno.EINVAL)
    return number


def _open(context: ShimContext) -> _Function:
    original = os.open
    router, table, fds = context.router, context.table, context.fds
    no_follow = getattr(os, "O_NOFOLLOW", 0)

    def open(path: Any, flags: Any, mode: Any = 0o777, *, dir_fd: Any = None) -> int:
        if type(path) is str and dir_fd is None and router.needle not in path:
            target = None
            local: Any = path
        else:
            try:
                target = router.route(path, dir_fd=dir_fd, follow=not _wants(flags, no_follow))
            except OSError as error:
                raise follow_up(error, path) from error.__cause__
            local = path if target is not None else router.local(path, dir_fd)
        if target is None:
            try:
                return original(local, flags, mode, dir_fd=dir_fd if local is path else None)
            except OSError as error:
                target = router.retry(error, path, dir_fd=dir_fd, follow=not _wants(flags, no_follow))
                if target is None:
                    raise follow_up(error, path) from error.__cause__
        sys.audit("open", path, None, flags)
        try:
            return fds.install(table.open(target, operator.index(flags), mode))
        except OSError as error:
            raise follow_up(error, path) from error.__cause__

    return open


def _wants(flags: object, bit: int) -> bool:
    return isinstance(flags, int) and bool(flags & bit)


def _reading(fds: FdTable) -> Iterator[_Function]:
    originals = vars(os).copy()

    def read(fd: Any, length: Any, /) -> bytes:
        entry = fds.get(fd)
        if entry is None:
            return bytes(originals["read"](fd, length))
        return entry.read(_count(length))

    def pread(fd: Any, length: Any, offset: Any, /) -> bytes:
        entry = fds.get(fd)
        if entry is None:
            return bytes(originals["pread"](fd, length, offset))
        return entry.pread(_count(length), _count(offset))

    def readv(fd: Any, buffers: Sequence[Any], /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["readv"](fd, buffers))
        return _fill(buffers, lambda view, done: entry.readinto(view))

    def preadv(fd: Any, buffers: Sequence[Any], offset: Any, flags: Any = 0, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["preadv"](fd, buffers, offset, flags))
        start = _count(offset)
        return _fill(buffers, lambda view, done: _pread_into(entry, view, start + done))

    yield from (read, pread, readv, preadv)


def _fill(buffers: Sequence[Any], read: Callable[[memoryview, int], int]) -> int:
    """Fill one buffer after the other; stops at a short read."""
    done = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError("read-write bytes-like object expected")
        got = 0
        while got < len(view):
            count = read(view[got:], done)
            if count == 0:
                return done
            got += count
            done += count
    return done


def _pread_into(entry: Description, view: memoryview, offset: int) -> int:
    data = entry.pread(len(view), offset)
    view[: len(data)] = data
    return len(data)


def _writing(fds: FdTable) -> Iterator[_Function]:
    originals = vars(os).copy()

    def write(fd: Any, data: Any, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["write"](fd, data))
        return entry.write(view_of(data))

    def pwrite(fd: Any, buffer: Any, offset: Any, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["pwrite"](fd, buffer, offset))
        return entry.pwrite(view_of(buffer), _count(offset))

    def writev(fd: Any, buffers: Sequence[Any], /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["writev"](fd, buffers))
        return entry.write(b"".join([view_of(buffer) for buffer in buffers]))

    def pwritev(fd: Any, buffers: Sequence[Any], offset: Any, flags: Any = 0, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["pwritev"](fd, buffers, offset, flags))
        return entry.pwrite(b"".join([view_of(buffer) for buffer in buffers]), _count(offset))

    def ftruncate(fd: Any, length: Any, /) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["ftruncate"](fd, length)
        else:
            entry.truncate(_count(length))

    def fsync(fd: Any) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            originals["fsync"](number)
        else:
            entry.fsync()

    def fdatasync(fd: Any) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            originals["fdatasync"](number)
        else:
            entry.fsync()

    yield from (write, pwrite, writev, pwritev, ftruncate, fsync, fdatasync)


def _lifetime(fds: FdTable) -> Iterator[_Function]:
    originals = vars(os).copy()

    def close(fd: Any) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["close"](fd)
        else:
            fds.close(fd, entry)

    def closerange(fd_low: Any, fd_high: Any, /) -> None:
        for number in fds.numbers(fd_low, fd_high):
            entry = fds.get(number)
            if entry is not None:
                fds.close_logged(number, entry)
        originals["closerange"](fd_low, fd_high)

    def dup(fd: Any, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["dup"](fd))
        return fds.duplicate(fd, entry)

    def dup2(fd: Any, fd2: Any, inheritable: Any = True) -> int:
        entry = fds.get(fd)
        if entry is None and fds.get(fd2) is None:
            return int(originals["dup2"](fd, fd2, inheritable))
        return fds.duplicate_onto(fd, entry, operator.index(fd2), inheritable=bool(inheritable))

    def set_inheritable(fd: Any, inheritable: Any, /) -> None:
        entry = fds.get(fd)
        if entry is not None and inheritable:
            entry.escape()
        originals["set_inheritable"](fd, inheritable)

    def set_blocking(fd: Any, blocking: Any, /) -> None:
        if fds.get(fd) is None:  # of no effect on a regular file
            originals["set_blocking"](fd, blocking)

    yield from (close, closerange, dup, dup2, set_inheritable, set_blocking)


def _facts(context: ShimContext) -> Iterator[_Function]:
    fds, table = context.fds, context.table
    originals = vars(os).copy()

    def lseek(fd: Any, position: Any, whence: Any, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["lseek"](fd, position, whence))
        return entry.seek(operator.index(position), operator.index(whence))

    def fstat(fd: Any) -> os.stat_result:
        entry = fds.get(fd)
        if entry is None:
            result: os.stat_result = originals["fstat"](fd)
            return result
        return entry.stat().stat_result()

    def fstatvfs(fd: Any, /) -> os.statvfs_result:
        entry = fds.get(fd)
        if entry is None:
            result: os.statvfs_result = originals["fstatvfs"](fd)
            return result
        return table.statvfs(entry.path)

    def fchmod(fd: Any, mode: Any) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["fchmod"](fd, mode)
        else:
            entry.chmod(mode)

    def fchown(fd: Any, uid: Any, gid: Any) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["fchown"](fd, uid, gid)
        else:
            entry.chown(uid, gid)

    def lockf(fd: Any, command: Any, length: Any, /) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["lockf"](fd, command, length)
        else:
            refuse(entry, errno.ENOTSUP, "a bucket has no locks")

    def posix_fallocate(fd: Any, offset: Any, length: Any, /) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["posix_fallocate"](fd, offset, length)
        else:
            refuse(entry, errno.ENOTSUP, "space in a bucket cannot be reserved")

    def posix_fadvise(fd: Any, offset: Any, length: Any, advice: Any, /) -> None:
        if fds.get(fd) is None:  # advice: nothing has to come of it
            originals["posix_fadvise"](fd, offset, length, advice)

    def ttyname(fd: Any, /) -> str:
        entry = fds.get(fd)
        if entry is None:
            return str(originals["ttyname"](fd))
        raise os_error(errno.ENOTTY)

    def tcgetpgrp(fd: Any, /) -> int:
        entry = fds.get(fd)
        if entry is None:
            return int(originals["tcgetpgrp"](fd))
        raise os_error(errno.ENOTTY)

    def tcsetpgrp(fd: Any, pgid: Any, /) -> None:
        entry = fds.get(fd)
        if entry is None:
            originals["tcsetpgrp"](fd, pgid)
        else:
            raise os_error(errno.ENOTTY)

    yield from (lseek, fstat, fstatvfs, fchmod, fchown, lockf, posix_fallocate, posix_fadvise, ttyname, tcgetpgrp, tcsetpgrp)


def refuse(entry: Description, number: int, hint: str) -> NoReturn:
    """Raise ``number`` for the file behind ``entry``."""
    raise os_error(number, entry.path, hint=hint)


