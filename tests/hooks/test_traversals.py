"""Functions of the standard library that walk trees by themselves are fed by flat listings too."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore
from vfsmount.vfs.traversal import is_under_way

POINT = "/vfs-hooked-walks"
TREE = [f"top/{first}/{second}/{name}" for first in "abc" for second in "xyz" for name in ("m.py", "n.txt")]


@pytest.fixture
def store() -> Iterator[CountingStore]:
    """A mounted tree of 18 files in 13 directories."""
    store = CountingStore(MemoryStore())
    for key in TREE:
        store.inner.put(key, b"x = 1\n")
    mount = CloudBucketMount("bucket", metadata_ttl="indefinite", allow_rename=True)
    with activate_stores({POINT: (mount, store)}):
        store.reset()
        yield store


def add(where: Path) -> list[str]:
    with tarfile.open(where / "made.tar", "w") as archive:
        archive.add(f"{POINT}/top", "top")
    with tarfile.open(where / "made.tar") as archive:
        return [member.name for member in archive if member.isfile()]


def make_tar(where: Path) -> list[str]:
    with tarfile.open(shutil.make_archive(str(where / "made"), "tar", POINT, "top")) as archive:
        return [member.name for member in archive if member.isfile()]


def make_zip(where: Path) -> list[str]:
    with zipfile.ZipFile(shutil.make_archive(str(where / "made"), "zip", POINT, "top")) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


@pytest.mark.parametrize("archive", [add, make_tar, make_zip])
def test_archives(store: CountingStore, tmp_path: Path, archive: Callable[[Path], list[str]]) -> None:
    assert sorted(archive(tmp_path)) == TREE
    assert not is_under_way()
    counts = store.counts
    assert counts["get_range"] == len(TREE)
    # The tree's top is looked up first: alone, or from the directory above that is the current one.
    assert counts["list_page"] + counts["head"] <= 4, store.calls


def test_a_filter_is_the_callers_own_code(store: CountingStore, tmp_path: Path) -> None:
    seen = []

    def check(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        seen.append((member.name, is_under_way()))
        store.inner.put("top/new", b"")
        assert "new" in os.listdir(f"{POINT}/top")
        return None if member.name.endswith(".txt") else member

    with tarfile.open(tmp_path / "made.tar", "w") as archive:
        archive.add(f"{POINT}/top", "top", filter=check)
    assert not any(under_way for _, under_way in seen)
    assert {name for name, _ in seen} >= {*TREE, "top", "top/a", "top/c/z"}
    with tarfile.open(tmp_path / "made.tar") as archive:
        found = {member.name for member in archive if member.isfile()}
    assert found - {"top/new"} == {key for key in TREE if key.endswith(".py")}


def test_compile_dir(store: CountingStore) -> None:
    assert compileall.compile_dir(f"{POINT}/top", quiet=2, legacy=True)
    made = [meta.key for meta in store.inner.list_page("", delimiter=False).objects if meta.key.endswith(".pyc")]
    assert made == [f"{key}c" for key in TREE if key.endswith(".py")]
    assert not [call for call in store.calls if call.verb == "list_page" and call.detail.startswith("delimiter=True")]


def test_local_calls_and_wrong_ones(store: CountingStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with tarfile.open(tmp_path / "made.tar", "w") as archive:
        archive.add(tmp_path / "f", "f")
        with pytest.raises(TypeError):
            archive.add()  # type: ignore[call-arg]
        with pytest.raises(FileNotFoundError):
            archive.add(f"{POINT}/none")
    assert compileall.compile_dir(tmp_path, quiet=2)
    assert store.counts["get_range"] == 0


@pytest.mark.slow
def test_what_is_imported_later_announces_itself_too(tmp_path: Path) -> None:
    code = f"""
import sys, vfsmount
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore
assert "tarfile" not in sys.modules
before = vfsmount.CloudBucketMount("bucket")
with activate_stores({{{POINT!r}: (before, MemoryStore())}}):
    import tarfile
    assert "vfsmount" in tarfile.TarFile.add.__code__.co_filename
assert "vfsmount" not in tarfile.TarFile.add.__code__.co_filename
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
