"""A file in a directory that was listed or made lately is opened without asking what may hide it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.vfs.world import EXCLUSIVE, WRITE, World, raises


@pytest.fixture
def world() -> Iterator[World]:
    world = World(metadata_ttl=10.0)
    yield world
    world.close()


def cost(world: World) -> dict[str, int]:
    """Requests since the last call, by verb."""
    counts = {name: count for name, count in world.store.counts.items() if count}
    world.store.reset()
    return counts


@pytest.mark.claim("ATTR-17")
@pytest.mark.parametrize("known", ["listed", "made"])
def test_a_new_small_file_in_a_known_directory_is_one_put(world: World, known: str) -> None:
    if known == "listed":
        world.put("d/a", "d/sub/b")
        world.names("d")
    else:
        world.mkdir("d")
    cost(world)
    for name in ("new", "other", "third"):
        world.write(f"d/{name}", b"x")
    assert cost(world) == {"put": 3}
    assert world.read("d/third") == b"x"


@pytest.mark.claim("ATTR-17")
def test_what_was_listed_holds_for_the_time_of_attributes(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.clock.step(10.0)
    cost(world)
    world.write("d/new", b"x")
    assert cost(world)["list_page"] >= 1


def test_a_directory_that_was_listed_is_no_file(world: World) -> None:
    world.put("d/sub/b")
    world.names("d")
    with raises(errno.EISDIR, path="/m/d/sub"):
        world.open("d/sub", WRITE)


def test_a_directory_made_here_since_is_no_file(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.mkdir("d/sub")
    with raises(errno.EISDIR):
        world.open("d/sub", WRITE)
    world.write("d/sub/b", b"x")  # and now it is one in the bucket
    with raises(errno.EISDIR):
        world.open("d/sub", WRITE)


def test_a_removed_directory_is_found_missing(world: World) -> None:
    world.mkdir("d")
    world.rmdir("d")
    with raises(errno.ENOENT):
        world.open("d/new", WRITE)
    world.put("e/a")
    world.names("e")
    world.unlink("e/a")  # the directory stays, as a local one
    world.rmdir("e")
    with raises(errno.ENOENT):
        world.open("e/new", WRITE)


def test_a_change_below_a_name_makes_it_unknown(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.write("d/new", b"x")
    world.unlink("d/new")
    world.put("d/new/below")  # another client
    with raises(errno.EISDIR):
        world.open("d/new", WRITE)


def test_forgetting_forgets_it(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.fs.invalidate("d")
    world.put("d/new/below")
    with raises(errno.EISDIR):
        world.open("d/new", WRITE)


def test_exclusive_creation_still_asks(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.put("d/new")  # another client
    with raises(errno.EEXIST):
        world.open("d/new", EXCLUSIVE)


def test_a_file_that_came_since_is_read_with_one_request(world: World) -> None:
    world.put("d/a")
    world.names("d")
    world.put("d/new", data=b"theirs")
    cost(world)
    assert world.read("d/new") == b"theirs"
    assert cost(world) == {"get_range": 1}


def test_no_time_to_live_means_asking(world: World) -> None:
    strict = World(metadata_ttl=0.0)
    try:
        strict.put("d/a")
        strict.names("d")
        strict.put("d/new/below")
        with raises(errno.EISDIR):
            strict.open("d/new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    finally:
        strict.close()
