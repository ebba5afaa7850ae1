"""Descriptors of a ``writes="staged"`` mount lead native code to the content itself."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable

import numpy
import pytest

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
