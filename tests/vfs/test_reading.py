"""Files being read, and handles that a forked child inherits."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable

import pytest

from tests.forks import in_child
from tests.vfs.world import PART, WRITE, World, raises
from vfsmount.vfs.openfile import SEEK_DATA, SEEK_HOLE

BIG = bytes(range(256)) * 20
"""Six parts."""


class TestFork:
    @pytest.mark.parametrize("size", [3, PART + 7, len(BIG)])
    def test_a_handle_inherited_by_a_fork_never_commits(self, world: World, size: int) -> None:
        handle = world.open("f", WRITE)
        handle.write(BIG[:size])
        while world.store.counts["put_part"] < (size - 1) // PART or world.store._in_flight:
            time.sleep(0.001)  # the parts on their way arrive
        requests = len(world.store.calls)

        def child() -> None:
            world.fs.after_fork()
            for change in (lambda: handle.write(b"child"), handle.fsync, lambda: handle.truncate(0)):
                with pytest.raises(OSError):
                    change()
            handle.close()
            assert len(world.store.calls) == requests
            assert world.memory.objects() == {}

        in_child(child)
        assert len(world.memory.uploads()) == (size > PART)
        handle.write(b"!")
        handle.close()
        assert world.memory.objects() == {"f": BIG[:size] + b"!"}

    def test_a_child_opens_and_reads_for_itself(self, world: World) -> None:
        world.put("f", data=BIG * 100)
        inherited = world.open("f")
        assert inherited.read(10) == BIG[:10]

        def child() -> None:
            world.fs.after_fork()
            assert inherited.read(-1) == (BIG * 100)[10:]
            inherited.close()
            assert world.read("f") == BIG * 100
            world.write("g", b"mine")
            assert world.names() == ["f", "g"]

        in_child(child)
        assert inherited.read(10) == BIG[10:20]
        inherited.close()

    def test_locks_that_other_threads_hold_are_renewed(self, world: World) -> None:
        world.put("f", data=BIG)
        handle = world.open("f")
        inside, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with handle._position_lock, handle._reference_lock:
                inside.set()
                leave.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait(5)

        def child() -> None:
            world.fs.after_fork()
            handle.renew_locks()
            assert handle.read(10) == BIG[:10]
            handle.retain()
            handle.close()

        in_child(child)
        leave.set()
        thread.join()
        handle.close()

    def test_a_staged_file_is_the_parents_to_write(self, make_world: Callable[..., World]) -> None:
        world = make_world(writes="staged")
        handle = world.open("f", os.O_RDWR | os.O_CREAT)
        handle.write(b"parent")

        def child() -> None:
            world.fs.after_fork()
            handle.renew_locks()
            assert handle.pread(6, 0) == b"parent"
            for change in (lambda: handle.write(b"child"), lambda: handle.truncate(0), handle.fsync):
                with raises(errno.EBADF):
                    change()
            handle.close()
            assert world.memory.objects() == {}

        in_child(child)
        handle.close()
        assert world.memory.objects() == {"f": b"parent"}


class TestReading:
    def test_old_bytes_or_estale_for_a_replaced_object(self, world: World) -> None:
        content = os.urandom(600_000)
        world.put("f", data=content)
        handle = world.open("f")
        assert handle.read(1000) == content[:1000]
        world.put("f", data=b"short")
        assert handle.stat().size == len(content)
        with raises(errno.ESTALE, path="/m/f"):
            handle.read(-1)
        with raises(errno.ESTALE):
            handle.pread(10, 500_000)
        handle.close()
        assert world.read("f") == b"short"

    def test_estale_for_a_deleted_one_and_never_an_early_end(self, world: World) -> None:
        world.put("f", data=bytes(600_000))
        handle = world.open("f")
        world.memory.delete("f")
        with raises(errno.ESTALE, errno.ENOENT, errno.EIO):
            handle.pread(10, 500_000)
        handle.close()

    def test_positions(self, world: World) -> None:
        world.put("f", data=b"0123456789")
        handle = world.open("f")
        assert (handle.read(3), handle.tell()) == (b"012", 3)
        assert (handle.pread(3, 5), handle.tell()) == (b"567", 3)
        buffer = bytearray(4)
        assert (handle.readinto(memoryview(buffer)), bytes(buffer)) == (4, b"3456")
        assert handle.seek(-1, os.SEEK_END) == 9
        assert handle.read(5) == b"9"
        assert handle.read(5) == b""
        assert handle.seek(100) == 100
        assert handle.read(-1) == b""
        assert handle.readinto(memoryview(buffer)) == 0
        assert handle.pread(5, 10) == b""
        assert handle.seek(4, SEEK_DATA) == 4
        assert handle.seek(4, SEEK_HOLE) == 10
        for offset, whence, number in (
            (-1, os.SEEK_SET, errno.EINVAL),
            (-11, os.SEEK_END, errno.EINVAL),
            (0, 99, errno.EINVAL),
            (10, SEEK_DATA, errno.ENXIO),
        ):
            with raises(number, path="/m/f"):
                handle.seek(offset, whence)
        with raises(errno.EBADF):
            handle.write(b"x")
        with raises(errno.EINVAL):
            handle.pread(1, -1)
        handle.fsync()
        handle.close()

    def test_a_directory_handle(self, world: World) -> None:
        world.put("d/x")
        handle = world.open("d")
        assert handle.stat().is_dir
        for call in (lambda: handle.read(1), lambda: handle.pread(1, 0)):
            with raises(errno.EISDIR, path="/m/d"):
                call()
        with raises(errno.EBADF):
            handle.write(b"x")
        handle.close()

    def test_a_truncated_first_answer_is_never_an_early_end(self, world: World) -> None:
        content = os.urandom(400_000)
        world.put("f", data=content)
        world.faulty.truncate(1000)
        assert world.read("f") == content

    def test_a_body_that_stays_short_is_eio(self, world: World) -> None:
        world.put("f", data=bytes(400_000))
        world.faulty.truncate(1000, times=None)
        with raises(errno.EIO, path="/m/f"):
            world.read("f")
