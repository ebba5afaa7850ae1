"""The functions of ``os``, ``fcntl`` and ``shutil`` by descriptor."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted

DATA = bytes(range(256)) * 2000


def stored(bucket: Mounted, key: str) -> bytes:
    """What the bucket holds, behind the mount's back."""
    return bytes(bucket.store.get_range(key, 0, 1 << 30).data)


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": b"hello world", "data.bin": DATA, "dir/x": b"x"})


@pytest.fixture
def reader(bucket: Mounted) -> int:
    return os.open(bucket.path("a.txt"), os.O_RDONLY)


@pytest.fixture
def writer(bucket: Mounted) -> int:
    return os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)


def refusal(function: Callable[..., object], *arguments: object) -> int | None:
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.errno


def test_reading(reader: int) -> None:
    assert os.read(reader, 5) == b"hello"
    assert os.pread(reader, 5, 6) == b"world"
    one, two = bytearray(3), bytearray(10)
    assert os.readv(reader, [one, two]) == 6
    assert (bytes(one), bytes(two[:3])) == (b" wo", b"rld")
    assert os.preadv(reader, [one, two], 0) == 11
    assert (bytes(one), bytes(two[:8])) == (b"hel", b"lo world")
    assert os.read(reader, 5) == b""
    assert os.lseek(reader, -5, os.SEEK_END) == 6
    assert os.read(reader, 100) == b"world"
    os.close(reader)


def test_reading_is_refused_as_the_kernel_does(reader: int, writer: int) -> None:
    assert refusal(os.write, reader, b"x") == errno.EBADF
    assert refusal(os.read, writer, 1) == errno.EBADF
    assert refusal(os.read, reader, -1) == errno.EINVAL
    assert refusal(os.lseek, reader, -1, os.SEEK_SET) == errno.EINVAL
    with pytest.raises(TypeError):
        os.write(writer, "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        os.read(reader, "5")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        os.readv(reader, [b"constant"])
    os.close(reader)
    os.close(writer)


def test_writing(bucket: Mounted, writer: int) -> None:
    assert os.write(writer, memoryview(b"abc")) == 3
    assert os.writev(writer, [b"d", bytearray(b"ef")]) == 3
    assert os.pwrite(writer, b"ghi", 6) == 3
    assert os.fstat(writer).st_size == 9
    assert refusal(os.pwrite, writer, b"z", 2) == errno.EINVAL
    with pytest.raises(OSError):
        os.close(writer)
    assert "out.bin" not in bucket.keys()


def test_fsync_publishes(bucket: Mounted, writer: int) -> None:
    os.write(writer, b"abc")
    os.fsync(writer)
    assert stored(bucket, "out.bin") == b"abc"
    assert refusal(os.write, writer, b"d") == errno.EIO
    os.close(writer)


def test_fsync_takes_a_file_object(bucket: Mounted) -> None:
    with open(bucket.path("f"), "wb", buffering=0) as file:
        file.write(b"abc")
        os.fsync(file)
        assert stored(bucket, "f") == b"abc"


def test_facts(bucket: Mounted, reader: int, writer: int) -> None:
    found = os.fstat(reader)
    assert (found.st_size, found.st_ino) == (11, os.stat(bucket.path("a.txt")).st_ino)
    assert os.stat(reader) == found
    assert os.fstatvfs(reader).f_namemax == 255
    assert os.isatty(reader) is False
    assert refusal(os.ttyname, reader) == errno.ENOTTY
    assert os.get_blocking(reader) is True
    os.set_blocking(reader, True)
    assert os.device_encoding(reader) is None
    assert os.fpathconf(reader, "PC_NAME_MAX") == 255
    assert fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    assert fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    os.close(reader)
    os.close(writer)


def test_what_a_bucket_has_not_is_refused_with_the_right_errno(reader: int, writer: int) -> None:
    assert refusal(os.fchmod, reader, 0o600) == errno.EPERM
    assert refusal(os.fchown, reader, 0, 0) == errno.EPERM
    assert refusal(os.ftruncate, reader, 0) == errno.EINVAL
    assert refusal(os.lockf, writer, os.F_LOCK, 0) == errno.ENOTSUP
    assert refusal(fcntl.flock, reader, fcntl.LOCK_SH) == errno.ENOTSUP
    assert refusal(fcntl.lockf, writer, fcntl.LOCK_EX) == errno.ENOTSUP
    assert refusal(fcntl.fcntl, writer, fcntl.F_SETLK, b"\0" * 32) == errno.ENOTSUP
    assert refusal(fcntl.ioctl, reader, 0x5401) == errno.ENOTTY
    assert refusal(os.posix_fallocate, writer, 0, 10) == errno.ENOTSUP
    os.posix_fadvise(reader, 0, 0, os.POSIX_FADV_WILLNEED)
    os.close(reader)
    os.close(writer)


def test_dup_by_fcntl(reader: int) -> None:
    other = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 100)
    assert other >= 100
    assert os.get_inheritable(other) is False
    assert os.read(other, 5) == b"hello"
    assert os.read(reader, 6) == b" world"
    os.close(reader)
    os.close(other)


