"""An open file description as the process sees it: the vfs's open file, and the kernel's side of it.

A reader's descriptors are placeholders until its content *escapes* to native code; from then on every number leads to
a local copy of the whole content, and Python reads it there too, so that the position is one. A writer's descriptors
lead to a :class:`~vfsmount.shim.spool.Spool`. Directories stay placeholders.
"""

from __future__ import annotations

import fcntl
import logging
import os
import weakref
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.shim import kernelfiles
from vfsmount.shim.spool import Backing, Spool
from vfsmount.vfs.openfile import STATUS_FLAGS
from vfsmount.vfs.staged import StagedFile

if TYPE_CHECKING:
    import io

    from vfsmount.model import Attr
    from vfsmount.vfs.openfile import OpenFile

logger: Final = logging.getLogger(__name__)

_readv = os.readv


class Description:
    """One ``OpenFile`` with the numbers that lead to it; same verbs, kept in step with native use of the numbers.

    The lock is held while bytes are handed over, as the kernel holds an inode's: two threads that write must not drain
    twice.
    """

    __slots__ = (
        "__weakref__",
        "_content",
        "_spool",
        "file",
        "forked",
        "holders",
        "identity",
        "lock",
        "numbers",
        "owner",
        "shared",
    )

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.numbers: set[int] = set()
        self.holders = 0
        """File objects and child processes that keep it open beside the numbers."""
        self.shared = False
        """True while another process may write at the same offset."""
        self.forked = False
        """True where the process forked meanwhile: the child has the numbers too, and is told that it cannot write."""
        self.identity: tuple[int, int] | None = None
        """Device and inode that every one of the numbers leads to."""
        self.lock = RequestLock()
        self.owner: weakref.ref[io.IOBase] | None = None
        """The outermost file object that reads or writes here, with what it still buffers."""
        self._content: int | None = None
        self._spool: Spool | Backing | None = None

    # What the file is -------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def is_dir(self) -> bool:
        return self.file.is_dir

    @property
    def readable(self) -> bool:
        return self.file.readable

    @property
    def writable(self) -> bool:
        return self.file.writable

    @property
    def is_sequential(self) -> bool:
        """True for a writer that may write at its end only."""
        return self.file.writable and not self.file.is_dir and not isinstance(self.file, StagedFile)

    @property
    def escaped(self) -> bool:
        """True where native code finds the real thing behind the numbers."""
        return self._content is not None or self._spool is not None

    # The kernel's side ------------------------------------------------------------------------------------------------

    def new_number(self) -> int:
        """One more descriptor for this description: a placeholder, the content, or the spool. Raises: EMFILE."""
        with self.lock:
            if self._spool is None and self.file.writable and not self.file.is_dir:
                self._spool = Backing(self.file) if isinstance(self.file, StagedFile) else Spool(self.file)
                self.identity = kernelfiles.identity(self._spool.front)
            if self._spool is not None:
                number = real.dup(self._spool.front)
            elif self._content is not None:
                number = real.dup(self._content)
            elif self.numbers:
                number = real.dup(next(iter(self.numbers)))
            else:
                number = kernelfiles.placeholder() if self.file.is_dir else kernelfiles.file_placeholder()
                self.identity = kernelfiles.identity(number)
            self.numbers.add(number)
            return number

    def escape(self) -> None:
        """Make every number good for native code, on the same number; a reader's whole content is fetched.

        Raises: OSError where the content cannot be fetched or kept.
        """
        with self.lock:
            if self.escaped or self.file.is_dir or not self.file.readable:
                self.publish()
                return
            if isinstance(self.file, StagedFile):
                self._spool = Backing(self.file)
                self._lead_to(self._spool.front)
                return
            size = self.file.stat().size
            back, front = kernelfiles.local_pair(os.O_RDONLY, in_memory=size <= kernelfiles.MEMORY_LIMIT)
            try:
                offset = 0
                while data := self.file.pread(kernelfiles.CHUNK, offset):
                    kernelfiles.write_all(back, data, offset)
                    offset += len(data)
                attr = self.file.stat()
                real.utime(back, ns=(attr.mtime_ns, attr.mtime_ns))
                real.lseek(front, self.file.tell(), os.SEEK_SET)
                self._lead_to(front)
            except BaseException:
                real.fd_close(front)
                raise
            finally:
                real.fd_close(back)
            self._content = front

    def status(self) -> int:
        """The flags of its opening, with what F_SETFL changed, also of native code's."""
        with self.lock, _InStep(self):
            return self.file.flags

    def set_status(self, flags: int) -> None:
        """As fcntl's F_SETFL: for Python's calls, and for native code's where it finds the real thing."""
        with self.lock:
            self.file.set_status(flags)
            if self._spool is not None:
                real.fcntl(self._spool.front, fcntl.F_SETFL, flags & STATUS_FLAGS)

    def map_writable(self) -> None:
        """A mapping through which the file may be changed at any time is about to be made."""
        if isinstance(self._spool, Backing):
            self._spool.always_dirty = True

    def _lead_to(self, front: int) -> None:
        for number in list(self.numbers):
            if kernelfiles.leads_to(number, self.identity):  # else native code closed it, and it is a stranger's by now
                real.dup2(front, number, real.get_inheritable(number))
        self.identity = kernelfiles.identity(front)

    def publish(self) -> None:
        """Let native code find the position where Python left it."""
        if self._spool is not None and self._is_owner():
            with self.lock:
                self._spool.settle(self.file)
                self._spool.publish(self.file)

    def close(self, *, abort: bool = False) -> None:
        """Drain and close for good; commits a writer. Raises: OSError where the upload failed (no object then
        appears)."""
        with self.lock:
            spool, self._spool = self._spool, None
            content, self._content = self._content, None
            kernelfiles.close_quietly(content)
            try:
                if spool is not None and not abort and self._is_owner():
                    spool.settle(self.file)
            except BaseException:
                abort = True
                raise
            finally:
                lingers = spool is not None and spool.close()
                self.file.close(abort=abort)
                if isinstance(spool, Backing):
                    lingers = spool.is_outlived
                lingers = lingers and not (abort or self.forked) and self._is_owner()
            if lingers:
                logger.error(
                    "%s is closed and committed, and native code or another process still has it open:"
                    " what it writes from now on is lost",
                    self.path,
                )

    def after_fork(self) -> None:
        """In the child: the parent's threads may have held the lock."""
        self.lock = RequestLock()
        self.file.renew_locks()

    def _is_owner(self) -> bool:
        return self.file.owner_pid == real.getpid()

    # Verbs ------------------------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        if self._content is None:
            with self.lock, _InStep(self):
                if self._content is None:
                    return self.file.read(size)
        if size >= 0:
            return real.fd_read(self._content, size)
        chunks = []
        while chunk := real.fd_read(self._content, kernelfiles.CHUNK):
            chunks.append(chunk)
        return b"".join(chunks)

    def readinto(self, buffer: memoryview) -> int:
        if self._content is None:
            with self.lock, _InStep(self):
                if self._content is None:
                    return self.file.readinto(buffer)
        return _readv(self._content, [buffer])

    def pread(self, size: int, offset: int) -> bytes:
        if self._content is not None:
            return real.pread(self._content, size, offset)
        if self._spool is None:
            return self.file.pread(size, offset)
        with self.lock, _InStep(self):
            return self.file.pread(size, offset)

    def write(self, data: bytes | memoryview) -> int:
        if self._spool is None:
            return self.file.write(data)
        with self.lock:
            if self.shared and self._is_owner():
                self._spool.settle(self.file)
                return self._spool.append(self.file, data)
            with _InStep(self):
                return self.file.write(data)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        with self.lock, _InStep(self):
            return self.file.pwrite(data, offset)

    def seek(self, offset: int, whence: int) -> int:
        if self._content is None:
            with self.lock, _InStep(self):
                if self._content is None:
                    return self.file.seek(offset, whence)
        return real.lseek(self._content, offset, whence)

    def tell(self) -> int:
        if self._content is None:
            with self.lock, _InStep(self):
                if self._content is None:
                    return self.file.tell()
        return real.lseek(self._content, 0, os.SEEK_CUR)

    def truncate(self, length: int) -> None:
        with self.lock, _InStep(self):
            self.file.truncate(length)

    def fsync(self) -> None:
        with self.lock, _InStep(self):
            self.file.fsync()

    def stat(self) -> Attr:
        if self._spool is None:
            return self.file.stat()
        with self.lock, _InStep(self):
            return self.file.stat()

    def utime(self, mtime_ns: int) -> None:
        self.file.utime(mtime_ns)

    def chmod(self, mode: int) -> None:
        self.file.chmod(mode)

    def chown(self, uid: int, gid: int) -> None:
        self.file.chown(uid, gid)


class _InStep:
    """Around a Python operation, under the lock: drain before it, publish the position after it; the content escapes
    before or after, and takes the position along."""

    __slots__ = ("_description",)

    def __init__(self, description: Description) -> None:
        self._description = description

    def __enter__(self) -> None:
        description = self._description
        spool = description._spool
        if spool is not None and description._is_owner():
            spool.settle(description.file)
        elif isinstance(spool, Backing):  # in a forked child, which may read
            spool.take_offset(description.file)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        description = self._description
        spool = description._spool
        if kind is not None or spool is None:
            return
        if description._is_owner():
            spool.publish(description.file)
        elif isinstance(spool, Backing):
            spool.give_offset(description.file)
