"""Many mounts: nesting, synthetic parents, and what must not cross."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.forks import in_child
from tests.vfs.world import WRITE, World, raises
from vfsmount.vfs.mounts import Mount, MountTable

POINTS = ("/mnt", "/mnt/deep/er/in", "/srv/a/b", "/srv/a/c")


@pytest.fixture
def worlds() -> Iterator[dict[str, World]]:
    made = {point: World(bucket=point, allow_rename=True) for point in POINTS}
    yield made
    for world in made.values():
        world.close()


@pytest.fixture
def table(worlds: dict[str, World]) -> MountTable:
    return MountTable([Mount(point, world.fs) for point, world in worlds.items()], mounted_at_ns=5)


def names(table: MountTable, path: str) -> list[str]:
    return [entry.name for entry in table.scandir(path)]


@pytest.mark.parametrize(
    ("path", "point", "inner"),
    [
        ("/mnt", "/mnt", ""),
        ("/mnt/x", "/mnt", "x"),
        ("/mnt/deep", "/mnt", "deep"),
        ("/mnt/deep/er/in", "/mnt/deep/er/in", ""),
        ("/mnt/deep/er/in/x/y", "/mnt/deep/er/in", "x/y"),
        ("/mnt/deep/er/inside", "/mnt", "deep/er/inside"),
        ("/mnt-beside", None, ""),
        ("/mn", None, ""),
        ("/", None, ""),
        ("/srv/a", None, ""),
        ("/srv/a/b", "/srv/a/b", ""),
        ("/srv/a/bb", None, ""),
    ],
)
def test_the_longest_mount_point_wins(table: MountTable, path: str, point: str | None, inner: str) -> None:
    found = table.find(path)
    assert table.covers(path) is (point is not None)
    assert (found and (found[0].point, found[1])) == (point and (point, inner))


def test_ancestors(table: MountTable) -> None:
    asked = ("/", "/srv", "/srv/a", "/mnt", "/mnt/deep", "/srv/a/b", "/x")
    assert [path for path in asked if table.is_ancestor(path)] == ["/", "/srv", "/srv/a"]
    assert table.names_below("/") == ("mnt", "srv")
    assert table.names_below("/srv/a") == ("b", "c")
    assert table.names_below("/srv/a/b") == ()
    assert table.is_point("/srv/a/b")
    assert not table.is_point("/srv/a")
    attr = table.synthetic_attr("/srv/a")
    assert attr.is_dir
    assert attr.ino != table.synthetic_attr("/srv").ino
    assert attr.mtime_ns == 5


def test_nested_mounts_show_in_listings_of_the_outer_one(table: MountTable, worlds: dict[str, World]) -> None:
    worlds["/mnt"].put("deep/file", "z")
    worlds["/mnt/deep/er/in"].put("inner")
    assert names(table, "/mnt") == ["deep", "z"]
    assert names(table, "/mnt/deep") == ["er", "file"]
    assert names(table, "/mnt/deep/er") == ["in"]
    assert names(table, "/mnt/deep/er/in") == ["inner"]
    assert [entry.attr.is_dir for entry in table.scandir("/mnt/deep")] == [True, False]


def test_synthetic_parents_inside_a_mount(table: MountTable) -> None:
    for path in ("/mnt/deep", "/mnt/deep/er"):
        assert table.stat(path).is_dir
        assert table.open(path, os.O_RDONLY).is_dir
        assert table.access(path, os.R_OK | os.X_OK)
        for flags, number in (
            (os.O_WRONLY, errno.EISDIR),
            (WRITE, errno.EISDIR),
            (os.O_RDONLY | os.O_CREAT, errno.EISDIR),
            (os.O_WRONLY | os.O_CREAT | os.O_EXCL, errno.EEXIST),
        ):
            with raises(number, path=path):
                table.open(path, flags)
        with raises(errno.EEXIST, path=path):
            table.mkdir(path)
        with raises(errno.EBUSY, path=path):
            table.rmdir(path)
        with raises(errno.EISDIR, path=path):
            table.unlink(path)
        with raises(errno.EINVAL, path=path):
            table.readlink(path)
    with raises(errno.ENOENT):
        table.stat("/mnt/deep/no")
    assert names(table, "/mnt") == ["deep"]


def test_an_object_where_a_nested_mount_needs_a_directory_is_hidden(
    table: MountTable, worlds: dict[str, World]
) -> None:
    worlds["/mnt"].put("deep")
    assert table.stat("/mnt/deep").is_dir
    assert [(entry.name, entry.attr.is_dir) for entry in table.scandir("/mnt")] == [("deep", True)]
    assert names(table, "/mnt/deep") == ["er"]
    assert table.open("/mnt/deep", os.O_RDONLY).is_dir
    with raises(errno.EISDIR):
        table.open("/mnt/deep", WRITE)


@pytest.mark.parametrize("point", POINTS)
def test_mount_points_are_busy(table: MountTable, point: str) -> None:
    with raises(errno.EBUSY, path=point):
        table.rmdir(point)
    for source, target in ((point, "/mnt/x"), ("/mnt/x", point)):
        with raises(errno.EBUSY, path=source) as caught:
            table.rename(source, target)
        assert caught.value.filename2 == target
    with raises(errno.EISDIR, path=point):
        table.unlink(point)
    with raises(errno.EEXIST, path=point):
        table.mkdir(point)
    assert table.stat(point).is_dir


def test_nothing_is_renamed_or_linked_across(table: MountTable, worlds: dict[str, World]) -> None:
    worlds["/mnt"].put("f", "g")
    for source, target in (
        ("/mnt/f", "/srv/a/b/f"),
        ("/mnt/f", "/mnt/deep/er/in/f"),
        ("/mnt/f", "/tmp/f"),
        ("/tmp/f", "/mnt/new"),
        ("/mnt/f", "/mnt-beside"),
    ):
        for call in (table.rename, table.link):
            with raises(errno.EXDEV, path=source) as caught:
                call(source, target)
            assert caught.value.filename2 == target
    table.rename("/mnt/f", "/mnt/h")
    assert sorted(worlds["/mnt"].memory.objects()) == ["g", "h"]


def test_links_say_eexist_before_eperm(table: MountTable, worlds: dict[str, World]) -> None:
    worlds["/mnt"].put("f", "g")
    for call in (
        lambda path: table.symlink("anything", path),
        table.mknod,
        lambda path: table.link("/mnt/f", path),
    ):
        with raises(errno.EEXIST):
            call("/mnt/g")
        with raises(errno.EPERM):
            call("/mnt/new")
    with raises(errno.ENOENT, path="/mnt/no"):
        table.link("/mnt/no", "/mnt/new")
    with raises(errno.EINVAL, path="/mnt/f"):
        table.readlink("/mnt/f")
    with raises(errno.ENOENT, path="/mnt/no"):
        table.readlink("/mnt/no")
    with raises(errno.ENOTSUP, path="/mnt/f"):
        table.xattr("/mnt/f")
    with raises(errno.ENOENT, path="/mnt/no"):
        table.xattr("/mnt/no")
    assert sorted(worlds["/mnt"].memory.objects()) == ["f", "g"]


def test_a_file_system_call_on_each(table: MountTable, worlds: dict[str, World]) -> None:
    for point in POINTS:
        handle = table.open(f"{point}/f", WRITE)
        handle.write(point.encode())
        handle.close()
        assert worlds[point].memory.objects() == {"f": point.encode()}
        assert handle.path == f"{point}/f"
        with raises(errno.EPERM, path=f"{point}/f"):
            table.chmod(f"{point}/f", 0o600)
        with raises(errno.EPERM, path=f"{point}/f"):
            table.chown(f"{point}/f", 1, 1)
        with raises(errno.EPERM, path=f"{point}/f"):
            table.utime(f"{point}/f", 1)
        with raises(errno.EPERM, path=f"{point}/f"):
            table.truncate(f"{point}/f", 0)
        table.mkdir(f"{point}/d")
        table.rmdir(f"{point}/d")
        assert table.statvfs(f"{point}/f").f_blocks > 0
        table.unlink(f"{point}/f")
    assert len({table.stat(point).dev for point in POINTS}) == len(POINTS)
    assert len({table.stat(point).ino for point in POINTS}) == len(POINTS)


def test_a_path_that_is_not_ours(table: MountTable) -> None:
    for call in (table.stat, table.scandir, table.unlink, table.mknod):
        with raises(errno.ENOENT, path="/elsewhere/x"):
            call("/elsewhere/x")


def test_flush_and_invalidate(table: MountTable, worlds: dict[str, World]) -> None:
    handles = [table.open(f"{point}/f", WRITE) for point in POINTS]
    table.flush()
    assert all(world.memory.objects() == {"f": b""} for world in worlds.values())
    for handle in handles:
        handle.close()
    for world in worlds.values():
        world.stat("f")
    table.invalidate("/srv/a/b/f")
    table.invalidate("/mnt")
    costs = []
    for world in worlds.values():
        world.store.reset()
        world.stat("f")
        costs.append(len(world.store.calls))
    assert costs == [2, 2, 2, 0]


class TestAccess:
    @pytest.mark.parametrize(
        ("mode", "asked", "allowed"),
        [
            (0o644, os.R_OK | os.W_OK, True),
            (0o000, os.R_OK | os.W_OK, True),
            (0o644, os.X_OK, False),
            (0o645, os.X_OK, True),
            (0o644, os.F_OK, True),
        ],
    )
    def test_as_root(self, mode: int, asked: int, allowed: bool) -> None:
        if os.geteuid() != 0:
            in_child(lambda: None)  # nobody to become; the rules for others are tested below
            return
        world = World(file_mode=mode)
        world.put("f", "d/x")
        assert world.fs.access("f", asked, "/m/f") is allowed
        assert world.fs.access("d", os.R_OK | os.W_OK | os.X_OK, "/m/d")
        world.close()

    @pytest.mark.parametrize(
        ("uid", "gid", "mode", "asked", "allowed"),
        [
            (65534, 1, 0o640, os.R_OK | os.W_OK, True),
            (65534, 1, 0o640, os.X_OK, False),
            (65534, 1, 0o066, os.R_OK, False),
            (1, 65534, 0o640, os.R_OK, True),
            (1, 65534, 0o640, os.W_OK, False),
            (1, 1, 0o640, os.R_OK, False),
            (1, 1, 0o604, os.R_OK, True),
            (1, 1, 0o000, os.F_OK, True),
        ],
    )
    def test_as_nobody(self, uid: int, gid: int, mode: int, asked: int, allowed: bool) -> None:
        world = World(file_mode=mode, uid=uid, gid=gid)
        world.put("f")

        def child() -> None:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            assert world.fs.access("f", asked, "/m/f") is allowed

        if os.geteuid() in (0, 65534):
            in_child(child)
        world.close()

    def test_read_only_and_missing(self) -> None:
        world = World(read_only=True)
        world.put("f")
        assert world.fs.access("f", os.R_OK, "/m/f")
        assert not world.fs.access("f", os.W_OK, "/m/f")
        with raises(errno.ENOENT):
            world.fs.access("no", os.F_OK, "/m/no")
        world.close()
