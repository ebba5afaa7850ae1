"""Copies between two descriptors (``sendfile``, ``copy_file_range``, ``splice``), shutil's fast copy, ``fcntl`` and
``mmap``.

Where Python makes the call, the bytes go through the open files and nothing is spooled.
"""

from __future__ import annotations

import errno
import fcntl as _fcntl
import mmap as _mmap
import operator
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.descriptors import FdTable
from vfsmount.shim.fdcalls import absent, refuse
from vfsmount.shim.kernelfiles import CHUNK
from vfsmount.shim.rawfile import number_of, raw_of

if TYPE_CHECKING:
    from vfsmount.shim.description import Description

_Function = Callable[..., Any]

_STATUS_FLAGS: Final = ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOCTTY | getattr(os, "O_CLOEXEC", 0))
"""What F_GETFL leaves out of the flags of ``open``. Source: fcntl(2)."""


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """The calls named above."""
    for function in _copies(context.fds):
        if hasattr(os, function.__name__):
            yield Replacement(os, function.__name__, function)
    for function in _controls(context.fds):
        yield Replacement(_fcntl, function.__name__, function)
    if hasattr(shutil, "_fastcopy_sendfile"):
        yield Replacement(shutil, "_fastcopy_sendfile", _fast_copy())
    yield Replacement(_mmap, "mmap", _mmap_class(context.fds))


# Copies ---------------------------------------------------------------------------------------------------------------


def _move(
    fds: FdTable, out_fd: int, in_fd: int, count: int, offset_in: int | None, offset_out: int | None = None
) -> int:
    """Copy at most ``count`` bytes (at most one chunk of them), as ``sendfile`` would; the number copied."""
    source, sink = fds.get(in_fd), fds.get(out_fd)
    size = min(count, CHUNK)
    if offset_in is not None:
        data = source.pread(size, offset_in) if source is not None else real.pread(in_fd, size, offset_in)
    else:
        data = source.read(size) if source is not None else real.fd_read(in_fd, size)
    view = memoryview(data)
    done = 0
    try:
        while done < len(view):
            if offset_out is not None:
                at = offset_out + done
                written = sink.pwrite(view[done:], at) if sink is not None else real.pwrite(out_fd, view[done:], at)
            else:
                written = sink.write(view[done:]) if sink is not None else real.fd_write(out_fd, view[done:])
            done += written
            if sink is None and offset_out is None:
                break  # a socket or pipe took what it could
    finally:
        if done < len(view) and offset_in is None and source is not None:
            source.seek(done - len(view), os.SEEK_CUR)
    return done


def _judge_sink(fds: FdTable, number: int, appending: int) -> None:
    """Raise EBADF for what cannot be written, ``appending`` for what writes at its end whatever the offset.

    Source: Linux, fs/read_write.c (generic_copy_file_checks, do_sendfile), fs/splice.c (do_splice).
    """
    entry = fds.get(number)
    flags = real.fcntl(number, _fcntl.F_GETFL) if entry is None else entry.status()
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise os_error(errno.EBADF)
    if flags & os.O_APPEND:
        raise os_error(appending)


def _copies(fds: FdTable) -> Iterator[_Function]:
    real_sendfile: Callable[..., int] = vars(os).get("sendfile", absent)
    real_copy_file_range: Callable[..., int] = vars(os).get("copy_file_range", absent)
    real_splice: Callable[..., int] = vars(os).get("splice", absent)

    def sendfile(_: object, /, out_fd: Any, in_fd: Any, offset: Any, count: Any, *rest: Any, **more: Any) -> int:
        if fds.get(out_fd) is None and fds.get(in_fd) is None:
            return real_sendfile(out_fd, in_fd, offset, count, *rest, **more)
        _judge_sink(fds, out_fd, errno.EINVAL)
        return _move(fds, out_fd, in_fd, operator.index(count), None if offset is None else operator.index(offset))

    def copy_file_range(
        _: object, /, src: Any, dst: Any, count: Any, offset_src: Any = None, offset_dst: Any = None
    ) -> int:
        if fds.get(src) is None and fds.get(dst) is None:
            return real_copy_file_range(src, dst, count, offset_src, offset_dst)
        _judge_sink(fds, dst, errno.EBADF)
        source, sink = fds.get(src), fds.get(dst)
        if source is not None and source.readable and sink is not None and source.path == sink.path:
            start = source.tell() if offset_src is None else offset_src
            count = min(operator.index(count), max(0, source.stat().size - start))
            if abs(start - (sink.tell() if offset_dst is None else offset_dst)) < count:
                raise os_error(errno.EINVAL)  # overlapping. Source: copy_file_range(2)
        return _move(fds, dst, src, operator.index(count), offset_src, offset_dst)

    def splice(
        _: object, /, src: Any, dst: Any, count: Any, offset_src: Any = None, offset_dst: Any = None, flags: Any = 0
    ) -> int:
        if fds.get(src) is None and fds.get(dst) is None:
            return real_splice(src, dst, count, offset_src, offset_dst, flags)
        if count == 0:
            return 0
        _judge_sink(fds, dst, errno.EINVAL)
        return _move(fds, dst, src, min(operator.index(count), 1 << 16), offset_src, offset_dst)

    yield from (sendfile, copy_file_range, splice)


