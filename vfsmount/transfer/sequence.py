"""Which files to fetch ahead for a program that opens one after another in the order of a listing. Pure, no I/O."""

from __future__ import annotations

from typing import Final

START: Final = 3
"""Opens in a row before anything is fetched ahead: two happen by chance, in any program that reads two files."""

FIRST_WIDTH: Final = 2
"""Files fetched ahead at first; doubles with each open that goes on."""

MOST_WIDTH: Final = 16
"""Files fetched ahead at most: 20 ms each in turn are 1.3 ms then, below what opening and reading cost in Python."""


class OpenSequence:
    """The opens among ``count`` files in order.

    >>> files = OpenSequence(100)
    >>> [list(files.opened(position)) for position in (0, 1, 2, 3, 4)]
    [[], [], [3, 4], [5, 6, 7], [8, 9, 10, 11, 12]]
    """

    __slots__ = ("_last", "_next", "_run", "count", "width")

    def __init__(self, count: int, width: int = 0) -> None:
        """``width``: of the sequence that this one follows, if that was read to its end."""
        self.count: Final = count
        self.width = width
        """Files ahead; 0 while there is no sequence."""
        self._run = START - 1 if width else 0
        self._last = -1
        self._next = 0

    def opened(self, position: int) -> range:
        """The file at ``position`` is opened; the positions to fetch ahead now, each once in a sequence."""
        if position == self._last:
            return range(0)  # opened again: nothing new is known
        if position != self._last + 1:
            self._run = self.width = 0
            self._next = 0
        self._last = position
        self._run += 1
        if self._run < START:
            return range(0)
        self.width = min(MOST_WIDTH, 2 * self.width or FIRST_WIDTH)
        start = max(self._next, position + 1)
        self._next = max(start, min(self.count, position + 1 + self.width))
        return range(start, self._next)

    @property
    def ended(self) -> bool:
        """The last file was opened, in sequence."""
        return self.width > 0 and self._last == self.count - 1
