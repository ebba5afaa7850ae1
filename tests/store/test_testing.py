"""The stores that tests of everything else stand on."""

from __future__ import annotations

import threading

import pytest

from vfsmount.errors import NotFound, Unavailable
from vfsmount.store.protocol import Store
from vfsmount.testing import VERBS, CountingStore, FaultyStore, LatencyStore, MemoryStore, StoreSuite


class TestWrapped(StoreSuite):
    """All three around a memory store change nothing."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return CountingStore(FaultyStore(LatencyStore(memory, 0)))

    @pytest.fixture
    def raw(self, memory: MemoryStore) -> object:
        from tests.store.test_suite_memory import MemoryBucket

        return MemoryBucket(memory)


def test_counts_by_verb() -> None:
    store = CountingStore(MemoryStore())
    with store.expect(put=1, get_range=2, create_multipart=1, put_part=1, complete=1):
        store.put("k", b"12345")
        store.get_range("k", 0, 2)
        store.get_range("k", 0, 9)
        upload = store.create_multipart("m")
        upload.put_part(1, b"123")
        upload.complete()
    assert (store.bytes_read, store.bytes_written) == (7, 8)
    store.reset()
    assert store.counts == {}


def test_expect_tells_what_was_asked() -> None:
    store = CountingStore(MemoryStore())
    with pytest.raises(AssertionError, match=r"list_page\('d/'"), store.expect(head=1):
        store.list_page("d/")
    with pytest.raises(ValueError, match="no such verb: get"), store.expect(get=1):
        pass
    with pytest.raises(NotFound), store.expect():  # the block's own error, not the count, is what a test wants to see
        store.head("missing")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_fail(verb: str) -> None:
    store = FaultyStore(MemoryStore())
    store.put("k", b"x")
    fault = store.fail(verb, Unavailable("scripted"))
    with pytest.raises(Unavailable, match="scripted"):
        store.head("k")
        store.get_range("k", 0, 1)
        store.list_page("")
        store.put("k", b"x")
        upload = store.create_multipart("m")
        upload.put_part(1, b"x")
        upload.complete()
        upload.abort()
        store.copy("k", "k2")
        store.delete("k2")
        store.delete_many(["k2"])
    assert fault.fired == 1


def test_the_nth_call_of_a_key_fails() -> None:
    store = FaultyStore(MemoryStore())
    store.put("a", b"")
    store.put("b", b"")
    store.fail("head", Unavailable("scripted"), nth=2, times=1, key="a")
    store.head("a")
    store.head("b")
    with pytest.raises(Unavailable):
        store.head("a")
    store.head("a")


def test_a_lost_answer_has_taken_effect() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    store.fail("put", Unavailable("lost"), after=True)
    with pytest.raises(Unavailable):
        store.put("k", b"x")
    assert memory.objects() == {"k": b"x"}


def test_replaced_in_between() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    store.put("k", b"old")
    store.before("get_range", lambda: memory.put_object("k", b"new"), nth=2)
    assert bytes(store.get_range("k", 0, 3).data) == b"old"
    assert bytes(store.get_range("k", 0, 3).data) == b"new"


def test_spoiled_bodies() -> None:
    store = FaultyStore(MemoryStore())
    store.put("k", b"body")
    store.truncate(2)
    assert bytes(store.get_range("k", 0, 4).data) == b"bo"
    store.flip()
    assert bytes(store.get_range("k", 0, 4).data) == bytes([ord("b") ^ 0xFF]) + b"ody"
    assert bytes(store.get_range("k", 0, 4).data) == b"body"


@pytest.mark.parametrize("answered", [False, True])
def test_held_until_released(answered: bool) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    hold = store.hold("put", answered=answered)
    writer = threading.Thread(target=store.put, args=("k", b"x"))
    writer.start()
    hold.wait_arrived()
    assert ("k" in memory.objects()) is answered
    hold.release()
    writer.join(10)
    assert "k" in memory.objects()


def test_latency_is_the_clock_s() -> None:
    slept: list[float] = []

    class Watched:
        def monotonic(self) -> float:
            return 0.0

        def time_ns(self) -> int:
            return 0

        def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    store = LatencyStore(MemoryStore(), 0.5, rate=100, clock=Watched())
    store.put("k", bytes(200))
    store.get_range("k", 0, 50)
    assert slept == [2.5, 0.5, 0.5]
