"""Files of the kernel's that stand behind our descriptor numbers: placeholders, local content, spools.

Every number that ``os.open`` or ``fileno()`` hands out is a real descriptor, so that the process may dup, close, pass
and inherit it. What it leads to is made here; each has an inode of its own, by which a number that native code closed,
and the kernel gave to something else, is told from ours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Final

from vfsmount import real
from vfsmount.transfer.spool import out_of_the_way, scratch_directory

MEMORY_LIMIT: Final = 32 << 20
"""Bytes of content up to which a local copy lives in memory (a memfd); a larger one goes to the temporary directory."""

CHUNK: Final = 8 << 20
"""Bytes copied at a time."""

_SHARED_MEMORY: Final = "/dev/shm"
"""A file system in memory on nearly every Linux. Source: shm_overview(7)."""

_memfd_create: Final = getattr(os, "memfd_create", None)
_O_PATH: Final[int] = getattr(os, "O_PATH", os.O_WRONLY)
_PUNCH_HOLE: Final = 0x03
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. Source: linux/falloc.h."""


def _memory_file() -> int:
    if _memfd_create is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return int(_memfd_create("vfsmount"))


def _scratch_path() -> str:
    return f"{scratch_directory()}/.vfsmount-{real.getpid()}-{os.urandom(8).hex()}"


def _pair_in_memory(front_flags: int) -> tuple[int, int]:
    back = _memory_file()
    try:
        return back, real.fd_open(f"/proc/self/fd/{back}", front_flags)
    except BaseException:
        real.fd_close(back)
        raise


def _pair_on_disk(front_flags: int) -> tuple[int, int]:
    path = _scratch_path()
    back = real.fd_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        return back, real.fd_open(path, front_flags)
    except BaseException:
        real.fd_close(back)
        raise
    finally:
        real.unlink(path)


def local_pair(front_flags: int, *, in_memory: bool) -> tuple[int, int]:
    """A nameless empty file opened twice: ``back`` for us (read and write), ``front`` as ``front_flags`` say, for
    others.

    The two have separate offsets. Where the preferred place (memory or disk) is not to be had the other serves.

    Raises: the errno of the place tried last.
    """
    first, second = (_pair_in_memory, _pair_on_disk) if in_memory else (_pair_on_disk, _pair_in_memory)
    try:
        back, front = first(front_flags)
    except OSError:
        back, front = second(front_flags)
    return out_of_the_way(back), out_of_the_way(front)


def placeholder() -> int:
    """A descriptor on which every native read, write, seek and mmap fails with EBADF, with an inode of its own."""
    back, front = local_pair(_O_PATH, in_memory=True)
    real.fd_close(back)
    try:
        return int(real.fcntl(front, fcntl.F_DUPFD_CLOEXEC, 0))
    finally:
        real.fd_close(front)


def file_placeholder() -> int:
    """A descriptor for a file whose content is not here: native reads fail with EISDIR, writes with EBADF.

    A nameless directory, because that is ready for poll(2) as a file is, and gives an error, not an empty file, to
    whoever opens it again through ``/proc/self/fd``. In memory if possible, where it takes microseconds and not
    milliseconds to make; where none can be made, the other kind of placeholder.
    """
    name = f".vfsmount-{real.getpid()}-{os.urandom(8).hex()}"
    for parent in (_SHARED_MEMORY, None):
        try:
            path = f"{parent or scratch_directory()}/{name}"
            real.mkdir(path, 0o700)
        except OSError:
            continue
        try:
            return real.fd_open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        finally:
            real.rmdir(path)
    return placeholder()


def identity(number: int) -> tuple[int, int]:
    """Device and inode behind ``number``. Raises: EBADF."""
    found = real.fstat(number)
    return (found.st_dev, found.st_ino)


def leads_to(number: int, expected: tuple[int, int] | None) -> bool:
    """Whether ``number`` is open, and on the file of that identity."""
    try:
        return identity(number) == expected
    except OSError:
        return False


def write_all(number: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises: ENOSPC and the like."""
    view = memoryview(data)
    while view:
        written = real.pwrite(number, view, offset)
        offset += written
        view = view[written:]


def data_extents(number: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The stretches ``[a, b)`` of ``[start, stop)`` that hold data, by blocks; moves the descriptor's offset.

    A file system that keeps no holes reports all of it.
    """
    at = start
    while at < stop:
        try:
            data = real.lseek(number, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            yield at, stop
            return
        if data >= stop:
            return
        hole = min(real.lseek(number, data, os.SEEK_HOLE), stop)
        yield data, hole
        at = hole


def punch(number: int, start: int, stop: int) -> bool:
    """Give the blocks of ``[start, stop)`` back to the file system; False where it cannot."""
    if stop <= start:
        return True
    try:
        import ctypes  # here, because most processes never need it and it takes milliseconds to load

        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        return int(fallocate(number, _PUNCH_HOLE, start, stop - start)) == 0
    except (ImportError, OSError, AttributeError):
        return False


def is_open_elsewhere(number: int) -> bool:
    """Whether some other open of the file behind ``number`` may write to it; False where the system does not tell.

    Source: fcntl(2), F_SETLEASE: a write lease is given only while no one else has the file open.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        real.fcntl(number, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    real.fcntl(number, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def close_quietly(number: int | None) -> None:
    """Close a descriptor of our own that may be gone already."""
    if number is not None:
        with contextlib.suppress(OSError):
            real.fd_close(number)
