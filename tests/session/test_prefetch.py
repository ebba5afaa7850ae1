"""``vfsmount.prefetch`` fills the caches and says what it did."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfsmount
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore

POINT = "/vfs-warm"
BODIES = {f"set/{part}/{index}.bin": bytes([index]) * 1000 for part in ("a", "b") for index in range(20)}
BODIES["large.bin"] = os.urandom(3 << 20)
LIMIT = 32 << 20


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore(MemoryStore())
    for key, body in BODIES.items():
        store.inner.put(key, body)
    return store


@pytest.fixture
def mounted(store: CountingStore) -> Iterator[CountingStore]:
    mount = CloudBucketMount("bucket", metadata_ttl="indefinite")
    with activate_stores({POINT: (mount, store)}, memory_limit=LIMIT):
        yield store


def test_a_directory_is_read_into_memory(mounted: CountingStore) -> None:
    done = vfsmount.prefetch(POINT)
    assert (done.files, done.bytes) == (len(BODIES), sum(map(len, BODIES.values())))
    assert (done.skipped, done.errors, done.cancelled) == ([], {}, False)
    assert mounted.counts["list_page"] == 1
    read = mounted.bytes_read
    assert {key: Path(POINT, key).read_bytes() for key in BODIES} == BODIES
    assert mounted.bytes_read == read


def test_files_and_patterns(mounted: CountingStore) -> None:
    done = vfsmount.prefetch([f"{POINT}/set/**/1*.bin", Path(POINT, "large.bin")])
    assert done.files == 2 * 11 + 1
    assert vfsmount.prefetch(f"{POINT}/set/a/*.none").files == 0


def test_into_the_cache_on_disk_for_the_next_process(store: CountingStore, tmp_path: Path) -> None:
    mount = CloudBucketMount("bucket", cache_dir=tmp_path / "cache", bucket_endpoint_url="http://127.0.0.1:1")
    with activate_stores({POINT: (mount, store)}):
        assert vfsmount.prefetch(POINT).files == len(BODIES)
    with activate_stores({POINT: (mount, store)}):
        before = store.bytes_read
        assert Path(POINT, "large.bin").read_bytes() == BODIES["large.bin"]
        assert store.bytes_read - before <= 256 << 10


def test_what_no_cache_has_room_for_is_not_read(mounted: CountingStore) -> None:
    mounted.inner.put("huge", bytes(LIMIT // 8 + 1))  # no file over half of the cache is kept, a quarter of the limit
    for index in range(4):
        mounted.inner.put(f"many/{index}", bytes(3 << 20))
    done = vfsmount.prefetch([f"{POINT}/huge", f"{POINT}/many"])
    assert done.skipped == [f"{POINT}/huge", f"{POINT}/many/2", f"{POINT}/many/3"]
    assert done.bytes == 2 * (3 << 20)


def test_errors_are_collected(mounted: CountingStore) -> None:
    done = vfsmount.prefetch([f"{POINT}/none", f"{POINT}/set/a", f"{POINT}/large.bin/x"])
    assert {path: type(error) for path, error in done.errors.items()} == {
        f"{POINT}/none": FileNotFoundError,
        f"{POINT}/large.bin/x": NotADirectoryError,
    }
    assert done.files == 20


def test_it_can_be_stopped(mounted: CountingStore) -> None:
    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    done = vfsmount.prefetch(POINT, cancelled=enough)
    assert done.cancelled
    assert done.files < len(BODIES)


def test_what_is_local_needs_nothing(mounted: CountingStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with mounted.expect():
        assert vfsmount.prefetch([tmp_path, tmp_path / "none"]) == vfsmount.prefetch([])
