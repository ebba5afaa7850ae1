"""The kernel file behind a write descriptor: what native code writes there ends in the upload.

The spool's offset and size are the stream's: C code that asks for the position, seeks to the end, or simply writes,
finds what it would find in a real file. Whatever appears in it is drained into the stream before the next Python
operation and at close. Bytes that were drained are punched out, all but the last block, which is kept and compared, so
that a native write behind the stream's end is noticed and not dropped.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.shim import kernelfiles
from vfsmount.transfer.spool import out_of_the_way

if TYPE_CHECKING:
    from vfsmount.vfs.openfile import OpenFile
    from vfsmount.vfs.staged import StagedFile, StagedNode

BLOCK: Final = 1 << 16
"""Bytes; at least the block of any file system, so that the last, partly drained one can be kept whole."""


class Backing:
    """The local file that a staged mount keeps the content in, opened once more: native code has the thing itself.

    What is left to do is to keep the position one, and to notice changes: the node stamps the
    file, so that any native write shows.
    """

    __slots__ = ("_node", "_offset", "_own", "always_dirty", "front")

    def __init__(self, file: StagedFile) -> None:
        self._node: Final[StagedNode] = file.node
        access = file.flags & (os.O_ACCMODE | os.O_APPEND)
        content = file.node.descriptor()
        self._own = True
        try:
            self.front = out_of_the_way(real.fd_open(f"/proc/self/fd/{content}", access))
        except OSError:  # no /proc; the node itself does without an offset, so sharing its one does no harm
            self.front = out_of_the_way(real.dup(content))
            self._own = False
        self._offset = 0
        self.always_dirty = False
        """A writable mapping exists, whose stores show in no time."""
        self.publish(file)
        if file.writable:
            self._node.watch()

    def settle(self, file: OpenFile) -> None:
        """Take over the offset and the changes that native code left."""
        if file.writable:
            self._node.watch()
            if self.always_dirty:
                self._node.mark()
        if self._own:
            file.set_status(real.fcntl(self.front, fcntl.F_GETFL))  # fdopen(3) to append sets O_APPEND
        self.take_offset(file)

    def publish(self, file: OpenFile) -> None:
        """Show native code the position where Python left it."""
        self.give_offset(file)

    def take_offset(self, file: OpenFile) -> None:
        """Python goes on where native code, or the other side of a fork, left the kernel's offset."""
        offset = real.lseek(self.front, 0, os.SEEK_CUR)
        if offset != self._offset:
            file.seek(offset, os.SEEK_SET)
            self._offset = offset

    def give_offset(self, file: OpenFile) -> None:
        """The reverse."""
        offset = file.tell()
        if offset != self._offset:
            self._offset = real.lseek(self.front, offset, os.SEEK_SET)

    def append(self, file: OpenFile, data: bytes | memoryview) -> int:
        """Write through the kernel, in order with another process that writes to the same offset at the same time."""
        written = real.fd_write(self.front, data)
        self.settle(file)
        return written

    def close(self) -> bool:
        """Let go of the kernel's file; False: whether others have it open is told when the last handle is closed."""
        kernelfiles.close_quietly(self.front)
        return False

    @property
    def is_outlived(self) -> bool:
        """True where the last handle is closed, and native code or another process can still write.

        Not where Python mapped the file: of a mapping that is collected it is told a moment before it goes.
        """
        return self._node.is_outlived and not self.always_dirty


class Spool:
    """Where native code's writes to one open file description wait for the stream."""

    __slots__ = ("_back", "_end", "_offset", "_punches", "_tail", "front")

    def __init__(self, file: OpenFile) -> None:
        self._back, self.front = kernelfiles.local_pair(os.O_WRONLY | (file.flags & os.O_APPEND), in_memory=False)
        self._end = 0
        self._offset = 0
        self._tail = b""
        self._punches = True
        self.publish(file)

    def settle(self, file: OpenFile) -> None:
        """Hand to ``file`` what native code wrote, and take over the offset it left.

        Raises: OSError of the stream (EINVAL where a sequential mount met a write that is not at its end); the bytes
        then stay in the spool, and the next call fails again.
        """
        size = real.fstat(self._back).st_size
        offset = real.lseek(self.front, 0, os.SEEK_CUR)
        if size < self._end:  # cut by native code, as by whoever opens it again through /proc/self/fd to write
            file.truncate(size)
            self._advance(size)
        self._check_behind(file)
        if size > self._end:
            start = self._end
            for data, hole in kernelfiles.data_extents(self._back, self._end, size):
                self._copy(file, max(data, start), hole)
            if file.stat().size < size:
                file.truncate(size)
            self._advance(size)
        if offset != self._offset:
            file.seek(offset, os.SEEK_SET)
            self._offset = offset

    def publish(self, file: OpenFile) -> None:
        """Make the spool's size and offset those of the stream again, after a Python operation."""
        size, offset = file.stat().size, file.tell()
        if size != self._end:
            real.ftruncate(self._back, size)
            self._advance(size)
        if offset != self._offset:
            real.lseek(self.front, offset, os.SEEK_SET)
            self._offset = offset

    def append(self, file: OpenFile, data: bytes | memoryview) -> int:
        """Write through the kernel, in order with another process that writes to the same offset at the same time."""
        written = real.fd_write(self.front, data)
        self.settle(file)
        return written

    def close(self) -> bool:
        """Let go of the kernel's file; drain first. True where somebody else still has it open to write."""
        kernelfiles.close_quietly(self.front)
        try:
            return kernelfiles.is_open_elsewhere(self._back)
        finally:
            kernelfiles.close_quietly(self._back)

    def _copy(self, file: OpenFile, start: int, stop: int) -> None:
        while start < stop:
            data = real.pread(self._back, min(kernelfiles.CHUNK, stop - start), start)
            if not data:
                return
            done = 0
            while done < len(data):
                done += file.pwrite(data[done:] if done else data, start + done)
            start += len(data)

    def _check_behind(self, file: OpenFile) -> None:
        """Pass on native writes at offsets that the stream has left behind: a staged mount takes them, a sequential
        one refuses."""
        kept = self._end - len(self._tail)
        if self._punches and kept:
            for data, hole in kernelfiles.data_extents(self._back, 0, kept):
                self._copy(file, data, hole)
                kernelfiles.punch(self._back, data, hole)
        if self._tail:
            now = real.pread(self._back, len(self._tail), kept)
            if now != self._tail:
                first = next(i for i, (a, b) in enumerate(zip(now, self._tail, strict=False)) if a != b)
                self._copy(file, kept + first, self._end)
                self._tail = now

    def _advance(self, end: int) -> None:
        """The stream now ends at ``end``: free what lies before its last block and remember that block."""
        kept = end // BLOCK * BLOCK
        before = self._end // BLOCK * BLOCK
        if (
            self._punches
            and before < kept
            and next(kernelfiles.data_extents(self._back, before, kept), None) is not None
        ):
            self._punches = kernelfiles.punch(self._back, before, kept)
        self._tail = real.pread(self._back, end - kept, kept) if end > kept else b""
        self._end = end
