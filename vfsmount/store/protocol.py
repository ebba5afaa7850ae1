"""What a store can do, in small verbs.

Ranges are ``[start, end)`` in bytes; keys are raw strings, never normalised; a prefix is ``""`` or ends in ``/``. Every
method blocks, may be called from any thread, and raises only :class:`~vfsmount.errors.StoreError`.
A function that needs one verb asks for that verb, so that a test can hand it something small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from vfsmount.model import ListPage, ObjectMeta


@dataclass(frozen=True, slots=True)
class StoreTraits:
    """What the layers above must know of a store."""

    ordered_list: bool = True
    """Listings come in the byte order of the keys' UTF-8."""
    flat_list: bool = True
    """A listing without delimiter costs a request for each thousand keys, whatever directories they are in, and tells
    each of them exactly: also the marker that holds bytes."""
    conditional_put: bool = True
    """``if_none_match`` and ``if_match`` on put and complete are atomic across clients."""
    server_copy: bool = True
    """``copy`` moves no bytes through this process."""
    bulk_delete: bool = True
    """``delete_many`` costs a request for each thousand keys."""
    equal_parts: bool = False
    """All parts of a multipart upload but the last must have one size (Cloudflare R2)."""
    min_part_size: int = 5 << 20
    """Bytes; the last part may be smaller. Source: S3 multipart upload limits."""
    max_part_size: int = 5 << 30
    """Bytes. Source: S3 multipart upload limits."""
    max_parts: int = 10_000
    """Source: S3 multipart upload limits."""
    max_object_size: int = 5 << 40
    """Bytes. Source: S3 multipart upload limits."""
    max_copy_size: int = 5 << 30
    """Largest object, in bytes, that one copy request moves."""
    max_put_size: int = 5 << 30
    """Largest object, in bytes, that one put request makes."""


@dataclass(frozen=True, slots=True)
class PutAttributes:
    """What is stored beside the bytes."""

    content_type: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class GetResult(NamedTuple):
    """The answer to a ranged GET."""

    meta: ObjectMeta
    """Of the whole object: ``meta.size`` is its full size."""
    data: bytes | memoryview
    """The bytes of the range, shorter where the object ends first, empty where it starts at or after the end."""


class Head(Protocol):
    def head(self, key: str) -> ObjectMeta:
        """One request. Raises NotFound, PermissionDenied, Unavailable."""


class GetRange(Protocol):
    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        """Metadata and bytes of ``[start, end)`` in one request (two where the object ends at or before ``start``).

        Raises NotFound, PreconditionFailed (the object is not ``if_match``), Archived, PermissionDenied, Unavailable,
        Corrupt (the body is not as long as it says).
        """


class ListObjects(Protocol):
    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        """One page of the keys that start with ``prefix``; one request.

        ``delimiter`` folds what lies below ``prefix + name + "/"`` into a common prefix. ``limit`` is a hint: a client
        that cannot page may return more, and then returns everything. The key ``prefix`` itself (a marker) is among the
        objects where it exists.
        """


class Put(Protocol):
    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        """Store the whole object in one request.

        ``if_none_match``: only where no object is (AlreadyExists otherwise). ``if_match``: only over that version
        (PreconditionFailed otherwise).
        """


class Multipart(Protocol):
    """An upload in parts. Parts may be sent in any order and in parallel; nothing is visible before ``complete``."""

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send part ``number`` (from 1); one request."""

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        """Make the object of all parts sent, in number order; one request. A failed complete has not published.

        Raises what ``put`` raises.
        """

    def abort(self) -> None:
        """Drop the parts; one request. May be called again, and after a failed ``complete``."""


class CreateMultipart(Protocol):
    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        """Begin an upload; one request at most."""


class Copy(Protocol):
    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        """Copy inside the bucket, server-side where the traits say so. Conditions: ``if_match`` on the source,
        ``if_none_match`` on the target."""


class Delete(Protocol):
    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error. One request."""

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove many; one request for each thousand where the store can."""


@runtime_checkable
class Store(Head, GetRange, ListObjects, Put, CreateMultipart, Copy, Delete, Protocol):
    """One bucket."""

    @property
    def bucket(self) -> str:
        """The bucket's name, for messages."""

    @property
    def traits(self) -> StoreTraits:
        """Constant while the store is open."""

    def close(self) -> None:
        """Let go of connections and threads. May be called again."""
