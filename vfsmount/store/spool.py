"""An upload in parts for stores that have none: the parts wait in a temporary file, and ``complete`` sends it whole."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from typing import Final

from vfsmount import real
from vfsmount.errors import NotFound, NotSupported, StoreError, TooLarge
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import StoreTraits

COPY_CHUNK: Final = 4 << 20
"""Bytes moved at a time when parts are put in order."""


class SpooledFile:
    """All parts in order, as a file to read from."""

    def __init__(self, descriptor: int, extents: list[tuple[int, int]]) -> None:
        self._descriptor = descriptor
        self._extents = extents
        """Offset in the spool and size of each part."""
        self.size = sum(size for _, size in extents)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer at the end only."""
        pieces: list[bytes] = []
        for start, length in self._extents:
            if offset >= length:
                offset -= length
                continue
            while size and offset < length:
                piece = real.pread(self._descriptor, min(size, length - offset), start + offset)
                if not piece:
                    raise StoreError("the spool is shorter than what was written to it", operation="complete")
                pieces.append(piece)
                size -= len(piece)
                offset += len(piece)
            offset = 0
            if not size:
                break
        return b"".join(pieces)


Send = Callable[[SpooledFile, "str | None", bool], ObjectMeta]


class SpooledMultipart:
    """The Multipart protocol over a temporary file. Only the process that began it may complete it."""

    def __init__(self, bucket: str, key: str, traits: StoreTraits, send: Send) -> None:
        self._bucket = bucket
        self._key = key
        self._traits = traits
        self._send = send
        """Stores the whole; takes the file and the conditions ``if_match`` and ``if_none_match``."""
        self._lock = threading.Lock()
        self._pid = real.getpid()
        self._extents: dict[int, tuple[int, int]] = {}
        self._end = 0
        try:
            with real.passthrough():
                self._descriptor, path = tempfile.mkstemp(prefix="vfsmount-")
            real.unlink(path)  # nothing is left of it whatever becomes of us
        except OSError as error:
            raise self._error(StoreError, f"cannot spool: {error}", "create_multipart") from error

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        if not 1 <= number <= self._traits.max_parts:
            raise self._error(TooLarge, f"part {number}", "put_part")
        view = memoryview(data)
        size = len(view)
        with self._lock:
            self._check_open("put_part")
            start = self._end
            self._end += size
        written = 0
        try:
            while written < size:
                written += real.pwrite(self._descriptor, view[written:], start + written)
        except OSError as error:
            raise self._error(StoreError, f"cannot spool: {error}", "put_part") from error
        with self._lock:
            self._extents[number] = (start, size)

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        if not self._traits.conditional_put and (if_match is not None or if_none_match):
            raise self._error(NotSupported, "conditional put", "complete")
        with self._lock:
            self._check_open("complete")
            extents = [self._extents[number] for number in sorted(self._extents)]
        if not extents:
            raise self._error(StoreError, "no part was sent", "complete")
        meta = self._send(SpooledFile(self._descriptor, extents), if_match, if_none_match)
        self.abort()
        return meta

    def abort(self) -> None:
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            real.fd_close(descriptor)

    def _check_open(self, operation: str) -> None:
        if self._descriptor < 0 or self._pid != real.getpid():
            raise self._error(NotFound, "the upload has ended", operation)

    def _error(self, cls: type[StoreError], detail: str, operation: str) -> StoreError:
        return cls(detail, operation=operation, bucket=self._bucket, key=self._key)
