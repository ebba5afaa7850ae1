"""Files being written in sequence, and who else may have them open."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from tests.vfs.world import EXCLUSIVE, PART, WRITE, World, raises
from vfsmount.errors import NotFound, PermissionDenied, StoreError, Unavailable
from vfsmount.store.protocol import StoreTraits

MakeWorld = Callable[..., World]
BIG = bytes(range(256)) * 20
"""Six parts."""


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, len(BIG)])
def test_nothing_is_visible_before_close(world: World, size: int) -> None:
    handle = world.open("f", WRITE)
    handle.write(BIG[:size])
    assert world.memory.objects() == {}
    assert not World.exists(_other(world), "f")
    assert handle.stat().size == size
    assert world.stat("f") == (False, size)  # to ourselves it is
    assert world.names() == ["f"]
    handle.close()
    assert world.memory.objects() == {"f": BIG[:size]}
    assert world.read("f") == BIG[:size]  # an open right after a close sees it
    world.nothing_left()


def _other(world: World) -> World:
    """Another client's view of the bucket."""
    other = object.__new__(World)
    other.__dict__.update(world.__dict__)
    other.fs = world.another()
    return other


def test_an_empty_file_is_committed(world: World) -> None:
    world.open("f", WRITE).close()
    assert world.memory.objects() == {"f": b""}


def test_the_content_type_follows_the_name(world: World) -> None:
    for name, kind in (("a.csv", "text/csv"), ("b.json", "application/json"), ("c", None)):
        world.write(name, b"x")
        assert world.memory.attributes(name).content_type == kind


