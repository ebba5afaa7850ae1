"""How far and in what pieces to read ahead: arithmetic only, no I/O.

A cursor begins small, because most files are small and the first byte should come in one round trip. Each further
request is four times as large, up to a part, and so is the distance read ahead, up to the cap: a scan runs at full
width after four round trips, while a glance at a header costs one small request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

FIRST_REQUEST: Final = 256 << 10
"""Bytes. At 90 MB/s it adds 3 ms to a round trip of 20; nine of ten small files end inside it."""

PART: Final = 8 << 20
"""Bytes of a full-size request: long enough that its round trip does not show, short enough to run eight of them."""

WIDTH: Final = 8
"""Parts read ahead at most."""

RANDOM_REQUEST: Final = 64 << 10
"""Bytes fetched at most after a jump by a caller that would take more but can do with less (a buffer to be filled)."""

GROWTH: Final = 4
"""By doubling, the eight round trips of the ramp would cost a 512 MiB scan a fifth of its time at 20 ms."""


class Range(NamedTuple):
    """``[start, end)`` in bytes."""

    start: int
    end: int


@dataclass(slots=True)
class Window:
    """The read-ahead state of one cursor."""

    size: int
    """Bytes in the object."""
    next: int = 0
    """Where the next request starts."""
    request: int = FIRST_REQUEST
    """Bytes of the next request."""
    ahead: int = FIRST_REQUEST
    """Bytes to keep requested beyond the reader's position."""
    part: int = PART
    cap: int = PART * WIDTH

    def restart(self, offset: int, wanted: int, *, whole: bool = False) -> Range:
        """The reader jumped to ``offset`` and wants ``wanted`` bytes: what to fetch at once, and no more.

        ``whole``: the caller takes all of them, so that fewer would cost it another round trip.
        """
        whole = whole or wanted >= self.part
        length = min(max(wanted, 1), self.part if whole else RANDOM_REQUEST)
        self.request = self.part if wanted > self.part else FIRST_REQUEST
        self.ahead = min(wanted, self.cap) if wanted > length and whole else 0
        end = min(offset + length, self.size)
        self.next = end
        return Range(offset, end)

    def advance(self, position: int) -> None:
        """The reader consumed in sequence up to ``position``: look farther ahead than before."""
        self.ahead = min(max(self.ahead, FIRST_REQUEST) * GROWTH, self.cap)

    def wanted(self, position: int) -> list[Range]:
        """Requests to start so that ``ahead`` bytes beyond ``position`` are on their way."""
        ranges: list[Range] = []
        limit = min(position + self.ahead, self.size)
        while self.next < limit:
            end = min(self.next + self.request, self.size)
            ranges.append(Range(self.next, end))
            self.next = end
            self.request = min(self.request * GROWTH, self.part)
        return ranges


def split(start: int, end: int, part: int = PART) -> list[Range]:
    """``[start, end)`` in requests of at most ``part`` bytes, for a read of everything."""
    return [Range(at, min(at + part, end)) for at in range(start, end, part)]
