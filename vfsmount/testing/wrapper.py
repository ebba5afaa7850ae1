"""The one place where a wrapped store's verbs pass: subclasses watch, delay or spoil them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, Store, StoreTraits

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview

VERBS: Final = (
    "head",
    "get_range",
    "list_page",
    "put",
    "create_multipart",
    "put_part",
    "complete",
    "abort",
    "copy",
    "delete",
    "delete_many",
)
"""Every verb of the store protocol, those of its uploads too."""


class Call(NamedTuple):
    """One call of a verb."""

    verb: str
    key: str
    """The key; the prefix of a listing, the target of a copy, the first key of ``delete_many``."""
    sent: int = 0
    """Bytes of the body that the call carries."""
    detail: str = ""
    """Range, part number, page token ...: for messages."""

    def __str__(self) -> str:
        return f"{self.verb}({self.key!r}{', ' + self.detail if self.detail else ''})"


class WrapperStore:
    """Passes every verb on to ``inner``, through :meth:`around`."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def around(self, call: Call, action: Callable[[], T]) -> T:
        """Run one verb; a subclass does its work before and after. Runs in the caller's thread."""
        return action()

    @property
    def bucket(self) -> str:
        return self.inner.bucket

    @property
    def traits(self) -> StoreTraits:
        return self.inner.traits

    def head(self, key: str) -> ObjectMeta:
        return self.around(Call("head", key), lambda: self.inner.head(key))

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        call = Call("get_range", key, detail=f"{start}, {end}")
        return self.around(call, lambda: self.inner.get_range(key, start, end, if_match=if_match))

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        call = Call("list_page", prefix, detail=f"delimiter={delimiter}, limit={limit}, token={token!r}")
        return self.around(
            call,
            lambda: self.inner.list_page(
                prefix, delimiter=delimiter, token=token, start_after=start_after, limit=limit
            ),
        )

    def put(
        self,
        key: str,
        data: Buffer,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        return self.around(
            Call("put", key, len(data), f"{len(data)} bytes"),
            lambda: self.inner.put(key, data, attributes=attributes, if_match=if_match, if_none_match=if_none_match),
        )

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        upload = self.around(
            Call("create_multipart", key), lambda: self.inner.create_multipart(key, attributes=attributes)
        )
        return _WrappedMultipart(self, upload, key)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        return self.around(
            Call("copy", target, detail=f"from {source!r}"),
            lambda: self.inner.copy(source, target, if_match=if_match, if_none_match=if_none_match),
        )

    def delete(self, key: str) -> None:
        self.around(Call("delete", key), lambda: self.inner.delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        call = Call("delete_many", keys[0] if keys else "", detail=f"{len(keys)} keys")
        self.around(call, lambda: self.inner.delete_many(keys))

    def close(self) -> None:
        self.inner.close()


class _WrappedMultipart:
    def __init__(self, store: WrapperStore, inner: Multipart, key: str) -> None:
        self._store = store
        self._inner = inner
        self._key = key

    def put_part(self, number: int, data: Buffer) -> None:
        call = Call("put_part", self._key, len(data), f"part {number}, {len(data)} bytes")
        self._store.around(call, lambda: self._inner.put_part(number, data))

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        return self._store.around(
            Call("complete", self._key),
            lambda: self._inner.complete(if_match=if_match, if_none_match=if_none_match),
        )

    def abort(self) -> None:
        self._store.around(Call("abort", self._key), self._inner.abort)