def test_closerange_closes_ours_and_others(bucket: Mounted) -> None:
    number = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
    mine = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    high = os.dup2(mine, 201)
    os.write(high, b"x")
    os.close(mine)
    os.closerange(200, 210)
    assert refusal(os.fstat, number) == errno.EBADF
    assert stored(bucket, "out.bin") == b"x"


def test_a_directory_has_a_number_too(bucket: Mounted) -> None:
    number = os.open(bucket.path("dir"), os.O_RDONLY | os.O_DIRECTORY)
    assert bucket.context.fds.directory(number) == bucket.path("dir")
    assert refusal(os.read, number, 1) == errno.EISDIR
    inner = os.open("x", os.O_RDONLY, dir_fd=number)
    assert os.read(inner, 9) == b"x"
    os.close(inner)
    os.close(number)


def test_open_fails_like_the_original(bucket: Mounted) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        os.open(bucket.path("none"), os.O_RDONLY)
    assert caught.value.filename == bucket.path("none")
    with pytest.raises(FileNotFoundError) as caught:
        os.open(os.fsencode(bucket.path("none")), os.O_RDONLY)
    assert caught.value.filename == os.fsencode(bucket.path("none"))
    assert refusal(os.open, bucket.path("a.txt"), os.O_WRONLY | os.O_CREAT | os.O_EXCL) == errno.EEXIST
    with pytest.raises(TypeError):
        os.open(bucket.path("a.txt"))  # type: ignore[call-arg]


# Copies between descriptors -------------------------------------------------------------------------------------------


