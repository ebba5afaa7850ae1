"""Which files the supervised processes and their supervisor have open: record locks on one file that all share.

A lock is its holder's open file description's, so threads and forks count rightly, and is gone with the process however
that ends. Each mounted path has two bytes of the file, by its hash: who writes has the first, who reads the second.
Python's processes lock them shared, each the one that it is about, and so exclude nobody among themselves. The
supervisor locks what it excludes: a reader of its own the first, a writer both. Source: fcntl(2), F_OFD_SETLK.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from _blake2 import blake2b
from collections.abc import Callable
from typing import Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.transfer.spool import out_of_the_way

_LOCK: Final = struct.Struct("hhqqi4x")
"""``struct flock``: type, whence, start, length, pid."""
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_F_RDLCK, _F_WRLCK, _F_UNLCK = 0, 1, 2


class RecordFile:
    """This process's own description of the file; a forked child opens one of its own when it needs it."""

    def __init__(self, path: str, *, supervises: bool, create: bool = False) -> None:
        self.supervises: Final = supervises
        self._path: Final = path
        self._lock = threading.Lock()
        self._number = -1
        if create:
            real.fd_close(real.fd_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def lock(self, kind: int, start: int, length: int) -> bool:
        """False where another description excludes it. Raises: EBADF and the like where nobody can tell."""
        try:
            self._call(_F_OFD_SETLK, _LOCK.pack(kind, 0, start, length, 0))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    def is_locked(self, kind: int, start: int, length: int) -> bool:
        """Whether :meth:`lock` would be refused. Raises: as that."""
        found = self._call(_F_OFD_GETLK, _LOCK.pack(kind, 0, start, length, 0))
        return bool(_LOCK.unpack(found)[0] != _F_UNLCK)

    def after_fork(self) -> None:
        """In a forked child: the locks are its parent's."""
        self._lock = threading.Lock()
        number, self._number = self._number, -1
        if number >= 0:
            with contextlib.suppress(OSError):
                real.fd_close(number)

    def _call(self, verb: int, lock: bytes) -> bytes:
        number = self._number
        if number >= 0:
            try:
                return bytes(real.fcntl(number, verb, lock))
            except OSError as error:
                if error.errno != errno.EBADF:  # a program may close all descriptors that it does not know
                    raise
        with self._lock:
            if self._number == number:
                self._number = out_of_the_way(real.fd_open(self._path, os.O_RDWR | os.O_CLOEXEC))
            return bytes(real.fcntl(self._number, verb, lock))


class MountRecords:
    """Those of one mount, as ``vfs.sharing.Records`` has it."""

    def __init__(self, file: RecordFile, point: str, ask: Callable[[str], None] | None = None) -> None:
        """``ask``: has the supervisor let go of an absolute path that it has open for nobody."""
        self._file = file
        self._point = point
        self._ask = ask

    def take(self, path: str, *, writing: bool, staged: bool) -> bool:
        at = self._at(path)
        try:
            if self._file.supervises:
                return self._file.lock(_F_WRLCK, at, 2 if writing and not staged else 1)
            return self._file.lock(_F_RDLCK, at if writing else at + 1, 1)
        except OSError as error:
            raise self._unknown(path, error) from error

    def is_written(self, path: str, *, staged: bool) -> bool:
        at = self._at(path)
        try:
            if self._file.supervises:
                return self._file.is_locked(_F_WRLCK, at, 1)
            return self._file.is_locked(_F_RDLCK, at if staged else at + 1, 1)
        except OSError as error:
            raise self._unknown(path, error) from error

    def drop(self, path: str) -> None:
        with contextlib.suppress(OSError):
            self._file.lock(_F_UNLCK, self._at(path), 2)

    def ask(self, path: str) -> None:
        if self._ask is not None:
            self._ask(f"{self._point}/{path}")

    def _unknown(self, path: str, error: OSError) -> OSError:
        return os_error(errno.EIO, f"{self._point}/{path}", hint=f"it cannot be told who has the file open: {error}")

    def _at(self, path: str) -> int:
        name = f"{self._point}\0{path}".encode("utf-8", "surrogatepass")
        return (int.from_bytes(blake2b(name, digest_size=8).digest(), "little") >> 3) * 2
