"""Reading one version of one object, ahead of whoever reads it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from vfsmount import real
from vfsmount.clock import SystemClock
from vfsmount.errors import Corrupt, StoreError
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import Chunk, Data, Means, Source
from vfsmount.transfer.filled import Filled
from vfsmount.transfer.filling import fill
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.racing import Racing
from vfsmount.transfer.window import SECOND_REQUEST, Pace, Range, Window

SCANS: Final = 8
"""Cursors kept that read in sequence: columns of a table, say, or threads that each take a share of a file."""

GLANCES: Final = 16
"""Cursors kept that have read once; one that goes on becomes a scan."""

GLANCED: Final = 4 << 20
"""Bytes that those may hold on to together."""


class Cursor:
    """One reader in sequence: what is here or on its way, without a gap, for its position and beyond."""

    __slots__ = ("aside", "chunks", "position", "scans", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.chunks: deque[Chunk] = deque()
        self.scans = False
        self.position = 0
        """Where the reader in sequence stands."""
        self.aside = -1
        """Where the last read ended that jumped within what is requested: a reader that goes on there has moved."""

    def follows(self, offset: int) -> bool:
        """True where ``offset`` is where the reader stands."""
        stands = offset in (self.position, self.aside) and self.index(offset) is not None  # it may have gone by
        return stands or offset == self.window.next

    def index(self, offset: int) -> int | None:
        """Which chunk has the byte."""
        if self.chunks and self.chunks[0].start <= offset < self.chunks[-1].end:
            for index, chunk in enumerate(self.chunks):
                if offset < chunk.end:
                    return index
        return None

    def pass_by(self, index: int) -> int:
        """The reader came to chunk ``index``: let go of those before but the last, for a step back; returns bytes."""
        passed = 0
        for _ in range(index - 1):
            chunk = self.chunks.popleft()
            passed += chunk.size
            chunk.drop()
        return passed

    def drop(self) -> None:
        """Let go of everything."""
        while self.chunks:
            self.chunks.popleft().drop()

    @property
    def bytes(self) -> int:
        """Held."""
        return sum(chunk.size for chunk in self.chunks)


class Reader:
    """Random and sequential reads of ``meta``'s object, pinned to its ETag; safe in many threads.

    Several cursors are kept. A read where one of them stands, or within what it has requested, is served from there
    (and waits, if need be); any other read begins a new one with a small request, and leaves the others alone.
    Raises StoreError.
    """

    def __init__(
        self,
        store: GetRange,
        meta: ObjectMeta,
        *,
        submit: Submit,
        budget: Budget,
        first: Data = b"",
        means: Means | None = None,
    ) -> None:
        """``means``: what the readers of one mount share; without it there is no cache."""
        self.meta: Final = meta
        means = means or Means(store, submit, budget, Racing(), SystemClock())
        self._pace: Final = Pace()
        self._now: Final = means.clock.monotonic
        self._source: Final = Source(means, meta, self._pace)
        self._pid = real.getpid()
        self._lock = threading.Lock()
        self._cursors: list[Cursor] = []
        """The most recently used last."""
        self._closed = False
        if first:
            cursor = self._new_cursor()
            cursor.chunks.append(self._source.known(first))
            cursor.window.next = len(first)
            cursor.window.request = SECOND_REQUEST

    def read_into(self, offset: int, out: memoryview, *, whole: bool = False) -> int:
        """Fill ``out`` from ``offset`` with at least one byte, or 0 at the end.

        It may return fewer than asked for while it is not clear whether the caller wants more, and those are not here
        yet. ``whole``: it does want more, so all of it is requested at once and waited for.
        """
        size = min(len(out), self.meta.size - offset)
        done = 0
        while done < size:
            chunk = self._chunk_at(offset + done, size - done, whole=whole, idle=not done)
            if chunk is None:
                break
            try:
                data = self._await(chunk)
            except StoreError:
                if done and not whole:
                    break  # the next call meets it again, if it is there to stay
                raise
            finally:
                with self._lock:
                    chunk.leave()
            skip = offset + done - chunk.start
            count = min(size - done, len(data) - skip)
            out[done : done + count] = memoryview(data)[skip : skip + count]
            done += count
        return max(done, 0)

    def read_range(self, start: int, end: int) -> bytes:
        """Exactly ``[start, end)``, cut at the end of the object, fetched at full width when it is large.

        The bytes are copied once, into what is returned, as they come.
        """
        end = min(end, self.meta.size)
        if start >= end:
            return b""
        held = self._held(start, end)
        if len(held) == 1 and held[0].end >= end and held[0].future.done():
            try:
                data = self._await(held[0])
            finally:
                self._leave(held)
            skip = start - held[0].start
            if isinstance(data, bytes) and not skip and len(data) == end - start:
                return data
            return bytes(memoryview(data)[skip : end - held[0].start])
        with Filled(end - start) as filled:
            try:
                fill(self._source, start, end, filled.out, held)
            except BaseException:
                self._forget(held)
                raise
            finally:
                self._leave(held)
        return filled.value()

    def read_on(self, start: int, end: int) -> bytes:
        """Exactly ``[start, end)``, cut at the end of the object, by way of the window: the caller will go on there."""
        end = min(end, self.meta.size)
        if start >= end:
            return b""
        with Filled(end - start) as filled:
            self.read_into(start, filled.out, whole=True)
        return filled.value()

    def close(self) -> None:
        """Forget what was fetched and what is on its way. May be called again."""
        self._renew_after_fork()
        with self._lock:
            self._closed = True
            cursors, self._cursors = self._cursors, []
            for cursor in cursors:
                cursor.drop()

    # -- everything at once --

    def _held(self, start: int, end: int) -> list[Chunk]:
        """What some cursor has or has requested from ``start`` on."""
        self._renew_after_fork()
        held: list[Chunk] = []
        with self._lock:
            self._check_open()
            for cursor in self._cursors:
                index = cursor.index(start)
                if index is not None:
                    held = [
                        chunk for number, chunk in enumerate(cursor.chunks) if number >= index and chunk.start < end
                    ]
                    break
            for chunk in held:
                chunk.enter()
        return held

    def _leave(self, chunks: list[Chunk]) -> None:
        with self._lock:
            for chunk in chunks:
                chunk.leave()

    # -- in sequence and at random --

    def _await(self, chunk: Chunk) -> Data:
        try:
            return self._source.wait(chunk)
        except BaseException:
            self._forget([chunk])
            raise

    def _forget(self, chunks: list[Chunk]) -> None:
        """After a failure: the next read asks again rather than meeting the same one."""
        with self._lock:
            for cursor in [cursor for cursor in self._cursors if any(chunk in cursor.chunks for chunk in chunks)]:
                self._cursors.remove(cursor)
                cursor.drop()

    def _renew_after_fork(self) -> None:
        """In a forked child: the parent's requests never arrive, and what its threads hold locked stays so."""
        if self._pid != real.getpid():
            self._lock = threading.Lock()
            self._cursors = []  # the budget has started over too
            self._source.after_fork()
            self._pid = real.getpid()

    def _check_open(self) -> None:
        if self._closed:
            raise Corrupt("read after close", key=self.meta.key)

    def _chunk_at(self, offset: int, wanted: int, *, whole: bool, idle: bool) -> Chunk | None:
        """The chunk with the byte at ``offset``, entered. None, unless ``idle``, where it is neither here nor surely
        wanted.
        """
        self._renew_after_fork()
        with self._lock:
            self._check_open()
            cursor = self._cursor_at(offset)
            if not idle and not whole:
                if cursor is None:
                    return None
                index = cursor.index(offset)
                sure = cursor.window.next - cursor.window.origin > SECOND_REQUEST
                if not sure and (index is None or not cursor.chunks[index].future.done()):
                    return None
            if cursor is None:
                cursor = self._new_cursor()
                first = self._source.start(cursor.window.restart(offset, wanted, whole=whole), must=True)
                assert first is not None
                cursor.chunks.append(first)
                cursor.window.begin(first.end)
            return self._advance(cursor, offset, wanted, whole=whole)

    def _advance(self, cursor: Cursor, offset: int, wanted: int, *, whole: bool) -> Chunk:
        window = cursor.window
        index = cursor.index(offset)
        if index is not None and index > 1 and not cursor.follows(offset):
            chunk = cursor.chunks[index]
            chunk.enter()
            cursor.aside = min(offset + wanted, chunk.end)
            return chunk
        if index is None:
            window.demand(wanted)
            part = window.upcoming(offset + 1)
            assert part is not None
            self._add(cursor, part, must=True)
            index = len(cursor.chunks) - 1
            cursor.scans = True
        if index > 0:
            passed = cursor.pass_by(index)
            index = min(index, 1)
            if passed:
                self._pace.consumed(passed, self._now())
        chunk = cursor.chunks[index]
        chunk.enter()
        cursor.position = min(offset + wanted, chunk.end)
        limit = offset + window.ahead(offset, wanted, whole=whole)
        while (part := window.upcoming(limit, exact=offset == window.origin)) is not None:
            if not self._add(cursor, part, must=False):
                break
        cursor.scans = cursor.scans or offset != window.origin
        self._limit(cursor)
        return chunk

    def _add(self, cursor: Cursor, part: Range, *, must: bool) -> bool:
        chunk = self._source.start(part, must=must)
        if chunk is None:
            return False
        cursor.chunks.append(chunk)
        cursor.window.accept(chunk.end)
        return True

    def _cursor_at(self, offset: int) -> Cursor | None:
        found = None
        for cursor in reversed(self._cursors):
            if cursor.follows(offset):
                found = cursor
                break
            if found is None and cursor.index(offset) is not None:
                found = cursor
        if found is not None:
            self._cursors.remove(found)
            self._cursors.append(found)
        return found

    def _new_cursor(self) -> Cursor:
        cursor = Cursor(Window(self.meta.size, pace=self._pace))
        self._cursors.append(cursor)
        return cursor

    def _limit(self, current: Cursor) -> None:
        """Let go of the cursors that were not used for longest, scans and glances apart."""
        if len(self._cursors) == 1:
            return
        scans = glances = held = 0
        for cursor in reversed(list(self._cursors)):
            if cursor.scans:
                scans += 1
                over = scans > SCANS
            else:
                glances += 1
                held += cursor.bytes
                over = glances > GLANCES or held > GLANCED
            if over and cursor is not current:
                self._cursors.remove(cursor)
                cursor.drop()
