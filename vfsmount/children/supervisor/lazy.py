"""Reading a large file while it is fetched.

Its descriptor in the child has a number from a range that the filter knows, so that the calls that read by it, copy it
or hand it on come here, and what they are about to see is fetched before they see it.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.call import PROCEED, Call, signed

if TYPE_CHECKING:
    from vfsmount.children.supervisor.skeleton import Node

_WHENCE_DATA: Final = 3
_F_DUPFD: Final = 0
_F_DUPFD_CLOEXEC: Final = 1030
_MOST_PIECES: Final = 1024
"""UIO_MAXIOV."""
_OTHER_POSITIONS: Final = {"mmap": 4, "sendfile": 1, "ioctl": 2}


def lazy(call: Call, name: str | None) -> int:
    """Have what the call will see, and let the kernel do it."""
    if name in ("sendmsg", "sendmmsg"):
        call.family.fill_open(call.pid)
        return PROCEED
    for position in {0, _OTHER_POSITIONS.get(name or "", 0)}:
        number = signed(call.args[position])
        if number not in call.family.lazy:
            continue
        node = call.family.node_of(call.pid, number)
        if node is None or not node.is_open:
            continue
        if position == 0 and name in ("read", "pread64", "readv", "preadv", "preadv2", "lseek"):
            _reading(call, name, number, node)
        elif not _is_harmless(call, name):
            call.family.take_time()
            node.fill()
    return PROCEED


def _is_harmless(call: Call, name: str | None) -> bool:
    """Nothing of the content will be seen."""
    if name == "fcntl":
        return call.integer(1) not in (_F_DUPFD, _F_DUPFD_CLOEXEC)
    if name == "copy_file_range":  # fails but between files
        try:
            return not stat.S_ISREG(real.stat(f"/proc/{call.pid}/fd/{call.integer(2)}").st_mode)
        except OSError:
            return True
    return False


def _reading(call: Call, name: str, number: int, node: Node) -> None:
    if name == "lseek":
        if call.integer(2) >= _WHENCE_DATA:
            call.family.take_time()
            node.fill()
        return
    if name in ("read", "pread64"):
        size = call.args[2]
    else:
        count = min(call.args[2], _MOST_PIECES)
        pieces = memory.read(call.pid, call.args[1], 16 * count)
        size = sum(length for _, length in struct.iter_unpack("2Q", pieces))
    if name in ("read", "readv"):
        start = _position(call.pid, number)
    else:
        start = call.args[3]
        if name == "preadv2" and start == (1 << 64) - 1:
            start = _position(call.pid, number)
    if start < node.attr.size and size:
        call.family.take_time()
        node.ensure(start, start + size)


def _position(pid: int, number: int) -> int:
    """A descriptor's offset. Raises: OSError."""
    info = real.fd_open(f"/proc/{pid}/fdinfo/{number}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = real.fd_read(info, 64)
    finally:
        real.fd_close(info)
    return int(text.split(None, 2)[1])
