"""Counts every request that goes to a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vfsmount.counters import Counters, Kind
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, Store, StoreTraits


class MeteredStore:
    """A store that tells ``counters`` of each call; otherwise the one it wraps."""

    def __init__(self, store: Store, counters: Counters, mount: str) -> None:
        self.wrapped: Final = store
        self._counters: Final = counters
        self._mount: Final = mount

    @property
    def bucket(self) -> str:
        return self.wrapped.bucket

    @property
    def traits(self) -> StoreTraits:
        return self.wrapped.traits

    def head(self, key: str) -> ObjectMeta:
        with self._counted("head"):
            return self.wrapped.head(key)

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        try:
            result = self.wrapped.get_range(key, start, end, if_match=if_match)
        except BaseException:
            self._counters.add("get", self._mount, failed=True)
            raise
        self._counters.add("get", self._mount, received=len(result.data))
        return result

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        with self._counted("list"):
            return self.wrapped.list_page(
                prefix, delimiter=delimiter, token=token, start_after=start_after, limit=limit
            )

    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        with self._counted("put", sent=len(data)):
            return self.wrapped.put(key, data, attributes=attributes, if_match=if_match, if_none_match=if_none_match)

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        with self._counted("create_multipart"):
            upload = self.wrapped.create_multipart(key, attributes=attributes)
        return _MeteredMultipart(upload, self._counters, self._mount)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        with self._counted("copy"):
            return self.wrapped.copy(source, target, if_match=if_match, if_none_match=if_none_match)

    def delete(self, key: str) -> None:
        with self._counted("delete"):
            self.wrapped.delete(key)

    def delete_many(self, keys: Sequence[str]) -> None:
        with self._counted("delete"):
            self.wrapped.delete_many(keys)

    def close(self) -> None:
        self.wrapped.close()

    def _counted(self, kind: Kind, *, sent: int = 0) -> _Count:
        return _Count(self._counters, kind, self._mount, sent)


class _MeteredMultipart:
    def __init__(self, upload: Multipart, counters: Counters, mount: str) -> None:
        self._upload = upload
        self._counters = counters
        self._mount = mount

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        with _Count(self._counters, "upload_part", self._mount, len(data)):
            self._upload.put_part(number, data)

    def complete(self, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        with _Count(self._counters, "complete_multipart", self._mount, 0):
            return self._upload.complete(if_match=if_match, if_none_match=if_none_match)

    def abort(self) -> None:
        with _Count(self._counters, "abort_multipart", self._mount, 0):
            self._upload.abort()


class _Count:
    """Counts when left, as failed where an exception passes."""

    __slots__ = ("_counters", "_kind", "_mount", "_sent")

    def __init__(self, counters: Counters, kind: Kind, mount: str, sent: int) -> None:
        self._counters = counters
        self._kind: Kind = kind
        self._mount = mount
        self._sent = sent

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        self._counters.add(self._kind, self._mount, sent=self._sent, failed=kind is not None)
