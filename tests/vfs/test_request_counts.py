"""What a listing, and what opening a small file, cost in requests."""

from __future__ import annotations

import errno

import pytest

from tests.vfs.world import World, raises
from vfsmount.errors import PermissionDenied
from vfsmount.model import ObjectMeta
from vfsmount.testing import CountingStore
from vfsmount.vfs.neighbours import ENOUGH


def test_what_was_listed_is_stat_for_nothing(world: World) -> None:
    for index in range(2500):
        world.memory.put_object(f"d/{index:05}", b"x")
    with world.store.expect(list_page=3):
        names = world.names("d")
        assert all(world.stat(f"d/{name}") == (False, 1) for name in names)


def test_what_was_listed_is_opened_with_one_get(world: World) -> None:
    world.put("d/f", "d/g/h")
    world.names("d")
    with world.store.expect(get_range=1):
        assert world.read("d/f") == b"data"


@pytest.mark.parametrize(("size", "first"), [(300 << 10, 300 << 10), (1 << 20, 1 << 20), ((1 << 20) + 1, 256 << 10)])
def test_what_was_listed_and_is_not_large_comes_whole_with_its_open(world: World, size: int, first: int) -> None:
    world.put("d/f", data=bytes(size))
    world.names("d")
    file = world.open("d/f")
    assert world.store.bytes_read == first
    with world.store.expect(get_range=int(size > first)):
        assert len(file.pread(size + 1, 0)) == size
    file.close()


def test_what_there_is_no_memory_for_comes_in_small_requests() -> None:
    world = World()
    world.budget.limit = 1 << 20
    world.put("d/f", data=bytes(1 << 20))
    world.names("d")
    world.open("d/f").close()
    assert world.store.bytes_read == 256 << 10
    world.close()


def test_a_small_file_is_opened_read_and_closed_in_one_round_trip(world: World) -> None:
    world.put("d/f", data=b"x" * 100_000)
    held = world.faulty.hold("get_range")
    reading = world.pool.submit(lambda: world.read("d/f"))
    held.wait_arrived()  # and now, beside it, what may hide the file is asked
    for _ in range(1000):
        if world.store.counts["list_page"]:
            break
        world.pool.submit(lambda: None).result(10)
    assert world.store.counts == {"get_range": 1, "list_page": 1}
    held.release()
    assert reading.result(10) == b"x" * 100_000
    assert isinstance(world.store, CountingStore)
    assert world.store.counts == {"get_range": 1, "list_page": 1}


def test_a_directory_of_which_files_are_opened_is_learnt_with_one_request(world: World) -> None:
    """A program that goes by a list of paths; learning goes on beside its opens."""
    names = [f"d/{number:02}" for number in range(40)]
    world.put(*names, "d/sub/x", "d/07/hides it")
    for name in names[:ENOUGH]:
        world.read(name)
    world.settle()
    assert world.store.counts == {"get_range": ENOUGH, "list_page": ENOUGH + 1}
    with world.store.expect(get_range=len(names) - ENOUGH - 1):
        for name in [*names[ENOUGH:7], *names[8:]]:
            world.read(name)
    with raises(errno.EISDIR):
        world.read("d/07")
    with world.store.expect(put=1):
        world.write("d/new", b"no question before it")


def test_new_files_of_one_directory_ask_for_it_as_a_whole(world: World) -> None:
    world.put("d/old")
    for number in range(ENOUGH):
        world.write(f"d/{number}", b"x")
    world.settle()
    before = world.store.counts["list_page"]
    for number in range(ENOUGH, 20):
        world.write(f"d/{number}", b"x")
    assert world.store.counts["list_page"] == before


def test_a_wide_directory_is_asked_for_once(world: World) -> None:
    for number in range(1500):
        world.memory.put_object(f"d/{number:04}", b"x")
    for number in range(3 * ENOUGH):
        world.read(f"d/{number:04}")
    world.settle()
    assert world.store.counts == {"get_range": 3 * ENOUGH, "list_page": 3 * ENOUGH + 1}
    world.clock.step(10)
    for number in range(ENOUGH):
        world.read(f"d/{number:04}")
    world.settle()
    assert world.store.counts == {"get_range": 4 * ENOUGH, "list_page": 4 * ENOUGH + 1}


def test_a_directory_that_is_not_there_is_not_learnt(world: World) -> None:
    for number in range(ENOUGH + 1):
        with raises(errno.ENOENT):
            world.read(f"none/{number}")
        world.settle()
    with raises(errno.ENOENT):
        world.write("none/new", b"")


