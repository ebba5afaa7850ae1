"""Every spelling of a path: which belong to a mount, and where they lead."""

from __future__ import annotations

import errno
import os
import pathlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted
from vfsmount import real

POINT = "/vfs-bucket"

# Spelling -> what it leads to below a mount at /vfs-bucket; None: not ours.
SPELLINGS: list[tuple[object, str | None]] = [
    ("/vfs-bucket", "/vfs-bucket"),
    ("/vfs-bucket/", "/vfs-bucket"),
    ("/vfs-bucket/.", "/vfs-bucket"),
    ("/vfs-bucket/a.txt", "/vfs-bucket/a.txt"),
    ("//vfs-bucket/a.txt", "/vfs-bucket/a.txt"),
    ("/vfs-bucket//a.txt", "/vfs-bucket/a.txt"),
    ("/./vfs-bucket/./a.txt", "/vfs-bucket/a.txt"),
    ("/usr/../vfs-bucket/a.txt", "/vfs-bucket/a.txt"),
    ("/../../vfs-bucket/a.txt", "/vfs-bucket/a.txt"),
    ("/vfs-bucket/dir/../a.txt", "/vfs-bucket/a.txt"),
    ("/vfs-bucket/dir/..", "/vfs-bucket"),
    ("/vfs-bucket/.hidden", "/vfs-bucket/.hidden"),
    ("/vfs-bucket/...", "/vfs-bucket/..."),
    (b"/vfs-bucket/a.txt", "/vfs-bucket/a.txt"),
    (b"/vfs-bucket/\xff", "/vfs-bucket/\udcff"),
    (pathlib.PurePosixPath("/vfs-bucket/a.txt"), "/vfs-bucket/a.txt"),
    ("/vfs-bucket/none", "/vfs-bucket/none"),
    ("/vfs-bucket/..", None),
    ("/vfs-bucket/../etc", None),
    ("/vfs-bucket-beside", None),
    ("/vfs-bucket-beside/a.txt", None),
    ("/vfs-bucke", None),
    ("/etc/passwd", None),
    ("/", None),
    ("", None),
    ("vfs-bucket/a.txt", None),  # relative to a real directory other than /
    ("a.txt", None),
    ("/vfs-bucket/a\0b", None),  # the real function refuses it
    (3, None),
    (True, None),
    (None, None),
    (1.5, None),
    ([], None),
]


