"""The standard library's recursive functions announce themselves, and do on a mount what they do on the disk."""

from __future__ import annotations

import glob
import inspect
import os
import pathlib
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore
from vfsmount.vfs.traversal import is_under_way

POINT = "/vfs-walked"
TREE = [
    f"{top}/{middle}/{name}"
    for top in ("a", "a-", "a.b", "b")
    for middle in ("x", "x y", "z")
    for name in ("1.txt", "2.bin", "deep/3.txt", "deep/.hidden/4.txt")
]


@pytest.fixture
def store() -> Iterator[CountingStore]:
    """A mounted tree of 48 files in 41 directories."""
    store = CountingStore(MemoryStore())
    for key in TREE:
        store.inner.put(key, key.encode())
    # Attrs never expire, so that a loaded machine makes no request more.
    mount = CloudBucketMount("bucket", metadata_ttl="indefinite", metadata_ops="ignore")
    with activate_stores({POINT: (mount, store)}):
        yield store


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The same tree on the disk."""
    for key in TREE:
        file = tmp_path / "disk" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(key.encode())
    return tmp_path / "disk"


def relative(top: str, found: str | os.PathLike[str]) -> str:
    return os.path.relpath(os.fspath(found), top)


WALKS: dict[str, Callable[[str], object]] = {
    "walk": lambda top: [(relative(top, at), dirs, files) for at, dirs, files in os.walk(top)],
    "walk, bottom up": lambda top: [
        (relative(top, at), dirs, files) for at, dirs, files in os.walk(top, topdown=False)
    ],
    "walk, bytes": lambda top: [
        (relative(top, os.fsdecode(at)), dirs, files) for at, dirs, files in os.walk(os.fsencode(top))
    ],
    "fwalk": lambda top: [(relative(top, at), dirs, files) for at, dirs, files, _ in os.fwalk(top)],
    "glob **": lambda top: sorted(relative(top, at) for at in glob.glob(f"{top}/**", recursive=True)),
    "glob **/*.txt": lambda top: sorted(relative(top, at) for at in glob.glob(f"{top}/**/*.txt", recursive=True)),
    "glob */*/*": lambda top: sorted(relative(top, at) for at in glob.glob(f"{top}/*/*/*")),
    "iglob, root_dir": lambda top: sorted(glob.iglob("**/*.txt", root_dir=top, recursive=True)),
    "rglob": lambda top: sorted(relative(top, at) for at in Path(top).rglob("*.txt")),
    "Path.glob": lambda top: sorted(relative(top, at) for at in Path(top).glob("*/*/*.txt")),
}
if hasattr(Path, "walk"):
    WALKS["Path.walk"] = lambda top: [(relative(top, at), dirs, files) for at, dirs, files in Path(top).walk()]


def in_order(found: object) -> object:
    """The disk lists in no order."""
    if not isinstance(found, list) or not found or not isinstance(found[0], tuple):
        return found
    return sorted((at, sorted(dirs), sorted(files)) for at, dirs, files in found)


@pytest.mark.parametrize("name", WALKS)
def test_a_traversal_finds_what_it_finds_on_the_disk(store: CountingStore, disk: Path, name: str) -> None:
    with store.expect(list_page=1):
        found = WALKS[name](POINT)
    assert in_order(found) == in_order(WALKS[name](str(disk)))
    assert found


def test_pruning_top_down(store: CountingStore, disk: Path) -> None:
    def pruned(top: str) -> list[str]:
        found = []
        for at, dirs, _ in os.walk(top):
            found.append(relative(top, at))
            dirs[:] = sorted(name for name in dirs if name in ("a", "x"))
        return found

    assert pruned(POINT) == pruned(str(disk)) == [".", "a", "a/x"]


def test_what_runs_between_the_steps_is_no_traversal(store: CountingStore) -> None:
    for count, (at, _, _) in enumerate(os.walk(POINT)):
        assert not is_under_way()
        if count == 1:
            store.inner.put(f"{relative(POINT, at)}/new", b"")
            assert "new" in os.listdir(at)
    assert not is_under_way()


def test_an_abandoned_traversal_leaves_nothing_behind(store: CountingStore) -> None:
    walk = os.walk(POINT)
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    next(os.walk(POINT))
    assert not is_under_way()
    with pytest.raises(StopIteration):
        next(walk)


def test_errors_reach_onerror_and_the_caller(store: CountingStore) -> None:
    errors: list[OSError] = []
    assert list(os.walk(f"{POINT}/none", onerror=errors.append)) == []
    assert [error.filename for error in errors] == [f"{POINT}/none"]
    with pytest.raises(FileNotFoundError):
        shutil.rmtree(f"{POINT}/none")
    with pytest.raises(FileNotFoundError):
        list(os.fwalk(f"{POINT}/none", onerror=_raise))
    assert not is_under_way()


def _raise(error: OSError) -> None:
    raise error


def test_local_traversals_get_the_original(store: CountingStore, disk: Path) -> None:
    assert inspect.isgenerator(os.walk(disk))
    assert os.walk(disk).gi_code is not os.walk(POINT).gi_code  # type: ignore[attr-defined]
    assert not any(is_under_way() for _ in os.walk(disk))


def test_from_the_disk_into_a_mount(store: CountingStore, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    inner = CountingStore(MemoryStore())
    for key in TREE:
        inner.inner.put(key, b"")
    mount = CloudBucketMount("inner", metadata_ttl="indefinite")
    with activate_stores({str(tmp_path / "mounted"): (mount, inner)}), inner.expect(list_page=1):
        found = [relative(str(tmp_path), at) for at, _, _ in os.walk(tmp_path)]
    assert {"beside", "mounted", "mounted/a/x/deep"} <= set(found)
    assert len(found) == 43


def test_mounts_in_a_mount(store: CountingStore) -> None:
    inner = MemoryStore()
    inner.put("below/file", b"")
    with activate_stores({f"{POINT}/a/x/deep": (CloudBucketMount("inner"), inner)}):
        found = {relative(POINT, at): files for at, _, files in os.walk(POINT)}
    assert found["a/x/deep/below"] == ["file"]
    assert "a/x/deep/.hidden" not in found


def test_trees_are_copied_archived_and_removed(store: CountingStore, tmp_path: Path) -> None:
    before = len(store.calls)
    shutil.copytree(f"{POINT}/a", tmp_path / "copy")
    assert sorted(relative(str(tmp_path / "copy"), at) for at in (tmp_path / "copy").rglob("*.*")) == sorted(
        {piece for key in TREE if key.startswith("a/") for piece in (key[2:], "x/deep/.hidden") if "." in piece}
        | {f"{middle}/deep/.hidden" for middle in ("x y", "z")}
    )
    assert [call.verb for call in store.calls[before:]].count("list_page") == 1
    name = shutil.make_archive(str(tmp_path / "made"), "tar", f"{POINT}/a")
    with tarfile.open(name) as archive:
        assert sorted(member.name[2:] for member in archive if member.isfile()) == sorted(
            key[2:] for key in TREE if key.startswith("a/")
        )
    shutil.rmtree(f"{POINT}/a")
    assert sorted(os.listdir(POINT)) == ["a-", "a.b", "b"]
    assert [meta.key for meta in store.inner.list_page("a/").objects] == []


def test_replacements_look_like_what_they_replace(store: CountingStore) -> None:
    for function in (os.walk, os.fwalk, glob.iglob, shutil.rmtree, shutil.copytree, pathlib.Path.rglob):
        assert pickle.loads(pickle.dumps(function)) is function
    assert isinstance(shutil.rmtree.avoids_symlink_attacks, bool)
    assert list(inspect.signature(os.walk).parameters) == ["top", "topdown", "onerror", "followlinks"]
    with pytest.raises(TypeError):
        os.walk()  # type: ignore[call-arg]
