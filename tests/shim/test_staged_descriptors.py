"""Descriptors of a ``writes="staged"`` mount lead native code to the content itself."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable

import numpy
import pytest

from tests.forks import in_child
from tests.shim.conftest import Mounted

LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": b"hello world"}, writes="staged")


def stored(bucket: Mounted, key: str) -> bytes:
    """What the bucket holds, behind the mount's back."""
    return bytes(bucket.store.get_range(key, 0, 1 << 30).data)


def native_read(number: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    count = LIBC.read(number, buffer, size)
    return buffer.raw[:count]


def test_native_code_reads_and_writes_anywhere(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    assert os.read(number, 1) == b"h"
    assert native_read(number, 4) == b"ello"
    assert LIBC.write(number, b"-", 1) == 1
    assert os.read(number, 5) == b"world"
    LIBC.lseek(number, 0, os.SEEK_SET)
    LIBC.write(number, b"J", 1)
    assert os.lseek(number, 0, os.SEEK_CUR) == 1
    os.close(number)
    assert stored(bucket, "a.txt") == b"Jello-world"


def test_a_native_write_after_fsync_is_uploaded_too(bucket: Mounted) -> None:
    number = os.open(bucket.path("new"), os.O_RDWR | os.O_CREAT)
    os.write(number, b"one")
    os.fsync(number)
    assert stored(bucket, "new") == b"one"
    LIBC.write(number, b" two", 4)
    os.close(number)
    assert stored(bucket, "new") == b"one two"


def test_nothing_is_uploaded_where_nothing_changed(bucket: Mounted) -> None:
    before = bucket.store.head("a.txt")
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    assert os.read(number, 5) == b"hello"
    assert native_read(number, 6) == b" world"
    os.close(number)
    assert bucket.store.head("a.txt") == before


def test_a_reader_escapes_to_the_content(bucket: Mounted) -> None:
    with (
        open(bucket.path("a.txt"), "r+b", buffering=0) as writer,
        open(bucket.path("a.txt"), "rb", buffering=0) as file,
    ):
        writer.write(b"H")
        assert native_read(file.fileno(), 5) == b"Hello"
        assert file.read() == b" world"
        assert LIBC.write(file.fileno(), b"x", 1) == -1
        assert ctypes.get_errno() == errno.EBADF


def test_append(bucket: Mounted) -> None:
    with open(bucket.path("a.txt"), "ab") as file:
        assert file.tell() == 11
        file.write(b"!")
        file.flush()
        LIBC.write(file.fileno(), b"?", 1)
    assert stored(bucket, "a.txt") == b"hello world!?"


def test_stores_in_a_mapping_are_uploaded_when_it_is_gone(bucket: Mounted) -> None:
    with open(bucket.path("a.txt"), "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[0:1] = b"J"
    del mapped
    assert stored(bucket, "a.txt") == b"Jello world"


def test_numpy_memmap_for_writing(bucket: Mounted) -> None:
    array = numpy.memmap(bucket.path("m.bin"), "i4", "w+", shape=(1000,))
    array[:] = numpy.arange(1000)
    del array
    assert stored(bucket, "m.bin") == numpy.arange(1000, dtype="i4").tobytes()


def test_opening_a_file_again_hides_no_native_write(bucket: Mounted) -> None:
    first = os.open(bucket.path("a.txt"), os.O_RDWR)
    LIBC.write(first, b"J", 1)
    second = os.open(bucket.path("a.txt"), os.O_RDWR)
    os.close(second)
    os.close(first)
    assert stored(bucket, "a.txt") == b"Jello world"


def test_a_native_write_by_a_number_that_native_code_made_is_uploaded_by_whoever_closes_last(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    copy = LIBC.dup(number)
    last = open(bucket.path("a.txt"), "r+b")
    os.close(number)
    LIBC.write(copy, b"J", 1)
    LIBC.close(copy)
    last.close()
    assert stored(bucket, "a.txt") == b"Jello world"


def test_a_number_that_native_code_keeps_beyond_the_last_close_is_told(
    bucket: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    copy = LIBC.dup(number)
    os.close(number)
    LIBC.close(copy)
    assert "a.txt is closed and committed, and native code" in caplog.text
    caplog.clear()
    with open(bucket.path("a.txt"), "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    mapping[0] = ord("M")
    del mapping
    assert stored(bucket, "a.txt") == b"Mello world"
    assert not caplog.text


def test_what_native_code_stores_in_its_mapping_after_an_fsync_is_uploaded_too(bucket: Mounted) -> None:
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    address = LIBC.mmap(None, 11, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, number, 0)
    ctypes.memmove(address, b"J", 1)
    os.fsync(number)
    assert stored(bucket, "a.txt") == b"Jello world"
    ctypes.memmove(address, b"C", 1)
    LIBC.munmap(address, 11)
    os.close(number)
    assert stored(bucket, "a.txt") == b"Cello world"


def test_a_forked_child_reads_on_where_native_code_left_the_position(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)

    def child() -> None:
        LIBC.lseek(number, 6, os.SEEK_SET)
        assert os.read(number, 2) == b"wo"
        assert native_read(number, 2) == b"rl"

    in_child(child)
    assert os.read(number, 9) == b"d"  # the position is one, as on a disk
    os.close(number)


def test_appending_is_switched_on_and_off(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    fcntl.fcntl(number, fcntl.F_SETFL, flags | os.O_APPEND)
    assert fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND
    assert os.write(number, b"") == 0
    assert os.lseek(number, 0, os.SEEK_CUR) == 0
    os.write(number, b"!")
    os.lseek(number, 0, os.SEEK_SET)
    assert LIBC.write(number, b"?", 1) == 1
    assert os.read(number, 1) == b""
    LIBC.fcntl(number, fcntl.F_SETFL, flags)  # as fdopen(3) does
    assert not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND
    os.lseek(number, 0, os.SEEK_SET)
    os.write(number, b"J")
    os.close(number)
    assert stored(bucket, "a.txt") == b"Jello world!?"


def test_copies_that_the_kernel_refuses(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDWR)
    appending = os.open(bucket.path("b.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    with pytest.raises(OSError) as overlapping:
        os.copy_file_range(number, number, 5, 0, 3)
    with pytest.raises(OSError) as at_the_end:
        os.copy_file_range(number, appending, 5)
    with pytest.raises(OSError) as from_a_pipe:
        os.splice(reading, appending, 5)
    assert [caught.value.errno for caught in (overlapping, at_the_end, from_a_pipe)] == [
        errno.EINVAL,
        errno.EBADF,
        errno.EINVAL,
    ]
    assert os.copy_file_range(number, number, 5, 0, 6) == 5
    for each in (number, appending, reading, writing):
        os.close(each)
    assert stored(bucket, "a.txt") == b"hello hello"
