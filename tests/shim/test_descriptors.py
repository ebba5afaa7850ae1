"""Descriptor numbers: real ones, that native code may read, write, dup and close unseen."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import io
import logging
import mmap
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted
from vfsmount import real
from vfsmount.shim import kernelfiles

LIBC = ctypes.CDLL(None, use_errno=True)
BIG = bytes(range(256)) * 4096


def stored(bucket: Mounted, key: str) -> bytes:
    """What the bucket holds, behind the mount's back."""
    return bytes(bucket.store.get_range(key, 0, 1 << 30).data)


def native_read(number: int, size: int) -> bytes | int:
    """read(2) as C code does it: the bytes, or the errno."""
    buffer = ctypes.create_string_buffer(size)
    count = LIBC.read(number, buffer, size)
    return buffer.raw[:count] if count >= 0 else ctypes.get_errno()


def native_write(number: int, data: bytes) -> int:
    return int(LIBC.write(number, data, len(data)))


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": b"hello world", "big.bin": BIG})


def test_a_number_is_a_real_one_and_not_inheritable(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert real.fstat(number).st_ino
    assert os.get_inheritable(number) is False
    os.close(number)
    with pytest.raises(OSError) as caught:
        real.fstat(number)
    assert caught.value.errno == errno.EBADF


def test_a_native_read_of_a_placeholder_fails_loudly(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert native_read(number, 5) == errno.EISDIR
    assert native_write(number, b"x") == -1
    assert ctypes.get_errno() == errno.EBADF
    assert os.read(number, 5) == b"hello"
    os.close(number)


@pytest.mark.parametrize("missing", ["/none", "/proc"])
def test_a_placeholder_without_shared_memory(bucket: Mounted, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(kernelfiles, "_SHARED_MEMORY", missing)
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert native_read(number, 5) == errno.EISDIR
    assert os.read(number, 5) == b"hello"
    os.close(number)


def test_a_placeholder_where_no_directory_can_be_made(bucket: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelfiles, "_SHARED_MEMORY", "/none")
    monkeypatch.setattr(kernelfiles, "scratch_directory", lambda: "/none")
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert native_read(number, 5) == errno.EBADF
    assert os.read(number, 5) == b"hello"
    os.close(number)


def test_dup_lets_the_content_escape_on_every_number_with_one_position(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert os.read(number, 2) == b"he"
    other = os.dup(number)
    assert native_read(other, 3) == b"llo"
    assert native_read(number, 1) == b" "
    assert os.read(other, 100) == b"world"
    os.close(number)
    assert os.pread(other, 5, 6) == b"world"
    os.close(other)


def test_fileno_of_a_file_object_is_good_for_native_code(bucket: Mounted) -> None:
    with open(bucket.path("big.bin"), "rb", buffering=0) as file:
        assert file.read(3) == BIG[:3]
        assert native_read(file.fileno(), 4) == BIG[3:7]
        assert file.tell() == 7
        assert file.read() == BIG[7:]


def test_fileno_is_stable_and_closed_with_the_file(bucket: Mounted) -> None:
    file = open(bucket.path("a.txt"), "rb")
    number = file.fileno()
    assert file.fileno() == number
    file.close()
    with pytest.raises(OSError):
        real.fstat(number)


def test_a_number_that_native_code_closed_is_not_ours_any_more(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    LIBC.close(number)
    with pytest.raises(OSError) as caught:
        os.read(number, 1)
    assert caught.value.errno == errno.EBADF
    assert bucket.context.fds.get(number) is None


def test_a_number_that_the_kernel_gave_to_another_file_is_left_to_it(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    LIBC.close(number)
    reader, writer = os.pipe()
    assert number in (reader, writer)
    assert bucket.context.fds.get(number) is None
    os.write(writer, b"foreign")
    assert os.read(reader, 7) == b"foreign"
    os.close(reader)
    os.close(writer)


def test_native_writes_end_in_the_upload_in_order(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    assert os.write(number, b"one ") == 4
    assert native_write(number, b"two ") == 4
    assert os.lseek(number, 0, os.SEEK_CUR) == 8
    assert os.write(number, b"three ") == 6
    assert native_write(number, b"four") == 4
    os.close(number)
    assert stored(bucket, "out.bin") == b"one two three four"


def test_native_writes_through_a_file_object(bucket: Mounted) -> None:
    with open(bucket.path("out.bin"), "wb") as file:
        file.write(b"header ")
        file.flush()
        native_write(file.fileno(), b"native ")
        file.write(b"tail")
    assert stored(bucket, "out.bin") == b"header native tail"


def test_many_native_writes_of_more_than_a_block_are_drained_once(bucket: Mounted) -> None:
    expected = b""
    with open(bucket.path("out.bin"), "wb", buffering=0) as file:
        number = file.fileno()
        for index in range(40):
            piece = bytes([index]) * 10_007
            if index % 3:
                native_write(number, piece)
            else:
                file.write(piece)
            expected += piece
    assert stored(bucket, "out.bin") == expected


def test_a_native_write_behind_the_end_is_refused_and_never_dropped(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    os.write(number, b"0123456789")
    LIBC.lseek(number, 2, os.SEEK_SET)
    native_write(number, b"XX")
    with pytest.raises(OSError) as caught:
        os.close(number)
    assert caught.value.errno == errno.EINVAL
    assert "out.bin" not in bucket.keys()


def test_a_native_write_of_zeros_behind_the_end_is_refused_too(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    native_write(number, b"0123456789")
    os.fstat(number)
    LIBC.pwrite(number, b"\0\0", 2, ctypes.c_long(4))
    with pytest.raises(OSError) as caught:
        os.write(number, b"more")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError):
        os.close(number)
    assert "out.bin" not in bucket.keys()


def test_native_code_may_patch_what_was_not_drained_yet(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    native_write(number, b"????data")
    LIBC.lseek(number, 0, os.SEEK_SET)
    native_write(number, b"HEAD")
    os.close(number)
    assert stored(bucket, "out.bin") == b"HEADdata"


def test_a_number_dupped_by_native_code_and_closed_there_keeps_nothing_open(bucket: Mounted) -> None:
    with open(bucket.path("out.bin"), "wb") as file:
        other = LIBC.dup(file.fileno())
        native_write(other, b"by way of a dup")
        LIBC.close(other)
    assert stored(bucket, "out.bin") == b"by way of a dup"


def test_a_duplicate_that_native_code_keeps_beyond_the_close_is_told(
    bucket: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    with open(bucket.path("out.bin"), "wb") as file:
        other = LIBC.dup(file.fileno())
        native_write(other, b"before")
    try:
        assert stored(bucket, "out.bin") == b"before"
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "is lost" in record.getMessage()
        assert bucket.path("out.bin") in record.getMessage()
    finally:
        LIBC.close(other)


def test_nothing_is_told_of_a_child_of_fork_that_has_the_number_too(
    bucket: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    with open(bucket.path("out.bin"), "wb") as file:
        file.fileno()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent has closed the file
            os._exit(0)
        file.write(b"x")
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    assert caplog.records == []
    assert stored(bucket, "out.bin") == b"x"


def test_a_native_cut_to_nothing_begins_again(bucket: Mounted) -> None:
    with open(bucket.path("out.bin"), "wb", buffering=0) as file:
        file.write(b"dropped")
        LIBC.ftruncate(file.fileno(), ctypes.c_long(0))
        LIBC.lseek(file.fileno(), ctypes.c_long(0), 0)
        file.write(b"kept")
    assert stored(bucket, "out.bin") == b"kept"


def test_a_native_cut_to_something_is_refused(bucket: Mounted) -> None:
    file = open(bucket.path("out.bin"), "wb", buffering=0)
    file.write(b"0123456789")
    LIBC.ftruncate(file.fileno(), ctypes.c_long(4))
    with pytest.raises(OSError) as caught:
        file.close()
    assert caught.value.errno == errno.EPERM
    assert "out.bin" not in bucket.keys()


def test_opening_a_number_again_by_its_name(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    for name in (f"/dev/fd/{number}", f"/proc/self/fd/{number}", f"/proc/{os.getpid()}/fd/{number}"):
        with open(name, "rb") as file:
            assert file.read() == b"hello world"
    directory = os.open(bucket.point, os.O_RDONLY)
    with open(f"/dev/fd/{directory}/a.txt") as text:
        assert text.read() == "hello world"
    with io.FileIO(f"/proc/self/fd/{number}") as raw:
        assert raw.read(5) == b"hello"
    os.close(number)
    os.close(directory)
    writer = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    with pytest.raises(PermissionError):
        open(f"/dev/fd/{writer}", "wb")
    os.write(writer, b"whole")
    os.close(writer)
    assert stored(bucket, "out.bin") == b"whole"


def test_the_last_of_several_numbers_commits(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    other = os.dup(number)
    os.write(number, b"a")
    os.close(number)
    assert "out.bin" not in bucket.keys()
    os.write(other, b"b")
    os.close(other)
    assert stored(bucket, "out.bin") == b"ab"


def test_a_writer_closed_natively_is_committed_when_noticed(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    native_write(number, b"data")
    LIBC.close(number)
    bucket.context.fds.reap()
    assert stored(bucket, "out.bin") == b"data"


def test_dup2_onto_our_number_commits_what_it_led_to(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    os.write(number, b"data")
    reader, writer = os.pipe()
    os.dup2(reader, number)
    assert stored(bucket, "out.bin") == b"data"
    os.write(writer, b"pipe")
    assert os.read(number, 4) == b"pipe"
    for each in (number, reader, writer):
        os.close(each)


def test_dup2_of_our_number_onto_a_foreign_one(bucket: Mounted) -> None:
    reader, writer = os.pipe()
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    assert os.dup2(number, reader) == reader
    assert native_read(reader, 5) == b"hello"
    assert os.read(number, 6) == b" world"
    for each in (number, reader, writer):
        os.close(each)


def test_a_large_content_goes_to_the_disk(bucket: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelfiles, "MEMORY_LIMIT", 1000)
    with open(bucket.path("big.bin"), "rb") as file:
        number = file.fileno()
        assert "memfd" not in os.readlink(f"/proc/self/fd/{number}")
        assert native_read(number, 10) == BIG[:10]


def test_native_code_cannot_write_through_a_reader(bucket: Mounted) -> None:
    with open(bucket.path("a.txt"), "rb") as file:
        assert native_write(file.fileno(), b"x") == -1
        assert ctypes.get_errno() == errno.EBADF


def test_mmap_of_a_file_object_and_of_a_bare_number(bucket: Mounted) -> None:
    with open(bucket.path("big.bin"), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:] == BIG
    number = os.open(bucket.path("big.bin"), os.O_RDONLY)
    with mmap.mmap(number, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
        os.close(number)
        assert mapped[1000:1010] == BIG[1000:1010]
        assert isinstance(mapped, mmap.mmap)
        assert type(mapped).__name__ == "mmap"


def test_mmap_of_local_files_and_subclasses_is_as_ever(bucket: Mounted, tmp_path: os.PathLike[str]) -> None:
    class Mapping(mmap.mmap):
        pass

    with Mapping(-1, 10) as mapped:
        mapped[:2] = b"ab"
        assert isinstance(mapped, mmap.mmap)
        assert type(mapped) is Mapping
    with pytest.raises(OverflowError):
        mmap.mmap(-1, -5)


def test_a_child_of_fork_commits_nothing(bucket: Mounted) -> None:
    number = os.open(bucket.path("out.bin"), os.O_WRONLY | os.O_CREAT)
    file = open(bucket.path("file.bin"), "wb")
    os.write(number, b"parent")
    file.write(b"parent")
    file.flush()
    child = os.fork()
    if child == 0:
        try:
            os.close(number)
            file.close()
            bucket.context.fds.close_all()
        finally:
            os._exit(len(bucket.keys()) - 2)
    assert os.waitpid(child, 0)[1] == 0
    assert "out.bin" not in bucket.keys()
    os.close(number)
    file.close()
    assert stored(bucket, "out.bin") == stored(bucket, "file.bin") == b"parent"


def test_a_child_of_fork_reads_on(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    child = os.fork()
    if child == 0:
        os._exit(0 if os.read(number, 5) == b"hello" else 1)
    assert os.waitpid(child, 0)[1] == 0
    os.close(number)


def test_close_all_commits_and_says_so(bucket: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    number = os.open(bucket.path("one.bin"), os.O_WRONLY | os.O_CREAT)
    native_write(number, b"native")
    file = open(bucket.path("two.txt"), "w")
    file.write("buffered")
    with caplog.at_level(logging.WARNING):
        bucket.context.fds.close_all()
    assert stored(bucket, "one.bin") == b"native"
    assert stored(bucket, "two.txt") == b"buffered"
    assert sorted(record.args[0] for record in caplog.records if record.args) == [  # type: ignore[index]
        bucket.path("one.bin"),
        bucket.path("two.txt"),
    ]
    assert file.closed


def test_nothing_is_left_open(bucket: Mounted) -> None:
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    for name in ("a.txt", "new.txt"):
        with open(bucket.path(name), "rb" if name == "a.txt" else "wb") as file:
            file.fileno()
        number = os.open(bucket.path("a.txt"), os.O_RDONLY)
        other = os.dup(number)
        os.close(number)
        os.close(other)
    gc.collect()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not bucket.context.fds


def test_threads_that_ask_for_the_number_at_once_get_the_same(bucket: Mounted) -> None:
    """As a pool does that reads with ``os.pread(file.fileno(), ...)``: the others' numbers used to stay open."""
    for _ in range(10):
        with open(bucket.path("a.txt"), "rb") as file:
            together = threading.Barrier(4)

            def ask(file: io.BufferedReader = file, together: threading.Barrier = together) -> int:
                together.wait(60)
                return file.fileno()

            with ThreadPoolExecutor(4) as pool:
                numbers = {future.result(60) for future in [pool.submit(ask) for _ in range(4)]}
        assert len(numbers) == 1
        assert not bucket.context.fds


def test_content_is_not_put_over_a_number_that_is_a_strangers(bucket: Mounted, tmp_path: Path) -> None:
    """Native code closed ours, and the kernel gave the number to a local file."""
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    file = os.fdopen(number, "rb")
    LIBC.close(number)
    other = os.open(tmp_path / "local", os.O_WRONLY | os.O_CREAT)
    assert other == number
    with contextlib.suppress(OSError):
        file.fileno()
    assert os.write(other, b"mine") == 4
    os.close(other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.close()
    assert (tmp_path / "local").read_bytes() == b"mine"


def test_a_failure_to_commit_what_dup2_closes_is_logged(bucket: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    number = os.open(bucket.path("out"), os.O_WRONLY | os.O_CREAT)
    os.write(number, b"one")
    os.lseek(number, 0, os.SEEK_SET)
    with pytest.raises(OSError, match="Invalid argument"):
        os.write(number, b"two")
    other = os.open(os.devnull, os.O_RDONLY)
    os.dup2(other, number)
    os.close(other)
    os.close(number)
    assert f"{bucket.path('out')} could not be committed" in caplog.text
    assert "out" not in bucket.keys()


def test_a_number_stays_its_owners_when_the_mount_goes(bucket: Mounted) -> None:
    """The kernel would give it to the next file, which the owner's ``os.close`` would then close."""
    numbers = [os.open(bucket.path(name), flags) for name, flags in (("a.txt", 0), ("out", os.O_WRONLY | os.O_CREAT))]
    os.write(numbers[1], b"content")
    bucket.context.fds.close_all()
    assert stored(bucket, "out") == b"content"
    other = os.open(os.devnull, os.O_RDONLY)
    assert other not in numbers
    for number in numbers:
        assert native_read(number, 1) == native_write(number, b"x") * -errno.EBADF == errno.EBADF
        os.close(number)
    os.close(other)
