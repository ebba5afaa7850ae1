"""What Mountpoint's own tests of looking and reading assert, where no claim's test does so already."""

from __future__ import annotations

import errno
import logging
import os
import random

import pytest

from tests.semantics.buckets import Bucket, ServerBucket
from tests.semantics.mounting import MOTO, Mounter, memory_only, refused, tree
from vfsmount.errors import PermissionDenied

KIB, MIB = 1 << 10, 1 << 20

prefixes = pytest.mark.parametrize("prefix", ["", "some/prefix/"])


@prefixes
def test_two_versions_are_open_side_by_side(prefix: str, bucket: Bucket, mount: Mounter) -> None:
    old, new = b"\xaa" * (512 * KIB), b"\xbb" * (512 * KIB)
    bucket.put(f"{prefix}file.bin", old)
    mnt = mount(key_prefix=prefix or None)
    first = os.open(mnt / "file.bin", os.O_RDONLY)
    assert os.pread(first, 128, 0) == old[:128]
    bucket.put(f"{prefix}file.bin", new)
    second = os.open(mnt / "file.bin", os.O_RDONLY)
    for offset in (0, 256 * KIB):
        assert os.pread(second, 128, offset) == new[:128]
        try:
            outcome: object = os.pread(first, 128, offset)
        except OSError as error:
            outcome = error.errno
        assert outcome in (old[:128], errno.ESTALE)
        assert os.pread(second, 128, offset) == new[:128]
    os.close(first)
    os.close(second)


@prefixes
@pytest.mark.parametrize("subdirectory", ["", "subdir/"])
def test_names_that_begin_alike(prefix: str, subdirectory: str, bucket: Bucket, mount: Mounter) -> None:
    for name in ("dir", "dir-1"):
        bucket.put(f"{prefix}{name}/{subdirectory}hello.txt", b"hello world")
    mnt = mount(key_prefix=prefix or None)
    assert os.listdir(mnt.path) == ["dir", "dir-1"]
    assert (mnt / "dir").is_dir()
    assert (mnt / "dir-1").is_dir()


def test_odd_characters(bucket: Bucket, mount: Mounter) -> None:
    keys = {
        "odd$name of a dir/1st file~.jpg": b"1",
        "odd$name of a dir/2nd file: better.jpg": b"2",
        "odder_.-@dir +name/": b"",
    }
    for key, data in keys.items():
        bucket.put(key, data)
    mnt = mount()
    assert tree(mnt.path) == {
        "odd$name of a dir": None,
        "odd$name of a dir/1st file~.jpg": b"1",
        "odd$name of a dir/2nd file: better.jpg": b"2",
        "odder_.-@dir +name": None,
    }


@memory_only
def test_odd_characters_shadowed(bucket: Bucket, mount: Mounter) -> None:
    for key in ("odd$ name", "odd$ name/f~", "odder_.-@ +name", "odder_.-@ +name/"):
        bucket.put(key, key.encode())
    assert tree(mount().path) == {"odd$ name": None, "odd$ name/f~": b"odd$ name/f~", "odder_.-@ +name": None}


def test_unicode_keys(bucket: Bucket, mount: Mounter) -> None:
    for key in ("مرحبًا", "こんにちは/", "🇦🇺", "🐈/🦀"):
        bucket.put(key, key.encode())
    mnt = mount()
    assert os.listdir(mnt.path) == ["مرحبًا", "こんにちは", "🇦🇺", "🐈"]
    assert (mnt / "こんにちは").is_dir()
    assert (mnt / "🐈").is_dir()
    with open(mnt / "🐈/👻", "xb") as file:
        file.write(b"new")
    assert (mnt / "مرحبًا").read_text() == "مرحبًا"
    assert (mnt / "🐈/👻").read_bytes() == bucket.get("🐈/👻") == b"new"
    assert sorted(os.listdir(mnt / "🐈")) == ["👻", "🦀"]


