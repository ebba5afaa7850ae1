"""What changing a mode or time costs with ``metadata_ops="ignore"``: nothing for a file that was just written here."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from tests.vfs.world import WRITE, World, raises


@pytest.fixture
def world() -> Iterator[World]:
    world = World(metadata_ops="ignore", metadata_ttl=5.0)
    yield world
    world.close()


def chmod(world: World, path: str) -> None:
    world.fs.set_metadata(path, f"/m/{path}", "chmod")


def test_what_was_just_written_is_not_looked_up(world: World) -> None:
    world.write("f", b"x")
    with world.store.expect():
        chmod(world, "f")
        world.fs.utime("f", 1, "/m/f")
    world.clock.step(6)
    with world.store.expect(head=1, list_page=1):
        chmod(world, "f")


def test_what_was_removed_since_is_missing(world: World) -> None:
    world.write("f", b"x")
    world.unlink("f")
    with raises(errno.ENOENT, path="/m/f"):
        chmod(world, "f")


def test_what_was_published_and_removed_before_it_was_closed_is_missing(world: World) -> None:
    handle = world.open("f", WRITE)
    handle.write(b"x")
    handle.fsync()
    chmod(world, "f")
    world.unlink("f")
    handle.close()
    with raises(errno.ENOENT, path="/m/f"):
        chmod(world, "f")


def test_what_could_not_be_written_is_missing(world: World) -> None:
    handle = world.open("f", WRITE)
    handle.write(b"x")
    handle.close(abort=True)
    with raises(errno.ENOENT, path="/m/f"):
        chmod(world, "f")


def test_what_is_refused_stays_refused() -> None:
    world = World()
    world.write("f", b"x")
    with raises(errno.EPERM, path="/m/f"):
        chmod(world, "f")
    world.close()
