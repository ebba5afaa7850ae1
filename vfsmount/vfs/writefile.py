"""A file being written in sequence: nothing is in the bucket before it is closed or synced."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable

from vfsmount.errors import StoreError, errno_for, from_store
from vfsmount.model import Attr, ObjectMeta
from vfsmount.transfer.uploader import Uploader
from vfsmount.vfs.openfile import OpenFile


class _State(enum.Enum):
    WRITING = enum.auto()
    COMMITTED = enum.auto()
    FAILED = enum.auto()


class WriteFile(OpenFile):
    """Writes must follow each other; seeking is free.

    A write anywhere but at the end: EINVAL, and then the upload is dead: every later write is EINVAL too and no object
    appears. After ``fsync`` the object is published and a write is EIO. In both cases others may open the path before
    this is closed. Source: Mountpoint SEMANTICS, "Writes".
    """

    writable = True

    def __init__(
        self,
        path: str,
        flags: int,
        *,
        start: Callable[[], Uploader],
        attr_of: Callable[[int, int | None], Attr],
        on_commit: Callable[[ObjectMeta], None],
        on_end: Callable[[WriteFile], None],
        copier: Callable[[OpenFile], Callable[[], ObjectMeta] | None],
    ) -> None:
        """``copier``: how to have the store copy a file that is open for reading, or None."""
        super().__init__(path, flags)
        self._start = start
        self._attr_of = attr_of
        self._on_commit = on_commit
        self._on_end = on_end
        self._copier = copier
        self._copy: Callable[[], ObjectMeta] | None = None
        self._copy_size = 0
        self._uploader = start()
        self._state = _State.WRITING
        self._failure: tuple[int, str | None, StoreError | None] | None = None
        self._mtime_ns: int | None = None
        self._ended = False

    @property
    def is_committed(self) -> bool:
        """The object is published; the file may still be open."""
        return self._state is _State.COMMITTED

    def _end(self) -> None:
        """Nothing more will be written. Told once: after an fsync, what happens to the object is not this file's."""
        if not self._ended:
            self._ended = True
            self._on_end(self)

    @property
    def display(self) -> str:
        """The path, as messages name it."""
        return self.path

    def stat(self) -> Attr:
        return self._attr_of(self._size(), self._mtime_ns)

    def _size(self) -> int:
        return self._uploader.size if self._copy is None else self._copy_size

    def copy_from(self, source: OpenFile) -> bool:
        """One request at the commit, which fails with ESTALE where the source was replaced meanwhile."""
        with self._position_lock:
            self._check_alive()
            if self._size():
                return False
            self._copy = self._copier(source)
            if self._copy is None:
                return False
            self._copy_size = self._position = source.seek(0, os.SEEK_END)
            return True

    def _read_at(self, offset: int, out: memoryview) -> int:
        raise self._unreadable()

    def _read_all_from(self, offset: int, size: int) -> bytes:
        raise self._unreadable()

    def _unreadable(self) -> OSError:
        asked = self.flags & os.O_ACCMODE == os.O_RDWR
        hint = 'a file being written cannot be read; mount with writes="staged" for that' if asked else None
        return self.error(errno.EBADF, hint)

    def _write_at(self, offset: int, data: memoryview) -> int:
        with self._position_lock:
            self._check_alive()
            if not data:
                return 0
            if self._copy is not None:
                self._fail(errno.EINVAL, "the store makes this file as a copy of another; nothing can be added")
                raise self._failed()
            if offset != self._uploader.size:
                self._fail(
                    errno.EINVAL,
                    f"written out of order: at {offset}, the file ends at {self._uploader.size};"
                    ' mount with writes="staged" for random writes',
                )
                raise self._failed()
            try:
                return self._uploader.write(data)
            except StoreError as error:
                self._fail(errno_for(error), None, error)
                raise self._failed() from error

    def truncate(self, length: int) -> None:
        """To the present length: nothing; to 0: begin again. Raises EINVAL (negative), EPERM (any other length)."""
        if length < 0:
            raise self.error(errno.EINVAL)
        with self._position_lock:
            self._check_alive()
            if length == self._size():
                return
            if length != 0:
                raise self.error(errno.EPERM, 'a file can be cut to nothing only; mount with writes="staged" for more')
            self._copy = None
            self._uploader.abort()
            self._uploader = self._start()

    def utime(self, mtime_ns: int) -> None:
        """Shown until the commit; the store then sets its own time, and no other is possible: EPERM."""
        if self._state is _State.COMMITTED:
            super().utime(mtime_ns)
        self._mtime_ns = mtime_ns

    def fsync(self) -> None:
        """Publish the object; no write is possible afterwards. Raises what the upload failed with."""
        self.require_owner()
        with self._position_lock:
            if self._state is _State.COMMITTED:
                return
            if self._failure is not None:
                raise self._failed()
            self._commit()

    def _finish(self, *, abort: bool) -> None:
        try:
            with self._position_lock:
                if self._state is _State.COMMITTED:
                    return
                if abort:
                    self._uploader.abort()
                    return
                if self._failure is not None:
                    raise self._failed()
                self._commit()
        finally:
            self._end()

    def abandon(self) -> None:
        """The upload is the parent process's business."""

    def _commit(self) -> None:
        try:
            if self._copy is not None:
                self._uploader.abort()
                meta = self._copy()
            else:
                meta = self._uploader.commit()
        except StoreError as error:
            self._fail(errno_for(error), None, error)
            raise self._failed() from error
        self._state = _State.COMMITTED
        self._on_commit(meta)
        self._end()

    def _check_alive(self) -> None:
        self.require_owner()
        if self._state is _State.COMMITTED:
            raise self.error(errno.EIO, "the file was published by fsync; nothing can be written after that")
        if self._failure is not None:
            raise self._failed()

    def _fail(self, number: int, hint: str | None, cause: StoreError | None = None) -> None:
        self._state = _State.FAILED
        self._failure = (number, hint, cause)
        try:
            self._uploader.abort()
        finally:
            self._end()

    def _failed(self) -> OSError:
        assert self._failure is not None
        number, hint, cause = self._failure
        if cause is not None:
            return from_store(cause, self.path)
        return self.error(number, hint)
