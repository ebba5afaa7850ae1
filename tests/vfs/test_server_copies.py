"""``shutil.copyfile`` inside a mount: the store copies large files itself."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import vfsmount
from tests.servers import Server
from vfsmount import CloudBucketMount, Secret
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore

LARGE = bytes(range(256)) * (9 << 12)  # 9 MiB


@pytest.fixture
def store() -> CountingStore:
    inner = MemoryStore()
    inner.put("large", LARGE)
    inner.put("small", b"small")
    return CountingStore(inner)


@pytest.fixture
def point(tmp_path: Path, store: CountingStore) -> Iterator[str]:
    place = str(tmp_path / "bucket")
    with activate_stores({place: (CloudBucketMount("memory", metadata_ops="ignore"), store)}):
        yield place


def stored(store: CountingStore, key: str) -> bytes:
    return bytes(store.get_range(key, 0, 1 << 30).data)


def test_a_large_file_costs_one_copy_and_no_bytes(point: str, store: CountingStore) -> None:
    store.reset()
    shutil.copyfile(f"{point}/large", f"{point}/copy")
    assert store.counts["copy"] == 1
    assert store.bytes_written == 0
    assert store.bytes_read < 1 << 20
    assert os.path.getsize(f"{point}/copy") == len(LARGE)
    assert stored(store, "copy") == LARGE


def test_copy_and_copy2_do_so_too(point: str, store: CountingStore) -> None:
    shutil.copy(f"{point}/large", f"{point}/tree")
    shutil.copy2(f"{point}/large", f"{point}/large2")
    assert store.counts["copy"] == 2
    assert stored(store, "tree") == stored(store, "large2") == LARGE


def test_a_small_file_is_read_and_written(point: str, store: CountingStore) -> None:
    shutil.copyfile(f"{point}/small", f"{point}/copy")
    assert store.counts["copy"] == 0
    assert stored(store, "copy") == b"small"


def test_nothing_shows_before_the_close_and_the_position_is_at_the_end(point: str, store: CountingStore) -> None:
    with open(f"{point}/large", "rb") as source, open(f"{point}/copy", "wb") as target:
        _copy(source, target)
        assert (source.tell(), target.tell(), source.read()) == (len(LARGE), len(LARGE), b"")
        assert store.counts["copy"] == 0


def test_what_was_begun_is_not_copied_over(point: str, store: CountingStore) -> None:
    with open(f"{point}/large", "rb") as source, open(f"{point}/copy", "wb") as target:
        target.write(b"header")
        source.seek(100)
        _copy(source, target)
    assert store.counts["copy"] == 0
    assert stored(store, "copy") == b"header" + LARGE[100:]


def test_a_write_after_it_is_refused_and_nothing_is_published(point: str, store: CountingStore) -> None:
    with open(f"{point}/large", "rb") as source:
        target = open(f"{point}/copy", "wb", buffering=0)
        _copy(source, target)
        with pytest.raises(OSError) as caught:
            target.write(b"more")
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError):
            target.close()
    assert not os.path.exists(f"{point}/copy")
    assert store.counts["copy"] == 0


def test_a_source_that_was_replaced_meanwhile_is_estale(point: str, store: CountingStore) -> None:
    with open(f"{point}/large", "rb") as source:
        target = open(f"{point}/copy", "wb")
        _copy(source, target)
        store.put("large", b"another")
        with pytest.raises(OSError) as caught:
            target.close()
    assert caught.value.errno == errno.ESTALE
    assert not os.path.exists(f"{point}/copy")


def test_between_two_mounts_the_bytes_go_through_here(tmp_path: Path, point: str, store: CountingStore) -> None:
    other = MemoryStore()
    with activate_stores({str(tmp_path / "other"): (CloudBucketMount("memory"), other)}):
        shutil.copyfile(f"{point}/large", tmp_path / "other/copy")
    assert store.counts["copy"] == 0
    assert bytes(other.get_range("copy", 0, 1 << 30).data) == LARGE


@pytest.mark.slow
def test_on_a_server(tmp_path: Path, moto: Server) -> None:
    bucket = moto.new_bucket("copies")
    moto.put(bucket, "large", LARGE)
    mount = CloudBucketMount(
        bucket,
        bucket_endpoint_url=moto.endpoint_url,
        secret=Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_REGION": moto.region}),
        force_path_style=True,
    )
    place = str(tmp_path / "bucket")
    with vfsmount.activate({place: mount}) as session:
        shutil.copyfile(f"{place}/large", f"{place}/copy")
        assert session.stats().total.bytes_sent == 0
        assert os.path.getsize(f"{place}/copy") == len(LARGE)
    assert moto.get(bucket, "copy") == LARGE


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    shutil._fastcopy_sendfile(source, target)  # type: ignore[attr-defined]
