"""What a supervised process can see of its supervisor without asking: two numbers in shared memory."""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

from vfsmount import real

_LAYOUT: Final = struct.Struct("=QQ")


class Page:
    """How many changes the supervisor has told of, and how many files are being written through it."""

    def __init__(self, path: str, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        number = real.fd_open(path, flags, 0o600)
        try:
            if create:
                real.ftruncate(number, mmap.PAGESIZE)
            self._memory = mmap.mmap(number, mmap.PAGESIZE)
        finally:
            real.fd_close(number)

    def read(self) -> tuple[int, int]:
        """Changes, writers. A number that is being written may be seen half: then it only differs from the last."""
        changes, writers = _LAYOUT.unpack_from(self._memory)
        return changes, writers

    def write(self, changes: int, writers: int) -> None:
        _LAYOUT.pack_into(self._memory, 0, changes, writers)