@pytest.mark.parametrize("options", [{"metadata_ttl": 0.0}, {"lookup": "cheap"}])
def test_nothing_is_learnt_where_it_could_not_be_used(options: dict[str, object]) -> None:
    world = World(**options)
    names = [f"d/{number}" for number in range(3 * ENOUGH)]
    world.put(*names)
    for name in names:
        world.read(name)
    world.settle()
    assert world.store.counts["list_page"] == (0 if "lookup" in options else len(names))
    world.close()


def test_a_missing_name_is_remembered_for_its_own_time() -> None:
    world = World(negative_ttl=5.0)
    world.put("d/f")
    assert not world.exists("none")
    with world.store.expect():
        assert not world.exists("none")
    world.clock.step(5.0)
    with world.store.expect(head=1, list_page=1):
        assert not world.exists("none")
    world.close()


def test_the_deepest_directory_above_a_missing_path_is_found_by_halves() -> None:
    world = World(negative_ttl=0.0, metadata_ttl=0.0)
    names = "a b c d e f g h i j k l m n o p".split()
    for depth in range(1, len(names)):
        world.put("/".join([*names[:depth], "key"]))
        path = "/".join(names)
        before = world.store.counts["head"], world.store.counts["list_page"]
        with raises(errno.ENOENT):
            world.stat(path)
        heads, lists = world.store.counts["head"] - before[0], world.store.counts["list_page"] - before[1]
        assert heads == lists
        assert heads <= 2 + 4, depth  # itself, where it should be, and by halves among the fourteen above that
    world.close()


@pytest.mark.parametrize("depth", [16, 60])
def test_making_many_directories_at_once_asks_for_each_twice(world: World, depth: int) -> None:
    world.put("d/key")
    before = sum(world.store.counts.values())
    path = "d"
    missing = []
    for number in range(depth):  # as os.makedirs asks: from below, then from above
        path += f"/{number}"
        missing.append(path)
    for one in reversed(missing):
        assert not world.exists(one)
    for one in missing:
        world.mkdir(one)
    # A HEAD and a LIST each time, and as much for each halving on the way to `d`.
    assert sum(world.store.counts.values()) - before <= 4 * depth + 2 * depth.bit_length() + 2


def test_what_is_known_to_be_missing_tells_what_is_wrong_below_it_and_no_more() -> None:
    world = World(negative_ttl=0.0, metadata_ttl=10.0)
    world.put("d/key")
    with raises(errno.ENOENT):
        world.stat("d/a/b/c")
    for path in ("d/a/b/x", "d/a/b", "d/a/x"):
        with world.store.expect(head=1, list_page=1), raises(errno.ENOENT):
            world.stat(path)
    world.memory.put("d/a", b"another client's")  # seen at once where it is asked for
    assert world.stat("d/a") == (False, 16)
    with raises(errno.ENOTDIR):
        world.stat("d/a/b")
    world.memory.delete("d/a")
    world.clock.step(11)
    with raises(errno.ENOENT):
        world.stat("d/a/b/c")
    world.write("d/a", b"made here")
    with raises(errno.ENOTDIR):
        world.stat("d/a/b/c")
    world.fs.unlink("d/a", "/m/d/a")
    with raises(errno.ENOENT):
        world.stat("d/a/b/c")
    world.memory.put("d/a", b"another client's")
    world.clock.step(11)
    with raises(errno.ENOTDIR):
        world.stat("d/a/b/c")
    world.close()


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, 14])
def test_a_file_above_a_missing_path_is_found_wherever_it_is(depth: int) -> None:
    world = World(negative_ttl=0.0, metadata_ttl=0.0)
    names = "a b c d e f g h i j k l m n o p".split()
    world.put("/".join(names[:depth]))
    for length in range(depth + 1, len(names) + 1):
        with raises(errno.ENOTDIR):
            world.stat("/".join(names[:length]))
    world.close()


def test_what_may_not_be_looked_at_above_an_existing_directory_is_no_failure() -> None:
    world = World(negative_ttl=0.0, metadata_ttl=0.0)
    world.put("a/b/c/d/e/f/key")
    denied = {"a", "a/b", "a/b/c"}
    head = world.memory.head

    def refuse(key: str) -> ObjectMeta:
        if key in denied:
            raise PermissionDenied("denied", operation="head", key=key)
        return head(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.memory, "head", refuse)
        with raises(errno.ENOENT):
            world.stat("a/b/c/d/e/f/x/y")
        with raises(errno.ENOENT):
            world.stat("a/b/c/d/e/f/x/y/z")
        world.memory.delete("a/b/c/d/e/f/key")
        with raises(errno.EACCES):
            world.stat("a/b/c/d/e/f/x/y")
    world.close()