def test_sendfile_in_all_directions(bucket: Mounted, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(DATA)
    pairs = [(bucket.path("data.bin"), str(tmp_path / "out")), (str(local), bucket.path("out1"))]
    pairs.append((bucket.path("data.bin"), bucket.path("out2")))
    for source, target in pairs:
        with open(source, "rb") as fin, open(target, "wb") as fout:
            offset = 0
            while sent := os.sendfile(fout.fileno(), fin.fileno(), offset, 1 << 20):
                offset += sent
        assert Path(target).read_bytes() == DATA


def test_sendfile_moves_the_position_where_no_offset_is_given(bucket: Mounted, tmp_path: Path) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    with open(tmp_path / "out", "wb") as out:
        assert os.sendfile(out.fileno(), number, None, 5) == 5
    assert os.read(number, 100) == b" world"
    os.close(number)


def test_copy_file_range(bucket: Mounted, tmp_path: Path) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    out = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    assert os.copy_file_range(number, out, 5) == 5
    assert os.copy_file_range(number, out, 5, offset_src=6, offset_dst=5) == 5
    assert (tmp_path / "out").read_bytes() == b"helloworld"
    os.close(number)
    os.close(out)


def test_socket_sendfile(bucket: Mounted) -> None:
    left, right = socket.socketpair()
    with left, right, open(bucket.path("a.txt"), "rb") as file:
        assert left.sendfile(file) == 11
        assert right.recv(100) == b"hello world"


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy, shutil.copy2], ids=["copyfile", "copy", "copy2"])
def test_shutil_copies(mount: Callable[..., Mounted], tmp_path: Path, copy: Callable[[str, str], str]) -> None:
    bucket = mount("/vfs-bucket", seed={"data.bin": DATA}, metadata_ops="ignore")
    local = str(tmp_path / "local")
    copy(bucket.path("data.bin"), local)
    assert Path(local).read_bytes() == DATA
    copy(local, bucket.path("back.bin"))
    assert stored(bucket, "back.bin") == DATA
    copy(bucket.path("back.bin"), bucket.path("again.bin"))
    assert stored(bucket, "again.bin") == DATA
    copy(local, str(tmp_path / "two"))
    assert (tmp_path / "two").read_bytes() == DATA


def test_shutil_copyfile_fetches_nothing_to_the_disk(bucket: Mounted, tmp_path: Path) -> None:
    with open(bucket.path("data.bin"), "rb") as source, open(tmp_path / "out", "wb") as target:
        shutil.copyfileobj(source, target)
        shutil._fastcopy_sendfile(source, target)  # type: ignore[attr-defined]
        assert bucket.context.fds.get(source.raw.number()).escaped is False  # type: ignore[attr-defined,union-attr]


def test_local_descriptors_are_untouched(bucket: Mounted, tmp_path: Path) -> None:
    number = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    assert bucket.context.fds.get(number) is None
    os.write(number, b"local")
    os.lseek(number, 0, os.SEEK_SET)
    assert os.read(number, 10) == b"local"
    other = os.dup(number)
    os.ftruncate(other, 2)
    assert os.fstat(number).st_size == 2
    os.close(number)
    os.close(other)
    assert refusal(os.close, number) == errno.EBADF
    with pytest.raises(TypeError):
        os.close("x")  # type: ignore[arg-type]


def test_metadata_by_descriptor_as_by_path(mount: Callable[..., Mounted]) -> None:
    for option in ("ignore", "error"):
        mounted = mount(f"/vfs-{option}", metadata_ops=option)
        number = os.open(mounted.path("a.txt"), os.O_RDONLY)
        for call in (
            lambda at: os.utime(at, (1, 2)),
            lambda at: os.chmod(at, 0o600),
            lambda at: os.chown(at, 1, 1),
            lambda at: os.fchmod(at, 0o600) if isinstance(at, int) else os.chmod(at, 0o600),
            lambda at: os.fchown(at, 1, 1) if isinstance(at, int) else os.chown(at, 1, 1),
        ):
            for at in (mounted.path("a.txt"), number):
                with contextlib.nullcontext() if option == "ignore" else pytest.raises(PermissionError):
                    call(at)
        os.close(number)
        assert os.stat(mounted.path("a.txt")).st_mode & 0o777 == 0o644


def test_the_lowest_free_number_is_given(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    # os.close(1), then os.open: what daemons do to redirect what is printed.
    mounted = mount("/vfs-bucket", writes="staged")
    (tmp_path / "new").touch()
    for path, flags in (
        (tmp_path / "new", os.O_WRONLY),
        (mounted.path("new"), os.O_WRONLY | os.O_CREAT),
        (mounted.path("a.txt"), os.O_RDONLY),
        (mounted.path("a.txt"), os.O_RDWR),
        (mounted.path("dir"), os.O_RDONLY),
    ):
        lowest = os.dup(1)
        os.close(lowest)
        number = os.open(path, flags)
        assert number == lowest
        os.close(number)
