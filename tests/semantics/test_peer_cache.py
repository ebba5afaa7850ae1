"""What Mountpoint's own tests of its disk cache assert, and the claims about ours."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.semantics import test_claims_opening, test_peer_reading
from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounted, Mounter, memory_only
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore
from vfsmount.transfer import disk_cache
from vfsmount.transfer.disk_cache import BLOCK

claim = pytest.mark.claim
MIB = 1 << 20


def kept(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@claim("CACHE-1")
@pytest.mark.parametrize("size", [1, BLOCK, 5 * MIB + 3])
@pytest.mark.parametrize("name", ["k" * 200, "\U0001f600 and \u65e5\u672c"])
def test_what_was_read_is_read_again_from_the_disk(
    name: str, size: int, bucket: Bucket, mount: Mounter, tmp_path: Path
) -> None:
    content = random.Random(size).randbytes(size)
    mnt = mount(cache_dir=tmp_path / "cache")
    (mnt / name).write_bytes(content)
    assert kept(tmp_path / "cache") == 0
    assert (mnt / name).read_bytes() == content
    assert kept(tmp_path / "cache") >= size
    mnt.requests.reset()
    assert (mnt / name).read_bytes() == content
    assert mnt.requests.counts["get_range"] == 1  # the open's, which tells the version
    assert mnt.requests.bytes_read <= BLOCK


@claim("CACHE-1")
@memory_only
def test_random_reads_are_kept_too(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(4 * MIB)
    bucket.put("f", content)
    mnt = mount(cache_dir=tmp_path / "cache")
    for round_ in range(2):
        fd = os.open(mnt / "f", os.O_RDONLY)
        mnt.requests.reset()
        for offset in (3 * MIB + 5, MIB, 2 * MIB - 100):
            assert os.pread(fd, 4096, offset) == content[offset : offset + 4096]
        assert (mnt.requests.counts["get_range"] > 0) == (round_ == 0)
        os.close(fd)


@claim("CACHE-1")
@memory_only
def test_a_replaced_object_is_never_served_from_the_disk(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("f", b"o" * MIB)
    mnt = mount(cache_dir=tmp_path / "cache")
    assert (mnt / "f").read_bytes() == b"o" * MIB
    bucket.put("f", b"n" * MIB)
    assert (mnt / "f").read_bytes() == b"n" * MIB
    bucket.delete("f")
    with pytest.raises(FileNotFoundError):
        (mnt / "f").read_bytes()


@claim("CACHE-1")
@pytest.mark.slow
@memory_only
def test_another_process_reads_from_the_disk(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    """The second process has the same bucket, whose objects from the second block on cannot be fetched any more."""
    code = """
import sys
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore
from vfsmount.transfer.disk_cache import BLOCK

class First(MemoryStore):
    def get_range(self, key, start, end, *, if_match=None):
        assert start == 0 and end <= BLOCK or sys.argv[2] == "fill", (start, end)
        return super().get_range(key, start, end, if_match=if_match)

store = First("b")
store.put_object("f", b"x" * 3_000_000)
with activate_stores({sys.argv[1] + "/m": (CloudBucketMount("b", cache_dir=sys.argv[1] + "/c"), store)}):
    with open(sys.argv[1] + "/m/f", "rb") as file:
        assert file.read() == b"x" * 3_000_000
