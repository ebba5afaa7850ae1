"""Several readers in sequence on one file, jumps among them, and the caches below."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfsmount.errors import StoreError, Unavailable
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetResult, Store
from vfsmount.testing import FaultyStore, MemoryStore, WrapperStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.pool import Submit, ThreadPool, run_inline
from vfsmount.transfer.prefetcher import Prefetcher
from vfsmount.transfer.reader import GLANCES, SCANS, Reader
from vfsmount.transfer.window import FIRST_REQUEST, PART

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(40 * MIB + 77)


class RangesStore(WrapperStore):
    """Remembers what was asked for."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.requested: list[tuple[int, int]] = []

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        self.requested.append((start, end))
        return super().get_range(key, start, end, if_match=if_match)


class Rig:
    """One object, and readers of it that share what a mount's readers share."""

    def __init__(
        self,
        content: bytes = CONTENT,
        *,
        submit: Submit = run_inline,
        limit: int = 512 * MIB,
        chunks: bool = False,
    ) -> None:
        self.memory = MemoryStore()
        self.meta: ObjectMeta = self.memory.put_object("k", content)
        self.faulty = FaultyStore(self.memory)
        self.store = RangesStore(self.faulty)
        self.budget = Budget(limit)
        self.chunks = ChunkCache(self.budget) if chunks else None
        self.prefetcher = Prefetcher(
            self.store,
            submit=submit,
            budget=self.budget,
            chunks=self.chunks,
        )

    def reader(self, first: bytes = b"") -> Reader:
        return self.prefetcher.reader(self.meta, first)

    def opened(self) -> Reader:
        """As ``open`` does: with a request, or without one where a cache has the beginning."""
        known = self.prefetcher.beginning("k")
        if known is not None and known.is_of(self.meta):
            return self.prefetcher.reader(self.meta, known.data)
        return self.prefetcher.reader(self.meta, self.store.get_range("k", 0, FIRST_REQUEST).data)

    def ranges(self) -> list[tuple[int, int]]:
        """Requested so far, since the last time."""
        found, self.store.requested = self.store.requested, []
        return found


