"""Symbolic links on the local disk that lead to a mount point itself, while its guard stands there."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.session.starting import MOUNT
from vfsmount import real
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore


@pytest.fixture
def link(store: MemoryStore, point: str, tmp_path: Path) -> Iterator[str]:
    store.put("a.txt", b"alpha")
    store.put("d/b.txt", b"beta")
    (tmp_path / "tree").mkdir()
    os.symlink(point, tmp_path / "tree" / "link")
    with activate_stores({point: (MOUNT, store)}, children="always"):
        assert real.readlink(point)  # it is guarded
        yield f"{tmp_path}/tree/link"


def test_it_is_the_mounted_directory(link: str, point: str) -> None:
    again = f"{link}-again"
    os.symlink("link", again)
    for each in (link, again, os.fsencode(link), Path(link)):
        assert os.path.isdir(each)
        assert os.path.exists(each)
        assert os.path.samefile(each, point)
        assert os.access(each, os.R_OK | os.W_OK | os.X_OK)
        assert [os.fsdecode(name) for name in os.listdir(each)] == ["a.txt", "d"]
        assert os.statvfs(each).f_namemax == 255
    assert os.path.realpath(again) == point
    assert str(Path(again).resolve(strict=True)) == point
    assert Path(link, "a.txt").read_text() == "alpha"
    assert sorted(path.name for path in Path(link).iterdir()) == ["a.txt", "d"]
    assert glob.glob(f"{link}/**/*.txt", recursive=True) == [f"{link}/a.txt", f"{link}/d/b.txt"]
    assert os.path.islink(link)
    os.makedirs(link, exist_ok=True)
    before = os.getcwd()
    os.chdir(link)
    assert os.getcwd() == point
    os.chdir(before)
    descriptor = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
    assert os.listdir(descriptor) == ["a.txt", "d"]
    os.close(descriptor)


def test_nothing_is_written_to_the_disk_through_it(link: str, point: str, store: MemoryStore) -> None:
    opens: list[Callable[[], object]] = [
        lambda: open(link, "w"),
        lambda: open(link, "a"),
        lambda: open(link, "rb+"),
        lambda: os.open(link, os.O_WRONLY),
        lambda: os.open(link, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666),
        lambda: os.truncate(link, 0),
        lambda: shutil.copyfile(f"{link}/a.txt", link),
    ]
    for call in opens:
        with pytest.raises(IsADirectoryError) as caught:
            call()
        assert caught.value.filename == link
    Path(link, "new.txt").write_text("new")
    assert store.objects()["new.txt"] == b"new"
    with pytest.raises(OSError) as refused:
        os.rmdir(link)
    assert refused.value.errno == errno.ENOTDIR  # as for any link
    os.unlink(link)
    assert os.path.isdir(point)


def test_child_programs_see_it(link: str) -> None:
    ran = subprocess.run(["sh", "-c", f"ls {link}/ && cat {link}/d/b.txt && cd {link} && ls d"], capture_output=True)
    assert (ran.stdout, ran.stderr) == (b"a.txt\nd\nbetab.txt\n", b"")
