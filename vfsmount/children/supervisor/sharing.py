"""One open file description read by several threads or processes, whose reads all move its one position.

A read is let go when what it will see is here, and the kernel does it some time later. In between another one may move
the position on. So what is outstanding is remembered, and each read that is let go has as much more before it as all
others that are outstanding may take away. Therefore what is between the position and the sum of all outstanding reads
behind it is always here, in whatever order the kernel does them.
"""

from __future__ import annotations

import os
from typing import Final

from vfsmount import real

_MOST: Final = 0x7FFFF000
"""MAX_RW_COUNT: no read moves further."""


class Readers:
    """The last read of each thread that reads one file; a thread has one call outstanding at most."""

    def __init__(self) -> None:
        self._sizes: dict[int, int | None] = {}

    def others(self, thread: int) -> int | None:
        """Bytes that reads of other threads may still take; None: one of them may yet move the position anywhere."""
        if not self._sizes or self._sizes.keys() == {thread}:
            return 0
        for other in [each for each in self._sizes if each != thread]:
            if not _is_alive(other):
                del self._sizes[other]
        sizes = [size for other, size in self._sizes.items() if other != thread]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def reads(self, thread: int, size: int) -> None:
        """``thread`` may now read so much; what it did before has been done."""
        self._sizes[thread] = min(size, _MOST)

    def seeks(self, thread: int) -> None:
        """``thread`` may now move the position."""
        self._sizes[thread] = None

    def has_moved(self, thread: int) -> None:
        """``thread`` has nothing outstanding."""
        self._sizes.pop(thread, None)


def _is_alive(thread: int) -> bool:
    """Whether its number is anybody's, which a path in /proc does not tell where that is mounted with ``hidepid``."""
    try:
        os.kill(thread, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def position(pid: int, number: int) -> int:
    """A descriptor's offset. Raises: OSError."""
    info = real.fd_open(f"/proc/{pid}/fdinfo/{number}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = real.fd_read(info, 64)
    finally:
        real.fd_close(info)
    return int(text.split(None, 2)[1])