class TestSequence:
    def test_seek_is_free_and_going_back_to_the_end_is_right(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(b"123")
        assert handle.seek(0) == 0
        assert handle.seek(0, os.SEEK_END) == 3
        assert handle.seek(-1, os.SEEK_CUR) == 2
        assert handle.seek(3) == handle.tell() == 3
        handle.write(b"45")
        handle.close()
        assert world.memory.objects() == {"f": b"12345"}

    @pytest.mark.parametrize("offset", [0, 2, 4])
    @pytest.mark.parametrize("existing", [False, True])
    def test_a_write_elsewhere_kills_the_upload(self, world: World, offset: int, existing: bool) -> None:
        if existing:
            world.put("f", data=b"old")
        handle = world.open("f", WRITE)
        handle.write(b"123")
        handle.seek(offset)
        with raises(errno.EINVAL, path="/m/f"):
            handle.write(b"x")
        handle.seek(3)
        with raises(errno.EINVAL):  # back at the right place: too late
            handle.write(b"45")
        with raises(errno.EINVAL):
            handle.fsync()
        with raises(errno.EINVAL):
            handle.close()
        assert world.memory.objects() == ({"f": b"old"} if existing else {})
        assert world.names() == (["f"] if existing else [])
        world.nothing_left()

    def test_parts_that_were_sent_are_dropped(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(BIG)
        with raises(errno.EINVAL):
            handle.pwrite(b"x", 0)
        with raises(errno.EINVAL):
            handle.close()
        world.nothing_left()
        assert world.memory.objects() == {}

    def test_pwrite_at_the_end_leaves_the_position(self, world: World) -> None:
        handle = world.open("f", WRITE)
        assert handle.pwrite(b"123", 0) == 3
        assert handle.pwrite(b"45", 3) == 2
        assert handle.tell() == 0
        with raises(errno.EINVAL):
            handle.pwrite(b"", -1)
        handle.close()
        assert world.memory.objects() == {"f": b"12345"}

    def test_append_is_always_at_the_end(self, world: World) -> None:
        handle = world.open("f", WRITE | os.O_APPEND)
        handle.write(b"123")
        handle.seek(0)
        handle.write(b"45")
        assert handle.tell() == 5
        handle.pwrite(b"6", 0)
        handle.close()
        assert world.memory.objects() == {"f": b"123456"}

    def test_writing_nothing_anywhere_is_nothing(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(b"1")
        assert handle.pwrite(b"", 77) == 0
        handle.close()
        assert world.memory.objects() == {"f": b"1"}

    def test_any_buffer_is_written_as_bytes(self, world: World) -> None:
        import array

        handle = world.open("f", WRITE)
        assert handle.write(memoryview(array.array("i", [1, 2]))) == 8
        assert handle.write(memoryview(array.array("i"))) == 0
        assert handle.write(bytearray(b"x")) == 1
        handle.close()
        assert len(world.read("f")) == 9


class TestTruncate:
    def test_to_nothing_begins_again(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(BIG)
        handle.truncate(0)
        assert handle.stat().size == 0
        handle.seek(0)
        handle.write(b"new")
        handle.truncate(3)
        handle.close()
        assert world.memory.objects() == {"f": b"new"}
        world.nothing_left()

    def test_the_position_stays_as_in_the_kernel(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(b"123")
        handle.truncate(0)
        assert handle.tell() == 3
        with raises(errno.EINVAL):
            handle.write(b"x")
        with raises(errno.EINVAL):
            handle.close()

    @pytest.mark.parametrize(("length", "number"), [(-1, errno.EINVAL), (2, errno.EPERM), (4, errno.EPERM)])
    def test_other_lengths_are_refused_and_harmless(self, world: World, length: int, number: int) -> None:
        handle = world.open("f", WRITE)
        handle.write(b"123")
        with raises(number):
            handle.truncate(length)
        with raises(number):
            world.fs.truncate("f", length, "/m/f")
        handle.write(b"4")
        handle.close()
        assert world.memory.objects() == {"f": b"1234"}

    def test_by_path(self, world: World) -> None:
        world.put("f", "d/x")
        for path, length, number in (
            ("f", 0, errno.EPERM),
            ("f", 4, errno.EPERM),
            ("f", -1, errno.EINVAL),
            ("d", 0, errno.EISDIR),
            ("no", 0, errno.ENOENT),
        ):
            with raises(number, path=f"/m/{path}"):
                world.fs.truncate(path, length, f"/m/{path}")
        handle = world.open("g", WRITE)
        handle.write(b"123")
        world.fs.truncate("g", 0, "/m/g")
        handle.close()
        assert world.memory.objects()["g"] == b""

    def test_of_a_reader(self, world: World) -> None:
        world.put("f")
        handle = world.open("f")
        with raises(errno.EINVAL):
            handle.truncate(0)
        handle.close()


class TestFsync:
    def test_publishes_and_ends_writing(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.write(b"123")
        handle.fsync()
        assert world.memory.objects() == {"f": b"123"}
        handle.fsync()
        for change in (lambda: handle.write(b"4"), lambda: handle.truncate(0)):
            with raises(errno.EIO, path="/m/f"):
                change()
        assert world.read("f") == b"123"  # nobody is kept from it any more
        with raises(errno.EPERM):
            handle.utime(1)
        with world.store.expect():
            handle.close()
        assert world.memory.objects() == {"f": b"123"}
        assert world.read("f") == b"123"

    def test_flush_of_the_file_system_tries_all(self, world: World) -> None:
        handles = [world.open(name, WRITE) for name in "abc"]
        for handle in handles:
            handle.write(b"x")
        world.faulty.fail("put", Unavailable("down"), nth=1)
        with raises(errno.EIO):
            world.fs.flush()
        assert len(world.memory.objects()) == 2
        failures = 0
        for handle in handles:
            try:
                handle.close()
            except OSError:
                failures += 1
        assert failures == 1


class TestFailure:
    @pytest.mark.parametrize(
        ("verb", "size"), [("put", 1), ("create_multipart", len(BIG)), ("put_part", len(BIG)), ("complete", len(BIG))]
    )
    @pytest.mark.parametrize(
        ("error", "number"),
        [(Unavailable("x"), errno.EIO), (PermissionDenied("x"), errno.EACCES), (NotFound("x"), errno.ENOENT)],
    )
    @pytest.mark.parametrize("existing", [False, True])
    def test_a_failed_upload_raises_and_leaves_nothing(
        self, world: World, verb: str, size: int, error: StoreError, number: int, existing: bool
    ) -> None:
        if existing:
            world.put("f", data=b"old")
        world.faulty.fail(verb, error, times=None)
        handle = world.open("f", WRITE)
        with raises(number, path="/m/f") as caught:
            try:
                handle.write(BIG[:size])
            finally:
                handle.close()
        assert caught.value.__cause__ is error
        assert handle.closed
        handle.close()
        world.faulty.heal()
        assert world.memory.objects() == ({"f": b"old"} if existing else {})
        assert world.names() == (["f"] if existing else [])
        world.write("f", b"again")
        assert world.read("f") == b"again"
        world.nothing_left()

    @pytest.mark.parametrize("size", [0, 10, len(BIG)])
    def test_abort_leaves_nothing(self, world: World, size: int) -> None:
        handle = world.open("f", WRITE)
        handle.write(BIG[:size])
        handle.close(abort=True)
        assert world.memory.objects() == {}
        assert not world.exists("f")
        world.nothing_left()

    def test_too_big(self, make_world: MakeWorld) -> None:
        world = make_world(traits=StoreTraits(min_part_size=PART, max_object_size=3 * PART))
        handle = world.open("f", WRITE)
        handle.write(bytes(3 * PART))
        with raises(errno.EFBIG, path="/m/f"):
            handle.write(b"x")
        with raises(errno.EFBIG):
            handle.close()
        assert world.memory.objects() == {}
        world.nothing_left()


class TestOtherClients:
    @pytest.mark.parametrize("size", [1, len(BIG)])
    def test_o_excl_is_atomic(self, world: World, size: int) -> None:
        handle = world.open("f", EXCLUSIVE)
        handle.write(BIG[:size])
        world.put("f", data=b"theirs")
        with raises(errno.EEXIST, path="/m/f"):
            handle.close()
        assert world.memory.objects() == {"f": b"theirs"}
        assert world.read("f") == b"theirs"
        world.nothing_left()

    def test_nor_is_anything_overwritten_without_allow_overwrite(self, make_world: MakeWorld) -> None:
        world = make_world(allow_overwrite=False)
        handle = world.open("f", WRITE)
        world.put("f", data=b"theirs")
        with raises(errno.EEXIST):
            handle.close()
        assert world.memory.objects() == {"f": b"theirs"}
        with raises(errno.EPERM):
            world.open("f", WRITE)
        world.write("g", b"new is fine")

    def test_a_store_without_conditions_still_writes(self, make_world: MakeWorld) -> None:
        world = make_world(traits=StoreTraits(min_part_size=PART, conditional_put=False))
        world.write("f", b"x", EXCLUSIVE)
        with raises(errno.EEXIST):
            world.open("f", EXCLUSIVE)
        assert world.read("f") == b"x"

    def test_of_two_threads_with_o_excl_one_succeeds(self, world: World) -> None:
        barrier = threading.Barrier(8)
        got: list[str | int | None] = []

        def create(number: int) -> None:
            barrier.wait()
            try:
                world.write("f", str(number).encode(), EXCLUSIVE)
            except OSError as error:
                got.append(error.errno)
            else:
                got.append("made")

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(map(str, got)) == [str(errno.EEXIST)] * 7 + ["made"]


class TestLedger:
    """One writer or many readers."""

    def test_a_writer_keeps_everyone_out(self, world: World) -> None:
        handle = world.open("f", WRITE)
        for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, WRITE, os.O_RDONLY | os.O_CREAT):
            with raises(errno.EPERM, path="/m/f"):
                world.open("f", flags)
        with raises(errno.EEXIST):
            world.open("f", EXCLUSIVE)
        handle.close()
        assert world.read("f") == b""

    def test_all_readers_must_close_before_a_writer(self, world: World) -> None:
        world.put("f")
        readers = [world.open("f") for _ in range(3)]
        for reader in readers:
            with raises(errno.EPERM):
                world.open("f", WRITE)
            reader.close()
            reader.close()  # a second close counts for nothing
        world.write("f", b"new")

    def test_a_failed_open_counts_for_nothing(self, world: World) -> None:
        world.faulty.fail("get_range", Unavailable("x"))
        with raises(errno.EIO):
            world.open("f")
        with raises(errno.ENOENT):
            world.open("f")
        world.write("f", b"x")
        assert world.read("f") == b"x"

    def test_a_directory_opened_counts_for_nothing(self, world: World) -> None:
        world.put("d/x")
        handle = world.open("d")
        world.memory.delete("d/x")
        world.forget()
        world.write("d", b"a file now")
        handle.close()

    def test_references(self, world: World) -> None:
        handle = world.open("f", WRITE)
        handle.retain()
        handle.write(b"1")
        handle.close()
        assert not handle.closed
        assert world.memory.objects() == {}
        handle.write(b"2")
        handle.close()
        assert handle.closed
        assert world.memory.objects() == {"f": b"12"}

    def test_unlinking(self, world: World) -> None:
        handle = world.open("f", WRITE)
        with raises(errno.EPERM, path="/m/f"):
            world.unlink("f")
        handle.close()
        world.unlink("f")
        assert world.memory.objects() == {}


class TestMetadata:
    def test_utime_of_a_file_being_written_shows_until_the_commit(self, world: World) -> None:
        handle = world.open("f", WRITE)
        world.fs.utime("f", 123_000_000_000, "/m/f")
        assert handle.stat().mtime_ns == 123_000_000_000
        handle.utime(456_000_000_000)
        attr = world.fs.stat("f", "/m/f").stat_result()
        assert attr.st_mtime_ns == attr.st_atime_ns == attr.st_ctime_ns == 456_000_000_000
        handle.close()
        with raises(errno.EPERM):
            world.fs.utime("f", 1, "/m/f")

    @pytest.mark.parametrize(
        ("options", "number"),
        [({}, errno.EPERM), ({"read_only": True}, errno.EROFS), ({"metadata_ops": "ignore"}, None)],
    )
    def test_chmod_chown_and_utime_of_what_is_committed(
        self, make_world: MakeWorld, options: dict[str, object], number: int | None
    ) -> None:
        world = make_world(**options)
        world.put("f")
        for change in (
            lambda path: world.fs.set_metadata(path, f"/m/{path}", "chmod"),
            lambda path: world.fs.utime(path, 1, f"/m/{path}"),
        ):
            with raises(errno.ENOENT, path="/m/no"):
                change("no")
            if number is None:
                change("f")
            else:
                with raises(number, path="/m/f"):
                    change("f")

    def test_by_handle(self, world: World) -> None:
        world.put("f")
        handle = world.open("f")
        for change in (lambda: handle.chmod(0o600), lambda: handle.chown(1, 1), lambda: handle.utime(1)):
            with raises(errno.EPERM, path="/m/f"):
                change()
        handle.close()
