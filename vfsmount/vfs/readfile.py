"""A file open for reading, pinned to the version of the object that it was opened on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from vfsmount.errors import NotFound, StoreError, from_store, os_error
from vfsmount.model import Attr, ObjectId
from vfsmount.store.protocol import Store
from vfsmount.transfer.reader import Reader
from vfsmount.vfs.openfile import OpenFile
from vfsmount.vfs.policy import REPLACE_HINT, is_writing


class ReadFile(OpenFile):
    """Reads go through a :class:`Reader`.

    Raises ESTALE where the object was replaced or deleted meanwhile (never a mix, never an early end), EACCES for an
    archived object or refused request, EIO for a store that keeps failing.
    """

    readable = True

    def __init__(
        self,
        path: str,
        flags: int,
        attr: Attr,
        reader: Reader,
        on_close: Callable[[], None],
        *,
        store: Store,
        version: ObjectId,
    ) -> None:
        super().__init__(path, flags)
        self.store: Final = store
        self.version: Final = version
        self._attr = attr
        self._reader = reader
        self._on_close = on_close

    def stat(self) -> Attr:
        return self._attr

    def _size(self) -> int:
        return self._attr.size

    def _read_at(self, offset: int, out: memoryview) -> int:
        try:
            return self._reader.read_into(offset, out)
        except StoreError as error:
            raise self._translated(error) from error

    def _read_all_from(self, offset: int, size: int) -> bytes:
        end = self._attr.size if size < 0 else min(self._attr.size, offset + size)
        if offset >= end:
            return b""
        try:
            if size >= 0:
                return self._reader.read_on(offset, end)
            return self._reader.read_range(offset, end)
        except StoreError as error:
            raise self._translated(error) from error

    def _write_at(self, offset: int, data: memoryview) -> int:
        raise self.error(errno.EBADF, REPLACE_HINT if is_writing(self.flags) else None)

    def _translated(self, error: StoreError) -> OSError:
        if isinstance(error, NotFound):
            hint = "the object was deleted while it was open"
            return os_error(errno.ESTALE, self.path, hint=f"{hint} [{error}]", cause=error)
        return from_store(error, self.path)

    def abandon(self) -> None:
        self._on_close()

    def _finish(self, *, abort: bool) -> None:
        self._reader.close()
        self._on_close()
