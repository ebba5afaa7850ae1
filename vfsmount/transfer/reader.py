"""Reading one version of one object, ahead of whoever reads it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from vfsmount import real
from vfsmount.errors import Corrupt, PreconditionFailed
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange, GetResult
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.window import FIRST_REQUEST, GROWTH, WIDTH, Range, Window, split


@dataclass(slots=True)
class Chunk:
    """A range that is here or on its way."""

    start: int
    end: int
    future: Future[bytes | memoryview]
    charged: int
    """Bytes to give back to the budget."""
    waiting: int = 0
    """Threads that wait for it; it is not cancelled under them."""


class Reader:
    """Random and sequential reads of ``meta``'s object, pinned to its ETag; safe in many threads.

    One cursor is kept. A read at its position or within what is already requested is served from there; any other
    read starts the cursor again with a small request. Raises what ``get_range`` raises.
    """

    def __init__(
        self,
        store: GetRange,
        meta: ObjectMeta,
        *,
        submit: Submit,
        budget: Budget,
        first: bytes | memoryview = b"",
    ) -> None:
        self.meta = meta
        self._store = store
        self._submit = submit
        self._budget = budget
        self._pid = real.getpid()
        self._lock = threading.Lock()
        self._window = Window(meta.size)
        self._chunks: deque[Chunk] = deque()
        self._closed = False
        if first:
            self._window.next = len(first)
            self._window.request = FIRST_REQUEST * GROWTH
            ready: Future[bytes | memoryview] = Future()
            ready.set_result(first)
            self._budget.reserve(len(first))
            self._chunks.append(Chunk(0, len(first), ready, len(first)))

    def read_into(self, offset: int, out: memoryview, *, whole: bool = False) -> int:
        """Fill ``out`` from ``offset`` with at least one byte, or 0 at the end; may return fewer than asked for.

        ``whole``: the caller will come back until ``out`` is full, so all of it is requested at once.
        """
        if offset >= self.meta.size or not out:
            return 0
        chunk = self._chunk_at(offset, len(out), whole=whole)
        try:
            data = self._await(chunk)
        finally:
            with self._lock:
                chunk.waiting -= 1
        skip = offset - chunk.start
        count = min(len(out), len(data) - skip)
        out[:count] = memoryview(data)[skip : skip + count]
        return count

    def read_range(self, start: int, end: int) -> bytes:
        """Exactly ``[start, end)``, cut at the end of the object, fetched at full width when it is large."""
        end = min(end, self.meta.size)
        if start >= end:
            return b""
        pieces: list[bytes | memoryview] = []
        self._renew_after_fork()
        with self._lock:
            for chunk in self._chunks:
                if chunk.start <= start < chunk.end and chunk.future.done() and not chunk.future.exception():
                    pieces.append(memoryview(chunk.future.result())[start - chunk.start : end - chunk.start])
                    start += len(pieces[-1])
        ranges = split(start, end)
        if not ranges:
            return b"".join(pieces)
        if len(ranges) == 1:
            return b"".join([*pieces, _Fetch(self._store, self.meta, ranges[0])()])
        waiting: deque[Future[bytes | memoryview]] = deque()
        try:
            for part in ranges:  # a look-up of another thread does not queue behind a thousand parts
                if len(waiting) >= WIDTH:
                    pieces.append(waiting.popleft().result())
                waiting.append(self._submit(_Fetch(self._store, self.meta, part)))
            pieces.extend(future.result() for future in waiting)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
        return b"".join(pieces)

    def close(self) -> None:
        """Forget what was fetched and what is on its way. May be called again."""
        self._renew_after_fork()
        with self._lock:
            self._closed = True
            self._drop(len(self._chunks))

    def _await(self, chunk: Chunk) -> bytes | memoryview:
        try:
            return chunk.future.result()
        except BaseException:
            with self._lock:  # the next read asks again rather than meeting the same failure
                if chunk in self._chunks:
                    self._drop(len(self._chunks))
                    self._window.restart(chunk.start, 1)
                    self._window.next = chunk.start
            raise

    def _renew_after_fork(self) -> None:
        """In a forked child: the parent's requests never arrive, and what its threads hold locked stays so."""
        if self._pid != real.getpid():
            self._lock = threading.Lock()
            self._chunks = deque()  # the budget has started over too
            self._pid = real.getpid()

    def _chunk_at(self, offset: int, wanted: int, *, whole: bool) -> Chunk:
        self._renew_after_fork()
        with self._lock:
            if self._closed:
                raise Corrupt("read after close", key=self.meta.key)
            for index, chunk in enumerate(self._chunks):
                if chunk.start <= offset < chunk.end:
                    if index:
                        self._window.advance(offset)
                        self._drop(index)
                    elif chunk.start == 0 and chunk.end == self._window.next <= offset + wanted:
                        self._window.advance(offset)  # read from its beginning to the end of what is here: a scan
                    break
            else:
                if self._chunks and offset == self._chunks[-1].end == self._window.next:
                    self._window.advance(offset)
                    self._drop(len(self._chunks))
                    self._start(self._take_next(max(wanted, 1)), must=True)
                else:
                    self._drop(len(self._chunks))
                    self._start(self._window.restart(offset, wanted, whole=whole), must=True)
            for part in self._window.wanted(offset):
                if not self._start(part, must=False):
                    self._window.next = part.start
                    break
            chunk = self._chunks[0]
            chunk.waiting += 1
            return chunk

    def _take_next(self, wanted: int) -> Range:
        window = self._window
        start = window.next
        window.next = min(start + max(window.request, min(wanted, window.part)), window.size)
        window.request = min(window.request * GROWTH, window.part)
        return Range(start, window.next)

    def _start(self, part: Range, *, must: bool) -> bool:
        size = part.end - part.start
        if must:
            self._budget.reserve(size)
        elif not self._budget.try_reserve(size):
            return False
        future = self._submit(_Fetch(self._store, self.meta, part))
        self._chunks.append(Chunk(part.start, part.end, future, size))
        return True

    def _drop(self, count: int) -> None:
        for _ in range(count):
            chunk = self._chunks.popleft()
            if not chunk.waiting:
                chunk.future.cancel()
            self._budget.release(chunk.charged)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            for chunk in self._chunks:
                self._budget.release(chunk.charged)
            self._chunks.clear()


@dataclass(frozen=True, slots=True)
class _Fetch:
    store: GetRange
    meta: ObjectMeta
    part: Range

    def __call__(self) -> bytes | memoryview:
        """One ranged GET under If-Match."""
        result: GetResult = self.store.get_range(self.meta.key, self.part.start, self.part.end, if_match=self.meta.etag)
        if len(result.data) != self.part.end - self.part.start or result.meta.size != self.meta.size:
            raise Corrupt(
                f"got {len(result.data)} bytes of {result.meta.size} for [{self.part.start}, {self.part.end})"
                f" of {self.meta.size}",
                operation="get_range",
                key=self.meta.key,
            )
        if self.meta.etag and result.meta.etag and _version(result.meta.etag) != _version(self.meta.etag):
            # Not every service heeds If-Match.
            raise PreconditionFailed("another version was sent", operation="get_range", key=self.meta.key)
        return result.data


def _version(etag: str) -> str:
    """``etag`` without what proxies change: the quotes and the mark of a weak one."""
    return etag.removeprefix("W/").strip('"')
