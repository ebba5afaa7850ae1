"""A bucket in this process's memory: as strict as S3, for tests and for trying things out."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from vfsmount import real
from vfsmount.clock import Clock, SystemClock
from vfsmount.errors import (
    AlreadyExists,
    Archived,
    InvalidKey,
    NotFound,
    NotSupported,
    PreconditionFailed,
    StoreError,
    TooLarge,
)
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store import ordering
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits

MAX_KEY_BYTES: Final = 1024
"""UTF-8 bytes. Source: S3, object key names."""

ARCHIVED_CLASSES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that refuse a read before a restore. Source: S3, GetObject, InvalidObjectState."""

_NO_ATTRIBUTES: Final = PutAttributes()
_S3_TRAITS: Final = StoreTraits()
_SYSTEM_CLOCK: Final = SystemClock()

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class _Stored:
    meta: ObjectMeta
    data: bytes
    attributes: PutAttributes


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """A multipart upload that is neither completed nor aborted."""

    id: str
    key: str
    attributes: PutAttributes = _NO_ATTRIBUTES
    parts: dict[int, bytes] = field(default_factory=dict)
    """Bytes by part number."""


class MemoryStore:
    """One bucket in memory. Thread-safe; a forked child has its own copy."""

    def __init__(
        self, bucket: str = "memory", *, traits: StoreTraits = _S3_TRAITS, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        self._bucket = bucket
        self._traits = traits
        self._clock = clock
        self._objects: dict[str, _Stored] = {}
        self._order: list[str] = []
        self._pending: dict[str, PendingUpload] = {}
        self._serial = 0
        self._lock = threading.Lock()
        self._pid = real.getpid()

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def traits(self) -> StoreTraits:
        return self._traits

    # -- reading

    def head(self, key: str) -> ObjectMeta:
        check_key(key, operation="head", bucket=self._bucket)
        with self._locked():
            return self._existing("head", key).meta

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        check_key(key, operation="get", bucket=self._bucket)
        with self._locked():
            stored = self._existing("get", key)
        if if_match is not None and stored.meta.etag != if_match:
            raise self._error(PreconditionFailed, "the object was replaced", "get", key, "PreconditionFailed")
        if stored.meta.storage_class in ARCHIVED_CLASSES:
            raise self._error(Archived, str(stored.meta.storage_class), "get", key, "InvalidObjectState")
        return GetResult(stored.meta, memoryview(stored.data)[start : max(start, end)])

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        cut = ordering.page if self._traits.ordered_list else ordering.unordered_page
        with self._locked():
            page = cut(
                self._order, prefix, delimiter=delimiter, token=token, start_after=start_after, limit=max(1, limit)
            )
            return ListPage(tuple(self._objects[key].meta for key in page.keys), page.prefixes, page.token)

    # -- writing

    def put(
        self,
        key: str,
        data: Buffer,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        check_key(key, operation="put", bucket=self._bucket)
        if len(data) > self._traits.max_put_size:
            raise self._error(TooLarge, "over the limit of one put", "put", key, "EntityTooLarge")
        self._check_conditional("put", key, if_match, if_none_match)
        body = bytes(data)
        with self._locked():
            self._check_target("put", key, if_match, if_none_match)
            return self._store(key, body, attributes or _NO_ATTRIBUTES)

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        check_key(key, operation="create_multipart", bucket=self._bucket)
        with self._locked():
            self._serial += 1
            upload = PendingUpload(f"upload-{self._serial}", key, attributes or _NO_ATTRIBUTES)
            self._pending[upload.id] = upload
        return _MemoryMultipart(self, upload)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        check_key(source, operation="copy", bucket=self._bucket)
        check_key(target, operation="copy", bucket=self._bucket)
        if if_none_match:
            self._check_conditional("copy", target, None, True)
        with self._locked():
            stored = self._existing("copy", source)
            if if_match is not None and stored.meta.etag != if_match:
                raise self._error(PreconditionFailed, "the source was replaced", "copy", source, "PreconditionFailed")
            if len(stored.data) > self._traits.max_copy_size:
                raise self._error(TooLarge, "over the limit of one copy", "copy", source, "InvalidRequest")
            self._check_target("copy", target, None, if_none_match)
            return self._store(target, stored.data, stored.attributes)

    def delete(self, key: str) -> None:
        check_key(key, operation="delete", bucket=self._bucket)
        with self._locked():
            self._remove(key)

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key, operation="delete_many", bucket=self._bucket)
        with self._locked():
            for key in keys:
                self._remove(key)

    def close(self) -> None:
        """Nothing to let go of: the objects stay, so that a test can look at them."""

    # -- what a test sees and does behind the store's back

    def objects(self) -> dict[str, bytes]:
        """A snapshot: key to content, in key order."""
        with self._locked():
            return {key: self._objects[key].data for key in self._order}

    def uploads(self) -> tuple[PendingUpload, ...]:
        """The multipart uploads that were neither completed nor aborted."""
        with self._locked():
            return tuple(self._pending.values())

    def attributes(self, key: str) -> PutAttributes:
        """What was stored beside the bytes of ``key``."""
        with self._locked():
            return self._existing("attributes", key).attributes

    def put_object(
        self, key: str, data: Buffer = b"", *, storage_class: str | None = None, mtime_ns: int | None = None
    ) -> ObjectMeta:
        """Store an object with no condition and no limit, as another client would."""
        with self._locked():
            return self._store(key, bytes(data), _NO_ATTRIBUTES, storage_class, mtime_ns)

    # -- inside the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._pid != real.getpid():  # a forked child: whoever held the lock does not exist here
            self._lock = threading.Lock()
            self._pid = real.getpid()
        with self._lock:
            yield

    def _existing(self, operation: str, key: str) -> _Stored:
        stored = self._objects.get(key)
        if stored is None:
            raise self._error(NotFound, "", operation, key, "NoSuchKey")
        return stored

    def _check_target(self, operation: str, key: str, if_match: str | None, if_none_match: bool) -> None:
        stored = self._objects.get(key)
        if if_none_match and stored is not None:
            raise self._error(AlreadyExists, "", operation, key, "PreconditionFailed")
        if if_match is not None and (stored is None or stored.meta.etag != if_match):
            detail = "the object is gone" if stored is None else "the object was replaced"
            raise self._error(PreconditionFailed, detail, operation, key, "PreconditionFailed")

    def _store(
        self,
        key: str,
        data: bytes,
        attributes: PutAttributes,
        storage_class: str | None = None,
        mtime_ns: int | None = None,
    ) -> ObjectMeta:
        # Unlike S3's, the tag changes with every put, so that a test cannot pass by replacing bytes by the same bytes.
        self._serial += 1
        seed = f"{self._bucket}:{self._serial}:{len(data)}".encode()
        etag = f'"{hashlib.md5(seed, usedforsecurity=False).hexdigest()}"'
        mtime = self._clock.time_ns() if mtime_ns is None else mtime_ns
        meta = ObjectMeta(key, len(data), mtime, etag, storage_class)
        if key not in self._objects:
            insort(self._order, key)
        self._objects[key] = _Stored(meta, data, attributes)
        return meta

    def _remove(self, key: str) -> None:
        if self._objects.pop(key, None) is not None:
            del self._order[bisect_left(self._order, key)]

    # -- multipart

    def _put_part(self, upload: PendingUpload, number: int, data: Buffer) -> None:
        if not 1 <= number <= self._traits.max_parts:
            detail = f"part {number} is not in 1..{self._traits.max_parts}"
            raise self._error(TooLarge, detail, "put_part", upload.key, "InvalidArgument")
        if len(data) > self._traits.max_part_size:
            raise self._error(TooLarge, f"part {number}", "put_part", upload.key, "EntityTooLarge")
        body = bytes(data)
        with self._locked():
            self._require_pending(upload, "put_part")
            upload.parts[number] = body

    def _complete(self, upload: PendingUpload, if_match: str | None, if_none_match: bool) -> ObjectMeta:
        self._check_conditional("complete", upload.key, if_match, if_none_match)
        with self._locked():
            self._require_pending(upload, "complete")
            parts = [upload.parts[number] for number in sorted(upload.parts)]
            self._check_parts(upload.key, [len(part) for part in parts])
            self._check_target("complete", upload.key, if_match, if_none_match)
            del self._pending[upload.id]
            return self._store(upload.key, b"".join(parts), upload.attributes)

    def _check_parts(self, key: str, sizes: list[int]) -> None:
        if not sizes:
            raise self._error(StoreError, "no part was sent", "complete", key, "MalformedXML")
        if any(size < self._traits.min_part_size for size in sizes[:-1]):
            raise self._error(StoreError, "a part is too small", "complete", key, "EntityTooSmall")
        if self._traits.equal_parts and (len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]):
            raise self._error(StoreError, "parts differ in size", "complete", key, "InvalidPart")
        if sum(sizes) > self._traits.max_object_size:
            raise self._error(TooLarge, "", "complete", key, "EntityTooLarge")

    def _abort(self, upload: PendingUpload) -> None:
        with self._locked():
            self._pending.pop(upload.id, None)

    def _require_pending(self, upload: PendingUpload, operation: str) -> None:
        if upload.id not in self._pending:
            raise self._error(NotFound, upload.id, operation, upload.key, "NoSuchUpload")

    # -- errors

    def _check_conditional(self, operation: str, key: str, if_match: str | None, if_none_match: bool) -> None:
        if not self._traits.conditional_put and (if_match is not None or if_none_match):
            raise self._error(NotSupported, "conditional put", operation, key, "NotImplemented")

    def _error(self, cls: type[StoreError], detail: str, operation: str, key: str, code: str) -> StoreError:
        return cls(detail, operation=operation, bucket=self._bucket, key=key, code=code)


class _MemoryMultipart:
    def __init__(self, store: MemoryStore, upload: PendingUpload) -> None:
        self._store = store
        self._upload = upload

    def put_part(self, number: int, data: Buffer) -> None:
        self._store._put_part(self._upload, number, data)

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        return self._store._complete(self._upload, if_match, if_none_match)

    def abort(self) -> None:
        self._store._abort(self._upload)


def check_key(key: str, *, operation: str, bucket: str) -> None:
    """Raises InvalidKey for what no object store can name: empty, over 1024 bytes, or not expressible in UTF-8."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKey(str(error), operation=operation, bucket=bucket, key=key) from error
    if not 0 < size <= MAX_KEY_BYTES:
        detail = f"{size} bytes; 1 to {MAX_KEY_BYTES} are allowed"
        raise InvalidKey(detail, operation=operation, bucket=bucket, key=key, code="KeyTooLongError")
