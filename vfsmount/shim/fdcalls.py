"""``os.open`` and the functions of ``os`` that take a descriptor number.

For a number that is not ours each costs one dict look-up before the real call. What is refused here has the errno that
a kernel file system without the feature would give. Left alone, because they are right on a placeholder or a spool
too: ``get_inheritable``, ``get_blocking``, ``isatty``, ``fpathconf``, ``device_encoding``. ``os.fdopen`` ends in
``io.open``.
"""

from __future__ import annotations

import contextlib
import errno
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from vfsmount.errors import os_error
from vfsmount.shim.calls import empty_like
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.rawfile import number_of
from vfsmount.shim.route import follow_up
from vfsmount.vfs.ending import opening

if TYPE_CHECKING:
    from vfsmount.shim.description import Description
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.vfs.mounts import MountTable

_Function = Callable[..., Any]


def absent(*args: object) -> Any:
    """In the place of an original that this platform has not; it is then not replaced either."""
    raise NotImplementedError


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """Everything by descriptor: what is in ``os`` here, copies, ``fcntl`` and ``mmap`` from
    :mod:`vfsmount.shim.transfers`."""
    from vfsmount.shim import transfers

    for function in (
        _open(context),
        *_reading(context.fds),
        *_writing(context.fds),
        *_lifetime(context.fds),
        *_facts(context),
    ):
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

    def open(_: object, /, path: Any, flags: Any, mode: Any = 0o777, *, dir_fd: Any = None) -> int:
        if (
            type(path) is str
            and dir_fd is None
            and "/fd/" not in path
            and (router.needle not in path or router.is_foreign(path))
        ):
            target = None
            local: Any = path
        else:
            try:
                target = router.route(path, dir_fd=dir_fd, follow=not _wants(flags, no_follow), purpose=opening(flags))
            except OSError as error:
                raise follow_up(error, path) from error.__cause__
            local = path if target is not None else router.local(path, dir_fd)
        if target is None:
            try:
                return original(local, flags, mode, dir_fd=dir_fd if local is path else None)
            except OSError as error:
                target = router.retry(
                    error, path, dir_fd=dir_fd, follow=not _wants(flags, no_follow), purpose=opening(flags)
                )
                if target is None:
                    raise follow_up(error, path) from error.__cause__
        empty = empty_like(path)
        if empty is not None:
            with contextlib.suppress(OSError):
                original(empty, flags)
        sys.audit("open", path, None, flags)
        try:
            return fds.install(table.open(target, operator.index(flags), mode))
        except OSError as error:
            raise follow_up(error, path) from error.__cause__

    return open


def _wants(flags: object, bit: int) -> bool:
    return isinstance(flags, int) and bool(flags & bit)


