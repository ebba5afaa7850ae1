"""Puts, uploads, copies, deletes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfsmount.errors import AlreadyExists, InvalidKey, NotFound, NotSupported, PreconditionFailed, StoreError
from vfsmount.store.protocol import PutAttributes, Store
from vfsmount.testing.keys import TOO_LONG
from vfsmount.testing.suite_fixtures import RawBucket, SuiteFixtures
from vfsmount.testing.suite_reading import CONTENT, keys_below

THREADS = 32


class WritingSuite(SuiteFixtures):
    """What a store changes."""

    # -- put

    @pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
    def test_put(self, store: Store, raw: RawBucket, make: Callable[[bytes], bytes]) -> None:
        meta = store.put("dir/file", make(CONTENT))
        assert raw.get("dir/file") == CONTENT
        assert (meta.key, meta.size) == ("dir/file", 10)
        assert meta.etag == store.head("dir/file").etag

    def test_put_of_nothing(self, store: Store, raw: RawBucket) -> None:
        assert store.put("empty", b"").size == 0
        assert raw.get("empty") == b""
        assert store.head("empty").size == 0

    def test_put_replaces(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", b"old and longer")
        first = store.head("file").etag
        second = store.put("file", b"new").etag
        assert raw.get("file") == b"new"
        assert first != second

    def test_put_with_attributes(self, store: Store, raw: RawBucket) -> None:
        store.put("page", CONTENT, attributes=PutAttributes("text/html", {"colour": "blue"}))
        assert raw.get("page") == CONTENT

    def test_exclusive_create(self, store: Store, raw: RawBucket) -> None:
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                store.put("file", CONTENT, if_none_match=True)
            assert raw.get("file") is None
            return
        store.put("file", CONTENT, if_none_match=True)
        with pytest.raises(AlreadyExists) as caught:
            store.put("file", b"second", if_none_match=True)
        assert caught.value.key == "file"
        assert raw.get("file") == CONTENT

    def test_exclusive_create_has_one_winner(self, store: Store, raw: RawBucket) -> None:
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                store.put("race", b"x", if_none_match=True)
            return
        bodies = [str(number).encode() for number in range(8)]
        gate = threading.Barrier(len(bodies))

        def create(body: bytes) -> bytes | None:
            gate.wait(10)
            try:
                store.put("race", body, if_none_match=True)
            except AlreadyExists:
                return None
            return body

        with ThreadPoolExecutor(len(bodies)) as pool:
            winners = [body for body in pool.map(create, bodies) if body is not None]
        assert len(winners) == 1
        assert raw.get("race") == winners[0]

    def test_put_over_the_version_seen(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", b"one")
        etag = store.head("file").etag
        assert etag is not None
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                store.put("file", b"two", if_match=etag)
            return
        store.put("file", b"two", if_match=etag)
        with pytest.raises(PreconditionFailed):
            store.put("file", b"three", if_match=etag)
        assert raw.get("file") == b"two"

    def test_put_over_a_version_that_is_gone(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", b"one")
        etag = store.head("file").etag
        assert etag is not None
        raw.delete("file")
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                store.put("file", b"two", if_match=etag)
            return
        with pytest.raises(PreconditionFailed):
            store.put("file", b"two", if_match=etag)
        assert raw.get("file") is None

    def test_keys_that_no_store_takes(self, store: Store) -> None:
        for key in (TOO_LONG, "", "\udcff"):
            with pytest.raises(InvalidKey):
                store.put(key, b"x")

    # -- uploads

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
    def test_multipart(self, store: Store, raw: RawBucket, order: tuple[int, ...]) -> None:
        size = store.traits.min_part_size
        parts = {1: b"a" * size, 2: b"b" * size, 3: b"the end"}
        upload = store.create_multipart("big")
        for number in order:
            upload.put_part(number, parts[number])
        assert raw.get("big") is None
        meta = upload.complete()
        whole = b"".join(parts[number] for number in sorted(parts))
        assert meta.size == len(whole)
        assert raw.get("big") == whole
        assert meta.etag == store.head("big").etag
        assert raw.uploads() == []
        upload.abort()
        assert raw.get("big") == whole

    def test_multipart_in_parallel(self, store: Store, raw: RawBucket) -> None:
        size = store.traits.min_part_size
        parts = {number: bytes([64 + number]) * size for number in range(1, 5)} | {5: memoryview(b"tail")}
        upload = store.create_multipart("parallel", attributes=PutAttributes("text/plain"))
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(lambda item: upload.put_part(*item), parts.items()))
        upload.complete()
        assert raw.get("parallel") == b"".join(bytes(part) for part in parts.values())

    def test_multipart_of_one_small_part(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("small")
        upload.put_part(1, b"only")
        assert upload.complete().size == 4
        assert raw.get("small") == b"only"

    def test_a_part_sent_again_counts_once(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("again")
        upload.put_part(1, b"first")
        upload.put_part(1, b"second")
        upload.complete()
        assert raw.get("again") == b"second"

    def test_abort_leaves_nothing(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("dropped")
        upload.put_part(1, b"x" * store.traits.min_part_size)
        upload.abort()
        upload.abort()
        assert raw.get("dropped") is None
        assert raw.uploads() == []
        assert keys_below(store, "") == []

    def test_abort_leaves_the_old_object(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", b"old")
        upload = store.create_multipart("file")
        upload.put_part(1, b"new")
        upload.abort()
        assert raw.get("file") == b"old"

    def test_a_small_part_in_the_middle(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("uneven")
        upload.put_part(1, b"too small")
        upload.put_part(2, b"end")
        if store.traits.min_part_size == 1:
            upload.complete()
            assert raw.get("uneven") == b"too smallend"
            return
        with pytest.raises(StoreError):
            upload.complete()
        upload.abort()
        assert raw.get("uneven") is None
        assert raw.uploads() == []

    def test_an_upload_without_parts(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("nothing")
        with pytest.raises(StoreError):
            upload.complete()
        upload.abort()
        assert raw.get("nothing") is None

    def test_exclusive_complete(self, store: Store, raw: RawBucket) -> None:
        upload = store.create_multipart("file")
        upload.put_part(1, b"from parts")
        raw.put("file", b"meanwhile")
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                upload.complete(if_none_match=True)
        else:
            with pytest.raises(AlreadyExists):
                upload.complete(if_none_match=True)
        upload.abort()
        assert raw.get("file") == b"meanwhile"
        assert raw.uploads() == []

    def test_complete_over_the_version_seen(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", b"one")
        etag = store.head("file").etag
        upload = store.create_multipart("file")
        upload.put_part(1, b"two")
        if not store.traits.conditional_put:
            with pytest.raises(NotSupported):
                upload.complete(if_match=etag)
            upload.abort()
            return
        upload.complete(if_match=etag)
        assert raw.get("file") == b"two"
        upload = store.create_multipart("file")
        upload.put_part(1, b"three")
        if "complete ignores if_match" in self.departures:
            upload.complete(if_match=etag)
            assert raw.get("file") == b"three"
            return
        with pytest.raises(PreconditionFailed):
            upload.complete(if_match=etag)
        upload.abort()
        assert raw.get("file") == b"two"

    # -- copy

    def test_copy(self, store: Store, raw: RawBucket) -> None:
        raw.put("from", CONTENT)
        meta = store.copy("from", "to/there")
        assert (meta.key, meta.size) == ("to/there", 10)
        assert raw.get("to/there") == CONTENT
        assert raw.get("from") == CONTENT
        assert meta.etag == store.head("to/there").etag

    def test_copy_replaces(self, store: Store, raw: RawBucket) -> None:
        raw.put("from", CONTENT)
        raw.put("to", b"old")
        store.copy("from", "to")
        assert raw.get("to") == CONTENT

    def test_copy_of_a_missing_key(self, store: Store, raw: RawBucket) -> None:
        with pytest.raises(NotFound):
            store.copy("missing", "to")
        assert raw.get("to") is None

    def test_copy_of_another_version(self, store: Store, raw: RawBucket) -> None:
        raw.put("from", b"one")
        etag = store.head("from").etag
        raw.put("from", b"two!")
        with pytest.raises(PreconditionFailed):
            store.copy("from", "to", if_match=etag)
        assert raw.get("to") is None

    def test_copy_to_a_new_key_only(self, store: Store, raw: RawBucket) -> None:
        raw.put("from", CONTENT)
        raw.put("to", b"old")
        with pytest.raises((AlreadyExists, NotSupported)):
            store.copy("from", "to", if_none_match=True)
        assert raw.get("to") == b"old"

    # -- delete

    def test_delete(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", CONTENT)
        store.delete("file")
        assert raw.get("file") is None
        store.delete("file")
        store.delete("never/was")

    def test_delete_many(self, store: Store, raw: RawBucket) -> None:
        names = [f"d/{number}" for number in range(self.many)]
        for name in names:
            raw.put(name, b"x")
        raw.put("kept", b"x")
        store.delete_many([*names, "d/missing"])
        left = ["d/", "kept"] if "directories stay" in self.departures else ["kept"]
        assert keys_below(store, "") == left
        store.delete_many([])

    # -- concurrency

    def test_from_many_threads(self, store: Store, raw: RawBucket) -> None:
        def work(number: int) -> bool:
            key = f"t/{number}"
            body = str(number).encode() * 100
            store.put(key, body)
            same = bytes(store.get_range(key, 0, 1000).data) == body and store.head(key).size == len(body)
            if number % 2:
                store.delete(key)
            return same

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(work, range(THREADS * 2)))
        assert sorted(keys_below(store, "t/")) == sorted(f"t/{number}" for number in range(0, THREADS * 2, 2))

    def test_close_twice(self, store: Store) -> None:
        store.put("file", CONTENT)
        store.close()
        store.close()
