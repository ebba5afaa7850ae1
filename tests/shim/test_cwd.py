"""A current directory inside a mount."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted
from vfsmount import real


def test_chdir_and_relative_paths(mounted: Mounted) -> None:
    os.chdir("/vfs-bucket/dir")
    assert os.getcwd() == "/vfs-bucket/dir"
    assert os.getcwdb() == b"/vfs-bucket/dir"
    assert Path.cwd() == Path("/vfs-bucket/dir")
    assert os.stat("b.txt").st_size == 4
    assert os.stat("../a.txt").st_size == 5
    assert os.stat(b"./sub/c.txt").st_size == 5
    assert os.listdir() == os.listdir(".") == os.listdir(None) == ["b.txt", "sub"]
    assert [entry.path for entry in os.scandir()] == ["./b.txt", "./sub"]
    assert os.path.abspath("x") == "/vfs-bucket/dir/x"
    assert os.path.realpath("../a.txt") == "/vfs-bucket/a.txt"
    assert Path("b.txt").resolve() == Path("/vfs-bucket/dir/b.txt")
    os.mkdir("new")
    assert os.path.isdir("/vfs-bucket/dir/new")


def test_chdir_step_by_step_and_out_again(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mount(f"{tmp_path}/mnt")
    os.chdir(tmp_path)
    os.chdir("mnt")
    assert os.getcwd() == f"{tmp_path}/mnt"
    os.chdir("dir")
    assert os.getcwd() == f"{tmp_path}/mnt/dir"
    os.chdir("..")
    assert os.getcwd() == f"{tmp_path}/mnt"
    os.chdir("..")
    assert os.getcwd() == real.getcwd() == str(tmp_path)


def test_local_relative_paths_from_inside_a_mount(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "local").write_text("12")
    mount(f"{tmp_path}/mnt")
    os.chdir(f"{tmp_path}/mnt/dir")
    assert os.stat("../../local").st_size == 2
    assert os.stat(b"../../local").st_size == 2
    assert sorted(os.listdir("../..")) == ["local", "mnt"]
    os.mkdir("../../made")
    assert (tmp_path / "made").is_dir()
    os.rename("../../made", "../../moved")
    assert (tmp_path / "moved").is_dir()
    with pytest.raises(FileNotFoundError) as caught:
        os.stat("../../none")
    assert caught.value.filename == "../../none"
    with pytest.raises(FileNotFoundError):
        os.stat("")


def test_failures_leave_the_directory(mounted: Mounted) -> None:
    before = os.getcwd()
    for path, kind in (("/vfs-bucket/none", FileNotFoundError), ("/vfs-bucket/a.txt", NotADirectoryError)):
        with pytest.raises(kind) as caught:
            os.chdir(path)
        assert caught.value.filename == path
        assert os.getcwd() == before
    os.chdir("/vfs-bucket/dir")
    with pytest.raises(FileNotFoundError):
        os.chdir("/nowhere/at/all")
    assert os.getcwd() == "/vfs-bucket/dir"


def test_fchdir(mounted: Mounted, tmp_path: Path) -> None:
    ours, local = os.open("/vfs-bucket/dir", os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    try:
        os.fchdir(ours)
        assert os.getcwd() == "/vfs-bucket/dir"
        os.fchdir(local)
        assert os.getcwd() == str(tmp_path)
        os.chdir(ours)
        assert os.stat("b.txt").st_size == 4
        os.chdir(local)
        assert os.getcwd() == str(tmp_path)
    finally:
        os.close(ours)
        os.close(local)


def test_the_kernels_directory_stays_sane(mounted: Mounted, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    os.chdir("/vfs-bucket/dir")
    assert real.getcwd() == str(tmp_path)
    with real.passthrough():
        assert os.getcwd() == str(tmp_path)
        assert os.listdir() == []
    mounted.installation.undo()
    assert os.getcwd() == str(tmp_path)


def test_absolute_local_paths_from_inside_a_mount(mounted: Mounted, tmp_path: Path) -> None:
    os.chdir("/vfs-bucket/dir")
    (tmp_path / "x").mkdir()
    assert os.path.isdir(tmp_path / "x")
    os.chdir(tmp_path / "x")
    assert os.getcwd() == str(tmp_path / "x")
    assert mounted.context.cwd.path is None


def test_chdir_through_a_link(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/vfs-bucket/dir")
    os.chdir(tmp_path / "link")
    assert os.getcwd() == "/vfs-bucket/dir"


def test_chdir_into_a_synthetic_directory(mount: Callable[..., Mounted]) -> None:
    mount("/vfsa/vfsb/vfsc")
    os.chdir("/vfsa")
    assert os.getcwd() == "/vfsa"
    assert os.listdir() == ["vfsb"]
    assert os.stat("vfsb/vfsc/a.txt").st_size == 5


def test_bad_calls_fail_as_ever(mounted: Mounted) -> None:
    for call in (os.getcwd, os.getcwdb, os.fchdir, os.chdir):
        arguments = ("/", "/") if call in (os.fchdir, os.chdir) else ("/",)
        with pytest.raises(TypeError):
            call(*arguments)  # type: ignore[operator]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython takes no buffer for a path any more")
@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_buffer_is_a_path_inside_a_mount_too(mounted: Mounted, kind: type) -> None:
    # CPython takes it with a warning; taken for no path of ours, it would name a file of the kernel's directory.
    os.chdir(mounted.point)
    with pytest.warns(DeprecationWarning, match=kind.__name__):
        assert os.stat(kind(b"a.txt")).st_size == 5
    with pytest.warns(DeprecationWarning, match=kind.__name__):
        assert os.listdir(kind(b"dir")) == [b"b.txt", b"sub"]
    with pytest.warns(DeprecationWarning, match=kind.__name__):
        assert [entry.path for entry in os.scandir(kind(b"dir"))] == [b"dir/b.txt", b"dir/sub"]
    with pytest.warns(DeprecationWarning, match=kind.__name__):
        os.close(os.open(kind(b"new"), os.O_WRONLY | os.O_CREAT))
    assert "new" in mounted.keys()
    with pytest.raises(TypeError):
        open(kind(b"a.txt"))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython takes a buffer for a path, with a warning")
def test_a_buffer_is_no_path(mounted: Mounted) -> None:
    os.chdir(mounted.point)
    for call in (os.stat, os.listdir, os.scandir, open, lambda path: os.open(path, os.O_WRONLY | os.O_CREAT)):
        with pytest.raises(TypeError, match="bytearray"):
            call(bytearray(b"a.txt"))


def test_an_empty_path_beside_a_mounted_one(mounted: Mounted) -> None:
    os.chdir(mounted.point)
    for call in (lambda: os.rename("", "x"), lambda: os.rename("a.txt", "")):
        with pytest.raises(FileNotFoundError):
            call()


def test_writing_where_the_kernels_directory_is_gone(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mounted = mount("/vfs-bucket", writes="staged")
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    os.chdir(mounted.point)
    os.rmdir(tmp_path / "gone")
    with open("new", "w") as file:
        file.write("staged")
    assert os.stat("new").st_size == 6


def test_a_local_path_keeps_its_spelling_in_errors(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mount(f"{tmp_path}/mnt")
    os.chdir(f"{tmp_path}/mnt/dir")
    for call in (open, io.FileIO, os.stat):
        with pytest.raises(FileNotFoundError) as caught:
            call("../../no")
        assert caught.value.filename == "../../no"


def test_a_subclass_of_file_io_starts_where_the_process_stands(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    """Its methods are C's, which know the kernel's directory alone: the file used to be written below that one."""
    bucket = mount(f"{tmp_path}/mnt")
    os.symlink(bucket.path("dir"), tmp_path / "link")

    class File(io.FileIO):
        pass

    os.chdir(bucket.path("dir"))
    with File("../../local", "w") as file:
        file.write(b"local")
    with pytest.raises(FileNotFoundError) as caught:
        File("../../no")
    assert caught.value.filename == "../../no"
    with File(f"{tmp_path}/link/b.txt") as file:
        assert file.read() == b"beta"
    assert (tmp_path / "local").read_bytes() == b"local"