@pytest.mark.parametrize(("path", "expected"), SPELLINGS)
def test_spellings(
    mounted: Mounted, path: object, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert mounted.context.router.route(path) == expected


@pytest.mark.parametrize(("path", "expected"), [case for case in SPELLINGS if isinstance(case[0], str)])
def test_whatever_is_ours_contains_the_needle(mounted: Mounted, path: str, expected: str | None) -> None:
    assert expected is None or mounted.context.router.needle in path


@pytest.mark.parametrize(
    "path", ["/vfs-bucket/a.txt/", "/vfs-bucket/a.txt/.", "/vfs-bucket/a.txt/..", "/vfs-bucket/a.txt/../a.txt"]
)
def test_a_file_is_no_directory(mounted: Mounted, path: str) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        os.stat(path)
    assert caught.value.filename == path


def test_a_missing_name_cannot_be_left_by_dotdot(mounted: Mounted) -> None:
    with pytest.raises(FileNotFoundError):
        os.stat("/vfs-bucket/none/../a.txt")


def test_a_local_link_that_leads_into_a_mount(mounted: Mounted, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/vfs-bucket/dir")
    again = tmp_path / "again"
    again.symlink_to("link/sub")
    assert os.stat(link).st_ino == os.stat("/vfs-bucket/dir").st_ino
    assert os.stat(link / "b.txt").st_size == 4
    assert os.stat(again / "c.txt").st_size == 5
    assert os.listdir(link) == ["b.txt", "sub"]
    assert os.path.realpath(again / "c.txt") == "/vfs-bucket/dir/sub/c.txt"
    assert os.stat(f"{link}/../a.txt").st_size == 5
    assert os.lstat(link).st_ino == real.lstat(link).st_ino
    assert os.readlink(link) == "/vfs-bucket/dir"
    assert os.path.islink(link)
    os.unlink(link)
    assert not os.path.lexists(link)
    assert os.path.exists("/vfs-bucket/dir")


def test_a_relative_link_that_leads_into_a_mount(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("mnt/dir")
    mount(f"{tmp_path}/mnt")
    assert os.stat(tmp_path / "link" / "b.txt").st_size == 4


def test_links_in_a_circle(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError) as caught:
        os.stat(tmp_path / "one" / "vfs-bucket")
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == str(tmp_path / "one" / "vfs-bucket")


def test_a_link_to_a_mount_that_hides_a_real_directory(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    point = tmp_path / "mnt"
    (point / "dir").mkdir(parents=True)
    (point / "local.txt").write_text("hidden by the mount")
    (tmp_path / "link").symlink_to(point)
    (tmp_path / "other").mkdir()
    mounted = mount(str(point))
    assert os.listdir(point) == [".hidden", "a.txt", "dir", "other"]
    assert os.listdir(tmp_path / "link") == [".hidden", "a.txt", "dir", "other"]
    assert not os.path.exists(tmp_path / "link" / "local.txt")
    os.mkdir(tmp_path / "link" / "new")
    assert os.path.isdir(point / "new")
    assert os.listdir(tmp_path / "other") == []
    mounted.installation.undo()
    assert sorted(os.listdir(point)) == ["dir", "local.txt"]


def test_a_mount_below_a_linked_directory(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "physical").mkdir()
    (tmp_path / "linked").symlink_to("physical")
    mount(f"{tmp_path}/linked/mnt")
    assert os.stat(tmp_path / "linked/mnt/a.txt").st_size == 5
    assert os.stat(tmp_path / "physical/mnt/a.txt").st_size == 5
    assert "mnt" in os.listdir(tmp_path / "physical")


def test_relative_to_a_real_directory_above_a_mount(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mount(f"{tmp_path}/mnt")
    real.chdir(tmp_path)
    assert os.stat("mnt/a.txt").st_size == 5
    assert os.stat(b"./mnt//a.txt").st_size == 5
    assert "mnt" in os.listdir()
    assert not os.path.exists("a.txt")


def test_dir_fd_of_a_real_directory_above_a_mount(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mount(f"{tmp_path}/mnt")
    descriptor = real.fd_open(tmp_path, os.O_RDONLY)
    try:
        assert os.stat("mnt/a.txt", dir_fd=descriptor).st_size == 5
        assert os.access("mnt/a.txt", os.R_OK, dir_fd=descriptor)
        assert "mnt" in os.listdir(descriptor)
    finally:
        real.fd_close(descriptor)


def test_dir_fd_of_a_mounted_directory(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "local").write_text("12")
    descriptor = os.open("/vfs-bucket/dir", os.O_RDONLY)
    try:
        assert os.stat("b.txt", dir_fd=descriptor).st_size == 4
        assert os.stat("../a.txt", dir_fd=descriptor).st_size == 5
        assert os.stat(f"../..{tmp_path}/local", dir_fd=descriptor).st_size == 2
        assert os.stat("/vfs-bucket/a.txt", dir_fd=descriptor).st_size == 5
        with pytest.raises(FileNotFoundError) as caught:
            os.stat("none", dir_fd=descriptor)
        assert caught.value.filename == "none"
    finally:
        os.close(descriptor)


def test_dir_fd_of_a_mounted_file(mounted: Mounted, tmp_path: Path) -> None:
    for top in (str(tmp_path), POINT):
        Path(top, "file").touch()
        descriptor = os.open(f"{top}/file", os.O_RDONLY)
        try:
            assert os.stat(f"{top}/file", dir_fd=descriptor).st_size == 0
            calls: list[Callable[[], object]] = [
                lambda number=descriptor: os.stat("x", dir_fd=number),  # type: ignore[misc]
                lambda number=descriptor: os.open("x", os.O_WRONLY | os.O_CREAT, dir_fd=number),  # type: ignore[misc]
                lambda number=descriptor: os.mkdir("x", dir_fd=number),  # type: ignore[misc]
                lambda number=descriptor: os.rename("x", "y", src_dir_fd=number),  # type: ignore[misc]
            ]
            for call in calls:
                with pytest.raises(NotADirectoryError) as caught:
                    call()
                assert caught.value.filename == "x"
            assert not os.access("x", os.F_OK, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def test_the_longest_mount_point_wins(mount: Callable[..., Mounted]) -> None:
    mounted = mount("/vfs-bucket", "/vfs-bucket/dir/inner", "/vfs-other")
    route = mounted.context.router.route
    assert route("/vfs-bucket/dir/inner/../b.txt") == "/vfs-bucket/dir/b.txt"
    assert os.listdir("/vfs-bucket/dir/inner") == []
    assert "inner" in os.listdir("/vfs-bucket/dir")
    assert {"vfs-bucket", "vfs-other"} <= set(os.listdir("/"))
    with pytest.raises(OSError) as caught:
        os.rename("/vfs-bucket/a.txt", "/vfs-other/a.txt")
    assert caught.value.errno == errno.EXDEV


def test_mounts_whose_names_have_nothing_in_common(mount: Callable[..., Mounted]) -> None:
    mounted = mount("/vfsa/x", "/vfsb/y")
    assert mounted.context.router.needle == ""
    assert os.stat("/vfsa/x/a.txt").st_size == 5
    assert os.listdir("/vfsb/y") == []
    assert os.stat("/etc/passwd").st_ino == real.stat("/etc/passwd").st_ino


def test_passthrough_is_of_this_thread_alone(mounted: Mounted) -> None:
    seen: list[bool] = []
    with real.passthrough():
        assert not os.path.exists("/vfs-bucket/a.txt")
        assert "vfs-bucket" not in os.listdir("/") or not os.path.isdir("/vfs-bucket")
        thread = threading.Thread(target=lambda: seen.append(os.path.exists("/vfs-bucket/a.txt")))
        thread.start()
        thread.join()
    assert seen == [True]
    assert os.path.exists("/vfs-bucket/a.txt")


def test_out_of_a_mount_by_dots(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    # The kernel cannot step through a mount point that it knows as a file, or not at all.
    (tmp_path / "local").write_text("local")
    mounted = mount(f"{tmp_path}/bucket")
    os.chdir(tmp_path)
    up = "/..".join([f"{mounted.point}/dir", *[""] * 50])
    for path in (
        f"{mounted.point}/../local",
        f"{mounted.point}/dir/../../local",
        "bucket/../local",
        f"{up}{tmp_path}/local",
    ):
        for each in (path, os.fsencode(path), Path(path)):
            assert os.stat(each).st_size == 5
            with open(each) as file:
                assert file.read() == "local"
            os.close(os.open(each, os.O_RDONLY))
    os.rename(f"{mounted.point}/../local", "bucket/dir/../../moved")
    assert os.listdir(f"{mounted.point}/..") == os.listdir(tmp_path)
    assert (tmp_path / "moved").read_text() == "local"
    with pytest.raises(NotADirectoryError):
        os.stat(f"{mounted.point}/a.txt/../x")
    with pytest.raises(FileNotFoundError):
        os.stat(f"{mounted.point}/none/../../local")


def test_a_mount_beside_a_linked_directory(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mount(f"{tmp_path}/real/vfs-bucket")
    assert os.path.isdir(f"{tmp_path}/link/vfs-bucket")
    assert os.stat(f"{tmp_path}/link/vfs-bucket/a.txt").st_size
    with pytest.raises(FileNotFoundError):
        os.stat(f"{tmp_path}/link/none/vfs-bucket")


def test_a_link_to_a_mount_with_a_slash_behind_it(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(POINT)
    assert sorted(os.listdir(f"{tmp_path}/link/")) == sorted(os.listdir(POINT))


def test_a_link_to_a_guard_that_may_not_be_followed(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(POINT)
    refused = PermissionError(errno.EACCES, "as in a sticky directory, where it is another user's")
    assert mounted.context.router.retry(refused, f"{tmp_path}/link/a.txt") == f"{POINT}/a.txt"
    assert mounted.context.router.retry(refused, f"{tmp_path}/private") is None


def test_a_link_into_a_mount_is_found_above_what_is_missing(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(POINT)
    (tmp_path / "two").symlink_to(tmp_path / "link")
    assert os.stat(f"{tmp_path}/two/a.txt").st_size
    with pytest.raises(FileNotFoundError):
        os.mkdir(f"{tmp_path}/none/two/link")
    os.makedirs(f"{tmp_path}/two/new/deep")
    assert os.path.isdir(f"{POINT}/new/deep")
    assert sorted(os.listdir(tmp_path)) == ["link", "two"]


def test_a_path_without_a_piece_is_foreign_for_mounts_that_share_none(mount: Callable[..., Mounted]) -> None:
    router = mount("/vfs-one", "/xyz", "/vfs-one-more").context.router
    assert set(router.pieces) == {"vfs-one", "xyz"}
    assert router.is_foreign("/usr/lib")
    assert not router.is_foreign("/xyz/a")
    assert not router.is_foreign("a/../xyz")
    router.enter("/xyz")
    assert not router.is_foreign("a.txt")
    router.enter(None)
    assert router.is_foreign("a.txt")


@pytest.mark.parametrize("depth", range(4))
def test_what_a_missing_local_path_costs(
    mounted: Mounted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    asked = []
    access = real.access

    def count(path: str, *args: int, **kwargs: bool) -> bool:
        asked.append(path)
        return access(path, *args, **kwargs)

    monkeypatch.setattr(real, "access", count)
    with pytest.raises(FileNotFoundError):
        os.stat(f"{tmp_path}/{'none/' * depth}none")
    assert len(asked) == 2 + depth