@memory_only
def test_a_file_where_a_directory_was(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("foo/bar", b"bar")
    mnt = mount(metadata_ttl=0)
    assert (mnt / "foo").is_dir()
    bucket.delete("foo/bar")
    bucket.put("foo", b"foo")
    assert (mnt / "foo").is_file()


@pytest.mark.parametrize("size", [0, 1, MIB])
def test_reading_whole_files(size: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("hello.bin", b"\xff" * size)
    mnt = mount()
    assert (mnt / "hello.bin").read_bytes() == b"\xff" * size


@prefixes
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_reading_in_odd_steps(prefix: str, flags: int, bucket: Bucket, mount: Mounter) -> None:
    body = random.Random(1).randbytes(2 * MIB)
    bucket.put(f"{prefix}body.bin", body)
    bucket.put(f"{prefix}hello.txt", b"hello world")
    mnt = mount(key_prefix=prefix or None)
    assert os.listdir(mnt.path) == ["body.bin", "hello.txt"]
    one, two = os.open(mnt / "hello.txt", flags), os.open(mnt / "hello.txt", flags)
    assert os.read(one, 100) == os.read(two, 100) == b"hello world"
    os.lseek(one, 50, os.SEEK_SET)
    assert os.read(one, 4) == b""
    fd = os.open(mnt / "body.bin", flags)
    found = b""
    while block := os.read(fd, 70_000):
        found += block
    assert found == body
    for number in (one, two, fd):
        os.close(number)


@pytest.mark.slow
@memory_only
def test_reading_20_mib(bucket: Bucket, mount: Mounter) -> None:
    body = random.Random(2).randbytes(20 * MIB)
    bucket.put("body.bin", body)
    mnt = mount(read_only=True)
    with open(mnt / "body.bin", "rb") as file:
        found = b"".join(iter(lambda: file.read(70_000), b""))
    assert found == body


@pytest.mark.parametrize("bucket", [MOTO], indirect=True)
def test_restored_objects_can_be_read(bucket: ServerBucket, mount: Mounter) -> None:
    mnt = mount()
    for name in ("GLACIER", "DEEP_ARCHIVE"):
        bucket.put(name, b"hello world", storage_class=name)
        with refused(errno.EACCES, mnt / name):
            (mnt / name).read_bytes()
        bucket.server.client.restore_object(Bucket=bucket.name, Key=name, RestoreRequest={"Days": 1})
        assert (mnt / name).read_bytes() == b"hello world"


@memory_only
def test_no_reading_in_the_middle_of_writing(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("hello.txt", b"hello world")
    mnt = mount()
    fd = os.open(mnt / "hello.txt", os.O_WRONLY | os.O_TRUNC)
    with refused(errno.EBADF):
        os.read(fd, 1)
    os.fsync(fd)
    os.close(fd)
    fd = os.open(mnt / "hello.txt", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"new contents")
    os.lseek(fd, -1, os.SEEK_END)
    with refused(errno.EBADF):
        os.read(fd, 1)
    with refused(errno.EPERM, mnt / "hello.txt"):
        os.open(mnt / "hello.txt", os.O_RDONLY)
    os.close(fd)


def test_reading_on_a_duplicate_after_close(bucket: Bucket, mount: Mounter) -> None:
    body = random.Random(3).randbytes(2 * MIB)
    bucket.put("data.bin", body)
    mnt = mount()
    fd = os.open(mnt / "data.bin", os.O_RDONLY)
    assert os.read(fd, 128) == body[:128]
    other = os.dup(fd)
    os.close(fd)
    os.lseek(other, -128, os.SEEK_END)
    assert os.read(other, 128) == body[-128:]
    os.close(other)


def test_listing_random_names_while_writing(bucket: Bucket, mount: Mounter) -> None:
    names = [f"file_{random.Random(number).getrandbits(40):x}_{number}" for number in range(25)]
    for name in names[:20]:
        bucket.put(name, b"content")
    mnt = mount()
    assert os.listdir(mnt.path) == sorted(names[:20])
    writing = [os.open(mnt / name, os.O_WRONLY | os.O_CREAT) for name in names[20:]]
    assert os.listdir(mnt.path) == sorted(names)
    for fd in writing:
        os.close(fd)
    assert os.listdir(mnt.path) == sorted(names)


@memory_only
@pytest.mark.parametrize(
    ("options", "directory", "file"),
    [
        ({}, 0o755, 0o644),
        ({"dir_mode": 0o700, "file_mode": 0o600}, 0o700, 0o600),
        ({"dir_mode": 0o777, "file_mode": 0o777}, 0o777, 0o777),
        ({"uid": 500, "gid": 20}, 0o755, 0o644),
        ({"uid": 500, "gid": 20, "dir_mode": 0o555, "file_mode": 0o444}, 0o555, 0o444),
    ],
)
def test_modes_and_owners(options: dict[str, int], directory: int, file: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("file1.txt", b"hello world")
    bucket.put("dir/file2.txt", b"hello world")
    mnt = mount(**options)
    assert tree(mnt.path) == {"dir": None, "dir/file2.txt": b"hello world", "file1.txt": b"hello world"}
    for name, mode in (("", directory), ("dir", directory), ("file1.txt", file), ("dir/file2.txt", file)):
        found = os.stat(mnt / name)
        assert found.st_mode & 0o7777 == mode
        assert found.st_uid == options.get("uid", os.geteuid())
        assert found.st_gid == options.get("gid", os.getegid())


@memory_only
@pytest.mark.parametrize("ttl", [0, 3600])
def test_objects_that_may_not_be_read(ttl: int, bucket: Bucket, mount: Mounter) -> None:
    """Listing and HEAD are allowed, GET is not. Mountpoint's EIO is EACCES here."""
    for name in ("dir/f", "g"):
        bucket.put(name, b"content")
    mnt = mount(metadata_ttl=ttl)
    mnt.faults.fail("get_range", PermissionDenied("no", operation="get", code="AccessDenied"), times=None)
    assert os.listdir(mnt.path) == ["dir", "g"]
    assert os.listdir(mnt / "dir") == ["f"]
    for name in ("dir/f", "g"):
        with refused(errno.EACCES, mnt / name):
            open(mnt / name, "rb")
        assert os.stat(mnt / name).st_size == 7
    mnt.faults.heal()
    assert (mnt / "g").read_bytes() == b"content"


@memory_only
def test_what_is_missing_is_not_logged(mount: Mounter, caplog: pytest.LogCaptureFixture) -> None:
    mnt = mount()
    with caplog.at_level(logging.INFO):
        for look in (os.stat, os.listdir, os.unlink, lambda path: open(path, "rb")):
            with refused(errno.ENOENT, mnt / "key"):
                look(mnt / "key")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("vfsmount")] == []


@memory_only
def test_what_is_counted(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    for name in ("a", "b", "c"):
        with open(mnt / name, "wb") as file:
            file.write(b"a" * 1024)
    stats = mnt.session.stats()
    assert (stats["put"].requests, stats["put"].bytes_sent) == (3, 3 * 1024)
    with open(mnt / "a", "rb") as file:
        assert file.read() == b"a" * 1024
    stats = mnt.session.stats()
    assert (stats["get"].requests, stats["get"].bytes_received) == (1, 1024)
    assert stats.total.errors == 0
    with refused(errno.ENOENT):
        open(mnt / "missing", "rb")
    assert mnt.session.stats().total.errors > 0