def _reading(fds: FdTable) -> Iterator[_Function]:
    get = fds.get
    real_read: Callable[..., bytes] = vars(os).get("read", absent)
    real_pread: Callable[..., bytes] = vars(os).get("pread", absent)
    real_readv: Callable[..., int] = vars(os).get("readv", absent)
    real_preadv: Callable[..., int] = vars(os).get("preadv", absent)

    def read(_: object, fd: Any, length: Any, /) -> bytes:
        entry = get(fd)
        if entry is None:
            return real_read(fd, length)
        return entry.read(_count(length))

    def pread(_: object, fd: Any, length: Any, offset: Any, /) -> bytes:
        entry = get(fd)
        if entry is None:
            return real_pread(fd, length, offset)
        return entry.pread(_count(length), _count(offset))

    def readv(_: object, fd: Any, buffers: Sequence[Any], /) -> int:
        entry = get(fd)
        if entry is None:
            return real_readv(fd, buffers)
        return _fill(buffers, lambda view, done: entry.readinto(view))

    def preadv(_: object, fd: Any, buffers: Sequence[Any], offset: Any, flags: Any = 0, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_preadv(fd, buffers, offset, flags)
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
    get = fds.get
    real_write: Callable[..., int] = vars(os).get("write", absent)
    real_pwrite: Callable[..., int] = vars(os).get("pwrite", absent)
    real_writev: Callable[..., int] = vars(os).get("writev", absent)
    real_pwritev: Callable[..., int] = vars(os).get("pwritev", absent)
    real_ftruncate: Callable[..., Any] = vars(os).get("ftruncate", absent)
    real_fsync: Callable[..., Any] = vars(os).get("fsync", absent)
    real_fdatasync: Callable[..., Any] = vars(os).get("fdatasync", absent)

    def write(_: object, fd: Any, data: Any, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_write(fd, data)
        return entry.write(view_of(data))

    def pwrite(_: object, fd: Any, buffer: Any, offset: Any, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_pwrite(fd, buffer, offset)
        return entry.pwrite(view_of(buffer), _count(offset))

    def writev(_: object, fd: Any, buffers: Sequence[Any], /) -> int:
        entry = get(fd)
        if entry is None:
            return real_writev(fd, buffers)
        return entry.write(b"".join([view_of(buffer) for buffer in buffers]))

    def pwritev(_: object, fd: Any, buffers: Sequence[Any], offset: Any, flags: Any = 0, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_pwritev(fd, buffers, offset, flags)
        return entry.pwrite(b"".join([view_of(buffer) for buffer in buffers]), _count(offset))

    def ftruncate(_: object, fd: Any, length: Any, /) -> None:
        entry = get(fd)
        if entry is None:
            real_ftruncate(fd, length)
        else:
            entry.truncate(_count(length))

    def fsync(_: object, /, fd: Any) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            real_fsync(number)
        else:
            entry.fsync()

    def fdatasync(_: object, /, fd: Any) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            real_fdatasync(number)
        else:
            entry.fsync()

    yield from (write, pwrite, writev, pwritev, ftruncate, fsync, fdatasync)


def _lifetime(fds: FdTable) -> Iterator[_Function]:
    get = fds.get
    real_dup: Callable[..., int] = vars(os).get("dup", absent)
    real_dup2: Callable[..., int] = vars(os).get("dup2", absent)
    real_close: Callable[..., Any] = vars(os).get("close", absent)
    real_closerange: Callable[..., Any] = vars(os).get("closerange", absent)
    real_set_inheritable: Callable[..., Any] = vars(os).get("set_inheritable", absent)
    real_set_blocking: Callable[..., Any] = vars(os).get("set_blocking", absent)

    def close(_: object, /, fd: Any) -> None:
        entry = get(fd)
        if entry is None:
            real_close(fd)
        else:
            fds.close(fd, entry)

    def closerange(_: object, fd_low: Any, fd_high: Any, /) -> None:
        for number in fds.numbers(fd_low, fd_high):
            entry = fds.get(number)
            if entry is not None:
                fds.close_logged(number, entry)
        real_closerange(fd_low, fd_high)

    def dup(_: object, fd: Any, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_dup(fd)
        return fds.duplicate(fd, entry)

    def dup2(_: object, /, fd: Any, fd2: Any, inheritable: Any = True) -> int:
        entry = get(fd)
        if entry is None and fds.get(fd2) is None:
            return real_dup2(fd, fd2, inheritable)
        return fds.duplicate_onto(fd, entry, operator.index(fd2), inheritable=bool(inheritable))

    def set_inheritable(_: object, fd: Any, inheritable: Any, /) -> None:
        entry = get(fd)
        if entry is not None and inheritable:
            entry.escape()
        real_set_inheritable(fd, inheritable)

    def set_blocking(_: object, fd: Any, blocking: Any, /) -> None:
        if fds.get(fd) is None:  # of no effect on a regular file
            real_set_blocking(fd, blocking)

    yield from (close, closerange, dup, dup2, set_inheritable, set_blocking)


def _facts(context: ShimContext) -> Iterator[_Function]:
    fds, table = context.fds, context.table
    get = fds.get
    real_lseek: Callable[..., int] = vars(os).get("lseek", absent)
    real_ttyname: Callable[..., str] = vars(os).get("ttyname", absent)
    real_tcgetpgrp: Callable[..., int] = vars(os).get("tcgetpgrp", absent)
    real_fstat: Callable[..., os.stat_result] = vars(os).get("fstat", absent)
    real_fstatvfs: Callable[..., os.statvfs_result] = vars(os).get("fstatvfs", absent)
    real_fchmod: Callable[..., Any] = vars(os).get("fchmod", absent)
    real_fchown: Callable[..., Any] = vars(os).get("fchown", absent)
    real_lockf: Callable[..., Any] = vars(os).get("lockf", absent)
    real_posix_fallocate: Callable[..., Any] = vars(os).get("posix_fallocate", absent)
    real_posix_fadvise: Callable[..., Any] = vars(os).get("posix_fadvise", absent)
    real_tcsetpgrp: Callable[..., Any] = vars(os).get("tcsetpgrp", absent)

    def lseek(_: object, fd: Any, position: Any, whence: Any, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_lseek(fd, position, whence)
        return entry.seek(operator.index(position), operator.index(whence))

    def fstat(_: object, /, fd: Any) -> os.stat_result:
        entry = get(fd)
        if entry is None:
            return real_fstat(fd)
        return entry.stat().stat_result()

    def fstatvfs(_: object, fd: Any, /) -> os.statvfs_result:
        entry = get(fd)
        if entry is None:
            return real_fstatvfs(fd)
        return table.statvfs(entry.path)

    def fchmod(_: object, /, fd: Any, mode: Any) -> None:
        entry = get(fd)
        if entry is None:
            real_fchmod(fd, mode)
        else:
            with metadata_of(table, entry):
                entry.chmod(mode)

    def fchown(_: object, /, fd: Any, uid: Any, gid: Any) -> None:
        entry = get(fd)
        if entry is None:
            real_fchown(fd, uid, gid)
        else:
            with metadata_of(table, entry):
                entry.chown(uid, gid)

    def lockf(_: object, fd: Any, command: Any, length: Any, /) -> None:
        entry = get(fd)
        if entry is None:
            real_lockf(fd, command, length)
        else:
            refuse(entry, errno.ENOTSUP, "a bucket has no locks")

    def posix_fallocate(_: object, fd: Any, offset: Any, length: Any, /) -> None:
        entry = get(fd)
        if entry is None:
            real_posix_fallocate(fd, offset, length)
        else:
            refuse(entry, errno.ENOTSUP, "space in a bucket cannot be reserved")

    def posix_fadvise(_: object, fd: Any, offset: Any, length: Any, advice: Any, /) -> None:
        if fds.get(fd) is None:  # advice: nothing has to come of it
            real_posix_fadvise(fd, offset, length, advice)

    def ttyname(_: object, fd: Any, /) -> str:
        entry = get(fd)
        if entry is None:
            return real_ttyname(fd)
        raise os_error(errno.ENOTTY)

    def tcgetpgrp(_: object, fd: Any, /) -> int:
        entry = get(fd)
        if entry is None:
            return real_tcgetpgrp(fd)
        raise os_error(errno.ENOTTY)

    def tcsetpgrp(_: object, fd: Any, pgid: Any, /) -> None:
        entry = get(fd)
        if entry is None:
            real_tcsetpgrp(fd, pgid)
        else:
            raise os_error(errno.ENOTTY)

    yield from (
        lseek,
        fstat,
        fstatvfs,
        fchmod,
        fchown,
        lockf,
        posix_fallocate,
        posix_fadvise,
        ttyname,
        tcgetpgrp,
        tcsetpgrp,
    )


@contextlib.contextmanager
def metadata_of(table: MountTable, entry: Description) -> Iterator[None]:
    """Around a change of mode, owner or times by descriptor: of no effect where the mount says so, as by path."""
    try:
        yield
    except PermissionError:
        try:
            ignored = table.ignores_metadata(entry.path)
        except OSError as read_only:
            raise read_only from None
        if not ignored:
            raise


def refuse(entry: Description, number: int, hint: str) -> NoReturn:
    """Raise ``number`` for the file behind ``entry``."""
    raise os_error(number, entry.path, hint=hint)
