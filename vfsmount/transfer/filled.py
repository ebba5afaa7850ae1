"""``bytes`` that are filled in place, so that what comes in pieces is copied once."""

from __future__ import annotations

import io


class Filled:
    """A ``bytes`` to be filled, which Python offers in no other way: BytesIO lends the one that it is given, if nobody
    else has it, and gives it back. Source: Modules/_io/bytesio.c.
    """

    __slots__ = ("_stream", "out", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._stream = io.BytesIO(bytes(size))
        self.out = self._stream.getbuffer()
        """Where to write."""

    def __enter__(self) -> Filled:
        return self

    def __exit__(self, *_: object) -> None:
        self.out.release()

    def value(self) -> bytes:
        """The bytes themselves; nothing can be written any more."""
        self.out.release()
        return self._stream.getvalue()
