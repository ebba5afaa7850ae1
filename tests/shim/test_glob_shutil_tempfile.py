"""The standard library's own users of ``os``: glob, shutil, tempfile, and a few that captured something at import."""

from __future__ import annotations

import bz2
import errno
import filecmp
import fileinput
import glob
import gzip
import importlib.util
import linecache
import os
import shutil
import sys
import tarfile
import tempfile
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import SEED, Mounted


def test_glob(mounted: Mounted) -> None:
    assert glob.glob("/vfs-bucket/*.txt") == ["/vfs-bucket/a.txt"]
    assert sorted(glob.glob("/vfs-bucket/**/*.txt", recursive=True)) == [
        "/vfs-bucket/a.txt",
        "/vfs-bucket/dir/b.txt",
        "/vfs-bucket/dir/sub/c.txt",
    ]
    assert glob.glob("/vfs-b*/a.txt") == ["/vfs-bucket/a.txt"]
    assert sorted(glob.iglob("*/", root_dir="/vfs-bucket")) == ["dir/", "other/"]
    assert glob.glob(b"/vfs-bucket/a*") == [b"/vfs-bucket/a.txt"]
    assert glob.glob("/vfs-bucket/none*") == []
    if sys.version_info >= (3, 11):
        assert sorted(glob.glob("**", root_dir="/vfs-bucket", recursive=True, include_hidden=True))[:3] == [
            ".hidden",
            ".hidden/e",
            "a.txt",
        ]


def test_glob_relative_to_a_descriptor(mounted: Mounted) -> None:
    descriptor = os.open("/vfs-bucket/dir", os.O_RDONLY)
    try:
        assert sorted(glob.glob("**", dir_fd=descriptor, recursive=True)) == ["b.txt", "sub", "sub/c.txt"]
    finally:
        os.close(descriptor)


def test_copyfile_in_all_directions(mounted: Mounted, tmp_path: Path) -> None:
    shutil.copyfile("/vfs-bucket/a.txt", tmp_path / "local")
    assert (tmp_path / "local").read_bytes() == b"alpha"
    shutil.copyfile(tmp_path / "local", "/vfs-bucket/up.txt")
    shutil.copyfile("/vfs-bucket/up.txt", "/vfs-bucket/again.txt")
    assert mounted.store.get_range("again.txt", 0, 5).data == b"alpha"
    with pytest.raises(shutil.SameFileError):
        shutil.copyfile("/vfs-bucket/a.txt", "/vfs-bucket//a.txt")


def test_copy_needs_metadata_ops(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"x")
    mount("/vfs-bucket")
    with pytest.raises(PermissionError):
        shutil.copy(tmp_path / "local", "/vfs-bucket/up.txt")
    shutil.copy2("/vfs-bucket/a.txt", tmp_path / "down")
    assert os.stat(tmp_path / "down").st_mtime == pytest.approx(os.stat("/vfs-bucket/a.txt").st_mtime)


def test_copy_with_metadata_ops_ignored(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"x")
    mounted = mount("/vfs-bucket", metadata_ops="ignore")
    shutil.copy(tmp_path / "local", "/vfs-bucket/dir")
    shutil.copy2(tmp_path / "local", "/vfs-bucket/up.txt")
    assert {"dir/local", "up.txt"} <= set(mounted.keys())


