"""A bucket that exists, but cannot be reached from this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from vfsmount.errors import NotSupported
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits


class RefusedStore:
    """Every verb fails (NotSupported) with the reason, so that nobody takes the bucket for an empty one."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @property
    def bucket(self) -> str:
        return "refused"

    @property
    def traits(self) -> StoreTraits:
        return StoreTraits()

    def _refuse(self, operation: str) -> NoReturn:
        raise NotSupported(self._reason, operation=operation)

    def head(self, key: str) -> ObjectMeta:
        self._refuse("head")

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        self._refuse("get_range")

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        self._refuse("list_page")

    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        self._refuse("put")

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        self._refuse("create_multipart")

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        self._refuse("copy")

    def delete(self, key: str) -> None:
        self._refuse("delete")

    def delete_many(self, keys: Sequence[str]) -> None:
        self._refuse("delete_many")

    def close(self) -> None:
        """Nothing is open."""
