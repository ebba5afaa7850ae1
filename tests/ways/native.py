"""C code that is given a descriptor."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from tests.ways.way import Place, way

LIBC: Any = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.lseek.restype = ctypes.c_long
LIBC.lseek.argtypes = (ctypes.c_int, ctypes.c_long, ctypes.c_int)
LIBC.fdopen.restype = ctypes.c_void_p
LIBC.fdopen.argtypes = (ctypes.c_int, ctypes.c_char_p)
LIBC.fputs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
LIBC.fclose.argtypes = (ctypes.c_void_p,)

GROUP = "C code with a descriptor"


def read(number: int, size: int) -> bytes | int:
    """read(2): the bytes, or the errno."""
    buffer = ctypes.create_string_buffer(size)
    count = LIBC.read(number, buffer, size)
    return buffer.raw[:count] if count >= 0 else ctypes.get_errno()


@way(GROUP, "read of fileno(), at the position where Python is")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb", buffering=0) as file:
        file.seek(100)
        return read(file.fileno(), 4), file.tell(), file.read(2), read(file.fileno(), 1)


@way(GROUP, "lseek of fileno()")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb", buffering=0) as file:
        return LIBC.lseek(file.fileno(), -2, os.SEEK_END), file.read(), LIBC.lseek(file.fileno(), 7, 0), file.read(2)


@way(GROUP, "mmap of fileno()")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as file:
        where = LIBC.mmap(None, 1000, 1, 2, file.fileno(), 0)
    data = ctypes.string_at(where, 1000)
    LIBC.munmap(where, 1000)
    return data


@way(GROUP, "read of a duplicate")
def _(at: Place) -> object:
    number = os.open(at("text.txt"), os.O_RDONLY)
    other = os.dup(number)
    try:
        return read(other, 6), read(number, 4)
    finally:
        os.close(number)
        os.close(other)


@way(GROUP, "write to fileno(), between Python's writes")
def _(at: Place) -> object:
    with open(at("new.bin"), "wb", buffering=0) as file:
        file.write(b"python ")
        LIBC.write(file.fileno(), b"native ", 7)
        file.write(b"python again")
        return file.tell(), os.fstat(file.fileno()).st_size


@way(GROUP, "write to a number of os.open")
def _(at: Place) -> object:
    number = os.open(at("new.bin"), os.O_WRONLY | os.O_CREAT, 0o644)
    LIBC.write(number, b"native", 6)
    where = LIBC.lseek(number, 0, os.SEEK_CUR)
    os.close(number)
    return where


@way(GROUP, "a C stream on a duplicate, closed there")
def _(at: Place) -> object:
    with open(at("new.bin"), "wb") as file:
        file.write(b"python ")
        file.flush()
        stream = LIBC.fdopen(LIBC.dup(file.fileno()), b"w")
        LIBC.fputs(b"by stdio ", stream)
        LIBC.fclose(stream)
        return file.tell(), file.write(b"end")


@way(GROUP, "read, write and seek anywhere", mode="staged")
def _(at: Place) -> object:
    with open(at("data.bin"), "r+b", buffering=0) as file:
        LIBC.lseek(file.fileno(), 10, 0)
        LIBC.write(file.fileno(), b"native", 6)
        file.seek(8)
        return file.read(10), read(file.fileno(), 4)


@way(GROUP, "ftruncate", mode="staged")
def _(at: Place) -> object:
    with open(at("data.bin"), "r+b") as file:
        return LIBC.ftruncate(file.fileno(), ctypes.c_long(50)), file.seek(0, os.SEEK_END)


@way("/proc and /dev", "/proc/self/fd/N of a reader")
def _(at: Place) -> object:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        os.read(number, 3)
        with open(f"/proc/self/fd/{number}") as file, open(f"/dev/fd/{number}", "rb") as other:
            return file.read(), other.read()
    finally:
        os.close(number)


@way("/proc and /dev", "/dev/fd/N of a file object, by os.open")
def _(at: Place) -> object:
    with open(at("text.txt")) as file:
        number = os.open(f"/dev/fd/{file.fileno()}", os.O_RDONLY)
        try:
            return os.read(number, 100)
        finally:
            os.close(number)
