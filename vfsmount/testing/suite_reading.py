"""Heads, ranges and listings."""

from __future__ import annotations

import time

import pytest

from vfsmount.errors import InvalidKey, NotFound, PreconditionFailed
from vfsmount.model import ListPage
from vfsmount.store.protocol import Store
from vfsmount.testing.suite_fixtures import RawBucket, SuiteFixtures

CONTENT = b"0123456789"


class ReadingSuite(SuiteFixtures):
    """What a store brings."""

    def test_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert store.bucket
        assert store.traits == store.traits

    def test_head_tells_size_time_and_tag(self, store: Store, raw: RawBucket) -> None:
        before = time.time()
        raw.put("file", CONTENT)
        meta = store.head("file")
        assert (meta.key, meta.size) == ("file", 10)
        assert abs(meta.mtime_ns / 1e9 - before) < 30
        assert meta.etag
        assert store.head("file") == meta

    def test_head_of_a_missing_key(self, store: Store) -> None:
        with pytest.raises(NotFound) as caught:
            store.head("missing")
        assert (caught.value.bucket, caught.value.key) == (store.bucket, "missing")
        assert caught.value.operation

    def test_head_of_a_prefix_is_not_found(self, store: Store, raw: RawBucket) -> None:
        raw.put("dir/file", CONTENT)
        with pytest.raises(NotFound):
            store.head("dir")

    def test_get_of_a_missing_key(self, store: Store) -> None:
        with pytest.raises(NotFound) as caught:
            store.get_range("missing", 0, 10)
        assert (caught.value.bucket, caught.value.key) == (store.bucket, "missing")

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, 10, CONTENT),
            (0, 1, b"0"),
            (3, 7, b"3456"),
            (9, 10, b"9"),
            (0, 11, CONTENT),  # past the end
            (5, 1 << 40, b"56789"),
            (10, 20, b""),  # at the end
            (11, 20, b""),  # beyond the end
            (1 << 40, (1 << 40) + 1, b""),
            (4, 4, b""),  # empty range
        ],
    )
    def test_ranges(self, store: Store, raw: RawBucket, start: int, end: int, expected: bytes) -> None:
        raw.put("file", CONTENT)
        result = store.get_range("file", start, end)
        assert bytes(result.data) == expected
        assert result.meta == store.head("file")

    @pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 0), (0, 1 << 20), (5, 6)])
    def test_ranges_of_an_empty_object(self, store: Store, raw: RawBucket, start: int, end: int) -> None:
        raw.put("empty", b"")
        result = store.get_range("empty", start, end)
        assert bytes(result.data) == b""
        assert result.meta.size == 0

    def test_get_of_the_version_seen(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", CONTENT)
        meta = store.head("file")
        assert bytes(store.get_range("file", 2, 5, if_match=meta.etag).data) == b"234"

    @pytest.mark.parametrize("replacement", [b"abcdefghij", b"short", b"", b"longer than it was before"])
    def test_a_replaced_object_is_never_mixed(self, store: Store, raw: RawBucket, replacement: bytes) -> None:
        raw.put("file", CONTENT)
        etag = store.head("file").etag
        raw.put("file", replacement)
        for start, end in [(0, 4), (0, 10), (8, 10), (100, 200)]:
            with pytest.raises(PreconditionFailed):
                store.get_range("file", start, end, if_match=etag)

    def test_a_deleted_object_is_not_found(self, store: Store, raw: RawBucket) -> None:
        raw.put("file", CONTENT)
        etag = store.head("file").etag
        raw.delete("file")
        with pytest.raises((NotFound, PreconditionFailed)):
            store.get_range("file", 0, 4, if_match=etag)

    def test_a_large_range(self, store: Store, raw: RawBucket) -> None:
        content = bytes(range(256)) * 4096 * 3
        raw.put("large", content)
        assert bytes(store.get_range("large", 0, len(content)).data) == content
        assert bytes(store.get_range("large", 1 << 20, (1 << 20) + 77).data) == content[1 << 20 : (1 << 20) + 77]

    # -- listings

    def test_an_empty_bucket(self, store: Store) -> None:
        assert store.list_page("") == ListPage(())
        assert store.list_page("none/") == ListPage(())

    def test_a_listing_tells_what_head_tells(self, store: Store, raw: RawBucket) -> None:
        raw.put("dir/file", CONTENT)
        (listed,) = store.list_page("dir/").objects
        head = store.head("dir/file")
        assert (listed.key, listed.size, listed.etag) == (head.key, head.size, head.etag)
        assert listed.mtime_ns // 10**9 == head.mtime_ns // 10**9

    def test_delimiter_folds(self, store: Store, raw: RawBucket) -> None:
        for key in ("top", "dir/one", "dir/two", "dir/sub/three", "other/four"):
            raw.put(key, b"x")
        page = store.list_page("")
        assert [meta.key for meta in page.objects] == ["top"]
        assert sorted(page.prefixes) == ["dir/", "other/"]
        page = store.list_page("dir/")
        assert sorted(meta.key for meta in page.objects) == ["dir/one", "dir/two"]
        assert page.prefixes == ("dir/sub/",)

    def test_a_prefix_ends_at_its_slash(self, store: Store, raw: RawBucket) -> None:
        for key in ("dir/one", "dir-beside/two", "dirt"):
            raw.put(key, b"x")
        assert keys_below(store, "dir/") == ["dir/one"]

    def test_flat(self, store: Store, raw: RawBucket) -> None:
        wanted = ["a", "a-b", "a.b", "b/c/d", "b/c/e", "b/f", "c"]
        for key in wanted:
            raw.put(key, b"x")
        page = store.list_page("", delimiter=False)
        assert page.prefixes == ()
        assert sorted(meta.key for meta in page.objects) == wanted

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
    @pytest.mark.parametrize("delimiter", [True, False])
    def test_paging_gives_each_entry_once(self, store: Store, raw: RawBucket, delimiter: bool, limit: int) -> None:
        names = [f"p/{number:03}" for number in range(5)]
        names += [f"p/d{number}/{leaf}" for number in range(4) for leaf in "xyz"]
        for name in names:
            raw.put(name, b"x")
        raw.put("q", b"x")
        entries: list[str] = []
        token: str | None = None
        for _ in range(100):
            page = store.list_page("p/", delimiter=delimiter, token=token, limit=limit)
            entries += [meta.key for meta in page.objects] + list(page.prefixes)
            token = page.token
            if token is None:
                break
        wanted = names if not delimiter else names[:5] + [f"p/d{number}/" for number in range(4)]
        if delimiter and limit < 5 and "prefixes on every page" in self.departures:
            assert len(entries) > len(wanted)
            entries = list(set(entries))
        assert sorted(entries) == sorted(wanted)

    def test_order_is_that_of_bytes(self, store: Store, raw: RawBucket) -> None:
        # The last two sort the other way round in UTF-16.
        wanted = ["A", "Z", "a b", "a-", "a.b", "a/b", "a0", "b", "\u00e9", "\uff5e", "\U0001f600"]
        for key in reversed(wanted):
            raw.put(key, b"x")
        listed = keys_below(store, "")
        assert sorted(listed) == sorted(wanted)
        if store.traits.ordered_list:
            assert listed == wanted

    def test_start_after(self, store: Store, raw: RawBucket) -> None:
        for key in ("a", "b", "c/x", "d"):
            raw.put(key, b"x")
        page = store.list_page("", delimiter=False, start_after="b")
        assert sorted(meta.key for meta in page.objects) == ["c/x", "d"]
        page = store.list_page("", delimiter=False, start_after="bb")
        assert sorted(meta.key for meta in page.objects) == ["c/x", "d"]
        page = store.list_page("", delimiter=False, start_after="d")
        assert page.objects == ()

    def test_a_marker_is_among_the_objects(self, store: Store, raw: RawBucket) -> None:
        raw.put("dir/", b"")
        page = store.list_page("dir/")
        assert [meta.key for meta in page.objects] == ["dir/"]
        assert store.head("dir/").size == 0
        raw.put("dir/file", b"x")
        page = store.list_page("dir/")
        if "markers of empty directories only" in self.departures:
            assert [meta.key for meta in page.objects] == ["dir/file"]
            return
        assert sorted(meta.key for meta in page.objects) == ["dir/", "dir/file"]
        assert store.list_page("").prefixes == ("dir/",)
        assert store.list_page("").objects == ()

    def test_a_file_beside_a_directory_of_its_name(self, store: Store, raw: RawBucket) -> None:
        raw.put("a", b"file")
        if "no file beside a directory of its name" in self.departures:
            with pytest.raises(InvalidKey):
                store.put("a/b", b"below")
            assert keys_below(store, "") == ["a"]
            return
        raw.put("a/b", b"below")
        page = store.list_page("")
        assert [meta.key for meta in page.objects] == ["a"]
        assert page.prefixes == ("a/",)
        assert bytes(store.get_range("a", 0, 9).data) == b"file"
        assert bytes(store.get_range("a/b", 0, 9).data) == b"below"


def keys_below(store: Store, prefix: str) -> list[str]:
    """All keys below ``prefix``, in the order of a flat listing."""
    keys: list[str] = []
    token: str | None = None
    while True:
        page = store.list_page(prefix, delimiter=False, token=token)
        keys += [meta.key for meta in page.objects]
        token = page.token
        if token is None:
            return keys