print("read")
"""
    for what in ("fill", "again"):
        ran = subprocess.run([sys.executable, "-c", code, str(tmp_path), what], capture_output=True, text=True)
        assert ran.stdout == "read\n", ran.stderr


@claim("CACHE-2")
@memory_only
def test_the_bound_is_kept(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    mnt = mount(cache_dir=tmp_path / "cache", cache_max_bytes=2 * MIB)
    for number in range(6):
        bucket.put(f"f{number}", bytes([number]) * MIB)
        assert (mnt / f"f{number}").read_bytes() == bytes([number]) * MIB
        assert kept(tmp_path / "cache") <= 2 * MIB
    mnt.requests.reset()
    assert (mnt / "f5").read_bytes() == b"\x05" * MIB
    assert mnt.requests.counts["get_range"] == 1


@claim("CACHE-2")
@memory_only
def test_part_of_the_disk_stays_free(
    bucket: Bucket, mount: Mounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail / found.f_blocks
    monkeypatch.setattr(disk_cache, "FREE", free + 0.01)  # as on a disk that has less than that
    mnt = mount(cache_dir=tmp_path / "cache")
    bucket.put("f", b"x" * MIB)
    for _ in range(2):
        assert (mnt / "f").read_bytes() == b"x" * MIB
    assert kept(tmp_path / "cache") == 0


@claim("CACHE-3")
@memory_only
@pytest.mark.parametrize("trouble", ["damaged", "a file in the way", "gone"])
def test_trouble_with_the_disk_costs_no_read(trouble: str, bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("f", b"x" * MIB)
    folder = tmp_path / "cache"
    if trouble == "a file in the way":
        folder.write_text("a file")
    mnt = mount(cache_dir=folder)
    assert (mnt / "f").read_bytes() == b"x" * MIB
    spoil: dict[str, Callable[[Path], object]] = {"damaged": lambda path: path.write_bytes(b"?"), "gone": os.unlink}
    for path in list(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            spoil[trouble](path)
    assert (mnt / "f").read_bytes() == b"x" * MIB


class CachedMounter(Mounter):
    """Every mount keeps what it reads in one directory."""

    folder: Path

    def __call__(self, at: str = "mnt", **options: Any) -> Mounted:
        return super().__call__(at, cache_dir=self.folder, **options)


@pytest.fixture
def cached(bucket: Bucket, tmp_path: Path) -> Iterator[Mounter]:
    with ExitStack() as stack:
        mounter = CachedMounter(bucket, tmp_path, stack)
        mounter.folder = tmp_path / "cache"
        yield mounter
        assert kept(mounter.folder) > 0


@memory_only
@test_peer_reading.prefixes
def test_two_versions_are_open_side_by_side_with_a_cache(prefix: str, bucket: Bucket, cached: Mounter) -> None:
    test_peer_reading.test_two_versions_are_open_side_by_side(prefix, bucket, cached)


@memory_only
@pytest.mark.parametrize("size", [1, MIB])
def test_reading_whole_files_with_a_cache(size: int, bucket: Bucket, cached: Mounter) -> None:
    test_peer_reading.test_reading_whole_files(size, bucket, cached)


@memory_only
def test_reading_an_empty_file_with_a_cache(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("f", b"")
    mnt = mount(cache_dir=tmp_path / "cache")
    assert (mnt / "f").read_bytes() == (mnt / "f").read_bytes() == b""


@memory_only
@test_peer_reading.prefixes
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_reading_in_odd_steps_with_a_cache(prefix: str, flags: int, bucket: Bucket, cached: Mounter) -> None:
    test_peer_reading.test_reading_in_odd_steps(prefix, flags, bucket, cached)


@memory_only
@pytest.mark.parametrize("first", [1, 1024, 300_000, 500 * 1024])
def test_a_replaced_object_is_never_mixed_with_a_cache(first: int, bucket: Bucket, cached: Mounter) -> None:
    test_claims_opening.test_a_replaced_object_is_never_mixed(first, bucket, cached)


def test_two_buckets_share_a_directory(tmp_path: Path) -> None:
    mounts = {}
    for name in ("one", "two"):
        store = MemoryStore(name)
        store.put_object("f", name.encode() * MIB)
        mounts[str(tmp_path / name)] = (CloudBucketMount(name, cache_dir=tmp_path / "cache"), store)
    with activate_stores(mounts):
        for _ in range(2):
            for name in ("one", "two"):
                assert (tmp_path / name / "f").read_bytes() == name.encode() * MIB


def test_a_cache_on_a_mount_is_refused(tmp_path: Path) -> None:
    point = str(tmp_path / "m")
    with pytest.raises(ValueError, match=r"cache_dir.*is on a mount"):
        activate_stores({point: (CloudBucketMount("b", cache_dir=f"{point}/cache"), MemoryStore())})
