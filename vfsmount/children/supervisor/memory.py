"""Reading and writing the memory of a process whose system call waits. Needs what ptrace needs: a child of ours."""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from vfsmount import real
from vfsmount.errors import os_error

PATH_MAX: Final = 4096
_PAGE: Final = 4096


def read(pid: int, address: int, size: int) -> bytes:
    """``size`` bytes. Raises: EFAULT where they are not all there."""
    try:
        number = real.fd_open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = real.pread(number, size, address)
        finally:
            real.fd_close(number)
    except (OverflowError, OSError) as error:
        raise _fault(error) from error
    if len(data) != size:
        raise os_error(errno.EFAULT)
    return data


def read_string(pid: int, address: int) -> bytes:
    """A path, without its NUL. Raises: EFAULT, ENAMETOOLONG."""
    try:
        number = real.fd_open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = b""
            while len(text) < PATH_MAX:
                data = real.pread(number, _PAGE - (address + len(text)) % _PAGE, address + len(text))
                if not data:
                    raise os_error(errno.EFAULT)
                end = data.find(b"\0")
                if end >= 0:
                    return text + data[:end]
                text += data
        finally:
            real.fd_close(number)
    except (OverflowError, OSError) as error:
        raise _fault(error) from error
    raise os_error(errno.ENAMETOOLONG)


def write(pid: int, address: int, data: bytes) -> None:
    """Raises: EFAULT."""
    try:
        number = real.fd_open(f"/proc/{pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = real.pwrite(number, data, address)
        finally:
            real.fd_close(number)
    except (OverflowError, OSError) as error:
        raise _fault(error) from error
    if written != len(data):
        raise os_error(errno.EFAULT)


def read_numbers(pid: int, address: int, count: int) -> tuple[int, ...]:
    """``count`` signed 64-bit numbers. Raises: EFAULT."""
    return struct.unpack(f"{count}q", read(pid, address, 8 * count))


class Unreadable(OSError):
    """The kernel lets nobody look into the process, or not us: Yama, or a program that has made itself so."""


def _fault(error: OSError | OverflowError) -> OSError:
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return Unreadable(error.errno, os.strerror(error.errno))
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return error
    return os_error(errno.EFAULT)
