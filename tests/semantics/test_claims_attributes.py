"""ATTR: what stat tells, and for how long."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from tests.clock import SteppedClock
from tests.semantics.buckets import Bucket, MemoryBucket, ServerBucket
from tests.semantics.mounting import MOTO, WEED, Mounter, memory_only, refused
from vfsmount.errors import PermissionDenied, StoreError

claim = pytest.mark.claim


@claim("ATTR-1")
def test_size_and_times_are_the_objects(bucket: Bucket, mount: Mounter) -> None:
    before = time.time()
    bucket.put("f", b"12345")
    mnt = mount()
    found = os.stat(mnt / "f")
    assert stat.S_ISREG(found.st_mode)
    assert found.st_size == 5
    assert before - 60 < found.st_mtime < time.time() + 60  # a server's clock, in whole seconds
    assert found.st_atime_ns == found.st_ctime_ns == found.st_mtime_ns


@claim("ATTR-2")
@memory_only
def test_modes_and_owners_are_the_mounts(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f")
    mnt = mount()
    assert stat.S_IMODE(os.stat(mnt / "d/f").st_mode) == 0o644
    assert stat.S_IMODE(os.stat(mnt / "d").st_mode) == stat.S_IMODE(os.stat(mnt.path).st_mode) == 0o755
    assert (os.stat(mnt / "d").st_uid, os.stat(mnt / "d/f").st_gid) == (os.geteuid(), os.getegid())
    other = mount("other", uid=500, gid=20, dir_mode=0o750, file_mode=0o440)
    for path, mode in ((other.path, 0o750), (other / "d", 0o750), (other / "d/f", 0o440)):
        found = os.stat(path)
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (500, 20, mode)


@claim("ATTR-3")
@memory_only
def test_inodes_and_devices(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("sub/f")
    mnt, other = mount(), mount("other", key_prefix="sub/")
    numbers = [os.stat(path).st_ino for path in (mnt.path, mnt / "sub", mnt / "sub/f")]
    assert 0 not in numbers
    assert len(set(numbers)) == 3
    assert numbers == [os.stat(path).st_ino for path in (mnt.path, mnt / "sub", mnt / "sub/f")]
    assert {entry.name: entry.inode() for entry in os.scandir(mnt.path)} == {"sub": numbers[1]}
    assert os.path.samefile(mnt / "sub/f", f"{mnt.path}/sub/../sub/f")
    assert not os.path.samefile(mnt / "sub/f", mnt / "sub")
    assert len({os.stat(path).st_dev for path in (mnt.path, other.path, tmp_path)}) == 3


@claim("ATTR-4")
@memory_only
def test_attributes_may_be_stale_and_own_changes_are_not(clock: SteppedClock, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(metadata_ttl=10)
    assert os.stat(mnt / "f").st_size == 3
    bucket.put("f", b"longer")
    clock.step(9)
    assert os.stat(mnt / "f").st_size == 3
    clock.step(2)
    assert os.stat(mnt / "f").st_size == 6
    (mnt / "f").write_bytes(b"written here")
    assert os.stat(mnt / "f").st_size == 12
    os.unlink(mnt / "f")
    assert not (mnt / "f").exists()
    assert os.listdir(mnt.path) == []


@claim("ATTR-5")
@pytest.mark.parametrize("data", [b"", b"x", b"much longer than it was when it was looked at"])
def test_open_asks_again(data: bytes, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old bytes")
    mnt = mount(metadata_ttl="indefinite")
    assert os.stat(mnt / "f").st_size == 9
    bucket.put("f", data)
    with open(mnt / "f", "rb") as file:
        assert file.read() == data
        assert os.fstat(file.fileno()).st_size == len(data)
    assert os.stat(mnt / "f").st_size == len(data)  # and what was remembered is corrected


@claim("ATTR-5")
def test_open_of_what_is_gone_fails_in_spite_of_the_cache(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old bytes")
    mnt = mount(metadata_ttl="indefinite")
    assert (mnt / "f").exists()
    bucket.delete("f")
    with refused(errno.ENOENT, mnt / "f"):
        open(mnt / "f", "rb")
    assert not (mnt / "f").exists()


@claim("ATTR-6")
@memory_only
@pytest.mark.parametrize("verb", ["head", "list_page"])
def test_forbidden_is_not_missing(verb: str, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"")
    mnt = mount()
    mnt.faults.fail(verb, PermissionDenied("no", operation=verb, code="AccessDenied"), times=None)
    with refused(errno.EACCES, mnt / "f") as caught:
        os.stat(mnt / "f")
    assert isinstance(caught.value, PermissionError)
    assert isinstance(caught.value.__cause__, StoreError)
    assert not os.access(mnt / "f", os.R_OK)


@claim("ATTR-7")
@pytest.mark.parametrize("bucket", [MOTO, WEED], indirect=True)
def test_encoded_objects_are_raw(bucket: ServerBucket, mount: Mounter) -> None:
    import gzip

    raw = gzip.compress(b"text " * 1000)
    bucket.server.put(bucket.name, "f.gz", raw, ContentEncoding="gzip")
    mnt = mount()
    assert os.stat(mnt / "f.gz").st_size == len(raw)
    assert (mnt / "f.gz").read_bytes() == raw


@claim("ATTR-8")
@memory_only
def test_mount_points_look_like_mount_points(mount: Mounter, tmp_path: Path) -> None:
    mnt = mount()
    assert os.path.ismount(mnt.path)
    assert not os.path.ismount(tmp_path)
    assert "mnt" in os.listdir(tmp_path)
    assert {entry.name: entry.is_dir() for entry in os.scandir(tmp_path)} == {"mnt": True}


@claim("ATTR-9")
@memory_only
def test_statvfs(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f")
    mnt = mount()
    found = os.statvfs(mnt / "f")
    assert found.f_blocks >= found.f_bfree >= found.f_bavail > 0
    assert found.f_files >= found.f_ffree > 0
    assert found.f_bsize > 0
    assert found.f_frsize > 0
    assert found.f_namemax == 255
    assert not found.f_flag & os.ST_RDONLY
    with open(mnt / "f", "rb") as file:
        assert os.fstatvfs(file.fileno()) == found
    ro = mount("ro", read_only=True)
    assert os.statvfs(ro.path).f_flag & os.ST_RDONLY
    with refused(errno.ENOENT, mnt / "missing"):
        os.statvfs(mnt / "missing")


@claim("ATTR-10")
def test_listings_are_fresh_and_refresh(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"old")
    bucket.put("d/gone", b"")
    mnt = mount(metadata_ttl="indefinite", negative_ttl="indefinite")
    assert os.stat(mnt / "d/f").st_size == 3
    assert (mnt / "d/gone").exists()
    assert not (mnt / "d/new").exists()
    bucket.put("d/f", b"newer")
    bucket.put("d/new", b"")
    bucket.delete("d/gone")
    assert os.listdir(mnt / "d") == ["f", "new"]
    assert os.stat(mnt / "d/f").st_size == 5
    assert (mnt / "d/new").exists()
    assert not (mnt / "d/gone").exists()


def test_regression_a_listing_forgets_names_that_are_gone(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("gone")
    bucket.put("kept")
    mnt = mount(metadata_ttl="indefinite", lookup="cheap")
    assert (mnt / "gone").exists()
    bucket.delete("gone")
    assert os.listdir(mnt.path) == ["kept"]
    with refused(errno.ENOENT, mnt / "gone"):
        os.stat(mnt / "gone")


@claim("ATTR-11")
def test_what_others_make_is_visible_at_once(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl="indefinite")
    assert not (mnt / "d/f").exists()
    assert not (mnt / "d").exists()
    bucket.put("d/f", b"new")
    assert (mnt / "d/f").read_bytes() == b"new"
    assert (mnt / "d").is_dir()


@claim("ATTR-12")
@memory_only
def test_missing_names_may_be_remembered(clock: SteppedClock, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(negative_ttl=10)
    for name in ("waited", "listed", "made"):
        assert not (mnt / name).exists()
    bucket.put("waited")
    clock.step(9)
    assert not (mnt / "waited").exists()
    clock.step(2)
    assert (mnt / "waited").exists()
    assert not (mnt / "listed").exists()
    bucket.put("listed")
    assert not (mnt / "listed").exists()
    assert "listed" in os.listdir(mnt.path)
    assert (mnt / "listed").exists()
    assert not (mnt / "made").exists()
    (mnt / "made").write_bytes(b"x")
    assert os.stat(mnt / "made").st_size == 1


@claim("ATTR-13")
@memory_only
def test_indefinite_until_invalidated(clock: SteppedClock, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"old")
    mnt = mount(metadata_ttl="indefinite")
    assert os.stat(mnt / "d/f").st_size == 3
    bucket.put("d/f", b"newer")
    clock.step(1e9)
    assert os.stat(mnt / "d/f").st_size == 3
    mnt.session.invalidate(mnt / "d")
    assert os.stat(mnt / "d/f").st_size == 5


@claim("ATTR-14")
@memory_only
def test_size_while_writing(mount: Mounter) -> None:
    mnt = mount()
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    assert os.stat(mnt / "f").st_size == 0
    for size in (3, 6):
        os.write(fd, b"abc")
        assert os.fstat(fd).st_size == os.stat(mnt / "f").st_size == size
    os.close(fd)


@claim("ATTR-15")
@memory_only
def test_directories_have_times(clock: SteppedClock, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("remote/f", b"x")
    mnt = mount()
    mounted = os.stat(mnt.path).st_mtime
    clock.step(100)
    os.mkdir(mnt / "local")
    assert os.stat(mnt / "local").st_mtime == mounted + 100
    assert os.stat(mnt / "remote").st_mtime == mounted
    for name in ("", "local", "remote"):
        found = os.stat(mnt / name)
        assert stat.S_ISDIR(found.st_mode)
        assert found.st_size == 0


@claim("ATTR-16")
@memory_only
def test_access(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f")
    mnt, ro = mount(), mount("ro", read_only=True)
    assert os.access(mnt / "f", os.R_OK | os.W_OK)
    assert not os.access(mnt / "f", os.X_OK)
    assert os.access(mnt.path, os.R_OK | os.W_OK | os.X_OK)
    assert not os.access(mnt / "missing", os.F_OK)
    assert os.access(ro / "f", os.R_OK)
    assert not os.access(ro / "f", os.W_OK)
    assert not os.access(ro.path, os.W_OK)


@claim("ATTR-1")
@memory_only
def test_times_to_the_nanosecond(bucket: MemoryBucket, mount: Mounter) -> None:
    bucket.store.put_object("f", b"", mtime_ns=1_234_567_890_123_456_789)
    mnt = mount()
    assert os.stat(mnt / "f").st_mtime_ns == 1_234_567_890_123_456_789
