"""Keeps native code from writing to the disk where it believes to write to a bucket.

Code that opens files without Python (Arrow, HDF5, SQLite ...) does not see a mount. Where nothing is on the disk at
the mount point it would create the path and write there in silence. So an absent mount point is occupied while it is
mounted, by a symbolic link to a name *below* a regular file, where nothing can be: every kernel call on the mount point
or below it, or through a link to it, fails with ENOTDIR, and Python's own calls are then led into the mount by
``Router.retry``. (A regular file in its place would open, and be written to.) Where something is on the disk, what
appears there is reported.

Several processes may mount at one place (workers do). The regular file that the link names is their lock: each holds a
shared lock on it, and the last one removes both. Those that do not share their temporary directory do not see each
other: the first one to end takes the guard away, and what appears then is reported.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import posixpath
import stat
from dataclasses import dataclass
from typing import Final, Literal

from vfsmount import real
from vfsmount.transfer.spool import out_of_the_way, scratch_directory

OnLeak = Literal["error", "warn", "ignore"]

NOTE: Final = "a bucket is mounted here by a Python process"
"""Last part of the link's text, by which one left by a killed process is known for what it is, and for ``ls -l``."""

MARK: Final = b"A bucket is mounted here by a Python process; this file keeps other programs from writing below it.\n"
"""Content of a regular file that earlier versions put in the place of the link."""

_LOCK_NAME: Final = ".vfsmount-guard-"
"""How the name of a lock begins; nothing else is opened or removed because a link says so."""

_NO_LOCK: Final = "/dev/null"
"""Stands for the lock where none can be made. No directory either."""

_TRIES: Final = 10
"""Times that a placeholder may go, between finding it and taking part in it, before native code is let be."""


@dataclass(frozen=True, slots=True)
class _Held:
    """This process's part in a placeholder."""

    text: str
    lock: str
    descriptor: int | None


class Occupancy:
    """What is on the disk at the mount points while they are mounted."""

    def __init__(self) -> None:
        self._placed: dict[str, _Held] = {}
        self._before: dict[str, frozenset[str]] = {}

    def occupy(self, point: str) -> None:
        """Place the placeholder where nothing is and the directory above may be written.

        Where something is, remember what.
        """
        if point in self._placed or point in self._before:
            return
        for _ in range(_TRIES):
            try:
                found = real.lstat(point)
            except FileNotFoundError:
                if self._place(point):
                    return
            except OSError:
                return  # a file is in the way above: native code cannot create anything there either
            else:
                if self._adopt(point, found):
                    return

    def _place(self, point: str) -> bool:
        """False where somebody else was faster."""
        lock, descriptor = _new_lock()
        text = f"{lock}/{NOTE}"
        try:
            real.symlink(text, point)
        except OSError as error:
            if descriptor is not None:
                real.unlink(lock)
                real.fd_close(descriptor)
            # Else there is no directory above, or no permission: native code cannot create anything there either.
            return not isinstance(error, FileExistsError)
        self._placed[point] = _Held(text, lock, descriptor)
        return True

    def _adopt(self, point: str, found: os.stat_result) -> bool:
        """A placeholder of another process, alive or killed, is ours too; a real directory's names are remembered.

        False where it was there a moment ago.
        """
        text = _placeholder_at(point)
        if text is not None:
            return self._share(point, text)
        if stat.S_ISREG(found.st_mode) and found.st_size == len(MARK):
            with contextlib.suppress(OSError):
                if _content(point, unlocked=True) == MARK:
                    real.unlink(point)
                    return False
        self._before[point] = frozenset()
        with contextlib.suppress(OSError):
            self._before[point] = frozenset(real.listdir(point))
        return True

    def _share(self, point: str, text: str) -> bool:
        """Take part in the placeholder with this ``text``; False where another process just removes it."""
        lock = text.removesuffix(f"/{NOTE}")
        descriptor, made = _open_lock(lock)
        there = True
        if descriptor is not None:
            there = _take(descriptor) and _identity_at(lock) == _identity(real.fstat(descriptor))
        if there and _placeholder_at(point) == text:
            self._placed[point] = _Held(text, lock, descriptor)
            return True
        if descriptor is not None:
            if made:
                with contextlib.suppress(OSError):
                    real.unlink(lock)
            real.fd_close(descriptor)
        return False

    def leaks(self, point: str) -> list[str]:
        """Paths that appeared on the disk at ``point`` since it was mounted."""
        if point in self._before:
            with contextlib.suppress(OSError):
                appeared = frozenset(real.listdir(point)) - self._before[point]
                return [f"{point}/{name}" for name in sorted(appeared)]
            return []
        with contextlib.suppress(OSError):
            real.lstat(point)
            return [] if _placeholder_at(point) is not None else [point]
        return []

    def release(self, point: str) -> list[str]:
        """Remove the placeholder; returns what leaked. Raises nothing."""
        leaked = self.leaks(point)
        self._before.pop(point, None)
        held = self._placed.pop(point, None)
        if held is None:
            return leaked
        try:
            if _is_last(held.descriptor):  # who comes to share it meanwhile gets no lock, and sees that it is gone
                if _placeholder_at(point) == held.text:
                    real.unlink(point)
                if held.descriptor is not None:
                    real.unlink(held.lock)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSYS):
                raise
        finally:
            if held.descriptor is not None:
                real.fd_close(held.descriptor)
        return leaked


