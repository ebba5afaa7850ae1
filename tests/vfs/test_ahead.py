"""Reading a directory's files in listing order fetches the next ones, and never serves what an open must not see."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.forks import in_child
from tests.vfs.world import World
from vfsmount.errors import Unavailable
from vfsmount.testing.wrapper import Call, WrapperStore
from vfsmount.transfer.sequence import START

T = TypeVar("T")

COUNT = 40


class ByThread(WrapperStore):
    """Notes which requests the reading program's own thread waits for."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self.own: list[Call] = []
        self.thread = threading.get_ident()

    def around(self, call: Call, action: Callable[[], T]) -> T:
        if threading.get_ident() == self.thread:
            self.own.append(call)
        return action()


@pytest.fixture
def files(world: World) -> World:
    """A directory of small files, listed."""
    for index in range(COUNT):
        world.put(f"d/{index:03}.bin", data=f"{index}".encode())
    world.names("d")
    return world


def names(world: World) -> list[str]:
    return [f"d/{index:03}.bin" for index in range(COUNT)]


def test_a_loop_waits_for_the_first_files_only(world: World) -> None:
    for index in range(COUNT):
        world.put(f"d/{index:03}.bin", data=f"{index}".encode())
    watched = ByThread(world)
    world.store = watched  # type: ignore[assignment]
    world.fs = world.another()
    read = [world.read(f"d/{name}") for name in world.names("d")]
    assert read == [f"{index}".encode() for index in range(COUNT)]
    assert [call.verb for call in watched.own].count("get_range") == START
    counts = watched.inner.counts  # type: ignore[attr-defined]
    assert counts == {"list_page": 1, "get_range": COUNT}


def test_after_the_ttl_no_more_requests_than_without(files: World) -> None:
    files.clock.step(5)
    with files.store.expect(get_range=COUNT, list_page=COUNT):
        for name in names(files):
            files.read(name)


def test_one_kind_of_file_among_others(world: World) -> None:
    for index in range(20):
        world.put(f"d/{index:03}.json", f"d/{index:03}.jpg")
    found = [name for name in world.names("d") if name.endswith("jpg")]
    with world.store.expect(get_range=20):
        for name in found:
            world.read(f"d/{name}")


def test_directory_after_directory(world: World) -> None:
    for directory in range(10):
        world.put(*(f"{directory}/{index}" for index in range(8)))
    watched = ByThread(world)
    world.store = watched  # type: ignore[assignment]
    world.fs = world.another()
    for directory in range(10):
        for name in world.names(f"{directory}"):
            world.read(f"{directory}/{name}")
    assert [call.verb for call in watched.own].count("get_range") == START + 9


@pytest.mark.parametrize("order", ["backwards", "every third", "twice"])
def test_no_order_no_request_more(files: World, order: str) -> None:
    chosen = {"backwards": names(files)[::-1], "every third": names(files)[::3], "twice": names(files)[:2] * 2}[order]
    for name in chosen:
        files.read(name)
    assert files.store.counts["get_range"] == len(chosen)


def test_a_loop_that_stops_wastes_no_more_than_it_read(files: World) -> None:
    for name in names(files)[:4]:
        files.read(name)
    files.pool.close()
    assert files.store.counts["get_range"] <= 4 + 4


def test_writing_in_order_fetches_nothing(files: World) -> None:
    with files.store.expect(put=COUNT):
        for name in names(files):
            files.write(name, b"new")
    assert files.read(names(files)[-1]) == b"new"


def test_without_a_listing_nothing_is_known(world: World) -> None:
    for index in range(COUNT):
        world.put(f"d/{index:03}.bin")
    watched = ByThread(world)
    world.store = watched  # type: ignore[assignment]
    world.fs = world.another()
    for name in names(world):
        world.read(name)
    assert [call.verb for call in watched.own].count("get_range") == COUNT


def test_a_ttl_of_zero_switches_it_off(make_world: Callable[..., World]) -> None:
    world = make_world(metadata_ttl=0.0)
    world.put(*names(world))
    world.names("d")
    for name in names(world)[:5]:
        world.read(name)
    world.pool.close()
    assert world.store.counts["get_range"] == 5


# -- what an open must see --


def started(files: World) -> list[str]:
    """Files 0 to 5 are read, 6 and later ones fetched; those later ones."""
    for name in names(files)[:6]:
        files.read(name)
    return names(files)[6:]


def test_what_was_changed_here_is_seen(files: World) -> None:
    first, second, *_ = started(files)
    files.write(first, b"changed here")
    files.unlink(second)
    assert files.read(first) == b"changed here"
    with pytest.raises(FileNotFoundError):
        files.read(second)


def test_what_another_client_changed_is_seen_after_a_second(files: World) -> None:
    first, *_ = started(files)
    files.put(first, data=b"changed elsewhere")
    files.clock.step(1.0)
    assert files.read(first) == b"changed elsewhere"


def test_within_the_second_one_version_or_the_other(files: World) -> None:
    first, second, *_ = started(files)
    files.put(first, second, data=b"changed elsewhere")
    for name, old in ((first, b"6"), (second, b"7")):
        handle = files.open(name)
        data = handle.read(-1)
        assert (handle.stat().size, data) in ((len(old), old), (17, b"changed elsewhere"))
        handle.close()


def test_a_version_seen_in_a_listing_is_the_one_opened(files: World) -> None:
    first, *_ = started(files)
    files.put(first, data=b"changed elsewhere")
    files.names("d")
    assert files.read(first) == b"changed elsewhere"


def test_what_was_deleted_elsewhere_and_listed_is_gone(files: World) -> None:
    first, *_ = started(files)
    files.memory.delete(first)
    files.names("d")
    with pytest.raises(FileNotFoundError):
        files.read(first)


def test_a_directory_that_came_in_its_place_wins(files: World) -> None:
    files.clock.step(5)  # nothing is known of what hides what
    for name in names(files)[6:12]:
        files.put(f"{name}/below")
    for name in names(files)[:6]:
        files.read(name)
    assert files.open(names(files)[6]).is_dir


def test_invalidate_forgets_what_was_fetched(files: World) -> None:
    first, *_ = started(files)
    files.put(first, data=b"changed elsewhere")
    files.forget()
    assert files.read(first) == b"changed elsewhere"


def test_a_failure_ahead_is_the_opens_to_tell(files: World) -> None:
    first, *rest = started(files)
    files.faulty.fail("get_range", Unavailable("once"), key=rest[20], times=1)
    for name in (first, *rest):
        assert files.read(name)


def test_a_larger_file_goes_on_where_its_beginning_ends(world: World) -> None:
    body = os.urandom(700_000)
    for index in range(8):
        world.put(f"d/{index}", data=body + bytes([index]))
    for index, name in enumerate(world.names("d")):
        assert world.read(f"d/{name}") == body + bytes([index])


def test_what_is_held_is_bounded_and_given_back(files: World) -> None:
    started(files)
    assert files.budget.used <= 2 * (256 << 10) * 32
    for name in names(files)[6:]:
        files.read(name)
    assert files.budget.used == 0


@pytest.mark.slow
def test_a_forked_child_reads_for_itself(files: World) -> None:
    rest = started(files)

    def child() -> None:
        for name in rest:
            assert files.read(name)

    in_child(child)
