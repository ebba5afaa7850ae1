"""What the memory store has beyond the suite: strictness, archives, views for tests, order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfsmount.errors import Archived, NotFound, NotSupported, StoreError, TooLarge
from vfsmount.store import ordering
from vfsmount.store.memory import MemoryStore
from vfsmount.store.protocol import PutAttributes, StoreTraits

SMALL = StoreTraits(
    min_part_size=4, max_part_size=8, max_parts=3, max_object_size=20, max_copy_size=10, max_put_size=16
)


class Stepped:
    """A clock that a test moves."""

    now = 1_000_000_000

    def monotonic(self) -> float:
        return self.now / 1e9

    def time_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def test_mtime_is_the_clock_s() -> None:
    clock = Stepped()
    store = MemoryStore(clock=clock)
    assert store.put("k", b"").mtime_ns == 1_000_000_000
    clock.sleep(2)
    assert store.put("k", b"").mtime_ns == 3_000_000_000


def test_the_tag_changes_with_every_put_of_the_same_bytes() -> None:
    store = MemoryStore()
    tags = {store.put("k", b"same").etag for _ in range(3)}
    assert len(tags) == 3
    assert all(tag is not None and len(tag) == 34 and tag[0] == tag[-1] == '"' for tag in tags)


def test_reads_are_not_copied() -> None:
    store = MemoryStore()
    body = b"0123456789"
    store.put("k", body)
    data = store.get_range("k", 2, 5).data
    assert isinstance(data, memoryview)
    assert data.obj is body


def test_a_buffer_that_changes_later_does_not_change_the_object() -> None:
    store = MemoryStore()
    body = bytearray(b"before")
    store.put("k", body)
    body[:] = b"after!"
    assert store.objects() == {"k": b"before"}


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_objects_are_seen_but_not_read(storage_class: str) -> None:
    store = MemoryStore()
    store.put_object("cold", b"ice", storage_class=storage_class)
    assert store.head("cold").storage_class == storage_class
    with pytest.raises(Archived):
        store.get_range("cold", 0, 1)


def test_uploads_are_visible_until_they_end() -> None:
    store = MemoryStore(traits=SMALL)
    upload = store.create_multipart("k", attributes=PutAttributes("text/plain"))
    upload.put_part(1, b"12345678")
    (pending,) = store.uploads()
    assert (pending.key, pending.parts) == ("k", {1: b"12345678"})
    upload.complete()
    assert store.uploads() == ()
    assert store.attributes("k").content_type == "text/plain"
    with pytest.raises(NotFound):
        upload.put_part(2, b"late")
    with pytest.raises(NotFound):
        upload.complete()


def test_limits() -> None:
    store = MemoryStore(traits=SMALL)
    with pytest.raises(TooLarge):
        store.put("k", bytes(17))
    upload = store.create_multipart("k")
    for number in (0, 4):
        with pytest.raises(TooLarge):
            upload.put_part(number, b"12345678")
    with pytest.raises(TooLarge):
        upload.put_part(1, bytes(9))
    for number in (1, 2, 3):
        upload.put_part(number, bytes(8))
    with pytest.raises(TooLarge):
        upload.complete()
    store.put_object("big", bytes(11))
    with pytest.raises(TooLarge):
        store.copy("big", "copy")


def test_a_failed_complete_can_still_be_aborted() -> None:
    store = MemoryStore(traits=SMALL)
    upload = store.create_multipart("k")
    upload.put_part(1, b"123")
    upload.put_part(2, b"123")
    with pytest.raises(StoreError) as caught:
        upload.complete()
    assert caught.value.code == "EntityTooSmall"
    assert len(store.uploads()) == 1
    upload.abort()
    assert store.uploads() == ()


def test_equal_parts() -> None:
    store = MemoryStore(traits=StoreTraits(equal_parts=True, min_part_size=1))
    upload = store.create_multipart("k")
    upload.put_part(1, b"12")
    upload.put_part(2, b"123")
    with pytest.raises(StoreError, match="InvalidPart"):
        upload.complete()
    upload.put_part(2, b"1")
    assert upload.complete().size == 3


def test_without_conditions() -> None:
    store = MemoryStore(traits=StoreTraits(conditional_put=False))
    with pytest.raises(NotSupported):
        store.put("k", b"", if_none_match=True)


def test_a_listing_goes_on_where_a_key_was_deleted() -> None:
    store = MemoryStore()
    for key in "abcd":
        store.put(key, b"")
    page = store.list_page("", limit=2)
    store.delete("c")
    assert [meta.key for meta in store.list_page("", token=page.token).objects] == ["d"]


KEY = st.text(alphabet="ab/-0", min_size=1, max_size=6)


@given(st.sets(KEY, max_size=20), st.sampled_from(["", "a/", "a/b/"]), st.booleans(), st.integers(1, 5))
def test_pages_add_up_to_the_folded_keys(keys: set[str], prefix: str, delimiter: bool, limit: int) -> None:
    below = {key for key in keys if key.startswith(prefix)}
    wanted = {
        key[: key.find("/", len(prefix)) + 1] if delimiter and "/" in key[len(prefix) :] else key for key in below
    }
    for cut in (ordering.page, ordering.unordered_page):
        entries: list[str] = []
        token: str | None = None
        while True:
            page = cut(sorted(keys), prefix, delimiter=delimiter, token=token, limit=limit)
            assert 0 < len(page.keys) + len(page.prefixes) <= limit or page.token is None
            entries += [*page.keys, *page.prefixes]
            token = page.token
            if token is None:
                break
        assert len(entries) == len(wanted)
        assert set(entries) == wanted