def _new_lock() -> tuple[str, int | None]:
    """A new lock file, and a descriptor that holds it."""
    try:
        path = f"{_scratch()}/{_LOCK_NAME}{os.urandom(8).hex()}"
        descriptor = _make_lock(path)
    except OSError:
        return _NO_LOCK, None
    _take(descriptor)
    return path, descriptor


def _scratch() -> str:
    return posixpath.join(real.getcwd(), scratch_directory())


def _make_lock(path: str) -> int:
    descriptor = out_of_the_way(real.fd_open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    with contextlib.suppress(OSError):
        real.chmod(descriptor, 0o444)  # whatever the umask: other users' processes share it
    return descriptor


def _open_lock(path: str) -> tuple[int | None, bool]:
    """A descriptor for an existing lock, and whether the file had to be made again, because somebody has cleared the
    temporary directory; None where there is none to be had."""
    if path == _NO_LOCK:
        return None, False
    for _ in range(_TRIES):
        try:
            descriptor = real.fd_open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            if stat.S_ISREG(real.fstat(descriptor).st_mode):
                return out_of_the_way(descriptor), False
            real.fd_close(descriptor)
            return None, False
        except FileNotFoundError:
            try:
                if posixpath.dirname(path) != _scratch():  # a link's text is anybody's
                    return None, False
                return _make_lock(path), True
            except FileExistsError:
                continue
            except OSError:
                return None, False
        except OSError:
            return None, False
    return None, False


def _take(descriptor: int) -> bool:
    """Share the lock; False where another process is just removing it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: the first one to end removes it
    return True


def _is_last(descriptor: int | None) -> bool:
    if descriptor is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def _placeholder_at(point: str) -> str | None:
    """The text of the link, if it is a placeholder."""
    try:
        text = real.readlink(point)
    except OSError:
        return None
    lock, slash, note = text.rpartition("/")
    known = lock == _NO_LOCK or (lock.startswith("/") and posixpath.basename(lock).startswith(_LOCK_NAME))
    return text if slash and note == NOTE and known else None


def is_strange_file(point: str) -> bool:
    """True where a file is at ``point`` that is no placeholder: mounted over, the user's own file would be out of
    sight."""
    try:
        found = real.stat(point)  # fails for a placeholder
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return not stat.S_ISDIR(found.st_mode)
    return found.st_size != len(MARK) or _content(point) != MARK


def _identity_at(path: str) -> tuple[int, int] | None:
    try:
        return _identity(real.lstat(path))
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _content(path: str, *, unlocked: bool = False) -> bytes:
    """The beginning of a small file; nothing where it is to be ``unlocked`` and is not."""
    descriptor = real.fd_open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"" if unlocked and not _is_last(descriptor) else real.fd_read(descriptor, len(MARK) + 1)
    finally:
        real.fd_close(descriptor)