def pread(reader: Reader, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    done = 0
    while done < size and (count := reader.read_into(offset + done, memoryview(buffer)[done:], whole=True)):
        done += count
    return bytes(buffer[:done])


def step(reader: Reader, offset: int, size: int) -> bytes:
    """One read as a buffered file makes it: any number of bytes will do."""
    buffer = bytearray(size)
    return bytes(buffer[: reader.read_into(offset, memoryview(buffer))])


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool()
    yield pool
    pool.close()


def scans(reader: Reader, starts: list[int], size: int) -> list[bytes]:
    """Several scans, each taking a step in turn."""
    out = [bytearray() for _ in starts]
    while any(len(found) < size for found in out):
        for start, found in zip(starts, out, strict=True):
            if len(found) < size:
                found += step(reader, start + len(found), min(MIB, size - len(found)))
    return [bytes(found) for found in out]


def test_interleaved_scans_ask_for_what_each_of_them_would_alone() -> None:
    rig = Rig()
    starts, size = [0, 12 * MIB, 24 * MIB, 36 * MIB], 3 * MIB
    reader = rig.reader()
    assert scans(reader, starts, size) == [CONTENT[start : start + size] for start in starts]
    together = rig.ranges()
    for start in starts:
        alone = rig.reader()
        assert scans(alone, [start], size) == [CONTENT[start : start + size]]
        alone.close()
    assert sorted(together) == sorted(rig.ranges())
    reader.close()
    assert rig.budget.used == 0


def test_a_jump_does_not_disturb_a_scan() -> None:
    rig, plain = Rig(), Rig()
    for one, jumps in ((plain, False), (rig, True)):
        reader = one.reader()
        for number, offset in enumerate(range(0, 20 * MIB, 256 << 10)):
            assert pread(reader, offset, 256 << 10) == CONTENT[offset : offset + (256 << 10)]
            if jumps:
                where = (number * 7_777_777) % (20 * MIB) + 20 * MIB
                assert pread(reader, where, 4096) == CONTENT[where : where + 4096]
        reader.close()
    scan, mixed = plain.ranges(), rig.ranges()
    small = [part for part in mixed if part[1] - part[0] <= 4096]
    assert [part for part in mixed if part not in small] == scan
    assert len(small) <= 80


def test_a_small_jump_costs_what_it_reads() -> None:
    rig = Rig()
    reader = rig.reader(CONTENT[:FIRST_REQUEST])
    for offset in (30 * MIB, 5 * MIB, 17 * MIB, 9 * MIB):
        assert pread(reader, offset, 4096) == CONTENT[offset : offset + 4096]
    assert rig.ranges() == [(offset, offset + 4096) for offset in (30 * MIB, 5 * MIB, 17 * MIB, 9 * MIB)]
    reader.close()


def test_a_seek_forward_within_the_window_waits_for_what_is_on_its_way() -> None:
    rig = Rig()
    reader = rig.reader()
    assert pread(reader, 0, 2 * MIB) == CONTENT[: 2 * MIB]
    step(reader, 2 * MIB, MIB)
    ahead = max(end for _, end in rig.ranges())
    assert ahead > 8 * MIB
    assert step(reader, ahead - 1000, 500) == CONTENT[ahead - 1000 : ahead - 500]
    assert all(start >= ahead for start, _ in rig.ranges())
    reader.close()


def test_a_step_back_is_served_from_what_is_held() -> None:
    rig = Rig()
    reader = rig.reader()
    for offset in range(0, 18 * MIB, MIB):
        pread(reader, offset, MIB)
    rig.ranges()
    assert step(reader, 15 * MIB, 5000) == CONTENT[15 * MIB : 15 * MIB + 5000]
    assert [part for part in rig.ranges() if part[0] < 18 * MIB] == []
    reader.close()


def test_cursors_are_few_and_the_oldest_goes() -> None:
    rig = Rig()
    reader = rig.reader()
    for number in range(3 * GLANCES):
        step(reader, number * 100_000, 100)
    assert len(reader._cursors) == GLANCES
    for number in range(2 * SCANS):
        for turn in range(3):
            pread(reader, number * 2 * MIB + turn * 300_000, 300_000)
    assert sum(cursor.scans for cursor in reader._cursors) <= SCANS
    assert len(reader._cursors) <= SCANS + GLANCES
    reader.close()
    assert rig.budget.used == 0


def test_a_full_budget_makes_requests_small_and_not_many_at_once() -> None:
    rig = Rig(limit=2 * MIB)
    reader = rig.reader()
    for offset in range(0, len(CONTENT), MIB):
        assert pread(reader, offset, MIB) == CONTENT[offset : offset + MIB]
        assert rig.budget.peak <= 2 * MIB + FIRST_REQUEST
    reader.close()
    assert rig.budget.used == 0


def test_a_large_read_through_the_window_is_copied_once(pool: ThreadPool) -> None:
    rig = Rig(submit=pool.submit)
    reader = rig.reader(CONTENT[:FIRST_REQUEST])
    tracemalloc.start()
    try:
        found = reader.read_on(5, 20 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 21 * MIB
    finally:
        tracemalloc.stop()
    assert found == CONTENT[5 : 20 * MIB]
    assert reader.read_on(len(CONTENT), len(CONTENT) + 1) == b""
    reader.close()


@pytest.mark.parametrize("limit", [MIB, 64 * MIB])
def test_everything_stays_within_the_budget_and_is_copied_once(limit: int, pool: ThreadPool) -> None:
    rig = Rig(submit=pool.submit, limit=limit)
    reader = rig.reader(CONTENT[:FIRST_REQUEST])
    tracemalloc.start()
    try:
        assert reader.read_range(0, len(CONTENT)) == CONTENT
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rig.budget.peak <= max(limit, FIRST_REQUEST) + FIRST_REQUEST
    assert peak < len(CONTENT) + MIB  # what is returned and nothing else (the memory store lends views)
    reader.close()
    assert rig.budget.used == 0


def test_a_file_read_again_costs_no_data() -> None:
    rig = Rig(CONTENT[: 10 * MIB], chunks=True)
    for expected in (10 * MIB, 0):
        reader = rig.opened()
        position = 0
        while data := step(reader, position, MIB):
            assert data == CONTENT[position : position + len(data)]
            position += len(data)
        assert position == 10 * MIB
        assert sum(end - start for start, end in rig.ranges()) >= expected
        reader.close()
    reader = rig.opened()
    assert reader.read_range(0, 10 * MIB) == CONTENT[: 10 * MIB]
    assert rig.ranges() == []
    reader.close()
    assert rig.chunks is not None
    assert rig.budget.used == rig.chunks.bytes


def test_handles_share_what_one_of_them_fetched() -> None:
    rig = Rig(CONTENT[: 10 * MIB], chunks=True)
    one, two = rig.opened(), rig.opened()
    assert pread(one, 3 * MIB, 1000) == CONTENT[3 * MIB : 3 * MIB + 1000]
    rig.ranges()
    assert pread(two, 3 * MIB, 1000) == CONTENT[3 * MIB : 3 * MIB + 1000]
    assert rig.ranges() == []
    one.close()
    two.close()


def test_a_miss_ends_where_something_is_known() -> None:
    rig = Rig(CONTENT[: 10 * MIB], chunks=True)
    reader = rig.opened()
    pread(reader, MIB, 1000)
    reader.close()
    rig.ranges()
    reader = rig.opened()
    assert pread(reader, MIB - 500, 2000) == CONTENT[MIB - 500 : MIB + 1500]
    assert rig.ranges() == [(MIB - 500, MIB), (MIB + 1000, MIB + 1500)]  # and neither more nor twice
    reader.close()


def test_32_threads_read_one_handle(pool: ThreadPool) -> None:
    rig = Rig(submit=pool.submit, limit=24 * MIB, chunks=True)
    reader = rig.reader()
    failures: list[object] = []

    def work(number: int) -> None:
        chance = random.Random(number)
        position = chance.randrange(len(CONTENT))
        for _ in range(25):
            if chance.random() < 0.3:
                position = chance.randrange(len(CONTENT))
            size = chance.choice([1, 4096, 100_000])
            if pread(reader, position, size) != CONTENT[position : position + size]:
                failures.append((position, size))
            position += size

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    reader.close()
    assert rig.chunks is not None
    pool.close()
    assert rig.budget.used == rig.chunks.bytes


def test_close_while_others_read(pool: ThreadPool) -> None:
    rig = Rig(submit=pool.submit, chunks=True)
    hold = rig.faulty.hold("get_range")
    reader = rig.reader()
    results: list[object] = []

    def work(number: int) -> None:
        try:
            results.append(pread(reader, number * PART, 1000) == CONTENT[number * PART : number * PART + 1000])
        except StoreError:
            results.append(True)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    hold.wait_arrived()
    reader.close()
    hold.release()
    for thread in threads:
        thread.join(10)
    assert results == [True] * 4
    pool.close()
    assert rig.chunks is not None
    assert rig.budget.used == rig.chunks.bytes


MOVES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["step", "step", "step", "pread", "range", "jump", "fault", "shrink", "reopen"]),
        st.floats(0, 1.05),
        st.sampled_from([1, 4096, 70_000, 300_000, MIB, 9 * MIB]),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    size=st.sampled_from([1, FIRST_REQUEST, MIB + 1, 12 * MIB + 5]),
    limit=st.sampled_from([1, MIB, 16 * MIB, 256 * MIB]),
    moves=MOVES,
    threads=st.booleans(),
)
def test_any_interleaving_of_cursors_agrees_with_the_bytes(
    size: int, limit: int, moves: list[tuple[int, str, float, int]], threads: bool
) -> None:
    """Four cursors on two handles, with faults, evictions and reopening in between."""
    content = CONTENT[:size]
    pool = ThreadPool(4)
    rig = Rig(
        content,
        submit=pool.submit if threads else run_inline,
        limit=limit,
        chunks=True,
    )
    assert rig.chunks is not None
    readers = [rig.opened(), rig.opened()]
    at = [0, 0, 0, 0]
    for cursor, what, where, count in moves:
        reader = readers[cursor % 2]
        if what == "jump":
            at[cursor] = int(where * size)
        elif what == "shrink":
            rig.chunks.shrink(int(where * rig.chunks.bytes))
        elif what == "reopen":
            rig.faulty.heal()
            reader.close()
            readers[cursor % 2] = rig.opened()
        elif what == "fault":
            rig.faulty.fail("get_range", Unavailable("scripted"), nth=1 + count % 3)
        else:
            try:
                if what == "step":
                    found = step(reader, at[cursor], count)
                    assert found or at[cursor] >= size
                elif what == "pread":
                    found = pread(reader, at[cursor], count)
                    assert len(found) == max(0, min(count, size - at[cursor]))
                else:
                    found = reader.read_range(at[cursor], at[cursor] + count)
                    assert len(found) == max(0, min(count, size - at[cursor]))
            except Unavailable:
                continue
            finally:
                rig.faulty.heal()
            assert found == content[at[cursor] : at[cursor] + len(found)]
            at[cursor] += len(found)
    for reader in readers:
        reader.close()
    pool.close()
    assert rig.budget.used == rig.chunks.bytes
    rig.chunks.clear()
    assert rig.budget.used == 0
