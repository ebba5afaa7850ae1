"""A nameless local file that holds what is not in the bucket yet."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from vfsmount import real
from vfsmount.clock import FOREVER
from vfsmount.errors import Corrupt, PreconditionFailed, os_error
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange
from vfsmount.transfer.ownership import own
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.window import WIDTH, split

CHUNK: Final = 1 << 20
"""Bytes copied at a time."""

_HIGH: Final = 128
"""Lowest number of our own descriptors; half of the smallest usual limit on open files (macOS: 256)."""

_NAME: Final = ".vfsmount-"
"""The beginning of a spool's name, while it has one; it shows in ``/proc/self/maps``."""


def scratch_directory() -> str:
    """A directory on the local disk that can be written: the temporary one, unless that is on a mount.

    Raises OSError where there is none.
    """
    for candidate in (os.environ.get("TMPDIR"), tempfile.tempdir, "/tmp", "/var/tmp", "/dev/shm"):
        if isinstance(candidate, str) and candidate and real.access(candidate, os.W_OK | os.X_OK):
            return candidate
    here = real.getcwd()  # fails where the process stands in a directory that is gone, so it is asked last
    if real.access(here, os.W_OK | os.X_OK):
        return here
    raise os_error(errno.EACCES, here, hint="no writable local directory for temporary files; set TMPDIR")


class ScratchDirectory:
    """A local directory that is gone, with all that is in it, after a ``with`` block or at the end of the process;
    what a process that is killed leaves, the next one removes.

    It stays the parent's where a forked child leaves the block or ends. Raises OSError where it cannot be made.
    """

    def __init__(self) -> None:
        with real.passthrough():
            around = tempfile.mkdtemp(prefix="vfsmount-", dir=scratch_directory())
        self._remove = weakref.finalize(self, _remove, around, real.getpid())
        own(around)
        self.path: Final = f"{around}/files"
        real.mkdir(self.path, 0o700)

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        self._remove()


def _remove(path: str, owner: int) -> None:
    if real.getpid() == owner:
        with real.passthrough():
            shutil.rmtree(path, ignore_errors=True)


def out_of_the_way(number: int) -> int:
    """Move a descriptor of our own to a high number: the low ones are given out in order, and programs count on it
    (``os.close(1)``, then ``os.open``).
    """
    try:
        moved = int(real.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH))
    except OSError:  # the limit is lower, or all are taken
        return number
    real.fd_close(number)
    return moved


def _private(path: str, flags: int) -> int:
    return real.fd_open(path, flags, 0o600)


class SpoolFile:
    """Random access to a local file without a name; goes away with its descriptor.

    Thread-safe as the kernel's ``pread`` and ``pwrite`` are. Raises OSError (ENOSPC where the disk is full).
    """

    __slots__ = ("descriptor",)

    def __init__(self) -> None:
        path = f"{scratch_directory()}/{_NAME}{real.getpid()}-{os.urandom(8).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.descriptor: int = out_of_the_way(real.fd_open(path, flags, 0o600))
        real.unlink(path)

    @property
    def size(self) -> int:
        """Bytes."""
        return real.fstat(self.descriptor).st_size

    def read_into(self, offset: int, out: memoryview) -> int:
        """Fill ``out`` from ``offset``, less only at the end."""
        done = 0
        while done < len(out):
            data = real.pread(self.descriptor, len(out) - done, offset + done)
            if not data:
                break
            out[done : done + len(data)] = data
            done += len(data)
        return done

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer only at the end. One pread gives 2 GiB at most. Source: read(2)."""
        data = real.pread(self.descriptor, size, offset)
        if len(data) == size or not data:
            return data
        pieces = [data]
        done = len(data)
        while done < size and (data := real.pread(self.descriptor, size - done, offset + done)):
            pieces.append(data)
            done += len(data)
        return b"".join(pieces)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            done = real.pwrite(self.descriptor, view, offset)
            offset += done
            view = view[done:]

    def truncate(self, length: int) -> None:
        real.ftruncate(self.descriptor, length)

    def fill(self, store: GetRange, meta: ObjectMeta, submit: Submit) -> None:
        """Copy the whole object in, in parallel, pinned to its ETag. Raises StoreError, OSError."""

        versions: set[str | None] = set()

        def piece(start: int, end: int) -> Callable[[], None]:
            def copy() -> None:
                result = store.get_range(meta.key, start, end, if_match=meta.etag)
                if len(result.data) != end - start:
                    raise Corrupt(f"got {len(result.data)} bytes for [{start}, {end})", key=meta.key)
                versions.add(result.meta.etag)
                self.write(start, result.data)

            return copy

        self.truncate(meta.size)
        waiting: list[Future[None]] = []
        first: BaseException | None = None
        for part in split(0, meta.size):
            if len(waiting) >= WIDTH:
                first = first or waiting.pop(0).exception(FOREVER)
            if first is not None:
                break
            waiting.append(submit(piece(part.start, part.end)))
        for future in waiting:
            first = first or future.exception(FOREVER)
        if first is not None:
            raise first
        if len(versions) > 1:  # not every service heeds If-Match
            raise PreconditionFailed("pieces of several versions were sent", operation="get_range", key=meta.key)

    def rescue(self, name: str) -> str | None:
        """Keep the content under a name on the local disk, when it can go nowhere else; None where that fails too."""
        safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[-100:]
        try:
            path = f"{scratch_directory()}/vfsmount-rescued-{os.urandom(4).hex()}-{safe}"
            with real.open(path, "xb", opener=_private) as copy:
                offset = 0
                while block := self.read(offset, CHUNK):
                    copy.write(block)
                    offset += len(block)
        except OSError:
            return None
        return path

    def is_mapped(self) -> bool:
        """Whether this process maps it to write: what is stored there need not show in its times. False where the
        system does not tell. Source: proc(5), maps.
        """
        inode = str(real.fstat(self.descriptor).st_ino)
        try:
            with real.open("/proc/self/maps", "rb") as listed:
                lines = listed.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return False
        for line in lines:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[4] == inode and fields[1][1] == "w" and fields[1][3] == "s":
                return _NAME in fields[5]
        return False

    def close_and_tell(self) -> bool:
        """:meth:`close`; True where some other open or mapping of the file may still write to it. False where the
        system does not tell. Source: fcntl(2), F_SETLEASE: a read lease is given only while nobody writes.
        """
        lease = getattr(fcntl, "F_SETLEASE", None)
        reading = None
        try:
            if lease is not None and self.descriptor >= 0:
                reading = real.fd_open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
            self.close()
            if reading is not None:
                real.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return reading is not None and error.errno == errno.EAGAIN
        finally:
            self.close()
            if reading is not None:
                real.fd_close(reading)
        return False

    def close(self) -> None:
        """May be called again."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            with contextlib.suppress(OSError):
                real.fd_close(descriptor)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self.close()
