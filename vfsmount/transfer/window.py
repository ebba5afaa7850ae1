"""How far and in what pieces to read ahead: arithmetic only, no I/O.

A cursor begins small, because most files are small and the first byte should come in one round trip. What is read
ahead then grows with what was consumed in sequence: a scan runs at full width after a few round trips, while a glance
at a header costs one small request. How wide "full" is follows what is measured (:class:`Pace`).

Requests end on a grid: at multiples of their own size. So the pieces of two cursors meet, and a buffered reader's
calls of 1 MiB do not straddle two of them, which would cost it a copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

FIRST_REQUEST: Final = 256 << 10
"""Bytes. At 90 MB/s it adds 3 ms to a round trip of 20; nine of ten small files end inside it."""

SECOND_REQUEST: Final = 1 << 20
"""Bytes: where the request after the first one ends; from then on their size doubles."""

PART: Final = 8 << 20
"""Bytes of a full-size request: long enough that its round trip does not show, short enough to run many of them."""

WIDTH: Final = 16
"""Parts read ahead at most. One connection gives some 90 MB/s; more than 16 bring nothing that Python could consume."""

LEAST_WIDTH: Final = 4
"""Parts that a scan may always be ahead, however slow its reader is: the next burst finds them here."""

RANDOM_REQUEST: Final = 64 << 10
"""Bytes fetched at most after a jump by a caller that would take more but can do with less (a buffer to be filled)."""

EARLY_GROWTH: Final = 4
"""Bytes read ahead for each byte consumed, while less than SECOND_REQUEST was; nothing before FIRST_REQUEST / 2."""

GROWTH: Final = 8
"""The same afterwards. With 4, the ramp would cost a 512 MiB scan a sixth of its time at 20 ms."""

WHOLE_PART: Final = 1 << 20
"""Bytes of the smallest part of a read of everything: below, the round trip outweighs the transfer."""


class Range(NamedTuple):
    """``[start, end)`` in bytes."""

    start: int
    end: int


@dataclass(slots=True)
class Pace:
    """How many bytes ahead keep the pipe full, by Little's law: twice the rate of consumption times the time that a
    part takes.

    The rate counts waiting, so it is the slower of network and reader; the time is the best one seen, so that queues
    which the requests themselves build do not count. Twice, so that a faster network is found out.
    """

    part: int = PART
    cap: int = PART * WIDTH
    seconds: float | None = None
    """Best time of a part."""
    _since: float | None = None
    _consumed: int = 0
    _before: float = 0.0
    """Bytes a second in the period before this one. Parts come in bursts, so the better of two periods counts."""

    def took(self, size: int, seconds: float) -> None:
        """A request of ``size`` bytes was answered."""
        if size >= self.part and (self.seconds is None or seconds < self.seconds):
            self.seconds = seconds

    def consumed(self, size: int, now: float) -> None:
        """A reader in sequence came to the end of ``size`` more bytes, at ``now`` seconds."""
        if self._since is None:
            self._since = now
            return
        self._consumed += size
        elapsed = now - self._since
        if self._consumed < max(self.cap, WIDTH // 2 * self.part) or self.seconds is None or elapsed <= 0:
            return
        rate = self._consumed / elapsed
        ideal = 2 * max(rate, self._before) * self.seconds
        self.cap = int(min(max(ideal, LEAST_WIDTH * self.part), WIDTH * self.part))
        self._since, self._consumed, self._before = now, 0, rate


@dataclass(slots=True)
class Window:
    """The read-ahead state of one cursor."""

    size: int
    """Bytes in the object."""
    origin: int = 0
    """Where reading in sequence began."""
    next: int = 0
    """Where the next request starts."""
    request: int = FIRST_REQUEST
    """Bytes of the next request."""
    pace: Pace = field(default_factory=Pace)

    def restart(self, offset: int, wanted: int, *, whole: bool = False) -> Range:
        """The reader jumped to ``offset`` and wants ``wanted`` bytes: what to fetch at once, and no more.

        ``whole``: the caller takes all of them, so that fewer would cost it another round trip.
        """
        part = self.pace.part
        whole = whole or wanted >= part
        length = min(max(wanted, 1), part if whole else RANDOM_REQUEST)
        end = min(offset + length, self.size)
        self.origin, self.next = offset, offset
        self.request = part if wanted > part else FIRST_REQUEST
        return Range(offset, end)

    def demand(self, wanted: int) -> None:
        """The reader goes on where nothing is requested yet, and wants ``wanted`` bytes: no smaller request will do."""
        self.request = max(self.request, min(wanted, self.pace.part))

    def ahead(self, position: int, wanted: int, *, whole: bool = False) -> int:
        """Bytes from ``position`` that should be requested when the reader stands there and wants ``wanted``."""
        cap = self.pace.cap
        consumed = position - self.origin
        sure = whole or consumed or wanted >= self.pace.part
        needed = min(wanted, WIDTH * self.pace.part) if sure else 0
        if consumed < FIRST_REQUEST // 2:
            return needed
        consumed += min(wanted, SECOND_REQUEST)
        growth = GROWTH if consumed > 2 * SECOND_REQUEST else EARLY_GROWTH
        return max(needed, min(consumed * growth, cap))

    def upcoming(self, limit: int, *, exact: bool = False) -> Range | None:
        """The next request towards ``limit``, of one part and a half at most; None where all up to it is requested.

        ``exact``: not beyond ``limit``, because nothing says that more will be wanted.
        """
        limit = min(limit, self.size)
        if self.next >= limit:
            return None
        if exact:
            return Range(self.next, min(limit, self.next + self.pace.part))
        request = self.request
        end = (self.next // request + 1) * request
        if end - self.next < request // 2:
            end += request
        if self.size - end < FIRST_REQUEST:
            end = self.size  # a few bytes more cost less than one request more
        return Range(self.next, end)

    def accept(self, end: int) -> None:
        """What was said is on its way up to ``end``, which may be less or (found elsewhere) more."""
        self.next = max(self.next, end)
        self.request = min(max(2 * self.request, SECOND_REQUEST), self.pace.part)

    def begin(self, end: int) -> None:
        """What :meth:`restart` said is on its way up to ``end``; it says nothing of what the reader will want next."""
        self.next = end


def split(start: int, end: int, part: int | None = None) -> list[Range]:
    """``[start, end)`` in requests for a read of everything: as many as run side by side, on a grid of 256 KiB."""
    if part is None:
        part = max(WHOLE_PART, min(PART, -(-(end - start) // WIDTH)))
        part = -(-part // FIRST_REQUEST) * FIRST_REQUEST
    ranges: list[Range] = []
    while start < end:
        stop = min((start // part + 1) * part, end)
        ranges.append(Range(start, stop))
        start = stop
    return ranges
