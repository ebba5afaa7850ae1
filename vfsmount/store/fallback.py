"""Two clients for one bucket: the fast one first, the other for what the first cannot say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from vfsmount import real
from vfsmount.errors import InvalidKey, NotSupported, PreconditionFailed, StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.obstore_keys import refusal
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, Store, StoreTraits
from vfsmount.store.reach import reach

logger = logging.getLogger(__name__)

MANY: Final = 1000
"""Keys; whoever asks for fewer wants to know whether there are any."""

_LASTING: Final = {"NotPartial": "get", "TooManyMarkers": "list flat", "UnorderedListing": "list flat"}
"""Refusals that tell about the server or the bucket rather than about one key, and the operation they settle."""

T = TypeVar("T")


class FallbackStore:
    """``primary`` answers; what it refuses as InvalidKey or NotSupported goes to the second store.

    Such a refusal says that the request was not made, or that it was a read whose answer was of no use; so nothing is
    ever written twice. A failure of the service (not found, denied, unavailable ...) is the answer, and stands.
    """

    def __init__(self, primary: Store, make_secondary: Callable[[], Store], *, same_etags: bool = True) -> None:
        """``make_secondary`` is called at most once in a process, on the first refusal.

        ``same_etags``: both tell the same ETag for the same object. Where they do not, what the second tells of a key
        that the first can name costs a HEAD by the first after a write, and comes without ETag in a listing.

        A whole flat listing comes from the second where the first's would not be exact.
        """
        self._primary = primary
        self._traits = replace(primary.traits, flat_list=True)
        self._same_etags = same_etags
        self._make_secondary = make_secondary
        self._secondaries: dict[int, Store] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._settled: set[str] = set()

    @property
    def bucket(self) -> str:
        return self._primary.bucket

    @property
    def traits(self) -> StoreTraits:
        """The first store's; flat listings are exact where either store's are."""
        return self._traits

    @property
    def primary(self) -> Store:
        """The store that is asked first."""
        return self._primary

    def close(self) -> None:
        self._primary.close()
        secondary = self._secondaries.pop(real.getpid(), None)
        if secondary is not None:
            secondary.close()

    def head(self, key: str) -> ObjectMeta:
        return self._either("head", lambda store: store.head(key))

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        if not self._settled:
            try:
                return self._primary.get_range(key, start, end, if_match=if_match)
            except (InvalidKey, NotSupported) as error:
                self._learn("get", error)
                return self._secondary().get_range(key, start, end, if_match=if_match)
        return self._either("get", lambda store: store.get_range(key, start, end, if_match=if_match))

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        """A listing that the first store breaks off goes on in the second, behind the last entry. Flat ones of ``MANY``
        keys are the second's from the start where the first cannot tell keys from markers.
        """
        mine, _, rest = (token or "").partition(":")
        operation = "list" if delimiter else "list flat"
        exact = delimiter or limit < MANY or self._primary.traits.flat_list
        if mine != "2" and exact and operation not in self._settled:
            try:
                page = self._primary.list_page(
                    prefix, delimiter=delimiter, token=rest or None, start_after=start_after, limit=limit
                )
                return page if page.token is None else page._replace(token=f"1:{page.token}")
            except (InvalidKey, NotSupported) as error:
                self._learn(operation, error)
        last = rest if mine == "1" else ""
        page = self._secondary().list_page(
            prefix,
            delimiter=delimiter,
            token=(rest or None) if mine == "2" else None,
            start_after=max(last, start_after or "") or None,
            limit=limit,
        )
        if last.endswith("/") and last in page.prefixes:  # what lies below it sorts behind it
            page = page._replace(prefixes=tuple(found for found in page.prefixes if found != last))
        if not self._same_etags:
            page = page._replace(objects=tuple(self._without_etag(meta) for meta in page.objects))
        return page if page.token is None else page._replace(token=f"2:{page.token}")

    def reach(self, prefix: str) -> frozenset[str]:
        """Prove that ``prefix`` can be listed; one request."""
        return self._either("reach", lambda store: reach(store, prefix))

    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        if (if_none_match or if_match is not None) and not self.traits.conditional_put:
            # The second client would send the condition, and the service ignore it.
            raise NotSupported("no conditional put here", operation="put", bucket=self.bucket, key=key)
        return self._either(
            "put",
            lambda store: store.put(key, data, attributes=attributes, if_match=if_match, if_none_match=if_none_match),
        )

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        upload = self._either("multipart", lambda store: store.create_multipart(key, attributes=attributes))
        if self._same_etags:
            return upload
        return _Restated(upload, self._restated, lambda if_match: self._tag_of_second(key, if_match))

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        try:
            return self._primary.copy(source, target, if_match=if_match, if_none_match=if_none_match)
        except (InvalidKey, NotSupported) as error:
            self._learn("copy", error)
        tag = self._tag_of_second(source, if_match)
        return self._restated(self._secondary().copy(source, target, if_match=tag, if_none_match=if_none_match))

    def delete(self, key: str) -> None:
        self._either("delete", lambda store: store.delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._either("delete", lambda store: store.delete_many(keys))

    def _without_etag(self, meta: ObjectMeta) -> ObjectMeta:
        return meta if refusal(meta.key) is not None else meta._replace(etag=None)

    def _restated(self, meta: ObjectMeta) -> ObjectMeta:
        """``meta`` as the store that will be asked about its key tells it."""
        if self._same_etags or refusal(meta.key) is not None:
            return meta
        try:
            return self._primary.head(meta.key)
        except StoreError as error:  # the write itself is done
            logger.debug("no ETag for what was written: %s", error)
            return meta._replace(etag=None)

    def _tag_of_second(self, key: str, if_match: str | None) -> str | None:
        """The second client's name for the version that the first calls ``if_match``.

        The first is asked last: a replacement in between then fails here, a later one at the service.
        """
        if if_match is None or self._same_etags or refusal(key) is not None:
            return if_match
        theirs = self._secondary().head(key).etag
        if self._primary.head(key).etag != if_match:
            raise PreconditionFailed("the object was replaced", operation="write", bucket=self.bucket, key=key)
        return theirs

    def _either(self, operation: str, verb: Callable[[Store], T]) -> T:
        if operation not in self._settled:
            try:
                return verb(self._primary)
            except (InvalidKey, NotSupported) as error:
                self._learn(operation, error)
        return verb(self._secondary())

    def _learn(self, operation: str, error: StoreError) -> None:
        logger.debug("%s goes to the second client: %s", operation, error)
        if operation == "multipart" or _LASTING.get(error.code or "") == operation:
            self._settled.add(operation)

    def _secondary(self) -> Store:
        pid = real.getpid()
        known = self._secondaries.get(pid)
        if known is not None:
            return known
        # A lock of this process's own: a fork may have left the parent's locked.
        with self._locks.setdefault(pid, threading.Lock()):
            known = self._secondaries.get(pid)
            if known is None:
                with real.passthrough():
                    known = self._make_secondary()
                self._secondaries[pid] = known
            return known


class _Restated:
    """An upload by the second client whose result is told by the first."""

    __slots__ = ("_restate", "_tag", "_upload")

    def __init__(
        self,
        upload: Multipart,
        restate: Callable[[ObjectMeta], ObjectMeta],
        tag: Callable[[str | None], str | None],
    ) -> None:
        self._upload = upload
        self._restate = restate
        self._tag = tag

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        self._upload.put_part(number, data)

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        return self._restate(self._upload.complete(if_match=self._tag(if_match), if_none_match=if_none_match))

    def abort(self) -> None:
        self._upload.abort()
