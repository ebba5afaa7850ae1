"""Writing one object: one PUT when it is small, parts in parallel behind the writer when it is not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Final, Protocol

from vfsmount.errors import StoreError, TooLarge
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import CreateMultipart, Multipart, Put, PutAttributes, StoreTraits
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit

log = logging.getLogger(__name__)

WIDTH: Final = 8
"""Parts of one file on their way at most."""

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
        self._buffer = bytearray()
        self._number = 1
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
            room = part_size_at(self._number, self._base, self._store.traits) - len(self._buffer)
            if room == 0:
                self._send_part()
                continue
            piece = view[written : written + room]
            self.size += len(piece)
            self._buffer += piece
            written += len(piece)
        return written

    def commit(self) -> ObjectMeta:
        """Publish the object. Raises StoreError, and then has published nothing and dropped the parts."""
        self._check()
        try:
            if self._upload is None:
                meta = self._put()
            else:
                if self._buffer:
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
        self._buffer = bytearray()
        return meta

    def abort(self) -> None:
        """Drop everything; never raises. May be called again."""
        self._done = True
        self._buffer = bytearray()
        for future in list(self._in_flight):
            if future.cancel():
                self._settle(future)
        if self._in_flight:
            wait(self._in_flight)
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

    def _put(self) -> ObjectMeta:
        return self._store.put(
            self.key,
            self._buffer,
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
        while len(self._in_flight) >= WIDTH or not self._reserve(len(self._buffer)):
            self._collect(all_of_them=False, at_least_one=True)  # may be interrupted: the buffer stays until after it
        data, number = self._buffer, self._number
        self._buffer, self._number = bytearray(), number + 1
        future = self._submit(_part(self._upload, number, data))
        self._in_flight[future] = len(data)

    def _reserve(self, size: int) -> bool:
        """One part always may go, however little is left of the budget, so that writers never wait for each other."""
        if self._budget.try_reserve(size):
            return True
        if not self._in_flight:
            self._budget.reserve(size)
            return True
        return False

    def _collect(self, *, all_of_them: bool, at_least_one: bool = False) -> None:
        if all_of_them:
            wait(self._in_flight)
        elif at_least_one and self._in_flight:
            wait(self._in_flight, return_when=FIRST_COMPLETED)
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
                self._budget.release(size)


def _part(upload: Multipart, number: int, data: bytearray) -> Callable[[], None]:
    def send() -> None:
        upload.put_part(number, data)

    return send
