"""Google Cloud Storage by its own JSON interface, for the keys and listings that obstore refuses.

Tags are spelled as Google's XML interface spells them, because that is what obstore shows: one object has one tag
whichever of the two stores saw it first. A read is pinned by comparing the tag that comes with the bytes.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from vfsmount.errors import AlreadyExists, Corrupt, NotFound, PreconditionFailed, StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.gcs_answers import content_type_of, encoded_name, meta_of, tag
from vfsmount.store.gcsfs_client import Answer, GcsClient
from vfsmount.store.memory import check_key
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits
from vfsmount.store.s3_answers import storage_class, whole_second_ns
from vfsmount.store.spool import SpooledFile, SpooledMultipart

Buffer = bytes | bytearray | memoryview

UPLOAD_CHUNK: Final = 8 << 20
"""Bytes of one request of a resumable upload; a multiple of 256 KiB. Source: Cloud Storage, resumable uploads."""

AT_ONCE: Final = 16
"""Deletes in flight; the interface has none for many keys outside of its batch form."""

_FIELDS: Final = "name,size,updated,etag,md5Hash,generation,storageClass"
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class GcsfsStore:
    """One bucket. Uploads in parts wait in a local file and go up resumably at ``complete``."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._bucket = options.bucket
        self._client = GcsClient(options)
        self._traits = StoreTraits(bulk_delete=False, min_part_size=1, max_copy_size=5 << 40, max_put_size=5 << 40)

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def traits(self) -> StoreTraits:
        return self._traits

    def head(self, key: str) -> ObjectMeta:
        check_key(key, operation="head", bucket=self._bucket)

        async def head() -> ObjectMeta:
            return meta_of(await self._resource(key, "head"))

        return self._client.run("head", key, head)

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        check_key(key, operation="get", bucket=self._bucket)

        async def get() -> GetResult:
            answer = None
            if end > start:
                answer = await self._client.request(
                    "GET",
                    self._object(key),
                    operation="get",
                    key=key,
                    query={"alt": "media"},
                    # gzip: the stored bytes, never a decompressed rendering of them.
                    headers={"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "gzip"},
                    accept=frozenset({200, 206, 416}),
                )
            if answer is None or answer.status == 416:
                meta = meta_of(await self._resource(key, "get"))
                data = b""
            else:
                meta, data = self._ranged(key, answer, start, end)
            self._require(meta, if_match, "get")
            return GetResult(meta, data)

        return self._client.run("get", key, get)

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        async def list_objects() -> ListPage:
            answer = await self._client.request(
                "GET",
                f"/storage/v1/b/{quote(self._bucket, safe='')}/o",
                operation="list",
                key=prefix,
                query={
                    "prefix": prefix or None,
                    "delimiter": "/" if delimiter else None,
                    "pageToken": token,
                    "startOffset": start_after,
                    "maxResults": str(max(1, min(limit, 1000))),
                    "fields": f"prefixes,nextPageToken,items({_FIELDS})",
                },
            )
            told = answer.json()
            # startOffset is inclusive.
            objects = tuple(meta_of(item) for item in told.get("items", ()) if item["name"] != start_after)
            prefixes = tuple(name for name in told.get("prefixes", ()) if name != start_after)
            return ListPage(objects, prefixes, told.get("nextPageToken"))

        return self._client.run("list", prefix, list_objects)

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
        boundary = uuid.uuid4().hex
        described = json.dumps(self._description(key, attributes))
        content_type = content_type_of(attributes)
        body = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{described}\r\n"
            f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
        ).encode() + b"".join((data, f"\r\n--{boundary}--\r\n".encode()))

        async def put() -> ObjectMeta:
            answer = await self._client.request(
                "POST",
                f"/upload/storage/v1/b/{quote(self._bucket, safe='')}/o",
                operation="put",
                key=key,
                query={"uploadType": "multipart", **await self._condition(key, "put", if_match, if_none_match)},
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                data=body,
                create=if_none_match,
            )
            return meta_of(answer.json())

        return self._client.run("put", key, put)

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        check_key(key, operation="create_multipart", bucket=self._bucket)

        def send(file: SpooledFile, if_match: str | None, if_none_match: bool) -> ObjectMeta:
            if file.size <= UPLOAD_CHUNK:
                whole = file.pread(file.size, 0)
                return self.put(key, whole, attributes=attributes, if_match=if_match, if_none_match=if_none_match)
            return self._client.run(
                "complete", key, lambda: self._resumable(key, file, attributes, if_match, if_none_match)
            )

        return SpooledMultipart(self._bucket, key, self._traits, send)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        check_key(source, operation="copy", bucket=self._bucket)
        check_key(target, operation="copy", bucket=self._bucket)

        async def copy() -> ObjectMeta:
            found = await self._resource(source, "copy")
            self._require(meta_of(found), if_match, "copy")
            if if_none_match and await self._exists(target):
                raise AlreadyExists(operation="copy", bucket=self._bucket, key=target, code="conditionNotMet")
            query: dict[str, str | None] = {"ifSourceGenerationMatch": found.get("generation")}
            if if_none_match:
                query["ifGenerationMatch"] = "0"
            while True:
                answer = await self._client.request(
                    "POST",
                    f"{self._object(source)}/rewriteTo/b/{quote(self._bucket, safe='')}/o/{encoded_name(target)}",
                    operation="copy",
                    key=target if if_none_match else source,
                    query=query,
                    headers={"Content-Type": "application/json"},
                    data=b"{}" if self._options.storage_class is None else json.dumps(self._class()).encode(),
                    create=if_none_match,
                )
                told = answer.json()
                if told.get("done", True):
                    return meta_of(told["resource"])
                query["rewriteToken"] = told["rewriteToken"]  # a large object is copied over several requests

        return self._client.run("copy", source, copy)

    def delete(self, key: str) -> None:
        check_key(key, operation="delete", bucket=self._bucket)
        self._client.run("delete", key, lambda: self._delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key, operation="delete_many", bucket=self._bucket)

        async def delete_all() -> None:
            gate = asyncio.Semaphore(AT_ONCE)

            async def delete_one(key: str) -> None:
                async with gate:
                    await self._delete(key)

            for result in await asyncio.gather(*map(delete_one, keys), return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

        self._client.run("delete_many", keys[0] if keys else None, delete_all)

    def close(self) -> None:
        self._client.close()

    # -- on the client's loop

    def _object(self, key: str) -> str:
        return f"/storage/v1/b/{quote(self._bucket, safe='')}/o/{encoded_name(key)}"

    async def _resource(self, key: str, operation: str) -> dict[str, Any]:
        answer = await self._client.request(
            "GET", self._object(key), operation=operation, key=key, query={"fields": _FIELDS}
        )
        told: dict[str, Any] = answer.json()
        return told

    async def _exists(self, key: str) -> bool:
        try:
            await self._resource(key, "head")
        except NotFound:
            return False
        return True

    async def _delete(self, key: str) -> None:
        await self._client.request(
            "DELETE", self._object(key), operation="delete", key=key, accept=frozenset({200, 204, 404})
        )

    async def _condition(
        self, key: str, operation: str, if_match: str | None, if_none_match: bool
    ) -> dict[str, str | None]:
        """Write conditions are by generation, so one by tag costs a look first; the write itself is atomic."""
        if if_none_match:
            return {"ifGenerationMatch": "0"}
        if if_match is None:
            return {}
        try:
            found = await self._resource(key, operation)
        except NotFound as error:
            raise self._replaced(key, operation, "the object is gone") from error
        self._require(meta_of(found), if_match, operation)
        return {"ifGenerationMatch": found.get("generation")}

    async def _resumable(
        self, key: str, file: SpooledFile, attributes: PutAttributes | None, if_match: str | None, if_none_match: bool
    ) -> ObjectMeta:
        content_type = content_type_of(attributes)
        begun = await self._client.request(
            "POST",
            f"/upload/storage/v1/b/{quote(self._bucket, safe='')}/o",
            operation="complete",
            key=key,
            query={
                "uploadType": "resumable",
                "name": key,
                **await self._condition(key, "complete", if_match, if_none_match),
            },
            headers={"Content-Type": "application/json", "X-Upload-Content-Type": content_type},
            data=json.dumps(self._description(key, attributes)).encode(),
            accept=frozenset({200, 201}),
            create=if_none_match,
        )
        address = begun.headers["Location"]
        offset = 0
        while True:
            chunk = file.pread(UPLOAD_CHUNK, offset)
            ends = offset + len(chunk)
            reach = f"{offset}-{ends - 1}" if chunk else "*"
            answer = await self._client.request(
                "PUT",
                address,
                operation="complete",
                key=key,
                headers={"Content-Range": f"bytes {reach}/{file.size}", "Content-Type": content_type},
                data=chunk,
                accept=frozenset({200, 201, 308}),
                create=if_none_match,
            )
            if answer.status != 308:
                return meta_of(answer.json())
            kept = answer.headers.get("Range")
            offset = int(kept.rpartition("-")[2]) + 1 if kept else 0
            if ends >= file.size <= offset:
                raise StoreError("the upload does not end", operation="complete", bucket=self._bucket, key=key)

    def _ranged(self, key: str, answer: Answer, start: int, end: int) -> tuple[ObjectMeta, bytes]:
        body, headers = answer.body, answer.headers
        length = headers.get("Content-Length")
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        size = int(match[3]) if match else len(body)
        if length is not None and int(length) != len(body):
            raise Corrupt(f"{len(body)} bytes came of {length}", operation="get", bucket=self._bucket, key=key)
        if match is None:
            body = body[start:end]
        elif (int(match[1]), len(body)) != (start, min(end, size) - start):
            detail = f"asked for bytes {start} to {end - 1}, got {len(body)} as {headers['Content-Range']!r}"
            raise Corrupt(detail, operation="get", bucket=self._bucket, key=key)
        hashes = dict(item.strip().split("=", 1) for item in headers.get("X-Goog-Hash", "").split(",") if "=" in item)
        modified = headers.get("Last-Modified")
        mtime = whole_second_ns(email.utils.parsedate_to_datetime(modified)) if modified else 0
        etag = tag(headers.get("ETag"), hashes.get("md5"))
        return ObjectMeta(key, size, mtime, etag, storage_class(headers.get("X-Goog-Storage-Class"))), body

    def _require(self, meta: ObjectMeta, if_match: str | None, operation: str) -> None:
        if if_match is not None and meta.etag != if_match:
            raise self._replaced(meta.key, operation, "the object was replaced")

    def _replaced(self, key: str, operation: str, detail: str) -> PreconditionFailed:
        return PreconditionFailed(detail, operation=operation, bucket=self._bucket, key=key, code="conditionNotMet")

    def _description(self, key: str, attributes: PutAttributes | None) -> dict[str, Any]:
        described: dict[str, Any] = {"name": key, "contentType": content_type_of(attributes), **self._class()}
        if attributes is not None and attributes.metadata:
            described["metadata"] = dict(attributes.metadata)
        return described

    def _class(self) -> dict[str, Any]:
        return {} if self._options.storage_class is None else {"storageClass": self._options.storage_class}
