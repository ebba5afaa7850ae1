"""A bucket through obstore: S3, R2, Google's S3 interface, and Google's own.

obstore's calls block and release the GIL. Every process has its own clients; see :mod:`.after_fork`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from vfsmount import real
from vfsmount.errors import Corrupt, InvalidKey, NotFound, NotSupported, PreconditionFailed, StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store import after_fork, obstore_client, region
from vfsmount.store.interruptible import MainThreadCalls
from vfsmount.store.obstore_client import Client
from vfsmount.store.obstore_errors import (
    BARE_400,
    INVALID_RANGE,
    LISTED_KEY,
    SHORT_BODY,
    WRONG_REGION,
    region_in,
    translate,
    was_repeated,
)
from vfsmount.store.obstore_keys import check_key
from vfsmount.store.obstore_listing import PAGE, Lister, mtime_ns
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits

SHORT_BODY_ATTEMPTS: Final = 3
"""Requests made before a body that is shorter than its range is Corrupt."""

T = TypeVar("T")


def traits_of(options: StoreOptions) -> StoreTraits:
    """What the service behind ``options`` can do."""
    if options.kind == "gs":
        return StoreTraits(bulk_delete=False, max_copy_size=5 << 40, max_put_size=5 << 40)
    if options.provider == "r2":
        return StoreTraits(equal_parts=True)  # Source: R2 multipart upload limits
    if options.provider == "gcs":
        # Its S3 interface ignores If-Match and If-None-Match on writes. Source: GCS XML API, conditional headers.
        return StoreTraits(conditional_put=False, bulk_delete=False)
    if options.provider == "other":
        # SeaweedFS lists as its directories are sorted: "a/b" before "a b".
        return StoreTraits(ordered_list=False)
    return StoreTraits()


_CHANGES: Final = frozenset({"put", "copy", "delete"})
"""Operations on a key that must not be overtaken by a later one."""


class ObstoreStore:
    """One bucket; opening costs no request, and the first one may be preceded by a HEAD that asks for the region."""

    def __init__(self, options: StoreOptions, *, max_checks: int | None = None) -> None:
        """``max_checks``: how many objects of one page may cost a HEAD to tell a marker from a file; more is
        NotSupported, so that another client lists them. None: any number.

        Raises NotSupported where obstore cannot honour an option.
        """
        reason = obstore_client.unsupported(options)
        if reason is not None:
            raise NotSupported(f"obstore cannot do {reason}", operation="open", bucket=options.bucket)
        after_fork.note()
        self._options = options
        self._bucket = options.bucket
        self._traits = replace(traits_of(options), flat_list=False)
        self._max_checks = max_checks
        self._clients: dict[int, Client] = {}
        self._corrected: str | None = None
        self._calls = MainThreadCalls()

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def traits(self) -> StoreTraits:
        """Flat listings are not exact, see :mod:`.obstore_markers`."""
        return self._traits

    @property
    def region(self) -> str | None:
        """The region in use in this process; None before the first request."""
        client = self._clients.get(real.getpid())
        return client.region if client is not None else None

    def close(self) -> None:
        """Drops this process's clients; a later call makes new ones."""
        self._clients.pop(real.getpid(), None)
        self._calls.close()

    def head(self, key: str) -> ObjectMeta:
        """One request. obstore tells no storage class."""
        self._check("head", key)
        return self._run("head", key, lambda client: self._meta(client.api.head(client.reader, key), key))

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        self._check("get", key)
        if end <= start:
            return self._empty(key, if_match)
        options: dict[str, Any] = {"range": (start, end)}
        if if_match is not None:
            options["if_match"] = if_match

        def get(client: Client) -> GetResult:
            result = client.api.get(client.reader, key, options=options)
            return GetResult(self._meta(result.meta, key), memoryview(result.bytes()))

        came = "another range"
        for _ in range(SHORT_BODY_ATTEMPTS):
            try:
                found = self._run("get", key, get)
            except StoreError as error:
                if error.code == SHORT_BODY:
                    came = error.detail
                    continue
                if error.code != INVALID_RANGE:
                    raise
                found = self._empty(key, if_match)
                if found.meta.size <= start:
                    return found
                continue  # it grew between the two requests
            if len(found.data) == min(end, found.meta.size) - start:
                return found
            came = f"{len(found.data)} bytes"
        raise Corrupt(
            f"bytes {start} to {end}, asked for {SHORT_BODY_ATTEMPTS} times: {came}",
            operation="get",
            bucket=self._bucket,
            key=key,
        )

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = PAGE,
    ) -> ListPage:
        """With ``delimiter`` and a ``limit`` of a page or more: everything, in a request for each thousand entries.
        Otherwise one request, and one for each key that may be a marker (see :mod:`.obstore_markers`).

        Raises InvalidKey where a listed key cannot be told by obstore: it refuses the page, not only the key.
        """
        after = max(token or "", start_after or "")

        def page(client: Client) -> ListPage:
            lister = Lister(client, self._bucket, self._max_checks)
            if not delimiter:
                return lister.flat(prefix, after, max(limit, 1))
            if limit >= PAGE or token is not None:
                return lister.directory(prefix, after)
            return lister.folded(prefix, after, max(limit, 1))

        return self._run("list", prefix or None, page)

    def reach(self, prefix: str) -> frozenset[str]:
        """Prove that ``prefix`` can be listed; one request, whatever keys are there. Raises what listing raises."""

        def first(client: Client) -> frozenset[str]:
            return Lister(client, self._bucket, None).first(prefix, ordered=self._traits.ordered_list)

        try:
            return self._run("list", prefix or None, first)
        except InvalidKey as error:
            if error.code != LISTED_KEY:
                raise
            return frozenset()

    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        """One request; on ``gs`` an ``if_match`` costs a HEAD before it, which finds the generation to pin.

        The returned time is this machine's, a moment before the object's own.
        """
        self._check("put", key)
        if (if_none_match or if_match is not None) and not self._traits.conditional_put:
            raise NotSupported("no conditional put here", operation="put", bucket=self._bucket, key=key)
        about: dict[str, str] = {}
        if attributes is not None:
            about.update(attributes.metadata)
            if attributes.content_type is not None:
                about["Content-Type"] = attributes.content_type
        if self._options.storage_class is not None:
            about["Storage-Class"] = self._options.storage_class
        body = data if isinstance(data, bytes) else memoryview(data).cast("B")

        def put(client: Client) -> ObjectMeta:
            mode: Any = "create" if if_none_match else "overwrite"
            if if_match is not None:
                mode = self._version(client, key, if_match)
            try:
                answer = client.api.put(
                    client.writer, key, body, mode=mode, attributes=about or None, use_multipart=False
                )
            except client.failures as error:
                # Where the answer to the first attempt was lost, the second one meets what the first has made.
                if mode == "overwrite" or not was_repeated(error):
                    raise
                answer = client.api.head(client.reader, key)
                if answer["e_tag"] != f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"':
                    raise
            return ObjectMeta(key, len(body), time.time_ns(), answer["e_tag"], self._options.storage_class)

        return self._run("put", key, put)

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        """Always NotSupported: obstore's Python interface has no verbs for parts."""
        raise NotSupported("obstore has no multipart verbs", operation="create upload", bucket=self._bucket, key=key)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        """Two requests: the copy, and a HEAD of the result.

        Raises NotSupported for ``if_match``, for ``if_none_match`` on S3 (obstore's way drops the attributes), and
        where a storage class is configured (obstore cannot name it in a copy).
        """
        self._check("copy", source)
        self._check("copy", target)
        exclusive = self._options.kind == "gs" or self._options.provider == "r2"
        if if_match is not None or (if_none_match and not exclusive) or self._options.storage_class is not None:
            raise NotSupported("obstore cannot copy so", operation="copy", bucket=self._bucket, key=target)

        def copy(client: Client) -> None:
            client.api.copy(client.writer, source, target, overwrite=not if_none_match)

        self._run("copy", target, copy)
        return self.head(target)

    def delete(self, key: str) -> None:
        self._check("delete", key)
        try:
            self._run("delete", key, lambda client: client.api.delete(client.writer, key))
        except NotFound as error:  # Google tells a missing key
            if error.code == "NoSuchBucket":
                raise

    def delete_many(self, keys: Sequence[str]) -> None:
        """One request for each thousand; one for each key on Google, which has no such verb."""
        for key in keys:
            self._check("delete", key)
        if self._options.kind == "gs" or self._options.provider == "gcs":
            for key in keys:
                self.delete(key)
            return
        # DeleteObjects names keys in XML, where SeaweedFS keeps a backslash that it takes for a slash in a path.
        for key in keys:
            if "\\" in key:
                self.delete(key)
        names = [key for key in keys if "\\" not in key]
        if names:
            self._run("delete", None, lambda client: client.api.delete(client.reader, names), changes=tuple(names))

    def _check(self, operation: str, key: str) -> None:
        check_key(key, operation=operation, bucket=self._bucket)

    def _meta(self, told: Any, key: str) -> ObjectMeta:
        return ObjectMeta(key, told["size"], mtime_ns(told["last_modified"]), told["e_tag"])

    def _empty(self, key: str, if_match: str | None) -> GetResult:
        meta = self.head(key)
        if if_match is not None and meta.etag != if_match:
            raise PreconditionFailed("the object was replaced", operation="get", bucket=self._bucket, key=key)
        return GetResult(meta, b"")

    def _version(self, client: Client, key: str, if_match: str) -> dict[str, str]:
        if self._options.kind != "gs":
            return {"e_tag": if_match}
        try:
            told = client.api.head(client.reader, key)
        except FileNotFoundError:
            told = {"e_tag": None}
        if told["e_tag"] != if_match:
            raise PreconditionFailed("the object was replaced", operation="put", bucket=self._bucket, key=key)
        return {"e_tag": if_match, "version": told["version"]}

    def _run(self, operation: str, key: str | None, verb: Callable[[Client], T], *, changes: tuple[str, ...] = ()) -> T:
        if operation in _CHANGES:
            changes += (key,) if key is not None else ()
        return self._calls.run(lambda: self._request(operation, key, verb), changes=changes)

    @real.passthrough()  # what is imported here, when first needed, must not be looked for on a mount
    def _request(self, operation: str, key: str | None, verb: Callable[[Client], T]) -> T:
        pid = real.getpid()
        client = self._clients.get(pid) or self._open(pid)
        try:
            return verb(client)
        except client.failures as error:
            failure = translate(error, operation=operation, bucket=self._bucket, key=key)
        repaired = self._repaired(client, failure)
        if repaired is None:
            raise failure
        try:
            return verb(repaired)
        except repaired.failures as error:
            failure = translate(error, operation=operation, bucket=self._bucket, key=key)
        raise failure

    def _open(self, pid: int) -> Client:
        for other, client in self._clients.items():
            if other != pid:
                after_fork.keep(client)
        # No lock: two threads may each build one, and one of the two is used.
        return self._clients.setdefault(pid, obstore_client.build(self._options, self._corrected))

    def _repaired(self, client: Client, failure: StoreError) -> Client | None:
        """A client that may do better: with keys asked for again, or for the bucket's real region where nobody fixed
        another one. None where that is not the trouble.

        A request refused for its keys or its region has changed nothing, so it may be sent again.
        """
        if self._options.kind != "s3":
            return None
        from vfsmount.store import aws_errors

        place: str | None = client.region
        if failure.code in aws_errors.EXPIRED:
            if not client.signed:
                return None
        elif failure.code in WRONG_REGION or failure.code == BARE_400:
            if self._options.region is not None:
                return None
            place = region_in(failure) or region.discover(self._options)
            if place is None or place == client.region:
                return None
            self._corrected = place
        else:
            return None
        repaired = obstore_client.build(self._options, place)
        self._clients[client.pid] = repaired
        return repaired
