"""Symbolic links on the local disk that lead to a mount point itself, while its guard stands there."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.session.starting import MOUNT
from vfsmount import CloudBucketMount, real
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


def planted(top: Path, there: str) -> None:
    """Links of all kinds; those that lead ``there`` lead to a directory with the bucket's files."""
    (top / "local").mkdir()
    (top / "local" / "l.txt").touch()
    for name, target in {
        "to-local": "local",
        "to-file": "local/l.txt",
        "to-nothing": "none",
        "to-point": there,
        "to-it-again": "to-point",
        "below": f"{there}/d",
        "file-below": f"{there}/a.txt",
        "nothing-below": f"{there}/none",
    }.items():
        os.symlink(target, top / name)


def walked(top: str) -> dict[str, object]:
    """What the standard library's walks find."""
    copy = f"{top}-copy"
    shutil.copytree(top, copy, ignore_dangling_symlinks=True, copy_function=shutil.copyfile)
    found = [(path, sorted(names), sorted(files)) for path, names, files in os.walk(copy)]
    shutil.rmtree(copy)
    return {
        "walk": [(path, sorted(names), sorted(files)) for path, names, files in sorted(os.walk(top))],
        "followed": [(at, sorted(names), sorted(files)) for at, names, files in sorted(os.walk(top, followlinks=True))],
        "fwalk": sorted(
            (at, sorted(dirs), sorted(files)) for at, dirs, files, _ in os.fwalk(top, follow_symlinks=True)
        ),
        "glob": [sorted(glob.glob(f"{top}/{what}", recursive=True)) for what in ("*", "*/", "*/*", "*/*.txt", "**")],
        "pathlib": [sorted(map(str, Path(top).glob(what))) for what in ("*", "*/*.txt", "**/*.txt")],
        "copytree": found,
    }


def test_the_standard_library_s_walks_see_where_links_lead(link: str, point: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "d").mkdir(parents=True)
    (disk / "a.txt").write_text("alpha")
    (disk / "d" / "b.txt").write_text("beta")
    results = []
    for name, there in (("x", str(disk)), ("y", point)):
        (tmp_path / name).mkdir()
        planted(tmp_path / name, there)
        results.append(repr(walked(f"{tmp_path}/{name}")).replace(f"{tmp_path}/{name}", "TOP"))
    assert results[1] == results[0]
    assert "TOP/to-it-again/d" in results[0]


def test_entries_of_links_in_a_directory_above_the_mount_point(link: str, point: str, tmp_path: Path) -> None:
    planted(tmp_path, point)
    with os.scandir(tmp_path) as entries:
        seen = {entry.name: entry for entry in entries if entry.is_symlink()}
    assert {name for name, entry in seen.items() if entry.is_dir()} == {"to-local", "to-point", "to-it-again", "below"}
    assert {name for name, entry in seen.items() if entry.is_file()} == {"to-file", "file-below"}
    assert not any(entry.is_dir(follow_symlinks=False) for entry in seen.values())
    entry = seen["file-below"]
    assert isinstance(entry, os.DirEntry)
    assert (entry.stat().st_size, entry.stat(follow_symlinks=False).st_size) == (5, len(f"{point}/a.txt"))
    assert (os.fspath(entry), repr(entry), entry.inode()) == (
        f"{tmp_path}/file-below",
        "<DirEntry 'file-below'>",
        os.lstat(entry).st_ino,
    )
    for name in ("to-nothing", "nothing-below"):
        with pytest.raises(FileNotFoundError) as caught:
            seen[name].stat()
        assert caught.value.filename == f"{tmp_path}/{name}"


def test_many_entries(link: str, tmp_path: Path) -> None:
    """More than are read at a time."""
    top = tmp_path / "many"
    top.mkdir()
    for number in range(150):
        (top / str(number)).touch()
    os.symlink(link, top / "link")
    ((_, names, files), *_) = os.walk(top)
    assert names == ["link"]
    assert sorted(map(int, files)) == list(range(150))


def test_own_scandir_is_the_kernel_s(link: str, tmp_path: Path) -> None:
    """The entries are those of the real one, which fail loudly."""
    with os.scandir(tmp_path / "tree") as entries, real.scandir(tmp_path / "tree") as expected:
        assert type(entries) is type(expected)
        (entry,) = entries
        assert type(entry) is os.DirEntry
        with pytest.raises(NotADirectoryError):
            entry.is_dir()


def test_what_the_end_of_the_path_asks_for(link: str, point: str, tmp_path: Path) -> None:
    """A slash or a dot behind a link has it followed, by calls that do not follow links too."""
    (tmp_path / "disk" / "d").mkdir(parents=True)
    os.symlink(tmp_path / "disk", tmp_path / "other")
    for path in (link, f"{tmp_path}/other"):
        for end in ("/", "/."):
            assert os.path.isdir(path + end)
            assert stat.S_ISDIR(os.lstat(path + end).st_mode)
            assert stat.S_ISDIR(os.stat(path + end, follow_symlinks=False).st_mode)
        refusals: list[tuple[Callable[[], object], int]] = [
            (lambda path=path: os.rmdir(f"{path}/"), errno.ENOTDIR),  # type: ignore[misc]
            (lambda path=path: os.rmdir(f"{path}/."), errno.EINVAL),  # type: ignore[misc]
            (lambda path=path: os.mkdir(f"{path}/"), errno.EEXIST),  # type: ignore[misc]
            (lambda path=path: os.mkdir(f"{path}/."), errno.EEXIST),  # type: ignore[misc]
            (lambda path=path: os.rename(f"{path}/", tmp_path / "z"), errno.ENOTDIR),  # type: ignore[misc]
            (lambda path=path: os.readlink(f"{path}/"), errno.EINVAL),  # type: ignore[misc]
        ]
        for call, number in refusals:
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == number
        assert os.path.islink(path)
    archive = shutil.make_archive(f"{tmp_path}/archive", "tar", link)
    with tarfile.open(archive) as file:
        assert "./d/b.txt" in file.getnames()


def test_programs_start_in_it_and_from_it(link: str, point: str) -> None:
    Path(point, "program").write_text("#!/bin/sh\necho $1\n")
    below = f"{link}-below"
    os.symlink(f"{point}/d", below)
    assert subprocess.run(["ls"], cwd=link, capture_output=True, check=True).stdout == b"a.txt\nd\nprogram\n"
    assert subprocess.run("cat b.txt", shell=True, cwd=Path(below), capture_output=True, check=True).stdout == b"beta"
    with pytest.raises(PermissionError):
        subprocess.run([f"{link}/program", "ran"])
    for command in (["sh", f"{link}/program", "ran"], ["sh", f"{link}/../{os.path.basename(point)}/program", "ran"]):
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"ran\n"
    with pytest.raises(FileNotFoundError) as caught:
        subprocess.run(["ls"], cwd=f"{link}/none")
    assert caught.value.filename == f"{link}/none"


def test_a_program_behind_a_link(store: MemoryStore, point: str, tmp_path: Path) -> None:
    store.put("program", b"#!/bin/sh\necho $1\n")
    os.symlink(point, tmp_path / "link")
    with activate_stores({point: (CloudBucketMount("memory", file_mode=0o755), store)}):
        ran = subprocess.run([f"{tmp_path}/link/program", "ran"], capture_output=True)
    assert (ran.stdout, ran.stderr, ran.args) == (b"ran\n", b"", [f"{tmp_path}/link/program", "ran"])
