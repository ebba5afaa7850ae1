"""Many threads on one file system: no deadlock, no wrong byte, no refusal but where one is due."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable

import pytest

from tests.vfs.world import PART, WRITE, World, raises

THREADS = 32


def hammer(work: Callable[[int], None]) -> None:
    """Run ``work`` in all threads at once; a failure of one is raised, a hang fails."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            work(number)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if failures:
        raise failures[0]


def test_each_its_own_files(world: World) -> None:
    def work(number: int) -> None:
        chance = random.Random(number)
        world.mkdir(f"d{number}")
        for turn in range(8):
            content = chance.randbytes(chance.choice([0, 1, PART, 5 * PART + 1]))
            world.write(f"d{number}/f", content)
            assert world.stat(f"d{number}/f") == (False, len(content))
            assert world.read(f"d{number}/f") == content
            assert world.names(f"d{number}") == ["f"], turn
        world.unlink(f"d{number}/f")
        world.rmdir(f"d{number}")

    hammer(work)
    assert world.names() == []
    assert world.memory.objects() == {}
    world.nothing_left()


def test_all_the_same_files(world: World) -> None:
    """Whoever reads sees one writer's whole file; whoever is refused is refused by the ledger."""
    size = 3 * PART
    names = ["a", "b", "c"]
    for name in names:
        world.put(name, data=b"\0" * size)

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(20):
            name = chance.choice(names)
            try:
                if chance.random() < 0.3:
                    world.write(name, bytes([number]) * size)
                elif chance.random() < 0.5:
                    content = world.read(name)
                    assert len(content) == size
                    assert len(set(content)) == 1, "a mix of two writers"
                else:
                    assert world.names() == names
                    assert world.stat(name)[0] is False
            except PermissionError as error:
                if error.errno != errno.EPERM:
                    raise

    hammer(work)
    for name in names:
        content = world.read(name)
        assert len(content) == size
        assert len(set(content)) == 1
    world.nothing_left()


def test_one_handle_of_all(world: World) -> None:
    content = os.urandom(2_000_000)
    world.put("f", data=content)
    handle = world.open("f")

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(10):
            offset, size = chance.randrange(len(content)), chance.choice([1, 4096, 100_000])
            assert handle.pread(size, offset) == content[offset : offset + size]

    hammer(work)
    handle.close()
    world.nothing_left()


def test_the_position_is_one_for_all(world: World) -> None:
    content = os.urandom(THREADS * 1000)
    world.put("f", data=content)
    handle = world.open("f")
    got: list[bytes] = []
    hammer(lambda number: got.append(handle.read(1000)))
    assert sorted(got) == sorted(content[start : start + 1000] for start in range(0, len(content), 1000))
    handle.close()


def test_writers_of_one_handle_take_turns(world: World) -> None:
    handle = world.open("f", WRITE | os.O_APPEND)
    hammer(lambda number: [handle.write(bytes([number]) * 100) for _ in range(10)] and None)
    handle.close()
    content = world.read("f")
    assert len(content) == THREADS * 1000
    assert all(len(set(content[start : start + 100])) == 1 for start in range(0, len(content), 100))


@pytest.mark.parametrize("limit", [1, 10 * PART])
def test_writers_do_not_wait_for_each_other_when_memory_is_short(world: World, limit: int) -> None:
    world.budget.limit = limit

    def work(number: int) -> None:
        world.write(f"f{number}", bytes([number]) * 10 * PART)
        assert world.read(f"f{number}") == bytes([number]) * 10 * PART

    hammer(work)
    world.nothing_left()


class TestAnswersOnTheirWay:
    """What was asked before a change made here is not remembered after it."""

    def test_a_stat_that_a_commit_overtakes(self, make_world: Callable[..., World]) -> None:
        world = make_world(metadata_ttl=100.0)
        world.put("f", data=b"old")
        hold = world.faulty.hold("head", times=1, answered=True)
        thread = threading.Thread(target=world.stat, args=("f",))
        thread.start()
        hold.wait_arrived()
        world.write("f", b"newer content")
        hold.release()
        thread.join(10)
        assert world.stat("f") == (False, 13)

    def test_a_negative_answer_that_a_creation_overtakes(self, make_world: Callable[..., World]) -> None:
        world = make_world(negative_ttl=100.0)
        hold = world.faulty.hold("list_page", times=1, answered=True)
        thread = threading.Thread(target=world.exists, args=("f",))
        thread.start()
        hold.wait_arrived()
        world.write("f", b"1")
        hold.release()
        thread.join(10)
        assert world.stat("f") == (False, 1)

    def test_a_listing_that_an_unlink_overtakes(self, make_world: Callable[..., World]) -> None:
        world = make_world(metadata_ttl=100.0)
        world.put("f", "g")
        hold = world.faulty.hold("list_page", times=1, key="", answered=True)
        thread = threading.Thread(target=world.names)
        thread.start()
        hold.wait_arrived()
        world.unlink("g")
        hold.release()
        thread.join(10)
        assert not world.exists("g")
        assert world.exists("f")


def test_a_look_at_a_file_whose_writer_is_just_being_made_sees_what_was_there(world: World) -> None:
    world.put("old", data=b"four")
    for path in ("old", "new"):
        assert world.fs._local.begin_write(path)
    assert world.stat("old") == (False, 4)
    assert not world.exists("new")
    world.put("new/below")
    assert world.stat("new") == (True, 0)


class TestAReaderOnItsWay:
    """An open for reading that has not ended keeps nobody from writing; it goes if there was something to read."""

    def test_who_waits_for_a_file_to_appear_lets_it_be_made(self, world: World) -> None:
        hold = world.faulty.hold("get_range", times=1)
        told: list[int | None] = []

        def wait_for_it() -> None:
            try:
                world.open("f")
            except OSError as error:
                told.append(error.errno)

        thread = threading.Thread(target=wait_for_it)
        thread.start()
        hold.wait_arrived()
        writer = world.open("f", WRITE)
        hold.release()
        thread.join(10)
        writer.write(b"made")
        writer.close()
        assert told == [errno.ENOENT]
        assert world.read("f") == b"made"
        world.nothing_left()

    def test_of_a_reader_and_a_writer_one_goes(self, world: World) -> None:
        world.put("f", data=b"old")
        hold = world.faulty.hold("get_range", times=1, answered=True)
        told: list[int | None] = []

        def read() -> None:
            try:
                world.read("f")
            except OSError as error:
                told.append(error.errno)

        thread = threading.Thread(target=read)
        thread.start()
        hold.wait_arrived()
        writer = world.open("f", WRITE)
        hold.release()
        thread.join(10)
        assert told == [errno.EPERM]
        with raises(errno.EPERM):  # the reader that had to go has not let go of what is not its own
            world.open("f")
        writer.write(b"new")
        writer.close()
        assert world.read("f") == b"new"
        world.write("f", b"newer")
        world.nothing_left()

    def test_a_writer_that_has_ended_meanwhile_is_in_nobodys_way(self, world: World) -> None:
        world.put("f", data=b"old")
        hold = world.faulty.hold("get_range", times=1, answered=True)
        seen: list[bytes] = []
        thread = threading.Thread(target=lambda: seen.append(world.read("f")))
        thread.start()
        hold.wait_arrived()
        world.write("f", b"new")
        hold.release()
        thread.join(10)
        assert seen == [b"old"]
        assert world.stat("f") == (False, 3)
        assert world.read("f") == b"new"
        world.write("f", b"newer")
        world.nothing_left()
