"""RENAME: with allow_rename."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused, tidy_stores, tree
from vfsmount.errors import Unavailable

claim = pytest.mark.claim


@claim("RENAME-1")
def test_a_file_moves(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/a.txt", b"content")
    bucket.put("other/x")
    mnt = mount(allow_rename=True)
    os.rename(mnt / "dir/a.txt", mnt / "dir/b.txt")
    assert os.listdir(mnt / "dir") == ["b.txt"]
    assert (mnt / "dir/b.txt").read_bytes() == b"content"
    assert not (mnt / "dir/a.txt").exists()
    os.rename(mnt / "dir/b.txt", mnt / "other/c.txt")
    os.rename(mnt / "other/c.txt", mnt / "top.txt")
    assert sorted(bucket.keys()) == ["other/x", "top.txt"]
    os.rename(mnt / "top.txt", mnt / "other/c.txt")
    assert bucket.get("other/c.txt") == b"content"


@claim("RENAME-1")
@memory_only
@pytest.mark.parametrize("ttl", [0, "indefinite"])
def test_what_is_remembered_moves_too(ttl: object, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/a", b"content")
    mnt = mount(allow_rename=True, metadata_ttl=ttl, negative_ttl=ttl)
    assert os.listdir(mnt / "dir") == ["a"]
    assert not (mnt / "dir/b").exists()
    os.rename(mnt / "dir/a", mnt / "dir/b")
    assert not (mnt / "dir/a").exists()
    assert (mnt / "dir/b").stat().st_size == 7
    assert os.listdir(mnt / "dir") == ["b"]


@claim("RENAME-2")
def test_missing_sources_and_targets(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a/f", b"content")
    mnt = mount(allow_rename=True)
    with refused(errno.ENOENT, mnt / "a/missing", mnt / "a/g"):
        os.rename(mnt / "a/missing", mnt / "a/g")
    with refused(errno.ENOENT):
        os.rename(mnt / "a/f", mnt / "b/f")
    with refused(errno.ENOTDIR):
        os.rename(mnt / "a/f", mnt / "a/f/g")
    assert bucket.keys() == ["a/f"]
    os.mkdir(mnt / "b")
    os.rename(mnt / "a/f", mnt / "b/f")
    assert bucket.keys() == ["b/f"]


@claim("RENAME-3")
def test_replacing(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a", b"source")
    bucket.put("b", b"target")
    mnt, careful = mount(allow_rename=True), mount("careful", allow_rename=True, allow_overwrite=False)
    with refused(errno.EEXIST, careful / "a", careful / "b"):
        os.rename(careful / "a", careful / "b")
    assert (bucket.get("a"), bucket.get("b")) == (b"source", b"target")
    os.replace(mnt / "a", mnt / "b")
    assert (bucket.get("a"), bucket.get("b")) == (None, b"source")
    os.rename(careful / "b", careful / "c")
    assert bucket.keys() == ["c"]


@claim("RENAME-4")
def test_files_and_directories(bucket: Bucket, mount: Mounter) -> None:
    for key in ("file", "d/f", "e/f"):
        bucket.put(key)
    mnt = mount(allow_rename=True)
    os.mkdir(mnt / "empty")
    for source, target, number in (
        ("file", "d", errno.EISDIR),
        ("file", "empty", errno.EISDIR),
        ("d", "file", errno.ENOTDIR),
        ("empty", "file", errno.ENOTDIR),
        ("d", "e", errno.ENOTEMPTY),
        ("empty", "e", errno.ENOTEMPTY),
        ("d", "d/sub", errno.EINVAL),
        ("d", "d/sub/deeper", errno.EINVAL),
    ):
        with refused(number, mnt / source, mnt / target):
            os.rename(mnt / source, mnt / target)
    assert sorted(bucket.keys()) == ["d/f", "e/f", "file"]
    os.rename(mnt / "d", mnt / "empty")
    assert sorted(bucket.keys()) == ["e/f", "empty/f", "file"]


@claim("RENAME-5")
@tidy_stores
def test_a_directory_moves(bucket: Bucket, mount: Mounter) -> None:
    for key in ("d/", "d/a", "d/sub/b", "dd/x"):
        bucket.put(key, key.encode())
    mnt = mount(allow_rename=True)
    os.makedirs(mnt / "d/local/deeper")
    os.rename(mnt / "d", mnt / "moved")
    assert tree(mnt.path) == {
        "dd": None,
        "dd/x": b"dd/x",
        "moved": None,
        "moved/a": b"d/a",
        "moved/local": None,
        "moved/local/deeper": None,
        "moved/sub": None,
        "moved/sub/b": b"d/sub/b",
    }
    assert sorted(bucket.keys()) == ["dd/x", "moved/", "moved/a", "moved/sub/b"]
    assert not (mnt / "d").exists()


@memory_only
def test_regression_markers_are_made_anew_and_not_copied(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/")
    bucket.put("d/sub/")
    bucket.put("d/sub/f", b"content")
    mnt = mount(allow_rename=True)
    os.rename(mnt / "d", mnt / "e")
    assert mnt.requests.counts["copy"] == 1
    assert bucket.keys() == ["e/", "e/sub/", "e/sub/f"]


@claim("RENAME-5")
@memory_only
@pytest.mark.slow
def test_large_directories_are_copied_by_shutil(bucket: Bucket, mount: Mounter) -> None:
    for number in range(1001):
        bucket.put(f"d/{number}")
    mnt = mount(allow_rename=True, metadata_ops="ignore")
    with refused(errno.EXDEV, mnt / "d", mnt / "e"):
        os.rename(mnt / "d", mnt / "e")
    assert len(bucket.keys()) == 1001
    shutil.move(mnt / "d", mnt / "e")
    assert {key.partition("/")[0] for key in bucket.keys()} == {"e"}
    bucket.delete("e/0")
    os.rename(mnt / "e", mnt / "f")
    assert {key.partition("/")[0] for key in bucket.keys()} == {"f"}
    assert len(bucket.keys()) == 1000


@claim("RENAME-6")
@memory_only
def test_while_written(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"old")
    mnt = mount(allow_rename=True)
    with open(mnt / "d/new", "wb") as file:
        for source, target in (("d/new", "d/g"), ("d/f", "d/new"), ("d", "e")):
            with refused(errno.EPERM, mnt / source, mnt / target):
                os.rename(mnt / source, mnt / target)
        file.write(b"x")
    os.rename(mnt / "d/new", mnt / "d/g")
    os.rename(mnt / "d/f", mnt / "d/g")
    assert bucket.keys() == ["d/g"]


@claim("RENAME-7")
@pytest.mark.parametrize("replaced", [False, True])
def test_readers_go_on(replaced: bool, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a", b"a" * (3 << 20))
    bucket.put("b", b"b" * (3 << 20))
    mnt = mount(allow_rename=True)
    name = "b" if replaced else "a"
    with open(mnt / name, "rb", buffering=0) as file:
        assert file.read(1) == name.encode()
        os.rename(mnt / "a", mnt / "b")
        file.seek(-10, os.SEEK_END)
        try:
            outcome: object = file.read()
        except OSError as error:
            outcome = error.errno
        assert outcome in (name.encode() * 10, errno.ESTALE)
    assert (mnt / "b").read_bytes() == b"a" * (3 << 20)


@claim("RENAME-8")
@memory_only
def test_onto_itself(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount(allow_rename=True)
    os.rename(mnt / "d/f", f"{mnt.path}/d/../d/f")
    os.rename(mnt / "d", mnt / "d")
    assert set(mnt.requests.counts) <= {"head", "list_page"}
    assert bucket.get("d/f") == b"content"


@claim("RENAME-9")
@memory_only
def test_deleting_must_be_allowed(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount(allow_rename=True, allow_delete=False)
    for source, target in (("d/f", "d/g"), ("d", "e")):
        with refused(errno.EPERM, mnt / source, mnt / target):
            os.rename(mnt / source, mnt / target)
    assert bucket.keys() == ["d/f"]


@claim("RENAME-10")
@tidy_stores
def test_the_emptied_directory_stays(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/sub/f", b"content")
    mnt = mount(allow_rename=True, metadata_ttl=0)
    os.rename(mnt / "d/sub/f", mnt / "f")
    assert tree(mnt.path) == {"d": None, "d/sub": None, "f": b"content"}
    os.removedirs(mnt / "d/sub")
    assert tree(mnt.path) == {"f": b"content"}


@claim("RENAME-11")
@memory_only
def test_a_failed_rename_changes_nothing(bucket: Bucket, mount: Mounter) -> None:
    keys = ["d/a", "d/b", "d/c", "f"]
    for key in keys:
        bucket.put(key, key.encode())
    mnt = mount(allow_rename=True)
    mnt.faults.fail("copy", Unavailable("503", operation="copy"), nth=2)
    with refused(errno.EIO, mnt / "d", mnt / "e"):
        os.rename(mnt / "d", mnt / "e")
    assert bucket.keys() == keys
    mnt.faults.heal()
    mnt.faults.fail("copy", Unavailable("503", operation="copy"))
    with refused(errno.EIO, mnt / "f", mnt / "g"):
        os.rename(mnt / "f", mnt / "g")
    assert bucket.keys() == keys
    assert not (mnt / "g").exists()
    os.rename(mnt / "f", mnt / "g")
    assert bucket.keys() == ["d/a", "d/b", "d/c", "g"]


@claim("RENAME-11")
@memory_only
def test_a_source_that_changes_meanwhile_is_stale(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(allow_rename=True)
    mnt.faults.before("copy", lambda: bucket.put("f", b"new"))
    with refused(errno.ESTALE, mnt / "f", mnt / "g"):
        os.rename(mnt / "f", mnt / "g")
    assert (bucket.keys(), bucket.get("f")) == (["f"], b"new")
