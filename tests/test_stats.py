"""Requests counted by kind, mount and calling line, and what they cost."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator

import pytest

from vfsmount.clock import SystemClock
from vfsmount.counters import PRICE, Counters, Usage, call_site, on_behalf_of
from vfsmount.errors import Unavailable
from vfsmount.store.metered import MeteredStore
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import VERBS, FaultyStore, MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.options import FsOptions

PART = 1000


class Metered:
    """One file system that counts."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.memory = MemoryStore(traits=StoreTraits(min_part_size=PART))
        self.faulty = FaultyStore(self.memory)
        self.store = MeteredStore(self.faulty, self.counters, "/m")
        self.pool = ThreadPool(4)
        self.fs = Filesystem(
            self.store,
            FsOptions(bucket="memory", part_size=PART),
            submit=self.pool.submit,
            budget=Budget(1 << 30),
            clock=SystemClock(),
        )


@pytest.fixture
def metered() -> Iterator[Metered]:
    made = Metered()
    yield made
    made.pool.close()


def line() -> int:
    """Of the caller."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_by_kind(metered: Metered) -> None:
    metered.memory.put_object("f", b"12345")
    metered.fs.open("f", 0, "/m/f").close()
    found = metered.counters.snapshot()
    assert dict(found) == {
        "get": Usage(requests=1, bytes_received=5, cost_usd=PRICE["get"]),
        "list": Usage(requests=1, cost_usd=PRICE["list"]),
    }
    assert found.total == Usage(2, 5, 0, 0, PRICE["get"] + PRICE["list"])


def test_every_verb_is_counted(metered: Metered) -> None:
    store = metered.store
    store.put("a", b"123")
    store.head("a")
    store.get_range("a", 0, 2)
    store.list_page("")
    store.copy("a", "b")
    store.delete("a")
    store.delete_many(["b", "c"])
    upload = store.create_multipart("m")
    upload.put_part(1, b"1234")
    upload.complete()
    store.create_multipart("n").abort()
    found = metered.counters.snapshot()
    assert {kind: usage.requests for kind, usage in found.items()} == {
        "put": 1,
        "head": 1,
        "get": 1,
        "list": 1,
        "copy": 1,
        "delete": 2,
        "create_multipart": 2,
        "upload_part": 1,
        "complete_multipart": 1,
        "abort_multipart": 1,
    }
    assert found.total.bytes_sent == 7
    assert found.total.bytes_received == 2
    assert found.total.errors == 0
    assert set(PRICE) == set(found)
    assert len(VERBS) == len(found) + 1  # delete and delete_many are one kind


def test_the_cost_is_the_sum_of_the_prices(metered: Metered) -> None:
    for _ in range(1000):
        metered.store.put("a", b"")
        metered.store.head("a")
    assert metered.counters.snapshot().total.cost_usd == pytest.approx(1000 * 5e-6 + 1000 * 0.4e-6)


def test_failures_count_as_requests_and_as_errors(metered: Metered) -> None:
    metered.faulty.fail("head", Unavailable("x"))
    metered.faulty.fail("get_range", Unavailable("x"))
    for call in (lambda: metered.store.head("f"), lambda: metered.store.get_range("f", 0, 1)):
        with pytest.raises(Unavailable):
            call()
    found = metered.counters.snapshot()
    assert (found.total.requests, found.total.errors) == (2, 2)


def test_by_mount() -> None:
    counters = Counters()
    for mount, count in (("/a", 2), ("/b", 3)):
        store = MeteredStore(MemoryStore(), counters, mount)
        for _ in range(count):
            store.list_page("")
    assert {mount: usage.requests for mount, usage in counters.snapshot("mount").items()} == {"/a": 2, "/b": 3}


def test_the_caller_is_this_line_even_where_a_thread_did_the_work(metered: Metered) -> None:
    metered.memory.put_object("f", b"12345")
    here = line() + 1
    metered.fs.open("f", 0, "/m/f").close()
    found = metered.counters.snapshot("caller")
    assert {caller: usage.requests for caller, usage in found.items()} == {f"{__file__}:{here}": 2}


def test_parts_in_the_background_count_for_the_writing_line(metered: Metered) -> None:
    handle = metered.fs.open("f", 0o1101, "/m/f")
    writing = line() + 1
    handle.write(bytes(5 * PART))
    closing = line() + 1
    handle.close()
    found = {caller.rpartition(":")[2]: usage for caller, usage in metered.counters.snapshot("caller").items()}
    assert found[str(writing)].bytes_sent >= 3 * PART
    assert found[str(closing)].requests >= 1
    assert sum(usage.bytes_sent for usage in found.values()) == 5 * PART


def test_the_standard_library_is_not_the_caller(metered: Metered) -> None:
    import contextlib

    metered.memory.put_object("f", b"12345")
    with contextlib.ExitStack() as stack:
        stack.callback(metered.store.head, "f")
        here = line() + 1
        stack.close()
    (caller,) = metered.counters.snapshot("caller")
    assert caller in (f"{__file__}:{here}", f"{__file__}:{here - 2}")


def test_sites_nest_and_are_restored() -> None:
    with on_behalf_of("outer"):
        with on_behalf_of("inner"):
            assert call_site() == "inner"
        assert call_site() == "outer"
    assert call_site() == f"{__file__}:{line()}"


def test_another_grouping_is_refused() -> None:
    with pytest.raises(ValueError, match="kind, mount, caller"):
        Counters().snapshot("colour")  # type: ignore[arg-type]


def test_counting_in_many_threads_loses_nothing() -> None:
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add("head", "/m", received=1) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot().total == Usage(4000, 4000, 0, 0, pytest.approx(4000 * PRICE["head"]))


def test_a_snapshot_is_a_mapping_that_stays() -> None:
    counters = Counters()
    counters.add("head", "/m")
    before = counters.snapshot()
    counters.add("head", "/m")
    assert before["head"].requests == 1
    assert len(before) == 1
    assert list(before) == ["head"]
    assert counters.snapshot().total.requests == 2
