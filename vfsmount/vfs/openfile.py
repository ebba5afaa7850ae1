"""Open file descriptions: what ``open(2)`` makes, with the position that duplicated descriptors share."""

from __future__ import annotations

import errno
import os
import threading
from abc import ABC, abstractmethod
from typing import Final

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.errors import os_error
from vfsmount.model import Attr

SEEK_DATA: Final = getattr(os, "SEEK_DATA", 3)
SEEK_HOLE: Final = getattr(os, "SEEK_HOLE", 4)
STATUS_FLAGS: Final = os.O_APPEND | os.O_NONBLOCK
"""Flags that F_SETFL may change."""


class OpenFile(ABC):
    """One open file or directory. Thread-safe: as in the kernel, calls that use the position exclude each other.

    All methods raise OSError with ``path`` as its filename.
    """

    readable: bool = False
    writable: bool = False
    is_dir: bool = False

    def __init__(self, path: str, flags: int) -> None:
        self.path: Final = path
        """Absolute, as the mount table knows it."""
        self.flags = flags
        """As open(2) had them; F_SETFL changes some."""
        self.owner_pid: Final = real.getpid()
        """A forked child's close never commits."""
        self._position = 0
        self._references = 1
        self._position_lock = RequestLock()
        self._reference_lock = threading.Lock()

    # -- what a kind of file is --

    @abstractmethod
    def stat(self) -> Attr:
        """As ``fstat``; no request."""

    @abstractmethod
    def _size(self) -> int: ...

    def _read_at(self, offset: int, out: memoryview) -> int:
        raise self.error(errno.EBADF)

    def _read_all_from(self, offset: int, size: int) -> bytes:
        raise self.error(errno.EBADF)

    def _write_at(self, offset: int, data: memoryview) -> int:
        raise self.error(errno.EBADF)

    @abstractmethod
    def _finish(self, *, abort: bool) -> None:
        """The last reference is gone."""

    def fsync(self) -> None:  # noqa: B027 - right as it is for all but writers
        """Commit what was written; nothing to do for any but writers."""

    def truncate(self, length: int) -> None:
        """EINVAL: not open for writing. Source: ftruncate(2)."""
        raise self.error(errno.EINVAL)

    def copy_from(self, source: OpenFile) -> bool:
        """Become a copy of ``source`` that the store makes when this is closed; False where it cannot, or is not worth
        it, and the caller has to copy. Both positions are then at the end.
        """
        return False

    def utime(self, mtime_ns: int) -> None:
        raise self.error(errno.EPERM, "times of a committed file cannot be changed")

    def abandon(self) -> None:  # noqa: B027 - nothing to let go of but in readers
        """In a forked child: let go without a request."""

    def backing(self) -> int | None:
        """The descriptor of a local file that *is* the content, while this is open; None where there is none.

        It is lent: the caller may duplicate it, and reads and writes through it are reads and writes of this file. The
        position is not shared.
        """
        return None

    # -- the same for all --

    def set_status(self, flags: int) -> None:
        """As fcntl's F_SETFL; what means nothing to a regular file is only shown."""
        self.flags = self.flags & ~STATUS_FLAGS | flags & STATUS_FLAGS

    def require_owner(self) -> None:
        """Raise EBADF in a forked child: what it wrote here would reach no bucket, or the bucket twice."""
        if self.owner_pid != real.getpid():
            raise self.error(errno.EBADF, "opened by the parent process, which alone can write and commit it")

    def renew_locks(self) -> None:
        """In a forked child: the locks may be held by threads that are not here."""
        self._position_lock = RequestLock()
        self._reference_lock = threading.Lock()

    def error(self, number: int, hint: str | None = None, cause: BaseException | None = None) -> OSError:
        return os_error(number, self.path, hint=hint, cause=cause)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from the position, all of them where the file has them; -1: to the end."""
        with self._position_lock:
            data = self._read_all_from(self._position, size)
            self._position += len(data)
            return data

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` from the position; fewer bytes than asked for where the rest is still on its way."""
        with self._position_lock:
            count = self._read_at(self._position, buffer)
            self._position += count
            return count

    def pread(self, size: int, offset: int) -> bytes:
        """At most ``size`` bytes from ``offset``; the position stays."""
        if offset < 0 or size < 0:
            raise self.error(errno.EINVAL)
        return self._read_all_from(offset, size)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of ``data`` at the position (O_APPEND: at the end; nothing moves the position nowhere)."""
        with self._position_lock:
            if self.flags & os.O_APPEND and self.writable and len(data):
                self._position = self._size()
            count = self._write_at(self._position, memoryview(data).cast("B"))
            self._position += count
            return count

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at ``offset``; the position stays. As on Linux, O_APPEND wins over ``offset``."""
        if offset < 0:
            raise self.error(errno.EINVAL)
        with self._position_lock:
            if self.flags & os.O_APPEND and self.writable:
                offset = self._size()
            return self._write_at(offset, memoryview(data).cast("B"))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; no request. Raises EINVAL, ENXIO (SEEK_DATA and SEEK_HOLE beyond the end)."""
        with self._position_lock:
            size = self._size()
            if whence == os.SEEK_SET:
                target = offset
            elif whence == os.SEEK_CUR:
                target = self._position + offset
            elif whence == os.SEEK_END:
                target = size + offset
            elif whence in (SEEK_DATA, SEEK_HOLE):
                if not 0 <= offset < size:
                    raise self.error(errno.ENXIO)
                target = offset if whence == SEEK_DATA else size
            else:
                raise self.error(errno.EINVAL)
            if target < 0:
                raise self.error(errno.EINVAL)
            self._position = target
            return target

    def tell(self) -> int:
        with self._position_lock:
            return self._position

    def chmod(self, mode: int) -> None:
        raise self.error(errno.EPERM, "modes are set for the whole mount, with file_mode and dir_mode")

    def chown(self, uid: int, gid: int) -> None:
        raise self.error(errno.EPERM, "owners are set for the whole mount, with uid and gid")

    def retain(self) -> None:
        """One more descriptor refers to this."""
        with self._reference_lock:
            self._references += 1

    @property
    def closed(self) -> bool:
        return self._references == 0

    def close(self, *, abort: bool = False) -> None:
        """Drop one reference; the last one commits (or aborts) what was written. A further call does nothing.

        Raises OSError where the upload failed; the file is closed all the same.
        """
        if self.owner_pid != real.getpid():
            if self._references:
                self._references = 0
                self.abandon()
            return
        with self._reference_lock:
            if self._references == 0:
                return
            self._references -= 1
            if self._references:
                return
        self._finish(abort=abort)


class DirectoryFile(OpenFile):
    """A directory opened for its descriptor (``dir_fd``, ``fchdir``, ``scandir(fd)``)."""

    is_dir = True

    def __init__(self, path: str, flags: int, attr: Attr) -> None:
        super().__init__(path, flags)
        self._attr = attr

    def stat(self) -> Attr:
        return self._attr

    def _size(self) -> int:
        return 0

    def _read_at(self, offset: int, out: memoryview) -> int:
        raise self.error(errno.EISDIR)

    def _read_all_from(self, offset: int, size: int) -> bytes:
        raise self.error(errno.EISDIR)

    def _finish(self, *, abort: bool) -> None:
        pass
