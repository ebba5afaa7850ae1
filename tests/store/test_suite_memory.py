"""The suite on the memory store."""

from __future__ import annotations

import pytest

from vfsmount.store.memory import MemoryStore
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import StoreSuite


class MemoryBucket:
    """The memory store's own back door."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def put(self, key: str, data: bytes) -> None:
        self.store.put_object(key, data)

    def get(self, key: str) -> bytes | None:
        return self.store.objects().get(key)

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def uploads(self) -> list[str]:
        return [upload.key for upload in self.store.uploads()]


class TestMemory(StoreSuite):
    traits = StoreTraits()

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(traits=self.traits)

    @pytest.fixture
    def raw(self, store: MemoryStore) -> MemoryBucket:
        return MemoryBucket(store)


class TestMemoryWithoutConditions(TestMemory):
    traits = StoreTraits(conditional_put=False, min_part_size=1)


class TestMemoryUnordered(TestMemory):
    traits = StoreTraits(ordered_list=False, equal_parts=True)
