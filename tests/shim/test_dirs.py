"""Listings: of mounted directories, and of the real and synthetic ones above a mount point."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import SEED, Mounted
from vfsmount import CloudBucketMount, real
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore


def test_listdir(mounted: Mounted) -> None:
    assert os.listdir("/vfs-bucket") == [".hidden", "a.txt", "dir", "other"]
    assert os.listdir(b"/vfs-bucket/dir") == [b"b.txt", b"sub"]
    assert os.listdir(Path("/vfs-bucket/dir/")) == ["b.txt", "sub"]
    assert os.listdir(path="/vfs-bucket/dir") == ["b.txt", "sub"]


def test_scandir_entries_look_like_direntry(mounted: Mounted) -> None:
    with os.scandir("/vfs-bucket") as entries:
        found = {entry.name: entry for entry in entries}
    file, directory = found["a.txt"], found["dir"]
    assert (file.path, os.fspath(directory), repr(file)) == (
        "/vfs-bucket/a.txt",
        "/vfs-bucket/dir",
        "<DirEntry 'a.txt'>",
    )
    assert (file.is_file(), file.is_dir(), file.is_symlink()) == (True, False, False)
    assert directory.is_dir(follow_symlinks=False)
    assert not directory.is_file(follow_symlinks=False)
    assert file.stat() == os.stat(file)
    assert file.stat(follow_symlinks=False).st_size == 5
    assert file.inode() == os.stat("/vfs-bucket/a.txt").st_ino
    assert isinstance(file, os.DirEntry)
    with pytest.raises(TypeError):
        pickle.dumps(file)
    with pytest.raises(TypeError):
        file.is_dir(False)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/vfs-bucket/dir", "/vfs-bucket/dir/b.txt"),
        ("/vfs-bucket/dir/", "/vfs-bucket/dir/b.txt"),
        ("/vfs-bucket/./dir", "/vfs-bucket/./dir/b.txt"),
        (b"/vfs-bucket/dir", b"/vfs-bucket/dir/b.txt"),
        (Path("/vfs-bucket/dir"), "/vfs-bucket/dir/b.txt"),
    ],
)
def test_the_path_of_an_entry_starts_with_what_was_given(mounted: Mounted, given: str, path: str) -> None:
    with os.scandir(given) as entries:
        assert next(entries).path == path


def test_scandir_ends(mounted: Mounted) -> None:
    entries = os.scandir("/vfs-bucket/dir")
    assert iter(entries) is entries
    entries.close()
    assert list(entries) == []
    with os.scandir("/vfs-bucket/dir") as entries:
        assert len(list(entries)) == 2
        with pytest.raises(StopIteration):
            next(entries)


def test_by_descriptor(mounted: Mounted) -> None:
    descriptor = os.open("/vfs-bucket/dir", os.O_RDONLY)
    try:
        assert os.listdir(descriptor) == ["b.txt", "sub"]
        assert [(entry.name, entry.path) for entry in os.scandir(descriptor)] == [("b.txt", "b.txt"), ("sub", "sub")]
    finally:
        os.close(descriptor)
    with pytest.raises(OSError):
        os.listdir(descriptor)


def test_walk(mounted: Mounted) -> None:
    walked = {top: (sorted(dirs), sorted(files)) for top, dirs, files in os.walk("/vfs-bucket")}
    assert walked == {
        "/vfs-bucket": ([".hidden", "dir", "other"], ["a.txt"]),
        "/vfs-bucket/.hidden": ([], ["e"]),
        "/vfs-bucket/dir": (["sub"], ["b.txt"]),
        "/vfs-bucket/dir/sub": ([], ["c.txt"]),
        "/vfs-bucket/other": ([], ["d.bin"]),
    }
    assert [top for top, _, _ in os.walk("/vfs-bucket/dir", topdown=False)] == [
        "/vfs-bucket/dir/sub",
        "/vfs-bucket/dir",
    ]
    assert next(os.walk(b"/vfs-bucket/dir"))[2] == [b"b.txt"]
    assert list(os.walk("/vfs-bucket/none")) == []


@pytest.mark.parametrize("topdown", [True, False])
def test_fwalk(mounted: Mounted, topdown: bool) -> None:
    found = set()
    for top, _, files, descriptor in os.fwalk("/vfs-bucket", topdown=topdown):
        for name in files:
            assert os.stat(name, dir_fd=descriptor).st_size == len(SEED[f"{top}/{name}".removeprefix("/vfs-bucket/")])
            found.add(f"{top}/{name}".removeprefix("/vfs-bucket/"))
    assert found == set(SEED)


def test_the_real_directory_above_a_mount_point_lists_it(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "file").write_text("x")
    mount(f"{tmp_path}/mnt")
    assert sorted(os.listdir(tmp_path)) == ["file", "local", "mnt"]
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"file", b"local", b"mnt"]
    with os.scandir(tmp_path) as entries:
        found = {entry.name: entry for entry in entries}
    assert found["mnt"].is_dir()
    assert found["mnt"].path == f"{tmp_path}/mnt"
    assert found["mnt"].stat().st_dev == os.stat(f"{tmp_path}/mnt").st_dev
    assert isinstance(found["local"], os.DirEntry)
    assert dict.fromkeys(top for top, _, _ in os.walk(tmp_path)).keys() == {
        str(tmp_path),
        *(f"{tmp_path}/{name}" for name in ("local", "mnt", "mnt/.hidden", "mnt/dir", "mnt/dir/sub", "mnt/other")),
    }


def test_what_occupies_the_mount_point_on_the_disk_is_not_seen(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "mnt").write_text("placeholder")
    mount(f"{tmp_path}/mnt")
    assert os.listdir(tmp_path) == ["mnt"]
    assert [entry.is_dir() for entry in os.scandir(tmp_path)] == [True]
    assert os.path.isdir(tmp_path / "mnt")
    assert os.stat(tmp_path / "mnt" / "a.txt").st_size == 5


def test_a_parent_seen_through_a_link(mount: Callable[..., Mounted], tmp_path: Path) -> None:
    (tmp_path / "parent").mkdir()
    (tmp_path / "link").symlink_to("parent")
    mount(f"{tmp_path}/parent/mnt")
    assert os.listdir(tmp_path / "link") == ["mnt"]
    assert [entry.path for entry in os.scandir(f"{tmp_path}/link")] == [f"{tmp_path}/link/mnt"]


def test_missing_parents_are_synthesised(mount: Callable[..., Mounted]) -> None:
    mount("/vfsa/vfsb/vfsc")
    assert "vfsa" in os.listdir("/")
    assert os.listdir("/vfsa") == ["vfsb"]
    assert os.listdir(b"/vfsa/vfsb/") == [b"vfsc"]
    assert os.path.isdir("/vfsa")
    assert not os.path.ismount("/vfsa/vfsb")
    assert os.path.ismount("/vfsa/vfsb/vfsc")
    assert os.stat("/vfsa").st_ino != os.stat("/vfsa/vfsb").st_ino
    assert [entry.is_dir() for entry in os.scandir("/vfsa")] == [True]
    assert [top for top, _, _ in os.walk("/vfsa")][:3] == ["/vfsa", "/vfsa/vfsb", "/vfsa/vfsb/vfsc"]
    assert [str(path) for path in Path("/vfsa").iterdir()] == ["/vfsa/vfsb"]
    assert os.access("/vfsa", os.R_OK | os.X_OK)
    assert not os.access("/vfsa", os.W_OK)
    os.makedirs("/vfsa/vfsb/vfsc/d/e")
    assert os.path.isdir("/vfsa/vfsb/vfsc/d/e")
    assert not os.path.exists("/vfsa/none")


SYNTHETIC: list[tuple[Callable[[], object], type[OSError], str]] = [
    (lambda: os.mkdir("/vfsa/vfsb"), FileExistsError, "/vfsa/vfsb"),
    (lambda: os.mkdir("/vfsa/none"), FileNotFoundError, "/vfsa/none"),
    (lambda: os.rmdir("/vfsa"), OSError, "/vfsa"),
    (lambda: os.unlink("/vfsa"), IsADirectoryError, "/vfsa"),
    (lambda: os.chmod("/vfsa", 0o700), PermissionError, "/vfsa"),
    (lambda: os.rename("/vfsa", "/vfsx"), OSError, "/vfsa"),
    (lambda: os.readlink("/vfsa"), OSError, "/vfsa"),
    (lambda: os.truncate("/vfsa", 0), IsADirectoryError, "/vfsa"),
    (lambda: os.listxattr("/vfsa"), OSError, "/vfsa"),
]


@pytest.mark.parametrize("number", range(len(SYNTHETIC)))
def test_a_synthetic_directory_cannot_be_changed(mount: Callable[..., Mounted], number: int) -> None:
    call, kind, filename = SYNTHETIC[number]
    mount("/vfsa/vfsb/vfsc")
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.filename == filename
    assert not real.access("/vfsa", os.F_OK)


def test_local_listings_are_untouched(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    assert os.listdir(tmp_path) == ["x"]
    assert os.listdir(str(tmp_path)) == ["x"]
    with os.scandir(tmp_path) as entries, real.scandir(tmp_path) as expected_entries:
        assert type(entries) is type(expected_entries)
        assert [entry.name for entry in entries] == ["x"]
    with pytest.raises(TypeError) as caught:
        os.listdir(1.5)  # type: ignore[call-overload]
    with pytest.raises(TypeError) as expected:
        real.listdir(1.5)  # type: ignore[call-overload]
    assert str(caught.value) == str(expected.value)


def test_regression_a_synthetic_directory_opens_and_is_not_made_again(mount: Callable[..., Mounted]) -> None:
    mount("/vfs-above/in/bucket")
    descriptor = os.open("/vfs-above", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert os.fstat(descriptor).st_ino == os.stat("/vfs-above").st_ino
        assert os.listdir(descriptor) == ["in"]
    finally:
        os.close(descriptor)
    assert [names for _, names, _, _ in os.fwalk("/vfs-above")][:2] == [["in"], ["bucket"]]
    for path in ("/vfs-above", "/vfs-above/in", b"/vfs-above/"):
        with pytest.raises(FileExistsError) as caught:
            os.mkdir(path)
        assert caught.value.filename == path
    os.makedirs("/vfs-above/in", exist_ok=True)
    assert not real.access("/vfs-above", os.F_OK)


def test_an_unclosed_scandir_is_told_as_ever(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (str(tmp_path), mounted.point):
        entries = os.scandir(path)
        next(entries)
        held = [entries]
        del entries
        with pytest.warns(ResourceWarning, match="unclosed scandir iterator"):
            held.clear()
        with os.scandir(path) as entries:
            next(entries)
        del entries
        list(os.scandir(path))


def test_regression_an_entry_s_stat_shows_what_was_changed_here_since_the_listing() -> None:
    store = CountingStore(MemoryStore())
    for name in ("changed", "dir/below", "kept", "removed"):
        store.put(name, b"as listed")
    with activate_stores({"/vfs-listed": (CloudBucketMount("bucket"), store)}):
        for given in ("/vfs-listed", b"/vfs-listed"):
            Path("/vfs-listed/changed").write_bytes(b"as listed")
            Path("/vfs-listed/removed").write_bytes(b"as listed")
            changed, directory, kept, removed = os.scandir(given)
            Path("/vfs-listed/changed").write_bytes(b"longer than it was listed")
            os.unlink("/vfs-listed/removed")
            with store.expect():  # what is not asked for costs nothing, nor does what was not changed
                assert kept.stat().st_size == 9
                assert removed.is_file()
                assert removed.inode() != 0
                assert directory.is_dir()
                assert directory.stat() == directory.stat()
            assert changed.stat().st_size == 25
            for _ in range(2):
                with pytest.raises(FileNotFoundError) as caught:
                    removed.stat()
                assert caught.value.filename == removed.path
            os.unlink("/vfs-listed/changed")
            assert changed.stat().st_size == 25  # which is cached per entry


def test_stat_of_entries_asks_nothing_in_a_loop_that_changes_other_files() -> None:
    store = CountingStore(MemoryStore())
    for number in range(5):
        store.put(f"in/{number}", b"x" * number)
    mount = CloudBucketMount("bucket", metadata_ttl="minimal")
    with activate_stores({"/vfs-listed": (mount, store)}):
        entries = list(os.scandir("/vfs-listed/in"))
        for number, entry in enumerate(entries):
            Path(f"/vfs-listed/out{number}").write_bytes(b"")
            with store.expect():
                assert entry.stat().st_size == number
