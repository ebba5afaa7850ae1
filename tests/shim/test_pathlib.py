"""``pathlib`` on a mount; its way to ``os`` is another one in each Python version."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted


@pytest.fixture
def root(mounted: Mounted) -> Path:
    return Path(mounted.point)


def test_questions(root: Path) -> None:
    file, directory, none = root / "a.txt", root / "dir", root / "none"
    assert (file.exists(), directory.exists(), none.exists()) == (True, True, False)
    assert (file.is_file(), directory.is_file(), none.is_file()) == (True, False, False)
    assert (file.is_dir(), directory.is_dir(), none.is_dir()) == (False, True, False)
    assert not file.is_symlink()
    assert root.is_mount()
    assert not directory.is_mount()
    assert file.stat().st_size == file.lstat().st_size == 5
    assert file.owner() == pwd.getpwuid(os.getuid()).pw_name
    assert (root / "a.txt" / "below").exists() is False


def test_iterdir_glob_and_rglob(root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == [".hidden", "a.txt", "dir", "other"]
    assert sorted(root.glob("*.txt")) == [root / "a.txt"]
    assert sorted(root.glob("*/*.txt")) == [root / "dir/b.txt"]
    assert sorted(root.glob("**/*.txt")) == [root / "a.txt", root / "dir/b.txt", root / "dir/sub/c.txt"]
    assert sorted(root.rglob("*.txt")) == [root / "a.txt", root / "dir/b.txt", root / "dir/sub/c.txt"]
    assert sorted(root.glob("dir/**"))[:1] == [root / "dir"]
    assert list(root.glob("dir/b.txt")) == [root / "dir/b.txt"]
    assert list(Path("/").glob("vfs-bucket/a.txt")) == [root / "a.txt"]
    assert list(Path("/").glob("vfs-b*")) == [root]
    assert list((root / "none").glob("*")) == []


def test_iterdir_fails_as_ever(root: Path) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        list((root / "a.txt").iterdir())
    assert caught.value.filename == "/vfs-bucket/a.txt" or caught.value.filename == root / "a.txt"
    with pytest.raises(FileNotFoundError):
        list((root / "none").iterdir())


def test_walk(root: Path) -> None:
    walk = getattr(root, "walk", None)
    if walk is None:  # came with Python 3.12
        assert not hasattr(Path, "walk")
        return
    assert [top for top, _, _ in walk()] == [root, *(root / name for name in (".hidden", "dir", "dir/sub", "other"))]


def test_reading(root: Path) -> None:
    assert (root / "a.txt").read_text() == "alpha"
    assert (root / "other" / "d.bin").read_bytes() == b"\0\1"
    with (root / "dir" / "b.txt").open() as file:
        assert file.read() == "beta"
    with pytest.raises(FileNotFoundError) as caught:
        (root / "none").read_text()
    assert str(caught.value.filename) == "/vfs-bucket/none"
    with pytest.raises(IsADirectoryError):
        (root / "dir").read_text()


def test_writing(root: Path, mounted: Mounted) -> None:
    assert (root / "new.txt").write_text("text") == 4
    assert (root / "new.bin").write_bytes(b"12") == 2
    assert mounted.store.get_range("new.txt", 0, 4).data == b"text"
    assert (root / "new.bin").read_bytes() == b"12"
    (root / "touched").touch()
    assert (root / "touched").stat().st_size == 0
    with pytest.raises(FileExistsError):
        (root / "touched").touch(exist_ok=False)


def test_directories(root: Path) -> None:
    (root / "p/q/r").mkdir(parents=True)
    (root / "p/q/r").mkdir(exist_ok=True)
    with pytest.raises(FileExistsError):
        (root / "p").mkdir()
    with pytest.raises(FileNotFoundError):
        (root / "x/y").mkdir()
    (root / "p/q/r").rmdir()
    assert not (root / "p/q/r").exists()
    with pytest.raises(NotADirectoryError):
        (root / "a.txt").rmdir()


def test_unlink(root: Path, mounted: Mounted) -> None:
    (root / "a.txt").unlink()
    assert "a.txt" not in mounted.keys()
    with pytest.raises(FileNotFoundError):
        (root / "a.txt").unlink()
    (root / "a.txt").unlink(missing_ok=True)


def test_refusals(root: Path) -> None:
    file = root / "a.txt"
    for call in (
        lambda: file.rename(root / "b.txt"),
        lambda: file.replace(root / "b.txt"),
        lambda: file.chmod(0o600),
        lambda: file.touch(),
        lambda: (root / "link").symlink_to("a.txt"),
        lambda: (root / "link").hardlink_to(file),
    ):
        with pytest.raises(OSError):
            call()
    with pytest.raises(OSError):
        file.readlink()


def test_rename_where_allowed(mount: object) -> None:
    mounted = mount("/vfs-bucket", allow_rename=True)  # type: ignore[operator]
    root = Path(mounted.point)
    assert (root / "a.txt").rename(root / "moved.txt") == root / "moved.txt"
    assert (root / "moved.txt").read_text() == "alpha"
    assert not (root / "a.txt").exists()


def test_resolve_samefile_and_modes(root: Path) -> None:
    assert (root / "dir" / ".." / "a.txt").resolve() == root / "a.txt"
    assert (root / "none" / "x").resolve() == root / "none" / "x"
    with pytest.raises(FileNotFoundError):
        (root / "none" / "x").resolve(strict=True)
    assert (root / "a.txt").samefile("/vfs-bucket//a.txt")
    assert not (root / "a.txt").samefile(root / "dir/b.txt")
    assert stat.S_IMODE((root / "a.txt").stat().st_mode) == 0o644
    assert Path("/vfs-bucket/a.txt").absolute() == root / "a.txt"
