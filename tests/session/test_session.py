"""Sessions: a bucket becomes a directory of this process, and everything is as before afterwards."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import weakref
from pathlib import Path
from typing import Any

import pytest

import vfsmount
from tests.forks import in_child
from tests.session.starting import MOUNT, interpreter, start, untouched
from tests.vfs.world import raises
from vfsmount import session
from vfsmount.errors import Unavailable
from vfsmount.testing import FaultyStore, MemoryStore


class TestActivation:
    def test_a_bucket_is_a_directory(self, store: MemoryStore, point: str) -> None:
        store.put_object("d/a.txt", b"hello")
        with start(point, store) as active:
            assert vfsmount.is_active()
            assert active.mount_points == (point,)
            assert os.listdir(point) == ["d"]
            assert Path(point, "d", "a.txt").read_text() == "hello"
            with open(f"{point}/new", "w") as file:
                file.write("written")
            assert "active" in repr(active)
        assert "closed" in repr(active)
        assert store.objects()["new"] == b"written"
        untouched()
        assert not os.path.lexists(point)

    def test_close_twice_and_deactivate_of_nothing(self, store: MemoryStore, point: str) -> None:
        active = start(point, store)
        active.close()
        active.close()
        vfsmount.deactivate()

    def test_the_second_session_adds_its_mounts(self, tmp_path: Path) -> None:
        first, second = MemoryStore(), MemoryStore()
        first.put_object("a", b"1")
        second.put_object("b", b"2")
        one, two = str(tmp_path / "one"), str(tmp_path / "two")
        with start(one, first):
            with start(two, second):
                assert (os.listdir(one), os.listdir(two)) == (["a"], ["b"])
            assert os.listdir(one) == ["a"]
            assert not os.path.exists(two)
        untouched()

    def test_sessions_close_out_of_order(self, tmp_path: Path) -> None:
        stores = [MemoryStore() for _ in range(3)]
        points = [str(tmp_path / str(number)) for number in range(3)]
        sessions = [start(point, store) for point, store in zip(points, stores, strict=True)]
        file = open(f"{points[2]}/f", "w")
        file.write("kept open")
        sessions[0].close()
        sessions[1].close()
        assert os.listdir(points[2]) == ["f"]
        file.write(", and written")
        file.close()
        sessions[2].close()
        assert stores[2].objects() == {"f": b"kept open, and written"}
        untouched()

    def test_deactivate_closes_the_innermost(self, tmp_path: Path) -> None:
        one = start(str(tmp_path / "one"), MemoryStore())
        two = start(str(tmp_path / "two"), MemoryStore())
        vfsmount.deactivate()
        assert "closed" in repr(two)
        assert "active" in repr(one)
        vfsmount.deactivate()
        assert not vfsmount.is_active()

    def test_the_same_mount_point_is_taken(self, store: MemoryStore, point: str) -> None:
        with start(point, store):
            for again in (point, f"{point}/"):
                with pytest.raises(ValueError, match=r"taken by an active session; vfsmount.deactivate\(\) ends it"):
                    start(again, MemoryStore())
            assert os.listdir(point) == []

    def test_a_mount_in_a_mount_of_another_session(self, tmp_path: Path) -> None:
        outer, inner = MemoryStore(), MemoryStore()
        outer.put_object("a", b"1")
        inner.put_object("b", b"2")
        point = str(tmp_path / "m")
        with start(point, outer):
            with start(f"{point}/x/y", inner):
                assert os.listdir(point) == ["a", "x"]
                assert os.listdir(f"{point}/x/y") == ["b"]
            assert os.listdir(point) == ["a"]

    def test_a_failing_installation_leaves_nothing(
        self, store: MemoryStore, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(context: object, then: object) -> None:
            raise RuntimeError("cannot patch")

        with monkeypatch.context() as patch:
            patch.setattr("vfsmount.shim.install.install", fail)
            with pytest.raises(RuntimeError, match="cannot patch"):
                start(point, store)
        untouched()
        assert not os.path.lexists(point)
        with start(point, store):
            assert os.listdir(point) == []

    @pytest.mark.parametrize(
        ("options", "name"), [({"children": "some"}, "children"), ({"on_leak": "shrug"}, "on_leak")]
    )
    def test_a_choice_that_is_none(self, point: str, options: dict[str, str], name: str) -> None:
        with pytest.raises(ValueError, match=name):
            vfsmount.activate({point: MOUNT}, check=False, **options)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("limit", "kind"), [("1GB", TypeError), (1.5, TypeError), (0, ValueError)])
    def test_a_memory_limit_that_is_none(self, point: str, limit: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match="memory_limit"):
            vfsmount.activate({point: MOUNT}, check=False, memory_limit=limit)
        untouched()

    def test_threads_end_with_the_session(self, store: MemoryStore, point: str) -> None:
        import threading

        store.put_object("f", b"1")
        with start(point, store):
            os.stat(f"{point}/f")
            assert any(thread.name.startswith("vfsmount-") for thread in threading.enumerate())
        assert not any(thread.name.startswith("vfsmount-") for thread in threading.enumerate())


class TestOpenFiles:
    def test_what_is_open_at_close_is_committed_and_named(
        self, store: MemoryStore, point: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        active = start(point, store)
        text = open(f"{point}/text", "w")
        text.write("still in Python's buffer")
        binary = open(f"{point}/binary", "wb")
        binary.write(b"too")
        number = os.open(f"{point}/number", os.O_WRONLY | os.O_CREAT)
        os.write(number, b"by number")
        with caplog.at_level(logging.WARNING):
            active.close()
        assert store.objects() == {"text": b"still in Python's buffer", "binary": b"too", "number": b"by number"}
        for name in ("text", "binary", "number"):
            assert f"{point}/{name}" in caplog.text
        text.close()
        binary.close()

    def test_a_commit_that_fails_is_raised_and_everything_is_unmounted(self, store: MemoryStore, point: str) -> None:
        faulty = FaultyStore(store)
        active = start(point, faulty)
        file = open(f"{point}/f", "w")
        file.write("x")
        faulty.fail("put", Unavailable("down"), times=None)
        with raises(errno.EIO):
            active.close()
        untouched()
        assert store.objects() == {}
        assert not os.path.lexists(point)
        with contextlib.suppress(OSError, ValueError):
            file.close()

    def test_ctrl_c_in_a_commit_unmounts_all_the_same(self, store: MemoryStore, point: str) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        faulty = FaultyStore(store)
        active = start(point, faulty)
        file = open(f"{point}/f", "w")
        file.write("x")
        faulty.before("put", interrupt)
        with pytest.raises(KeyboardInterrupt):
            active.close()
        untouched()
        with contextlib.suppress(OSError, ValueError):
            file.close()
        del file
        gc.collect()

    def test_flush_publishes(self, store: MemoryStore, point: str) -> None:
        with start(point, store) as active:
            number = os.open(f"{point}/f", os.O_WRONLY | os.O_CREAT)
            os.write(number, b"flushed")
            active.flush()
            assert store.objects() == {"f": b"flushed"}
            with raises(errno.EIO):
                os.write(number, b"more")
            os.close(number)

    def test_readers_do_not_matter(self, store: MemoryStore, point: str) -> None:
        store.put_object("f", b"12345")
        active = start(point, store)
        file = open(f"{point}/f", "rb")
        assert file.read(2) == b"12"
        active.close()
        file.close()

    def test_a_forked_child_that_exits_takes_nothing_along(self, store: MemoryStore, point: str) -> None:
        active = start(point, store)
        file = open(f"{point}/f", "w")
        file.write("the parent's")
        file.flush()

        def child() -> None:
            logging.disable()
            session._at_exit()  # what the interpreter's exit would run
            assert not vfsmount.is_active()
            assert store.objects() == {}

        in_child(child)
        assert os.path.lexists(point)
        assert os.listdir(point) == ["f"]
        file.close()
        active.close()
        assert store.objects() == {"f": b"the parent's"}


class TestMaterialize:
    def test_a_file_of_a_mount(self, store: MemoryStore, point: str) -> None:
        content = os.urandom(3 << 20)
        store.put_object("d/data.bin", content)
        with start(point, store):
            with vfsmount.materialize(Path(point, "d", "data.bin")) as local:
                assert os.path.basename(local) == "data.bin"
                with vfsmount.passthrough():
                    assert Path(local).read_bytes() == content
            assert not os.path.exists(local)

    def test_a_local_file_is_itself(self, tmp_path: Path) -> None:
        with vfsmount.materialize(tmp_path / "x") as local:
            assert local == str(tmp_path / "x")

    def test_links_are_followed(self, store: MemoryStore, point: str, tmp_path: Path) -> None:
        store.put_object("d/f", b"content")
        os.symlink(f"{point}/d", tmp_path / "link")
        with start(point, store), vfsmount.materialize(tmp_path / "link" / "f") as local, vfsmount.passthrough():
            assert Path(local).read_bytes() == b"content"

    @pytest.mark.parametrize(("name", "number"), [("no", errno.ENOENT), ("d", errno.EISDIR)])
    def test_failures_leave_no_temporary_directory(
        self, store: MemoryStore, point: str, tmp_path: Path, name: str, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put_object("d/x", b"")
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setenv("TMPDIR", str(scratch))
        with start(point, store):
            with raises(number), vfsmount.materialize(f"{point}/{name}"):
                pass
        assert os.listdir(scratch) == []

    def test_a_forked_child_leaves_it_to_its_parent(self, store: MemoryStore, point: str) -> None:
        store.put_object("f", b"content")
        with start(point, store), contextlib.ExitStack() as block:
            local = Path(block.enter_context(vfsmount.materialize(f"{point}/f")))
            in_child(weakref.finalize._exitfunc)  # type: ignore[attr-defined]  # as at the interpreter's end
            in_child(block.close)
            assert local.read_bytes() == b"content"
        assert not local.exists()


class TestStats:
    def test_of_no_session(self) -> None:
        with pytest.raises(RuntimeError, match="no session"):
            vfsmount.stats()

    def test_of_the_innermost(self, tmp_path: Path) -> None:
        with start(str(tmp_path / "one"), MemoryStore()) as one:
            with start(str(tmp_path / "two"), MemoryStore()):
                os.listdir(tmp_path / "one")
                assert vfsmount.stats().total.requests == 0
            assert vfsmount.stats().total.requests == one.stats().total.requests == 1

    def test_activate_open_read_close_of_a_small_object(self, store: MemoryStore, point: str) -> None:
        store.put_object("f", b"12345")
        with start(point, store) as active:
            with open(f"{point}/f", "rb") as file:
                assert file.read() == b"12345"
            assert active.stats().total.requests <= 2
            (caller,) = active.stats("caller")
            assert caller.startswith(f"{__file__}:")
            assert list(active.stats("mount")) == [point]

    def test_invalidate_takes_relative_paths(
        self, store: MemoryStore, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put_object("d/f", b"1")
        with start(point, store) as active:
            os.stat(f"{point}/d/f")
            before = active.stats().total.requests
            monkeypatch.chdir(os.path.dirname(point))
            active.invalidate("bucket/d/../d")
            os.stat(f"{point}/d/f")
            assert active.stats().total.requests == before + 2


def test_what_is_open_at_exit_is_committed() -> None:
    ran = interpreter(
        """
        import atexit, sys
        from vfsmount import CloudBucketMount
        from vfsmount.session import activate_stores
        from vfsmount.testing import MemoryStore

        store = MemoryStore()
        atexit.register(lambda: print(sorted((key, len(data)) for key, data in store.objects().items())))
        activate_stores({"/vfsmount-at-exit/m": (CloudBucketMount("b", part_size=5 << 20), store)})
        small = open("/vfsmount-at-exit/m/small", "w")
        small.write("never closed")
        large = open("/vfsmount-at-exit/m/large", "wb")
        large.write(bytes(11 << 20))
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"[('large', {11 << 20}), ('small', 12)]\n"
    assert "/vfsmount-at-exit/m/small" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_commit_that_fails_at_exit_is_told() -> None:
    ran = interpreter(
        """
        from vfsmount import CloudBucketMount
        from vfsmount.errors import Unavailable
        from vfsmount.session import activate_stores
        from vfsmount.testing import FaultyStore, MemoryStore

        store = FaultyStore(MemoryStore())
        store.fail("put", Unavailable("the network is gone"), times=None)
        activate_stores({"/vfsmount-at-exit/m": (CloudBucketMount("b"), store)})
        file = open("/vfsmount-at-exit/m/f", "w")
        file.write("lost")
        """
    )
    assert "/vfsmount-at-exit/m/f" in ran.stderr
    assert "could not be committed" in ran.stderr
