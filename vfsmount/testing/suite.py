"""The suite that every store passes. Subclass it, and give it an empty bucket::

class TestMine(StoreSuite):
    @pytest.fixture
    def store(self, bucket): return MyStore(bucket)

    @pytest.fixture
    def raw(self, bucket): return MyOtherClient(bucket)
"""

from __future__ import annotations

import pytest

from vfsmount.errors import NotFound, StoreError
from vfsmount.store.protocol import Store
from vfsmount.testing.keys import KEYS, KeyCase
from vfsmount.testing.suite_fixtures import RawBucket
from vfsmount.testing.suite_reading import ReadingSuite, keys_below
from vfsmount.testing.suite_writing import WritingSuite

__all__ = ["RawBucket", "StoreSuite"]


class StoreSuite(ReadingSuite, WritingSuite):
    """Every verb, condition and awkward key."""

    @pytest.mark.parametrize("case", KEYS, ids=[f"{case.number}-{case.name.replace(' ', '_')}" for case in KEYS])
    def test_key(self, store: Store, raw: RawBucket, case: KeyCase) -> None:
        quirk = self.quirks.get(case.name)
        body = f"case {case.number}".encode()
        if quirk is not None and quirk.stored_as is None:
            with pytest.raises(StoreError):
                store.put(case.key, body)
            assert keys_below(store, "") == []
            return
        store.put(case.key, body)
        if quirk is not None and quirk.lost:
            with pytest.raises(NotFound):
                store.head(case.key)
            assert raw.get(case.key) is None
            return
        if quirk is not None and quirk.drops_body:
            body = b""
        stored = case.key if quirk is None or quirk.stored_as is None else quirk.stored_as
        assert keys_below(store, "") == [stored]
        assert bytes(store.get_range(case.key, 0, 100).data) == body
        assert store.head(case.key).size == len(body)
        assert raw.get(case.key) == body
        # Walked down as a mount would, the key is where its slashes say.
        prefix = ""
        while (cut := stored.find("/", len(prefix))) >= 0 and cut + 1 < len(stored):
            assert store.list_page(prefix).prefixes == (stored[: cut + 1],)
            prefix = stored[: cut + 1]
        page = store.list_page(prefix)
        if stored.endswith("/"):
            assert page.prefixes == (stored,)
            page = store.list_page(stored)
        assert [meta.key for meta in page.objects] == [stored]
        # Conditions and copies carry it in headers, deletes of many in XML.
        assert bytes(store.get_range(case.key, 0, 4, if_match=page.objects[0].etag).data) == body[:4]
        if quirk is not None and quirk.drops_body:
            store.delete(case.key)
            assert keys_below(store, "") == []
            return
        store.copy(case.key, "copied")
        assert raw.get("copied") == body
        store.copy("copied", case.key)
        store.delete_many([case.key, "copied"])
        assert raw.get(case.key) is None
        assert raw.get("copied") is None
        if quirk is not None and quirk.no_upload:
            with pytest.raises(StoreError):
                store.create_multipart(case.key)
            return
        upload = store.create_multipart(case.key)
        upload.put_part(1, b"again")
        upload.complete()
        assert raw.get(case.key) == b"again"
        store.delete(case.key)
        assert raw.get(case.key) is None

    def test_all_keys_in_one_listing(self, store: Store, raw: RawBucket) -> None:
        wanted = [case.key for case in KEYS if case.name not in self.quirks]
        for key in wanted:
            raw.put(key, b"x")
        listed = keys_below(store, "")
        assert sorted(listed) == sorted(wanted)
        if store.traits.ordered_list:
            assert listed == sorted(wanted)
        store.delete_many(wanted)
        left = keys_below(store, "")
        if "directories stay" in self.departures:
            assert all(key.endswith("/") for key in left)
        else:
            assert left == []
