"""Directories that exist by keys, by a marker, or here only."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import pytest

from tests.vfs.world import WRITE, World, raises
from vfsmount.errors import PermissionDenied, Unavailable

MakeWorld = Callable[..., World]


class TestMkdir:
    def test_is_local_and_sends_nothing(self, world: World) -> None:
        world.mkdir("d")
        assert world.memory.objects() == {}
        with world.store.expect():
            assert world.stat("d") == (True, 0)
        assert world.names() == ["d"]
        assert world.names("d") == []
        world.mkdir("d/e")
        assert world.names("d") == ["e"]
        with pytest.raises(FileNotFoundError):
            world.another().stat("d", "/m/d")

    @pytest.mark.parametrize("what", ["file", "directory", "marker", "local", "writing", ""])
    def test_eexist(self, world: World, what: str) -> None:
        world.put("file", "directory/x", "marker/")
        world.mkdir("local")
        handle = world.open("writing", WRITE)
        with raises(errno.EEXIST, path=f"/m/{what}"):
            world.mkdir(what)
        handle.close()

    def test_order_of_errors_on_a_read_only_mount(self, make_world: MakeWorld) -> None:
        world = make_world(read_only=True)
        world.put("f")
        for path, number in (("f", errno.EEXIST), ("no/d", errno.ENOENT), ("f/d", errno.ENOTDIR), ("d", errno.EROFS)):
            with raises(number, path=f"/m/{path}"):
                world.mkdir(path)

    def test_of_many_threads_one_succeeds(self, world: World) -> None:
        barrier = threading.Barrier(8)
        got: list[str] = []

        def make() -> None:
            barrier.wait()
            try:
                world.mkdir("d")
            except FileExistsError:
                got.append("exists")
            else:
                got.append("made")

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(got) == ["exists"] * 7 + ["made"]


class TestRmdir:
    def test_a_local_empty_one(self, world: World) -> None:
        world.mkdir("d")
        world.rmdir("d")
        assert not world.exists("d")
        with raises(errno.ENOENT, path="/m/d"):
            world.rmdir("d")

    def test_not_empty_by_what_is_local(self, world: World) -> None:
        world.mkdir("d")
        world.mkdir("d/e")
        with raises(errno.ENOTEMPTY, path="/m/d"):
            world.rmdir("d")
        world.rmdir("d/e")
        handle = world.open("d/f", WRITE)
        with raises(errno.ENOTEMPTY):
            world.rmdir("d")
        handle.close()
        with raises(errno.EPERM):  # the file is committed: a remote directory now
            world.rmdir("d")

    @pytest.mark.parametrize(
        ("keys", "number"), [(["d/x"], errno.EPERM), (["d/"], errno.EPERM), (["d/", "d/x"], errno.EPERM)]
    )
    def test_a_remote_one(self, world: World, keys: list[str], number: int) -> None:
        world.put(*keys)
        with raises(number, path="/m/d"):
            world.rmdir("d")
        assert sorted(world.memory.objects()) == keys

    def test_a_file(self, world: World) -> None:
        world.put("f")
        handle = world.open("g", WRITE)
        for path in ("f", "g"):
            with raises(errno.ENOTDIR, path=f"/m/{path}"):
                world.rmdir(path)
        handle.close(abort=True)

    def test_a_local_one_that_another_client_has_filled(self, world: World) -> None:
        world.mkdir("d")
        world.put("d/x")
        with raises(errno.EPERM):
            world.rmdir("d")
        assert world.names("d") == ["x"]

    def test_read_only(self, make_world: MakeWorld) -> None:
        world = make_world(read_only=True)
        world.put("d/x")
        with raises(errno.EROFS):
            world.rmdir("d")

    @pytest.mark.parametrize(("error", "number"), [(Unavailable(), errno.EIO), (PermissionDenied(), errno.EACCES)])
    def test_where_the_store_fails_the_directory_stays(self, world: World, error: Unavailable, number: int) -> None:
        world.mkdir("d")
        world.faulty.fail("list_page", error)
        with raises(number, path="/m/d"):
            world.rmdir("d")
        assert world.exists("d")


class TestLifeCycle:
    def test_a_commit_makes_all_ancestors_remote(self, world: World) -> None:
        for path in ("a", "a/b", "a/b/c"):
            world.mkdir(path)
        world.write("a/b/c/f", b"x")
        world.memory.delete("a/b/c/f")  # another client does it: all of them vanish
        world.forget()
        assert world.names() == []
        for path in ("a", "a/b", "a/b/c"):
            assert not world.exists(path)

    def test_our_own_delete_keeps_them_as_local_ones(self, world: World) -> None:
        world.put("a/b/c/f")
        world.unlink("a/b/c/f")
        assert world.memory.objects() == {}
        for path in ("a", "a/b", "a/b/c"):
            assert world.stat(path) == (True, 0)
        for path in ("a/b/c", "a/b", "a"):  # so that rmtree works
            world.rmdir(path)
        assert world.names() == []

    def test_an_aborted_upload_leaves_the_local_directory(self, world: World) -> None:
        world.mkdir("d")
        world.open("d/f", WRITE).close(abort=True)
        assert world.names("d") == []
        world.rmdir("d")

    def test_a_directory_below_which_only_a_file_is_being_written(self, world: World) -> None:
        world.put("d/x")
        handle = world.open("d/f", WRITE)
        world.memory.delete("d/x")
        world.forget()
        assert world.stat("d") == (True, 0)
        assert world.names("d") == ["f"]
        assert world.stat("d/f") == (False, 0)
        handle.close()
        assert world.read("d/f") == b""

    def test_a_local_directory_hides_a_later_object_of_its_name(self, world: World) -> None:
        world.mkdir("p")
        world.put("p")
        world.forget()
        assert world.stat("p") == (True, 0)
        assert world.names("p") == []
        world.rmdir("p")
        assert world.read("p") == b"data"

    def test_a_tree_made_filled_and_removed(self, world: World) -> None:
        world.mkdir("t")
        for name in ("a", "b", "c"):
            world.mkdir(f"t/{name}")
            for number in range(3):
                world.write(f"t/{name}/{number}", name.encode())
        assert world.names("t") == ["a", "b", "c"]
        assert world.names("t/b") == ["0", "1", "2"]
        for name in world.names("t"):
            for file in world.names(f"t/{name}"):
                world.unlink(f"t/{name}/{file}")
            world.rmdir(f"t/{name}")
        world.rmdir("t")
        assert world.names() == []
        assert world.memory.objects() == {}


class TestKeepDirs:
    def test_mkdir_writes_a_marker_that_persists(self, make_world: MakeWorld) -> None:
        world = make_world(keep_dirs=True)
        with world.store.expect(head=1, list_page=1, put=1):
            world.mkdir("d")
        assert world.memory.objects() == {"d/": b""}
        assert world.another().stat("d", "/m/d").is_dir
        world.mkdir("d/e")
        world.rmdir("d/e")
        world.rmdir("d")
        assert world.memory.objects() == {}
        assert not world.exists("d")

    def test_rmdir_of_what_holds_something(self, make_world: MakeWorld) -> None:
        world = make_world(keep_dirs=True)
        world.mkdir("d")
        world.put("d/x")
        with raises(errno.EPERM, errno.ENOTEMPTY):
            world.rmdir("d")
        world.unlink("d/x")
        world.rmdir("d")
        assert world.memory.objects() == {}

    def test_a_marker_that_cannot_be_written(self, make_world: MakeWorld) -> None:
        world = make_world(keep_dirs=True)
        world.faulty.fail("put", PermissionDenied())
        with raises(errno.EACCES, path="/m/d"):
            world.mkdir("d")
        assert not world.exists("d")


class TestUnlink:
    def test_costs_one_delete_where_the_file_is_known(self, world: World) -> None:
        world.put("d/f", "d/g")
        world.names("d")
        with world.store.expect(delete=1):
            world.unlink("d/f")
        assert world.names("d") == ["g"]
        assert not world.exists("d/f")

    @pytest.mark.parametrize(
        ("options", "path", "number"),
        [
            ({}, "no", errno.ENOENT),
            ({}, "d", errno.EISDIR),
            ({"allow_delete": False}, "f", errno.EPERM),
            ({"allow_delete": False}, "no", errno.ENOENT),
            ({"allow_delete": False}, "d", errno.EISDIR),
            ({"read_only": True}, "f", errno.EROFS),
            ({"read_only": True}, "no", errno.ENOENT),
        ],
    )
    def test_refusals(self, make_world: MakeWorld, options: dict[str, object], path: str, number: int) -> None:
        world = make_world(**options)
        world.put("f", "d/x")
        with raises(number, path=f"/m/{path}"):
            world.unlink(path)
        assert sorted(world.memory.objects()) == ["d/x", "f"]

    def test_a_delete_that_fails(self, world: World) -> None:
        world.put("f")
        world.faulty.fail("delete", PermissionDenied())
        with raises(errno.EACCES, path="/m/f"):
            world.unlink("f")
        assert world.read("f") == b"data"


def test_links_and_nodes(world: World) -> None:
    world.put("f")
    with raises(errno.EEXIST, path="/m/f"):
        world.fs.refuse_node("f", "/m/f")
    with raises(errno.EPERM, path="/m/no"):
        world.fs.refuse_node("no", "/m/no")


class TestKeyPrefix:
    def test_everything_stays_below_it(self, make_world: MakeWorld) -> None:
        world = make_world(key_prefix="team/a/")
        world.put("team/a/f", "team/a/d/x", "team/b", "other", "team/a", "team/a-/y")
        assert world.names() == ["d", "f"]
        assert world.read("f") == b"data"
        world.write("new", b"1")
        world.unlink("f")
        assert sorted(world.memory.objects()) == [
            "other", "team/a", "team/a-/y", "team/a/d/x", "team/a/new", "team/b",
        ]  # fmt: skip

    def test_an_empty_one_is_an_empty_directory(self, make_world: MakeWorld) -> None:
        world = make_world(key_prefix="nothing/here/")
        assert world.names() == []
        world.write("f", b"1")
        assert world.memory.objects() == {"nothing/here/f": b"1"}


class TestRename:
    def test_is_enosys(self, world: World) -> None:
        world.put("f", "d/x")
        for source in ("f", "d"):
            with raises(errno.ENOSYS, path=f"/m/{source}") as caught:
                world.rename(source, "g")
            assert caught.value.filename2 == "/m/g"
        with raises(errno.ENOENT):
            world.rename("no", "g")

    def test_a_file(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True)
        world.put("d/f")
        world.mkdir("e")
        world.rename("d/f", "e/g")
        assert world.memory.objects() == {"e/g": b"data"}
        assert not world.exists("d/f")
        assert world.stat("d") == (True, 0)  # kept, as after unlink
        assert world.read("e/g") == b"data"
        world.rename("e/g", "e/g")
        assert world.memory.objects() == {"e/g": b"data"}

    @pytest.mark.parametrize(
        ("options", "source", "target", "number"),
        [
            ({"allow_overwrite": False}, "f", "g", errno.EEXIST),
            ({"allow_delete": False}, "f", "new", errno.EPERM),
            ({"read_only": True}, "f", "new", errno.EROFS),
            ({}, "no", "new", errno.ENOENT),
            ({}, "f", "d", errno.EISDIR),
            ({}, "d", "f", errno.ENOTDIR),
            ({}, "d", "d/e", errno.EINVAL),
            ({}, "d", "dd", errno.ENOTEMPTY),
            ({}, "f", "no/new", errno.ENOENT),
            ({}, "f", "g/new", errno.ENOTDIR),
            ({}, "f", "x" * 256, errno.ENAMETOOLONG),
        ],
    )
    def test_refusals(
        self, make_world: MakeWorld, options: dict[str, object], source: str, target: str, number: int
    ) -> None:
        world = make_world(allow_rename=True, **options)
        world.put("f", "g", "d/x", "dd/y")
        with raises(number, path=f"/m/{source}"):
            world.rename(source, target)
        assert sorted(world.memory.objects()) == ["d/x", "dd/y", "f", "g"]

    def test_replaces_with_allow_overwrite(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True)
        world.put("f", data=b"new")
        world.put("g", data=b"old")
        world.rename("f", "g")
        assert world.memory.objects() == {"g": b"new"}
        assert world.stat("g") == (False, 3)

    @pytest.mark.parametrize(("source", "target"), [("w", "new"), ("f", "w")])
    def test_not_while_written(self, make_world: MakeWorld, source: str, target: str) -> None:
        world = make_world(allow_rename=True)
        world.put("f")
        handle = world.open("w", WRITE)
        with raises(errno.EPERM):
            world.rename(source, target)
        handle.close(abort=True)

    def test_a_target_that_appears_meanwhile_is_not_overwritten(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True, allow_overwrite=False)
        world.put("f")
        world.faulty.before("copy", lambda: world.put("g", data=b"theirs"))
        with raises(errno.EEXIST):
            world.rename("f", "g")
        assert world.memory.objects() == {"f": b"data", "g": b"theirs"}

    def test_a_source_replaced_meanwhile_is_not_lost(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True)
        world.put("f")
        world.faulty.before("copy", lambda: world.put("f", data=b"theirs"))
        with raises(errno.ESTALE):
            world.rename("f", "g")
        assert world.memory.objects() == {"f": b"theirs"}

    def test_a_small_tree(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True)
        world.put("d/a", "d/s/b", "d/")
        world.mkdir("d/local")
        world.rename("d", "e")
        assert sorted(world.memory.objects()) == ["e/", "e/a", "e/s/b"]
        assert not world.exists("d")
        assert world.names("e") == ["a", "local", "s"]
        assert world.read("e/s/b") == b"data"

    def test_a_tree_whose_copy_fails_stays_whole(self, make_world: MakeWorld) -> None:
        world = make_world(allow_rename=True)
        world.put("d/a", "d/b", "d/c")
        world.faulty.fail("copy", Unavailable("down"), key="e/b")
        with raises(errno.EIO):
            world.rename("d", "e")
        assert sorted(world.memory.objects()) == ["d/a", "d/b", "d/c"]
        assert world.names("d") == ["a", "b", "c"]
        assert not world.exists("e")
