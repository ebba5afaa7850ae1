"""Keeps native code from writing to the disk where it believes to write to a bucket.

Code that opens files without Python (Arrow, HDF5, SQLite ...) does not see a mount. Where nothing is on the disk at
the mount point it would create the path and write there in silence. So an absent mount point is occupied by a small
file while it is mounted: native opens below it then fail with ENOTDIR. Where something is on the disk, what appears
there is reported. Several processes may mount at one place (workers do): each holds a shared lock on the file, and the
last one removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import Final, Literal

from vfsmount import real
from vfsmount.transfer.spool import out_of_the_way

OnLeak = Literal["error", "warn", "ignore"]

MARK: Final = b"A bucket is mounted here by a Python process; this file keeps other programs from writing below it.\n"
"""Content of the placeholder, so that one left by a killed process is known for what it is."""

_TRIES: Final = 10
"""Times that a placeholder may go, between finding it and taking part in it, before native code is let be."""


class Occupancy:
    """What is on the disk at the mount points while they are mounted."""

    def __init__(self) -> None:
        self._placed: dict[str, tuple[int, int]] = {}
        self._locks: dict[str, int] = {}
        self._before: dict[str, frozenset[str]] = {}

    def occupy(self, point: str) -> None:
        """Place the placeholder where nothing is and the directory above may be written.

        Where something is, remember what.
        """
        if point in self._placed or point in self._before:
            return
        for _ in range(_TRIES):
            try:
                descriptor = real.fd_open(point, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            except FileExistsError:
                if self._adopt(point):
                    return
            except OSError:
                return  # no directory above, or no permission: native code cannot create anything there either
            else:
                if self._hold(point, descriptor):
                    real.fd_write(self._locks[point], MARK)
                    return

    def _hold(self, point: str, descriptor: int) -> bool:
        """Take over ``descriptor``, which leads to the placeholder; False where another process just removes that."""
        descriptor = out_of_the_way(descriptor)
        going = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            going = True
        except OSError:
            pass  # a file system without locks: the first one to end removes it
        held = _identity(real.fstat(descriptor))
        if going or _identity_at(point) != held:
            real.fd_close(descriptor)
            return False
        self._locks[point], self._placed[point] = descriptor, held
        return True

    def _adopt(self, point: str) -> bool:
        """A placeholder of another process, alive or killed, is ours too; a real directory's names are remembered.

        False where it was there a moment ago.
        """
        try:
            found = real.lstat(point)
            if stat.S_ISDIR(found.st_mode):
                self._before[point] = frozenset(real.listdir(point))
                return True
            self._before[point] = frozenset()
            if stat.S_ISREG(found.st_mode) and found.st_size == len(MARK):
                descriptor = real.fd_open(point, os.O_RDONLY | os.O_CLOEXEC)
                if real.fd_read(descriptor, len(MARK) + 1) == MARK:
                    del self._before[point]
                    return self._hold(point, descriptor)
                real.fd_close(descriptor)
        except FileNotFoundError:
            self._before.pop(point, None)
            return False
        except OSError:
            pass
        return True

    def leaks(self, point: str) -> list[str]:
        """Paths that appeared on the disk at ``point`` since it was mounted."""
        if point in self._placed:
            with contextlib.suppress(OSError):
                found = real.lstat(point)
                if _identity(found) != self._placed[point] or found.st_size != len(MARK):
                    return [point]
            return []
        if point in self._before:
            with contextlib.suppress(OSError):
                appeared = frozenset(real.listdir(point)) - self._before[point]
                return [f"{point}/{name}" for name in sorted(appeared)]
            return []
        with contextlib.suppress(OSError):
            real.lstat(point)
            return [point]
        return []

    def release(self, point: str) -> list[str]:
        """Remove the placeholder; returns what leaked. Raises nothing."""
        leaked = self.leaks(point)
        placed = self._placed.pop(point, None)
        descriptor = self._locks.pop(point, None)
        self._before.pop(point, None)
        last = True
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                last = False
            except OSError:
                pass
        try:
            if placed is not None and not leaked and last:
                real.unlink(point)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSYS):
                raise
        finally:  # who adopts it meanwhile gets no lock, and sees that it is gone
            if descriptor is not None:
                real.fd_close(descriptor)
        return leaked


def is_strange_file(point: str) -> bool:
    """True where a file is at ``point`` that is no placeholder: mounted over, the user's own file would be out of
    sight."""
    try:
        found = real.stat(point)
        if not stat.S_ISREG(found.st_mode):
            return not stat.S_ISDIR(found.st_mode)
        if found.st_size not in (0, len(MARK)):  # 0: another process is about to write it
            return True
        descriptor = real.fd_open(point, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return real.fd_read(descriptor, len(MARK) + 1) not in (b"", MARK)
    finally:
        real.fd_close(descriptor)


def _identity_at(path: str) -> tuple[int, int] | None:
    try:
        return _identity(real.lstat(path))
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
