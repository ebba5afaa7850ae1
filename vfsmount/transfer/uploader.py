"""Writing one object: one PUT when it is small, parts in parallel behind the writer when it is not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Final, Protocol

from vfsmount.clock import FOREVER
from vfsmount.errors import StoreError, TooLarge
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import CreateMultipart, Multipart, Put, PutAttributes, StoreTraits
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit

log = logging.getLogger(__name__)

WIDTH: Final = 8
"""Parts of one file on their way at most."""

FIRST_BLOCK: Final = 64 << 10
"""Bytes of memory taken when something is written."""

BLOCK_GROWTH: Final = 8
"""Times as much is taken when that is full, up to a part: of a first part of 8 MiB 1/7 is copied twice."""

GROW_EVERY: Final = 900
"""Parts of one size before the size doubles, so that 10,000 parts of 5 MiB at first, S3's least, reach its 5 TiB."""


class UploadStore(Put, CreateMultipart, Protocol):
    """The verbs an upload needs."""

    @property
    def traits(self) -> StoreTraits: ...


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold in the bucket when the object is published."""

    if_match: str | None = None
    if_none_match: bool = False


def part_size_at(number: int, base: int, traits: StoreTraits) -> int:
    """Bytes of part ``number`` (from 1)."""
    if traits.equal_parts:
        return base
    return min(base << ((number - 1) // GROW_EVERY), traits.max_part_size)


class _Block:
    """Where a part is collected.

    No BytesIO (see :mod:`.filled`): the frames of a failed request may keep it in a cycle while the client still has
    its memory. Collecting that is reported by Python 3.13, and crashes 3.12.1.
    """

    __slots__ = ("out", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.out = memoryview(bytearray(size))


class Uploader:
    """Collects bytes in order and publishes them on :meth:`commit`; used by one thread at a time.

    ``size`` counts every byte taken over at every moment, so that a caller whose ``write`` was interrupted (Ctrl-C) and
    who repeats it is found out.

    A failure in the background is raised by the next call, and again by every later one. After a failure or an
    :meth:`abort` neither an object nor parts are left in the store.
    """

    def __init__(
        self,
        store: UploadStore,
        key: str,
        *,
        attributes: PutAttributes,
        part_size: int,
        submit: Submit,
        budget: Budget,
        condition: Condition | None = None,
    ) -> None:
        self.key = key
        self.size = 0
        self._store = store
        self._attributes = attributes
        self._base = part_size
        self._submit = submit
        self._budget = budget
        self._condition = condition or Condition()
        self._block: _Block | None = None
        self._filled = 0
        """Bytes in the block."""
        self._number = 1
        self._sent = 0
        """Bytes in parts that are on their way or there."""
        self._upload: Multipart | None = None
        self._in_flight: dict[Future[None], int] = {}
        self._failure: StoreError | None = None
        self._done = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``; blocks while too many parts are on their way. Raises StoreError."""
        self._check()
        view = memoryview(data).cast("B")
        if self.size + len(view) > self._store.traits.max_object_size:
            raise TooLarge(f"over {self._store.traits.max_object_size} bytes", operation="write", key=self.key)
        written = 0
        while written < len(view):
            part = part_size_at(self._number, self._base, self._store.traits)
            if self._filled == part:
                self._send_part()
                continue
            block = self._block_for(min(self._filled + len(view) - written, part), part)
            count = min(block.size - self._filled, len(view) - written)
            block.out[self._filled : self._filled + count] = view[written : written + count]
            self._filled += count
            self.size += count
            written += count
        return written

    def _block_for(self, wanted: int, part: int) -> _Block:
        """A block with room for ``wanted`` bytes if that is not more than ``part``. The first one grows, because most
        files are small; where there was a part before, there will be another.
        """
        block = self._block
        if block is not None and block.size >= wanted:
            return block
        size = part
        if self._number == 1:
            size = FIRST_BLOCK
            while size < wanted:
                size *= BLOCK_GROWTH
            size = min(size, part)
        while not self._budget.try_reserve(size):
            if not self._in_flight:
                self._budget.reserve(size)
                break
            self._collect(all_of_them=False, at_least_one=True)
        larger = _Block(size)
        if block is not None:
            larger.out[: self._filled] = block.out[: self._filled]
            self._budget.release(block.size)
        self._block = larger
        return larger

    def _content(self) -> memoryview:
        """All of a small file; it stays here, and charged, until the request is through."""
        return memoryview(b"") if self._block is None else self._block.out[: self._filled]

    def _take_block(self) -> bytes | memoryview:
        """What was collected; its bytes stay charged."""
        block, filled, self._block, self._filled = self._block, self._filled, None, 0
        if block is None:
            return b""
        return block.out[:filled]

    def _drop_block(self) -> None:
        block, self._block, self._filled = self._block, None, 0
        if block is not None:
            self._budget.release(block.size)

    def commit(self) -> ObjectMeta:
        """Publish the object. Raises StoreError, and then has published nothing and dropped the parts."""
        self._check()
        try:
            self._check_whole()
            if self._upload is None:
                meta = self._put()
            else:
                if self._filled:
                    self._send_part()
                self._collect(all_of_them=True)
                meta = self._upload.complete(
                    if_match=self._condition.if_match, if_none_match=self._condition.if_none_match
                )
        except StoreError as error:
            self._fail(error)
            raise
        except BaseException:
            self.abort()
            raise
        self._done = True
        self._upload = None
        self._drop_block()
        return meta

    def abort(self) -> None:
        """Drop everything; never raises. May be called again."""
        self._done = True
        self._drop_block()
        for future in list(self._in_flight):
            if future.cancel():
                self._settle(future)
        if self._in_flight:
            wait(self._in_flight, FOREVER)
            for future in list(self._in_flight):
                self._settle(future)
        if self._upload is not None:
            try:
                self._upload.abort()
            except StoreError as error:
                log.warning("an unfinished upload of %s could not be dropped: %s", self.key, error)
            self._upload = None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._done:
            raise StoreError("the upload is finished", operation="write", key=self.key)
        if self._in_flight:
            self._collect(all_of_them=False)

    def _check_whole(self) -> None:
        """Ctrl-C may have come between any two steps of a write: nothing is published that lacks some of its bytes."""
        if self._sent + self._filled != self.size:
            raise StoreError("a write was interrupted, and a part is lost", operation="write", key=self.key)

    def _put(self) -> ObjectMeta:
        return self._store.put(
            self.key,
            self._content(),
            attributes=self._attributes,
            if_match=self._condition.if_match,
            if_none_match=self._condition.if_none_match,
        )

    def _send_part(self) -> None:
        if self._number > self._store.traits.max_parts:
            error = TooLarge(f"over {self._store.traits.max_parts} parts", operation="write", key=self.key)
            self._fail(error)
            raise error
        if self._upload is None:
            try:
                self._upload = self._store.create_multipart(self.key, attributes=self._attributes)
            except StoreError as error:
                self._fail(error)
                raise
        while len(self._in_flight) >= WIDTH or not self._reserve(self._filled):
            self._collect(all_of_them=False, at_least_one=True)  # may be interrupted: the block stays until after it
        size, number = self._filled, self._number
        charged = size + (self._block.size if self._block is not None else 0)
        data = self._take_block()
        self._number = number + 1
        try:
            future = self._submit(_part(self._upload, number, data))
        except BaseException:
            self._budget.release(charged)
            raise
        self._in_flight[future] = charged
        self._sent += size

    def _reserve(self, size: int) -> bool:
        """``size`` bytes for the client, which copies what it sends on its way to the socket.

        One part always may go, however little is left of the budget, so that writers never wait for each other.
        """
        if self._budget.try_reserve(size):
            return True
        if not self._in_flight:
            self._budget.reserve(size)
            return True
        return False

    def _collect(self, *, all_of_them: bool, at_least_one: bool = False) -> None:
        if all_of_them:
            wait(self._in_flight, FOREVER)
        elif at_least_one and self._in_flight:
            wait(self._in_flight, FOREVER, FIRST_COMPLETED)
        for future in [future for future in self._in_flight if future.done()]:
            self._settle(future)
            error = future.exception()
            if isinstance(error, StoreError):
                self._fail(error)
                raise error
            if error is not None:
                self.abort()
                raise error

    def _settle(self, future: Future[None]) -> None:
        self._budget.release(self._in_flight.pop(future))

    def _fail(self, error: StoreError) -> None:
        self._failure = error
        self.abort()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            for size in self._in_flight.values():
                self._budget.orphan(size)
            if self._block is not None:
                self._budget.orphan(self._block.size)


def _part(upload: Multipart, number: int, data: bytes | memoryview) -> Callable[[], None]:
    def send() -> None:
        upload.put_part(number, data)

    return send
