"""What another client sees and does in the bucket of a test: in memory, on moto, on SeaweedFS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tests.servers import Server, s3_options
from vfsmount.errors import NotFound
from vfsmount.store.factory import open_store
from vfsmount.store.protocol import Store
from vfsmount.testing import MemoryStore


class Bucket(Protocol):
    """One bucket, behind the mount's back."""

    @property
    def name(self) -> str: ...

    def open(self) -> Store:
        """A store for a mount; the mount closes it."""

    def put(self, key: str, data: bytes = b"", *, storage_class: str | None = None) -> None: ...

    def get(self, key: str) -> bytes | None:
        """None where there is no such object."""

    def delete(self, key: str) -> None: ...

    def keys(self) -> list[str]: ...

    def uploads(self) -> list[str]:
        """Keys of multipart uploads that are neither completed nor aborted."""

    def content_type(self, key: str) -> str | None: ...


class MemoryBucket:
    """In this process; strict as S3 and keeping every key verbatim."""

    name = "memory"

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()

    def open(self) -> Store:
        return self.store

    def put(self, key: str, data: bytes = b"", *, storage_class: str | None = None) -> None:
        self.store.put_object(key, data, storage_class=storage_class)

    def get(self, key: str) -> bytes | None:
        return self.store.objects().get(key)

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def keys(self) -> list[str]:
        return list(self.store.objects())

    def uploads(self) -> list[str]:
        return [upload.key for upload in self.store.uploads()]

    def content_type(self, key: str) -> str | None:
        try:
            return self.store.attributes(key).content_type
        except NotFound:
            return None


@dataclass(frozen=True)
class ServerBucket:
    """On a real server, through that server's own client."""

    server: Server
    name: str

    def open(self) -> Store:
        return open_store(s3_options(self.server, self.name))

    def put(self, key: str, data: bytes = b"", *, storage_class: str | None = None) -> None:
        extra: dict[str, Any] = {} if storage_class is None else {"StorageClass": storage_class}
        self.server.put(self.name, key, data, **extra)

    def get(self, key: str) -> bytes | None:
        return self.server.get(self.name, key)

    def delete(self, key: str) -> None:
        self.server.delete(self.name, key)

    def keys(self) -> list[str]:
        return self.server.keys(self.name)

    def uploads(self) -> list[str]:
        return self.server.uploads(self.name)

    def content_type(self, key: str) -> str | None:
        found = self.server.attributes(self.name, key).get("ContentType")
        return None if found is None else str(found)
