"""The S3 store on the client that s3fs brings: slower than obstore, but it takes any key and any server.

It speaks the S3 verbs themselves; s3fs's file-system methods split paths, cache, and hide the service's answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from vfsmount.errors import (
    AlreadyExists,
    Corrupt,
    NotFound,
    NotSupported,
    PreconditionFailed,
    StoreError,
    TooLarge,
    Unavailable,
)
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store import aws_errors, s3_direct
from vfsmount.store.memory import check_key
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits
from vfsmount.store.s3_answers import meta_from, page_from, quoted, ranged, server_time_ns
from vfsmount.store.s3_direct import MAX_LIST
from vfsmount.store.s3_parameters import (
    attribute_parameters,
    crc32c_parameters,
    extra_parameters,
    fits_delete_objects,
    pause,
    traits_of,
)
from vfsmount.store.s3fs_client import S3Client
from vfsmount.store.s3fs_multipart import S3Upload, copy_in_parts

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview

MAX_DELETE: Final = 1000
"""Keys in one DeleteObjects. Source: S3, DeleteObjects."""

DELETES_AT_ONCE: Final = 16
"""Single deletes in flight, where one request for many cannot be made."""


class S3fsStore:
    """One S3 bucket (AWS, R2, Google's S3 interface, or a server that speaks it)."""

    def __init__(self, options: StoreOptions, *, direct: bool = False) -> None:
        """``direct``: uploads in parts and flat listings try plain connections first (see :mod:`.s3_direct`)."""
        self._options = options
        self._bucket = options.bucket
        self._lister: Final = s3_direct.open_direct(options) if direct else None
        self.direct: Final = self._lister if s3_direct.fits(options) else None
        self._client = S3Client(options)
        self._traits = traits_of(options)
        self._extra = extra_parameters(options)

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def traits(self) -> StoreTraits:
        return self._traits

    # -- reading

    def head(self, key: str) -> ObjectMeta:
        check_key(key, operation="head", bucket=self._bucket)
        return self.request("head", key, lambda client: self._head(client, key, None))

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        check_key(key, operation="get", bucket=self._bucket)

        async def get(client: Any) -> GetResult:
            if end <= start:
                return GetResult(await self._head(client, key, if_match), b"")
            try:
                return await self._get(client, key, start, end, if_match)
            except StoreError as error:
                if error.code not in ("InvalidRange", "416"):
                    raise
                # The object ends at or before start; its metadata does not come with that answer.
                return GetResult(await self._head(client, key, if_match), b"")

        return self.request("get", key, get)

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = MAX_LIST,
    ) -> ListPage:
        if self._lister is not None and not delimiter:
            page = self._lister.list_page(prefix, token=token, start_after=start_after, limit=limit)
            if page is not None:
                return page
        parameters: dict[str, Any] = {"Prefix": prefix, "MaxKeys": max(1, min(limit, MAX_LIST))}
        if delimiter:
            parameters["Delimiter"] = "/"
        if token is not None:
            parameters["ContinuationToken"] = token
        elif start_after is not None:
            parameters["StartAfter"] = start_after

        async def list_objects(client: Any) -> ListPage:
            # botocore asks for URL-encoded keys, which XML can carry whatever they are, and decodes them.
            return page_from(await self.call(client, "list_objects_v2", prefix, **parameters))

        return self.request("list", prefix, list_objects)

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
        self.check_conditions("put", key, if_match, if_none_match)
        if len(data) > self._traits.max_put_size:
            raise TooLarge(f"{len(data)} bytes in one put", operation="put", bucket=self._bucket, key=key)
        body = data if isinstance(data, bytes) else bytes(data)

        async def put_object(client: Any) -> ObjectMeta:
            answer = await self.guarded(
                client,
                "put_object",
                key,
                if_match,
                if_none_match,
                expected=lambda: f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"',
                Body=body,
                **attribute_parameters(attributes),
            )
            return ObjectMeta(key, len(body), server_time_ns(answer), quoted(answer.get("ETag")))

        return self.request("put", key, put_object)

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        check_key(key, operation="create_multipart", bucket=self._bucket)
        return S3Upload.create(self, key, attributes)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        check_key(source, operation="copy", bucket=self._bucket)
        check_key(target, operation="copy", bucket=self._bucket)
        self.check_conditions("copy", target, None, if_none_match)

        async def copy_object(client: Any) -> ObjectMeta:
            # The answer to a copy tells no size, and the size decides how to copy.
            meta = await self._head(client, source, if_match)
            if if_none_match and await _exists(
                self._head(client, target, None)
            ):  # many servers ignore the condition on a copy
                raise AlreadyExists(operation="copy", bucket=self._bucket, key=target, code="PreconditionFailed")
            if meta.size > self._traits.max_copy_size:
                return await copy_in_parts(self, client, meta, target, if_none_match=if_none_match)
            pinned: dict[str, Any] = {} if meta.etag is None else {"CopySourceIfMatch": meta.etag}
            condition = {"IfNoneMatch": "*"} if if_none_match else {}
            answer = await self.call(
                client,
                "copy_object",
                target,
                create=if_none_match,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
                **pinned,
                **condition,
            )
            return meta_from(target, answer.get("CopyObjectResult", {}), size=meta.size)

        return self.request("copy", source, copy_object)

    def delete(self, key: str) -> None:
        check_key(key, operation="delete", bucket=self._bucket)
        self.request("delete", key, lambda client: self._delete(client, key))

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key, operation="delete_many", bucket=self._bucket)
        # Google's S3 interface has no DeleteObjects. Source: Cloud Storage XML API, migration from S3.
        single = [key for key in keys if self._options.provider == "gcs" or not fits_delete_objects(key)]
        refused = set(single)
        together = [key for key in keys if key not in refused]

        async def delete_objects(client: Any) -> None:
            for first in range(0, len(together), MAX_DELETE):
                single.extend(await self._delete_together(client, together[first : first + MAX_DELETE]))
            gate = asyncio.Semaphore(DELETES_AT_ONCE)

            async def delete_one(key: str) -> None:
                async with gate:
                    await self._delete(client, key)

            results = await asyncio.gather(*map(delete_one, single), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

        self.request("delete_many", keys[0] if keys else None, delete_objects)

    def close(self) -> None:
        self._client.close()
        if self._lister is not None:
            self._lister.close()

    # -- requests, on the client's loop

    def request(self, operation: str, key: str | None, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` and translate what it raises; once more with fresh credentials where they had expired."""
        renewed = False
        while True:
            try:
                return self._client.run(work)
            except aws_errors.upstream() as error:
                found = aws_errors.translate(error, operation=operation, bucket=self._bucket, key=key)
                if found.code in aws_errors.EXPIRED and not renewed and self._client.renew():
                    renewed = True
                    continue
                if not found.operation:  # raised below, by something that does not know for whom
                    found.operation, found.bucket, found.key = operation, self._bucket, key
                if found is error:
                    raise
                raise found from error

    async def call(self, client: Any, verb: str, key: str | None, *, create: bool = False, **parameters: Any) -> Any:
        """One S3 request with all that the options add to it. Raises StoreError."""
        known = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[verb]).input_shape.members
        added = {name: value for name, value in self._extra.items() if name in known}
        added |= crc32c_parameters(verb, added, parameters.get("Body"))
        try:
            return await getattr(client, verb)(Bucket=self._bucket, **(added | parameters))
        except aws_errors.upstream() as error:
            raise aws_errors.translate(error, operation=verb, bucket=self._bucket, key=key, create=create) from error

    async def guarded(
        self,
        client: Any,
        verb: str,
        key: str,
        if_match: str | None,
        if_none_match: bool,
        *,
        expected: Callable[[], str],
        repeated: bool = False,
        **parameters: Any,
    ) -> Any:
        """A put or complete with conditions; sees through a lost answer whose repetition met our own object.

        ``repeated``: it may have arrived once already.
        ``expected`` gives the ETag that our object has where the service makes it of the content's MD5.
        """
        if if_match is not None:
            parameters["IfMatch"] = if_match
        if if_none_match:
            parameters["IfNoneMatch"] = "*"
        conditional = if_match is not None or if_none_match
        attempt = 0
        while True:
            try:
                return await self.call(client, verb, key, create=if_none_match, Key=key, **parameters)
            except StoreError as error:
                attempt += 1
                if (
                    error.code == "ConditionalRequestConflict"
                    and verb == "put_object"
                    and attempt < self._options.max_attempts
                ):
                    await pause(attempt)  # another conditional write is under way; S3 asks to try again
                    continue
                if (repeated or _retries(error)) and isinstance(error, (AlreadyExists, PreconditionFailed, NotFound)):
                    ours = await self._head(client, key, None)
                    if ours.etag == expected():
                        return {"ETag": ours.etag}
                if conditional and if_match is not None and isinstance(error, NotFound) and error.code == "NoSuchKey":
                    raise PreconditionFailed(
                        "the object is gone", operation=verb, bucket=self._bucket, key=key, code=error.code
                    ) from error
                raise

    async def _head(self, client: Any, key: str, if_match: str | None) -> ObjectMeta:
        condition: dict[str, Any] = {} if if_match is None else {"IfMatch": if_match}
        try:
            answer = await self.call(client, "head_object", key, Key=key, **condition)
        except StoreError as error:
            if error.code != "400":
                raise
            # A HEAD has no body to say what is wrong (an expired token, most likely); the same as a GET has.
            got = await self._get(client, key, 0, 1, if_match)
            return got.meta
        return meta_from(key, answer, "ContentLength")

    async def _get(self, client: Any, key: str, start: int, end: int, if_match: str | None) -> GetResult:
        condition: dict[str, Any] = {} if if_match is None else {"IfMatch": if_match}
        attempt = 0
        while True:
            answer = await self.call(client, "get_object", key, Key=key, Range=f"bytes={start}-{end - 1}", **condition)
            try:
                try:
                    body = await answer["Body"].read()
                finally:
                    answer["Body"].close()
                return ranged(key, answer, body, start, end, bucket=self._bucket)
            except aws_errors.upstream() as error:
                found = aws_errors.translate(error, operation="get", bucket=self._bucket, key=key)
                attempt += 1
                if attempt >= self._options.max_attempts or not isinstance(found, (Unavailable, Corrupt)):
                    raise found from error
                # From here on every attempt reads the version that the first one began with.
                if answer.get("ETag") is not None:
                    condition = {"IfMatch": answer["ETag"]}
                await pause(attempt)

    async def _delete(self, client: Any, key: str) -> None:
        try:
            await self.call(client, "delete_object", key, Key=key)
        except NotFound as error:
            if error.code == "NoSuchBucket":
                raise

    async def _delete_together(self, client: Any, keys: list[str]) -> list[str]:
        """One DeleteObjects; returns the keys that are left to be deleted one by one."""
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = await self.call(client, "delete_objects", keys[0], Delete=objects)
        except StoreError as error:
            if isinstance(error, NotSupported) or error.code in ("MalformedXML", "InvalidRequest", "MethodNotAllowed"):
                return keys
            raise
        check_deleted(answer, self._bucket)
        return []

    def check_conditions(self, operation: str, key: str, if_match: str | None, if_none_match: bool) -> None:
        """Raises NotSupported where the provider has no such condition."""
        if not self._traits.conditional_put and (if_match is not None or if_none_match):
            raise NotSupported("conditional put", operation=operation, bucket=self._bucket, key=key)


def check_deleted(answer: Any, bucket: str) -> None:
    """Raises what DeleteObjects tells of the first key that it could not delete."""
    for failure in answer.get("Errors", ()):
        code = failure.get("Code")
        if code != "NoSuchKey":
            cls = aws_errors.for_code(code, None)
            detail, key = failure.get("Message", ""), failure.get("Key")
            raise cls(detail, operation="delete_many", bucket=bucket, key=key, code=code)


async def _exists(head: Coroutine[Any, Any, ObjectMeta]) -> bool:
    try:
        await head
    except NotFound:
        return False
    return True


def _retries(error: StoreError) -> int:
    """How often botocore had repeated the request that ended in ``error``."""
    response = getattr(error.__cause__, "response", {})
    return int(response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
