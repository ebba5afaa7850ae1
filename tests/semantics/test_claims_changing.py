"""CHANGE: removing, and everything that a bucket does not have."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused

claim = pytest.mark.claim


@claim("CHANGE-1")
def test_unlink(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f")
    bucket.put("d/other")
    mnt, careful = mount(), mount("careful", allow_delete=False)
    with refused(errno.EPERM, careful / "d/f"):
        os.unlink(careful / "d/f")
    with refused(errno.ENOENT, mnt / "d/missing"):
        os.unlink(mnt / "d/missing")
    with refused(errno.EISDIR, mnt / "d"):
        os.unlink(mnt / "d")
    os.unlink(mnt / "d/f")
    with refused(errno.ENOENT, mnt / "d/f"):
        os.remove(mnt / "d/f")
    assert os.listdir(mnt / "d") == bucket_names(bucket) == ["other"]
    fd = os.open(mnt / "d/new", os.O_WRONLY | os.O_CREAT)
    for _ in range(2):
        with refused(errno.EPERM, mnt / "d/new"):
            os.unlink(mnt / "d/new")
        os.write(fd, b"x")
    os.close(fd)
    os.unlink(mnt / "d/new")
    assert bucket_names(bucket) == ["other"]


def bucket_names(bucket: Bucket) -> list[str]:
    return [key.rpartition("/")[2] for key in bucket.keys()]


@claim("CHANGE-2")
def test_no_rename(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount()
    for call in (os.rename, os.replace):
        with refused(errno.ENOSYS, mnt / "d/f", mnt / "d/g"):
            call(mnt / "d/f", mnt / "d/g")
    with refused(errno.ENOSYS, mnt / "d", mnt / "e"):
        os.rename(mnt / "d", mnt / "e")
    with refused(errno.ENOENT, mnt / "missing", mnt / "g"):
        os.rename(mnt / "missing", mnt / "g")
    assert bucket.keys() == ["d/f"]


@claim("CHANGE-3")
@memory_only
def test_between_mounts(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("f", b"content")
    one = mount("one", allow_rename=True)
    two = mount("two", allow_rename=True, key_prefix="two/", metadata_ops="ignore")
    local = tmp_path / "local"
    for source, target in ((one / "f", two / "f"), (one / "f", local)):
        with refused(errno.EXDEV, source, target):
            os.rename(source, target)
    local.write_bytes(b"local")
    with refused(errno.EXDEV, local, one / "g"):
        os.replace(local, one / "g")
    with refused(errno.EXDEV, one / "f", two / "g"):
        os.link(one / "f", two / "g")
    shutil.move(one / "f", two / "f")
    shutil.move(local, two / "g")
    assert (bucket.get("two/f"), bucket.get("two/g")) == (b"content", b"local")
    assert not local.exists()
    assert bucket.get("f") is None


@claim("CHANGE-4")
@memory_only
def test_truncate(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    for length in (0, 3, 7):
        with refused(errno.EPERM, mnt / "f"):
            os.truncate(mnt / "f", length)
    fd = os.open(mnt / "new", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"dropped")
    os.ftruncate(fd, 7)
    with refused(errno.EPERM):
        os.ftruncate(fd, 3)
    os.ftruncate(fd, 0)
    assert os.fstat(fd).st_size == 0
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"kept")
    os.truncate(mnt / "new", 4)
    os.close(fd)
    assert (bucket.get("f"), bucket.get("new")) == (b"content", b"kept")


@claim("CHANGE-5")
@memory_only
def test_utime(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount()
    with open(mnt / "new", "wb") as file:
        os.utime(mnt / "new", ns=(5_000_000_000, 7_000_000_000))
        assert os.stat(mnt / "new").st_mtime_ns == 7_000_000_000
        os.utime(file.fileno(), (1, 2))
        assert os.fstat(file.fileno()).st_mtime == 2
    for path in (mnt / "new", mnt / "d/f", mnt / "d"):
        with refused(errno.EPERM, path):
            os.utime(path, (1, 2))
    with open(mnt / "d/f", "rb") as file, refused(errno.EPERM):
        os.utime(file.fileno(), (1, 2))
    with refused(errno.ENOENT, mnt / "missing"):
        os.utime(mnt / "missing")


@claim("CHANGE-6")
@memory_only
def test_modes_and_owners(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt, lenient = mount(), mount("lenient", metadata_ops="ignore")
    for name in ("d", "d/f"):
        before = os.stat(lenient / name)
        for change in _metadata_changes():
            with refused(errno.EPERM, mnt / name):
                change(mnt / name)
            change(lenient / name)
        assert os.stat(lenient / name) == before
        for change in _metadata_changes():
            with refused(errno.ENOENT, lenient / "missing"):
                change(lenient / "missing")
    with open(mnt / "d/f", "rb") as file:
        with refused(errno.EPERM):
            os.fchmod(file.fileno(), 0o600)
        with refused(errno.EPERM):
            os.fchown(file.fileno(), 1, 1)
    shutil.copy2(lenient / "d/f", lenient / "copy")
    assert bucket.get("copy") == b"content"
    with refused(errno.EPERM):
        shutil.copy(mnt / "d/f", mnt / "copy")


def _metadata_changes() -> list[Callable[[Path], None]]:
    return [
        lambda path: os.chmod(path, 0o600),
        lambda path: os.chown(path, 1, 1),
        lambda path: os.utime(path, (1, 2)),
    ]


@claim("CHANGE-7")
@memory_only
def test_links_and_special_files(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    makers: list[Callable[[Path], object]] = [
        lambda path: os.symlink("f", path),
        lambda path: os.link(mnt / "f", path),
        lambda path: os.mkfifo(path),
        lambda path: os.mknod(path),
    ]
    for make in makers:
        with refused(errno.EEXIST):
            make(mnt / "f")
        with refused(errno.EPERM):
            make(mnt / "new")
    with refused(errno.EINVAL, mnt / "f"):
        os.readlink(mnt / "f")
    with refused(errno.ENOENT, mnt / "new"):
        os.readlink(mnt / "new")
    assert bucket.keys() == ["f"]


@claim("CHANGE-8")
@memory_only
@pytest.mark.skipif(not hasattr(os, "getxattr"), reason="the os module has no extended attributes here")
def test_extended_attributes(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    calls: list[Callable[[Path], object]] = [
        lambda path: os.getxattr(path, "user.x"),
        lambda path: os.setxattr(path, "user.x", b"1"),
        lambda path: os.listxattr(path),
        lambda path: os.removexattr(path, "user.x"),
    ]
    for call in calls:
        with refused(errno.ENOTSUP, mnt / "f"):
            call(mnt / "f")
        with refused(errno.ENOENT, mnt / "missing"):
            call(mnt / "missing")


@claim("CHANGE-9")
def test_read_only(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    bucket.put("d/")
    mnt = mount(read_only=True, allow_rename=True, metadata_ops="ignore", keep_dirs=True, writes="staged")
    file, directory, new = mnt / "d/f", mnt / "d", mnt / "new"
    changes: dict[str, Callable[[], object]] = {
        "create": lambda: open(new, "wb"),
        "exclusive": lambda: open(new, "xb"),
        "overwrite": lambda: open(file, "wb"),
        "append": lambda: open(file, "ab"),
        "update": lambda: open(file, "r+b"),
        "touch": lambda: new.touch(),
        "mkdir": lambda: os.mkdir(new),
        "rmdir": lambda: os.rmdir(directory),
        "unlink": lambda: os.unlink(file),
        "rename": lambda: os.rename(file, new),
        "truncate": lambda: os.truncate(file, 0),
        "chmod": lambda: os.chmod(file, 0o600),
        "chown": lambda: os.chown(file, 1, 1),
        "utime": lambda: os.utime(file),
        "symlink": lambda: os.symlink("f", new),
        "mkfifo": lambda: os.mkfifo(new),
    }
    failures = {}
    for name, change in changes.items():
        with pytest.raises(OSError) as caught:
            change()
        failures[name] = caught.value.errno
    assert failures == dict.fromkeys(changes, errno.EROFS)
    with refused(errno.ENOENT):
        os.unlink(new)
    with refused(errno.EEXIST):
        os.mkdir(directory)
    assert file.read_bytes() == b"content"
    assert sorted(bucket.keys()) == ["d/", "d/f"]


@claim("CHANGE-10")
@memory_only
def test_locks(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_TRUNC):
        fd = os.open(mnt / "f", flags)
        with refused(errno.ENOTSUP):
            fcntl.flock(fd, fcntl.LOCK_EX)
        with refused(errno.ENOTSUP):
            fcntl.lockf(fd, fcntl.LOCK_EX)
        with refused(errno.ENOTSUP):
            os.lockf(fd, os.F_LOCK, 0)
        os.close(fd)


@claim("CHANGE-11")
@memory_only
@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the os module has no posix_fallocate here")
def test_reserving_space(mount: Mounter) -> None:
    mnt = mount()
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    with refused(errno.ENOTSUP):
        os.posix_fallocate(fd, 0, 1000)
    os.close(fd)


@claim("CHANGE-12")
@memory_only
def test_binding_a_socket(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"")
    mnt = mount()
    with socket.socket(socket.AF_UNIX) as sock:
        with refused(errno.EPERM):
            sock.bind(str(mnt / "s"))
        with refused(errno.EADDRINUSE):
            sock.bind(str(mnt / "f"))
        with refused(errno.ENOENT):
            sock.connect(str(mnt / "s"))
        with refused(errno.ECONNREFUSED):
            sock.connect(str(mnt / "f"))
