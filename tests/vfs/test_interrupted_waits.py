"""Ctrl-C ends what the main thread waits for, also where a library has SIGINT restart system calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.interrupting import interrupted
from tests.vfs.world import WRITE, World
from vfsmount.clock import RequestLock, SystemClock
from vfsmount.shim.description import Description
from vfsmount.testing import FaultyStore, MemoryStore
from vfsmount.testing.faulty import Hold
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunk import Means
from vfsmount.transfer.pool import ThreadPool
from vfsmount.transfer.racing import Racing
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.window import PART, WHOLE_PART, WIDTH

HELD = 8.0
"""Seconds after which what is waited for comes all the same."""
SOON = HELD / 4


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object], Hold], None]]:
    """Do it in another thread, and go on when it stands at the gate, which opens at the test's end."""
    ends: list[Callable[[], None]] = []

    def begin(action: Callable[[], object], hold: Hold) -> None:
        thread = threading.Thread(target=action)
        thread.start()
        ends.extend((hold.release, lambda: thread.join(2 * HELD)))
        hold.wait_arrived()

    yield begin
    for end in ends:
        end()


def test_a_lock_that_another_thread_holds_across_a_request() -> None:
    lock, taken, over = RequestLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock, lock:
            taken.set()
            over.wait(HELD)

    def take() -> None:
        with lock:
            raise AssertionError("it was free")

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(HELD)
    assert interrupted(take) < SOON
    over.set()
    thread.join()
    with lock:
        pass
    after = threading.Thread(target=lambda: taken.clear() if lock.acquire(blocking=False) else None)
    after.start()
    after.join()
    assert not taken.is_set(), "whoever was interrupted has it still"


def test_renaming_a_directory(make_world: Callable[..., World]) -> None:
    world = make_world(allow_rename=True)
    world.put("a/1", "a/2")
    hold = world.faulty.hold("copy", timeout=HELD)
    assert interrupted(lambda: world.rename("a", "b")) < SOON
    hold.release()


@pytest.mark.parametrize("size", [1, PART * WIDTH + 1], ids=["small", "wide"])
def test_fetching_what_a_staged_file_had(make_world: Callable[..., World], size: int) -> None:
    world = make_world(writes="staged")
    world.put("f", data=bytes(size))
    handle = world.open("f", os.O_RDWR)
    hold = world.faulty.hold("get_range", timeout=HELD)
    assert interrupted(lambda: handle.read(1)) < SOON
    hold.release()
    handle.close()


def test_what_another_thread_uploads(
    make_world: Callable[..., World], beside: Callable[[Callable[[], object], Hold], None]
) -> None:
    world = make_world(writes="staged")
    handle = world.open("f", WRITE | os.O_RDWR)
    handle.write(b"x")
    beside(handle.fsync, world.faulty.hold("put", timeout=HELD))
    assert interrupted(lambda: handle.pread(1, 0)) < SOON


@pytest.mark.parametrize("verb", ["read", "described"])
def test_what_another_thread_reads_by_the_same_descriptor(
    world: World, beside: Callable[[Callable[[], object], Hold], None], verb: str
) -> None:
    world.put("f", data=bytes(PART))
    file = world.open("f")
    handle = Description(file) if verb == "described" else file
    hold = world.faulty.hold("get_range", timeout=HELD)
    beside(lambda: handle.seek(PART // 2, os.SEEK_SET) + len(handle.read(1)), hold)
    assert interrupted(lambda: handle.read(1)) < SOON


def test_reading_everything_where_both_requests_stall() -> None:
    memory, pool, budget = MemoryStore(), ThreadPool(), Budget(64 << 20)
    meta = memory.put_object("k", bytes(4 * WHOLE_PART))
    faulty = FaultyStore(memory)
    means = Means(faulty, pool.submit, budget, Racing(least=0.0), SystemClock(), None, "p")
    reader = Reader(faulty, meta, submit=pool.submit, budget=budget, first=b"", means=means)
    hold = faulty.hold("get_range", timeout=HELD)
    assert interrupted(lambda: reader.read_range(0, 4 * WHOLE_PART)) < SOON
    assert hold.fault.fired > 4, "none was asked for again"
    hold.release()
    pool.close()