def test_copytree_down_and_up(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mounted = mount("/vfs-bucket", metadata_ops="ignore")
    shutil.copytree("/vfs-bucket", tmp_path / "tree")
    assert {
        str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if path.is_file()
    } == set(SEED)
    shutil.copytree(tmp_path / "tree" / "dir", "/vfs-bucket/copied")
    assert {"copied/b.txt", "copied/sub/c.txt"} <= set(mounted.keys())


def test_rmtree(mounted: Mounted) -> None:
    assert shutil.rmtree.avoids_symlink_attacks
    shutil.rmtree("/vfs-bucket/dir")
    assert not [key for key in mounted.keys() if key.startswith("dir/")]
    assert not os.path.exists("/vfs-bucket/dir")
    with pytest.raises(FileNotFoundError):
        shutil.rmtree("/vfs-bucket/none")
    shutil.rmtree("/vfs-bucket/none", ignore_errors=True)


def test_move_between_disk_and_mount(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mounted = mount("/vfs-bucket", metadata_ops="ignore")
    (tmp_path / "local").write_bytes(b"x")
    shutil.move(tmp_path / "local", "/vfs-bucket/moved")
    assert not (tmp_path / "local").exists()
    assert "moved" in mounted.keys()
    shutil.move("/vfs-bucket/dir", tmp_path / "dir")
    assert (tmp_path / "dir" / "sub" / "c.txt").read_bytes() == b"gamma"
    assert not os.path.exists("/vfs-bucket/dir")


def test_disk_usage_which_and_chown(mounted: Mounted) -> None:
    assert shutil.disk_usage("/vfs-bucket/dir").free > 1 << 40
    assert shutil.which("a.txt", mode=os.F_OK, path="/vfs-bucket") == "/vfs-bucket/a.txt"
    assert shutil.which("a.txt", path="/vfs-bucket") is None
    with pytest.raises(OSError) as caught:
        shutil.chown("/vfs-bucket/a.txt", os.getuid())
    assert caught.value.errno == errno.EPERM


def test_tempfile(mounted: Mounted) -> None:
    descriptor, name = tempfile.mkstemp(dir="/vfs-bucket/dir", suffix=".tmp")
    os.write(descriptor, b"12")
    os.close(descriptor)
    assert os.stat(name).st_size == 2
    with tempfile.TemporaryDirectory(dir="/vfs-bucket") as directory:
        Path(directory, "x").write_text("x")
        assert os.listdir(directory) == ["x"]
    assert not os.path.exists(directory)
    with tempfile.NamedTemporaryFile("w", dir="/vfs-bucket", delete=False) as file:
        file.write("text")
    assert Path(file.name).read_text() == "text"


def test_the_temporary_directory_in_a_mount(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/vfs-bucket/dir")
    assert tempfile.gettempdir() == "/vfs-bucket/dir"
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("text")
    assert Path(file.name).read_text() == "text"
    directory = tempfile.mkdtemp()
    assert os.path.dirname(directory) == "/vfs-bucket/dir"
    os.rmdir(directory)


def test_what_captured_open_at_import(mounted: Mounted) -> None:
    store = mounted.store
    store.put("z.gz", gzip.compress(b"zipped"))
    store.put("z.bz2", bz2.compress(b"zipped"))
    store.put("code.py", b"# coding: utf-8\nvalue = 1\n")
    assert gzip.open("/vfs-bucket/z.gz").read() == b"zipped"
    assert bz2.open("/vfs-bucket/z.bz2").read() == b"zipped"
    with tokenize.open("/vfs-bucket/code.py") as source:
        assert source.readlines()[1] == "value = 1\n"
    assert linecache.getline("/vfs-bucket/code.py", 2) == "value = 1\n"
    with fileinput.input("/vfs-bucket/code.py") as lines:
        assert len(list(lines)) == 2
    assert filecmp.cmp("/vfs-bucket/a.txt", "/vfs-bucket/a.txt", shallow=False)


def test_tar_out_of_and_into_a_mount(mounted: Mounted, tmp_path: Path) -> None:
    with tarfile.open("/vfs-bucket/made.tar", "w") as archive:
        archive.add("/vfs-bucket/dir", arcname="dir")
    with tarfile.open("/vfs-bucket/made.tar") as archive:
        assert sorted(archive.getnames()) == ["dir", "dir/b.txt", "dir/sub", "dir/sub/c.txt"]
        member = archive.extractfile("dir/b.txt")
        assert member is not None
        assert member.read() == b"beta"


def test_an_extension_module_is_imported_from_a_mount(mounted: Mounted) -> None:
    spec = importlib.util.find_spec("_json")
    if spec is None or spec.origin is None or not spec.origin.endswith(".so"):
        pytest.fail("this Python has _json built in; choose another extension module")
    name = os.path.basename(spec.origin)
    mounted.store.put(f"ext/{name}", Path(spec.origin).read_bytes())
    located = importlib.util.spec_from_file_location("_json", f"/vfs-bucket/ext/{name}")
    assert located is not None
    module = importlib.util.module_from_spec(located)
    assert module.__file__ == f"/vfs-bucket/ext/{name}"
    assert module.encode_basestring_ascii("x") == '"x"'


def test_modules_are_imported_from_a_mount(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted.store.put("code/vfs_test_imported.py", b"value = 42\n")
    monkeypatch.syspath_prepend("/vfs-bucket/code")
    module = __import__("vfs_test_imported")
    monkeypatch.delitem(sys.modules, "vfs_test_imported")
    assert module.value == 42
    assert module.__file__ == "/vfs-bucket/code/vfs_test_imported.py"
