"""Uploads and copies in parts over S3's own verbs."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.errors import NotFound, PreconditionFailed, StoreError, TooLarge
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import PutAttributes
from vfsmount.store.s3_answers import quoted, server_time_ns
from vfsmount.store.s3_parameters import attribute_parameters

if TYPE_CHECKING:
    from vfsmount.store.s3_direct import DirectRequests
    from vfsmount.store.s3fs_store import S3fsStore

COPY_PART: Final = 512 << 20
"""Bytes of one part of a copy in parts: a 5 TiB object needs 10,240, so it grows for the largest."""

COPIES_AT_ONCE: Final = 8
"""Parts of one copy on their way: the service does the work, and takes a second or two for each."""


class S3Upload:
    """One multipart upload. Only the process that began it may go on with it."""

    def __init__(self, store: S3fsStore, key: str, upload_id: str, direct: DirectRequests | None = None) -> None:
        """``direct``: tried first for each request."""
        self._store = store
        self._direct = direct
        self._key = key
        self._id = upload_id
        self._pid = real.getpid()
        self._lock = threading.Lock()
        self._parts: dict[int, dict[str, Any]] = {}
        self._size: dict[int, int] = {}
        self._ended = False

    @classmethod
    def create(cls, store: S3fsStore, key: str, attributes: PutAttributes | None) -> S3Upload:
        """Begin an upload; one request."""
        direct = store.direct
        if direct is not None:
            upload_id = direct.create(key, attributes)
            if upload_id is not None:
                return cls(store, key, upload_id, direct)
        parameters = attribute_parameters(attributes)

        async def create(client: Any) -> Any:
            return await store.call(client, "create_multipart_upload", key, Key=key, **parameters)

        return cls(store, key, store.request("create_multipart", key, create)["UploadId"])

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        traits = self._store.traits
        if not 1 <= number <= traits.max_parts or len(data) > traits.max_part_size:
            raise self._error(TooLarge, f"part {number} of {len(data)} bytes", "put_part")
        if self._ended:
            raise self._error(NotFound, "the upload has ended", "put_part", "NoSuchUpload")
        etag = self._direct.put_part(self._key, self._id, number, data) if self._direct is not None else None
        if etag is not None:
            self._sent(number, {"ETag": etag}, len(data))
            return
        body = data if isinstance(data, bytes) else bytes(data)

        async def upload_part(client: Any) -> Any:
            return await self._store.call(
                client, "upload_part", self._key, Key=self._key, UploadId=self._id, PartNumber=number, Body=body
            )

        self._sent(number, self._store.request("put_part", self._key, upload_part), len(body))

    def _sent(self, number: int, answer: dict[str, Any], size: int) -> None:
        with self._lock:
            self._parts[number] = part_entry(number, answer)
            self._size[number] = size

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        self._store.check_conditions("complete", self._key, if_match, if_none_match)
        if self._ended:
            raise self._error(NotFound, "the upload has ended", "complete", "NoSuchUpload")
        with self._lock:
            parts = [self._parts[number] for number in sorted(self._parts)]
            size = sum(self._size.values())
        if not parts:
            raise self._error(StoreError, "no part was sent", "complete", "MalformedXML")
        if size > self._store.traits.max_object_size:
            raise self._error(TooLarge, f"{size} bytes", "complete", "EntityTooLarge")

        tried = False
        if self._direct is not None and if_match is None and not if_none_match and all(map(_is_plain, parts)):
            answer = self._direct.complete(self._key, self._id, parts)
            if answer is not None:
                self._ended = True
                return ObjectMeta(self._key, size, server_time_ns(answer), quoted(answer["ETag"]))
            tried = True

        async def complete_upload(client: Any) -> ObjectMeta:
            answer = await self._store.guarded(
                client,
                "complete_multipart_upload",
                self._key,
                if_match,
                if_none_match,
                expected=lambda: multipart_etag(parts),
                repeated=tried,
                UploadId=self._id,
                MultipartUpload={"Parts": parts},
            )
            return ObjectMeta(self._key, size, server_time_ns(answer), quoted(answer.get("ETag")))

        meta = self._store.request("complete", self._key, complete_upload)
        self._ended = True
        return meta

    def abort(self) -> None:
        if self._ended or self._pid != real.getpid():
            return
        if self._direct is not None and self._direct.abort(self._key, self._id):
            self._ended = True
            return

        async def abort_upload(client: Any) -> None:
            await self._store.call(client, "abort_multipart_upload", self._key, Key=self._key, UploadId=self._id)

        try:
            self._store.request("abort", self._key, abort_upload)
        except NotFound:
            pass  # nothing is left of it
        self._ended = True

    def _error(self, cls: type[StoreError], detail: str, operation: str, code: str | None = None) -> StoreError:
        return cls(detail, operation=operation, bucket=self._store.bucket, key=self._key, code=code)


async def copy_in_parts(
    store: S3fsStore,
    client: Any,
    source: ObjectMeta,
    target: str,
    *,
    if_none_match: bool = False,
    part_size: int | None = None,
) -> ObjectMeta:
    """A server-side copy of an object that is too large for one request; keeps its type and metadata.

    Four requests and one for each part, several at a time. A failure leaves no upload behind.
    """
    part_size = part_size or min(COPY_PART, store.traits.max_part_size)
    part_size = max(part_size, -(-source.size // store.traits.max_parts))
    head = await store.call(client, "head_object", source.key, Key=source.key)
    kept: dict[str, Any] = {name: head[name] for name in KEPT_HEADERS if head.get(name)}
    created = await store.call(client, "create_multipart_upload", target, Key=target, **kept)
    upload = {"Key": target, "UploadId": created["UploadId"]}
    pinned: dict[str, Any] = {} if source.etag is None else {"CopySourceIfMatch": source.etag}
    gate = asyncio.Semaphore(COPIES_AT_ONCE)

    async def copy_part(number: int, first: int) -> dict[str, Any]:
        async with gate:
            answer = await store.call(
                client,
                "upload_part_copy",
                target,
                PartNumber=number,
                CopySource={"Bucket": store.bucket, "Key": source.key},
                CopySourceRange=f"bytes={first}-{min(first + part_size, source.size) - 1}",
                **upload,
                **pinned,
            )
        return part_entry(number, answer["CopyPartResult"])

    try:
        starts = enumerate(range(0, source.size, part_size), 1)
        # All of them end before the upload is aborted: a part that arrives later would be kept, and billed.
        found = await asyncio.gather(*(copy_part(*start) for start in starts), return_exceptions=True)
        parts = [part for part in found if not isinstance(part, BaseException)]
        for failure in found:
            if isinstance(failure, BaseException):
                raise failure
        # Not every service heeds the condition on a part, and then the parts may be of two versions.
        now = await store.call(client, "head_object", source.key, Key=source.key)
        if source.etag is not None and quoted(now.get("ETag")) != source.etag:
            raise PreconditionFailed(operation="copy", bucket=store.bucket, key=source.key)
        answer = await store.guarded(
            client,
            "complete_multipart_upload",
            target,
            None,
            if_none_match,
            expected=lambda: multipart_etag(parts),
            UploadId=created["UploadId"],
            MultipartUpload={"Parts": parts},
        )
    except BaseException:
        await store.call(client, "abort_multipart_upload", target, **upload)
        raise
    return ObjectMeta(target, source.size, server_time_ns(answer), quoted(answer.get("ETag")))


KEPT_HEADERS: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
)
"""What CopyObject would copy by itself."""


def part_entry(number: int, answer: dict[str, Any]) -> dict[str, Any]:
    """What CompleteMultipartUpload wants to know of a part: its tag, and its checksum where it has one."""
    entry = {name: value for name, value in answer.items() if name == "ETag" or name.startswith("Checksum")}
    entry.pop("ChecksumType", None)
    return entry | {"PartNumber": number}


def _is_plain(part: dict[str, Any]) -> bool:
    return part.keys() == {"ETag", "PartNumber"}


def multipart_etag(parts: list[dict[str, Any]]) -> str:
    """The ETag S3 gives an object made of these parts, or "" where their tags are no MD5s."""
    try:
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    except ValueError:
        return ""
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
