"""What is at a path, at which cost."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable

import pytest

from tests.forks import in_child
from tests.vfs.world import WRITE, World, raises
from vfsmount.errors import NotFound, PermissionDenied, Unavailable
from vfsmount.testing import LatencyStore

MakeWorld = Callable[..., World]


def test_a_first_stat_is_a_head_and_a_list(world: World) -> None:
    world.put("f", "d/x")
    for path, expected in (("f", (False, 4)), ("d", (True, 0))):
        with world.store.expect(head=1, list_page=1):
            assert world.stat(path) == expected
        with world.store.expect():
            assert world.stat(path) == expected


def test_the_root_costs_nothing(world: World) -> None:
    with world.store.expect():
        assert world.stat("") == (True, 0)


def test_head_and_list_run_side_by_side(world: World) -> None:
    world.put("f")
    arrived = threading.Barrier(2, timeout=10)
    world.faulty.before("head", arrived.wait)
    world.faulty.before("list_page", arrived.wait)
    world.stat("f")  # would break the barrier if one waited for the other
    assert world.store.most_in_flight == 2


def test_one_round_trip_by_the_clock(world: World) -> None:
    """With 30 ms a request, a stat takes 30 and not 60."""
    world.put("f")
    world.faulty.inner = LatencyStore(world.memory, 0.03)
    assert not world.exists("x")  # a thread is there now
    begun = time.monotonic()
    world.stat("f")
    assert time.monotonic() - begun < 0.055


def test_missing_costs_two_where_the_directory_is_known(world: World) -> None:
    world.put("d/x")
    world.names("d")
    with world.store.expect(head=1, list_page=1), raises(errno.ENOENT, path="/m/d/no"):
        world.stat("d/no")
    with world.store.expect(head=1, list_page=1), raises(errno.ENOENT):  # negative_ttl is 0
        world.stat("d/no")


def test_a_missing_name_at_the_root_costs_two(world: World) -> None:
    with world.store.expect(head=1, list_page=1), raises(errno.ENOENT):
        world.stat("no")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("f/x", errno.ENOTDIR),
        ("f/x/y/z", errno.ENOTDIR),
        ("d/f/x", errno.ENOTDIR),
        ("d/f/x/y", errno.ENOTDIR),
        ("d/no", errno.ENOENT),
        ("d/no/x/y/z", errno.ENOENT),
        ("no/no/no", errno.ENOENT),
    ],
)
@pytest.mark.parametrize("call", ["stat", "read", "names", "unlink", "rmdir"])
def test_enotdir_below_a_file_however_deep(world: World, path: str, number: int, call: str) -> None:
    world.put("f", "d/f")
    with raises(number, path=f"/m/{path}"):
        getattr(world, call)(path)
    if path != "d/no":
        for create in (world.mkdir, lambda path: world.write(path, b"")):
            with raises(number, path=f"/m/{path}"):
                create(path)


def test_open_read_close_of_a_small_object_is_two_requests(world: World) -> None:
    world.put("f")
    with world.store.expect(get_range=1, list_page=1):
        assert world.read("f") == b"data"
    with world.store.expect(get_range=1):  # the open has shown that no directory hides it
        assert world.read("f") == b"data"


def test_get_and_list_of_an_open_run_side_by_side(world: World) -> None:
    world.put("f")
    arrived = threading.Barrier(2, timeout=10)
    world.faulty.before("get_range", arrived.wait)
    world.faulty.before("list_page", arrived.wait)
    assert world.read("f") == b"data"


def test_after_scandir_stat_is_free_and_open_is_one(world: World) -> None:
    world.put("d/a", "d/b", "d/sub/x")
    with world.store.expect(list_page=1):
        assert world.names("d") == ["a", "b", "sub"]
    with world.store.expect():
        assert world.stat("d/a") == (False, 4)
        assert world.stat("d/sub") == (True, 0)
        assert world.stat("d") == (True, 0)
    with world.store.expect(get_range=1):
        assert world.read("d/a") == b"data"


def test_a_cheap_open_never_lists(make_world: MakeWorld) -> None:
    world = make_world(lookup="cheap")
    world.put("f")
    with world.store.expect(get_range=1):
        assert world.read("f") == b"data"


def test_listing_a_file_or_nothing(world: World) -> None:
    world.put("f")
    with world.store.expect(list_page=2, head=1), raises(errno.ENOTDIR, path="/m/f"):
        world.names("f")
    with raises(errno.ENOENT, path="/m/no"):
        world.names("no")


@pytest.mark.parametrize("remote_dir", [False, True])
@pytest.mark.parametrize("local", ["nothing", "directory", "file"])
@pytest.mark.parametrize("remote_file", [False, True])
def test_precedence(world: World, remote_dir: bool, local: str, remote_file: bool) -> None:
    """A remote directory, then what is local, then a remote file."""
    handle = None
    if local == "directory":
        world.mkdir("p")
    elif local == "file":
        handle = world.open("p", WRITE)
        handle.write(b"1234567")
    if remote_dir:
        world.put("p/x")
    if remote_file:
        world.put("p")
    world.forget()
    listed = {entry.name: entry.attr for entry in world.fs.scandir("", "/m")}
    world.forget()
    if remote_dir or local == "directory":
        assert world.stat("p") == (True, 0)
        assert listed["p"].is_dir
        opened = world.open("p")
        assert opened.is_dir
        opened.close()
        assert world.names("p") == (["x"] if remote_dir else [])
    elif local == "file":
        assert world.stat("p") == (False, 7)
        assert (listed["p"].is_dir, listed["p"].size) == (False, 7)
        with raises(errno.EPERM):
            world.open("p")
    elif remote_file:
        assert world.stat("p") == (False, 4)
        assert (listed["p"].is_dir, listed["p"].size) == (False, 4)
        assert world.read("p") == b"data"
    else:
        assert not world.exists("p")
        assert listed == {}
        with raises(errno.ENOENT):
            world.open("p")
    if handle is not None:
        handle.close(abort=True)


def test_a_file_and_the_directory_that_hides_it_pages_apart(world: World) -> None:
    world.put("a", "a/x", *(f"a-{number:04}" for number in range(1500)))
    names = world.names()
    assert names[0] == "a"
    assert names == sorted(names)
    assert len(names) == 1501
    assert world.stat("a") == (True, 0)


class TestTtl:
    def test_an_answer_is_trusted_for_metadata_ttl(self, world: World) -> None:
        world.put("f")
        world.stat("f")
        world.put("f", data=b"longer than before")
        world.clock.step(0.99)
        with world.store.expect():
            assert world.stat("f") == (False, 4)
        world.clock.step(0.02)
        with world.store.expect(head=1, list_page=1):
            assert world.stat("f") == (False, 18)

    @pytest.mark.parametrize("ttl", [0.0, float("inf")])
    def test_minimal_and_indefinite(self, make_world: MakeWorld, ttl: float) -> None:
        world = make_world(metadata_ttl=ttl)
        world.put("f")
        world.stat("f")
        world.put("f", data=b"")
        world.clock.step(1e9)
        assert world.stat("f") == (False, 4 if ttl else 0)

    def test_a_negative_answer_is_trusted_for_negative_ttl(self, make_world: MakeWorld) -> None:
        world = make_world(negative_ttl=5.0)
        assert not world.exists("f")
        world.put("f")
        with world.store.expect():
            assert not world.exists("f")
        world.clock.step(5.01)
        assert world.exists("f")

    def test_creations_are_never_stale(self, make_world: MakeWorld) -> None:
        world = make_world(negative_ttl=100.0, metadata_ttl=100.0)
        for path in ("f", "d", "d/f"):
            assert not world.exists(path)
        world.write("f", b"12")
        assert world.stat("f") == (False, 2)
        world.mkdir("d")
        assert world.stat("d") == (True, 0)
        world.write("d/f", b"123")
        assert world.stat("d/f") == (False, 3)
        world.write("d/f", b"12345")
        assert world.stat("d/f") == (False, 5)
        world.unlink("d/f")
        assert not world.exists("d/f")
        world.rmdir("d")
        assert not world.exists("d")

    def test_a_listing_is_never_stale_and_refreshes_stat(self, make_world: MakeWorld) -> None:
        world = make_world(metadata_ttl=100.0, negative_ttl=100.0)
        world.put("d/a")
        world.names("d")
        assert not world.exists("d/b")
        world.put("d/b")
        world.put("d/a", data=b"changed")
        assert world.names("d") == ["a", "b"]
        assert world.stat("d/b") == (False, 4)
        assert world.stat("d/a") == (False, 7)

    def test_an_open_refetches_and_refreshes_stat(self, make_world: MakeWorld) -> None:
        world = make_world(metadata_ttl=100.0)
        for old, new in ((b"long content", b"short"), (b"short", b"long content")):
            world.memory.put_object("f", old)
            world.forget()
            assert world.stat("f") == (False, len(old))
            world.memory.put_object("f", new)
            assert world.stat("f") == (False, len(old))
            handle = world.open("f")
            assert handle.stat().size == len(new)
            assert handle.read(1000) == new  # neither clipped nor padded
            handle.close()
            assert world.stat("f") == (False, len(new))

    def test_an_open_of_what_is_gone_forgets_it(self, make_world: MakeWorld) -> None:
        world = make_world(metadata_ttl=100.0)
        world.put("f", "d/x")
        world.stat("f")
        world.stat("d")
        world.memory.delete("f")
        world.memory.delete("d/x")
        for path in ("f", "d"):
            with raises(errno.ENOENT):
                world.open(path)
            assert not world.exists(path)

    def test_invalidate(self, make_world: MakeWorld) -> None:
        world = make_world(metadata_ttl=100.0)
        world.put("d/a", "d/sub/b", "dd")
        for path in ("d/a", "d/sub/b", "dd"):
            world.stat(path)
        world.fs.invalidate("d")
        with world.store.expect(head=2, list_page=2):
            world.stat("d/a")
            world.stat("d/sub/b")
        with world.store.expect():
            world.stat("dd")


class TestErrors:
    @pytest.mark.parametrize("verb", ["head", "list_page"])
    def test_a_403_never_turns_into_enoent(self, world: World, verb: str) -> None:
        world.faulty.fail(verb, PermissionDenied("no"), times=None)
        with raises(errno.EACCES, path="/m/f") as caught:
            world.stat("f")
        assert isinstance(caught.value.__cause__, PermissionDenied)

    @pytest.mark.parametrize("verb", ["get_range", "list_page"])
    def test_nor_in_an_open(self, world: World, verb: str) -> None:
        world.put("f")
        world.faulty.fail(verb, PermissionDenied("no"), times=None)
        with raises(errno.EACCES, path="/m/f"):
            world.open("f")

    def test_nor_above_what_is_missing(self, world: World) -> None:
        world.faulty.fail("head", PermissionDenied("no"), times=None, key="d")
        with raises(errno.EACCES):
            world.stat("d/x")

    @pytest.mark.parametrize("verb", ["head", "list_page"])
    def test_a_store_that_fails_is_eio(self, world: World, verb: str) -> None:
        world.put("f")
        world.faulty.fail(verb, Unavailable("down"))
        with raises(errno.EIO, path="/m/f"):
            world.stat("f")
        assert world.stat("f") == (False, 4)  # and the failure is not remembered

    def test_no_bucket(self, world: World) -> None:
        def gone() -> NotFound:
            return NotFound(bucket="memory", code="NoSuchBucket")

        for verb in ("head", "get_range", "list_page"):
            world.faulty.fail(verb, gone, times=None)
        for call in (world.stat, world.read, world.names):
            with raises(errno.ENOENT) as caught:
                call("f")
            assert isinstance(caught.value.__cause__, NotFound)

    def test_archived_objects_are_eacces(self, world: World) -> None:
        world.memory.put_object("f", b"cold", storage_class="GLACIER")
        assert world.stat("f") == (False, 4)
        with raises(errno.EACCES, path="/m/f"):
            world.open("f")


def test_attributes(make_world: MakeWorld) -> None:
    world = make_world(file_mode=0o640, dir_mode=0o710, uid=12, gid=34)
    world.memory.put_object("f", b"x" * 1025, mtime_ns=1_700_000_000_123_456_789)
    world.put("d/x")
    file, directory = world.fs.stat("f", "/m/f").stat_result(), world.fs.stat("d", "/m/d").stat_result()
    assert (file.st_mode, directory.st_mode) == (0o100640, 0o40710)
    assert (file.st_uid, file.st_gid, file.st_nlink) == (12, 34, 1)
    assert file.st_atime_ns == file.st_mtime_ns == file.st_ctime_ns == 1_700_000_000_123_456_789
    assert file.st_blocks == 3
    assert file.st_ino != directory.st_ino
    assert file.st_dev == directory.st_dev == world.fs.device != os.stat("/").st_dev
    assert file.st_ino > 0
    assert world.another().stat("f", "/m/f").ino == file.st_ino  # the same in every process


def test_statvfs(make_world: MakeWorld) -> None:
    for read_only in (False, True):
        world = make_world(read_only=read_only)
        found = world.fs.statvfs("", "/m")
        assert found.f_bavail * found.f_frsize >= 1 << 40
        assert found.f_namemax == 255
        assert bool(found.f_flag & os.ST_RDONLY) is read_only
        with raises(errno.ENOENT):
            world.fs.statvfs("no", "/m/no")


def test_a_fork_in_the_middle_of_a_change_to_what_is_known(world: World) -> None:
    """The thread that makes it is not in the child, and may have left half of it."""
    world.put("f", "g")
    assert world.stat("f") == (False, 4)

    def child() -> None:
        world.fs.after_fork()
        with world.store.expect(head=1, list_page=1):
            assert world.stat("f") == (False, 4)

    with world.fs._cache._lock:
        in_child(child)
    with world.store.expect():
        assert world.stat("f") == (False, 4)


def test_a_fork_between_changes_keeps_what_is_known(world: World) -> None:
    world.put("f", "g")
    assert world.stat("f") == (False, 4)

    def child() -> None:
        world.fs.after_fork()
        with world.store.expect():
            assert world.stat("f") == (False, 4)

    in_child(child)