def _fast_copy() -> _Function:
    original: _Function = shutil._fastcopy_sendfile  # type: ignore[attr-defined]

    def _fastcopy_sendfile(fsrc: Any, fdst: Any) -> None:
        source, sink = raw_of(fsrc), raw_of(fdst)
        if source is None and sink is None:
            original(fsrc, fdst)
            return
        if source is not None and sink is not None and fsrc.tell() == 0 == fdst.tell():
            if not sink.description.escaped and sink.description.file.copy_from(source.description.file):
                return
        while data := fsrc.read(CHUNK):
            fdst.write(data)

    return _fastcopy_sendfile


# fcntl ----------------------------------------------------------------------------------------------------------------


def _controls(fds: FdTable) -> Iterator[_Function]:
    real_fcntl: Callable[..., Any] = vars(_fcntl).get("fcntl", absent)
    real_flock: Callable[..., Any] = vars(_fcntl).get("flock", absent)
    real_lockf: Callable[..., Any] = vars(_fcntl).get("lockf", absent)
    real_ioctl: Callable[..., Any] = vars(_fcntl).get("ioctl", absent)
    duplicating = {_fcntl.F_DUPFD: True, getattr(_fcntl, "F_DUPFD_CLOEXEC", -1): False}
    locking = {getattr(_fcntl, name, -1) for name in ("F_SETLK", "F_SETLKW", "F_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW")}

    def fcntl(_: object, fd: Any, cmd: Any, arg: Any = 0, /) -> Any:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            return real_fcntl(number, cmd, arg)
        assert isinstance(number, int)
        if cmd in duplicating:
            return fds.duplicate(number, entry, operator.index(arg), inheritable=duplicating[cmd])
        if cmd == _fcntl.F_GETFL:
            return entry.status() & _STATUS_FLAGS
        if cmd == _fcntl.F_SETFD:
            if not arg & _fcntl.FD_CLOEXEC:
                entry.escape()
            return real_fcntl(number, cmd, arg)
        if cmd == _fcntl.F_SETFL:
            entry.set_status(operator.index(arg))
            return 0
        if cmd == _fcntl.F_GETFD:
            return real_fcntl(number, cmd, arg)
        if cmd in locking:
            refuse(entry, errno.ENOTSUP, "a bucket has no locks")
        raise os_error(errno.EINVAL, entry.path)

    def flock(_: object, fd: Any, operation: Any, /) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            real_flock(number, operation)
        else:
            refuse(entry, errno.ENOTSUP, "a bucket has no locks")

    def lockf(_: object, fd: Any, cmd: Any, len: Any = 0, start: Any = 0, whence: Any = 0, /) -> None:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            real_lockf(number, cmd, len, start, whence)
        else:
            refuse(entry, errno.ENOTSUP, "a bucket has no locks")

    def ioctl(_: object, fd: Any, request: Any, arg: Any = 0, mutate_flag: Any = True, /) -> Any:
        number = number_of(fd)
        entry = fds.get(number)
        if entry is None:
            return real_ioctl(number, request, arg, mutate_flag)
        raise os_error(errno.ENOTTY, entry.path)

    yield from (fcntl, flock, lockf, ioctl)


# mmap -----------------------------------------------------------------------------------------------------------------


def _mmap_class(fds: FdTable) -> type:
    """A stand-in for ``mmap.mmap`` that lets a descriptor's content escape before the real one maps it."""
    original = _mmap.mmap

    class MmapType(type(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            fileno = args[0] if args else kwargs.get("fileno")
            entry = fds.get(fileno)
            if entry is not None:
                entry.escape()
            writable = entry is not None and entry.writable
            made: Any = original(*args, **kwargs) if cls is mmap and not writable else super().__call__(*args, **kwargs)
            if entry is not None and entry.writable:
                entry.map_writable()  # the mapping outlives the descriptor, and what is stored in it is to be uploaded
                fds.hold(entry)
                release = weakref.finalize(made, fds.release_logged, entry)
                release.atexit = False
                made._vfsmount_mapping = (entry, release)
            return made

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original) if cls is mmap else super().__instancecheck__(instance)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, original) if cls is mmap else super().__subclasscheck__(subclass)

    class mmap(original, metaclass=MmapType):  # type: ignore[valid-type,misc]
        __doc__ = original.__doc__
        _vfsmount_mapping: tuple[Description, weakref.finalize[Any, Any]] | None = None

        def __repr__(self) -> str:
            return str(super().__repr__()).replace("<mmap ", "<mmap.mmap ", 1)  # which a subclass leaves out

        def flush(self, *args: Any, **kwargs: Any) -> Any:
            result = super().flush(*args, **kwargs)
            if self._vfsmount_mapping is not None:
                self._vfsmount_mapping[0].fsync()  # msync(2) is to the mapping what fsync is to the file
            return result

        def close(self) -> None:
            super().close()
            held, self._vfsmount_mapping = self._vfsmount_mapping, None
            if held is not None and held[1].detach() is not None:
                fds.release(held[0])

        def __exit__(self, *_: object) -> None:
            self.close()  # the original's calls its own, and no override

    mmap.__module__ = original.__module__
    mmap.__qualname__ = original.__qualname__
    return mmap
