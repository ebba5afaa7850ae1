"""DIR: directories made here, and their life."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused, tidy_stores, tree

claim = pytest.mark.claim


@claim("DIR-1")
def test_mkdir_is_local(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("remote/f")
    mnt = mount()
    os.mkdir(mnt / "d")
    os.makedirs(mnt / "deep/er")
    assert bucket.keys() == ["remote/f"]
    assert (mnt / "d").is_dir()
    assert os.listdir(mnt.path) == ["d", "deep", "remote"]
    assert os.listdir(mnt / "deep") == ["er"]
    assert os.listdir(mnt / "deep/er") == []
    for name in ("d", "remote", "remote/f", "deep/er"):
        with refused(errno.EEXIST, mnt / name):
            os.mkdir(mnt / name)
    with refused(errno.EEXIST, mnt.path):
        os.mkdir(mnt.path)
    with refused(errno.ENOENT, mnt / "missing/d"):
        os.mkdir(mnt / "missing/d")
    os.makedirs(mnt / "deep/er", exist_ok=True)


@claim("DIR-2")
@tidy_stores
def test_publishing_makes_directories_remote(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl=0)
    os.makedirs(mnt / "a/b")
    with open(mnt / "a/b/f", "wb"):
        with refused(errno.ENOTEMPTY, mnt / "a/b"):
            os.rmdir(mnt / "a/b")
    with refused(errno.EPERM, mnt / "a/b"):
        os.rmdir(mnt / "a/b")
    bucket.delete("a/b/f")
    assert os.listdir(mnt.path) == []
    assert not (mnt / "a").exists()


@claim("DIR-3")
def test_rmdir(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("remote/f", b"")
    mnt = mount()
    os.makedirs(mnt / "a/b")
    with refused(errno.ENOTEMPTY, mnt / "a"):
        os.rmdir(mnt / "a")
    os.rmdir(mnt / "a/b")
    os.rmdir(mnt / "a")
    assert os.listdir(mnt.path) == ["remote"]
    with refused(errno.ENOENT, mnt / "a"):
        os.rmdir(mnt / "a")
    os.mkdir(mnt / "a")
    assert os.listdir(mnt.path) == ["a", "remote"]
    with refused(errno.EPERM, mnt / "remote"):
        os.rmdir(mnt / "remote")
    with refused(errno.ENOTDIR, mnt / "remote/f"):
        os.rmdir(mnt / "remote/f")
    os.mkdir(mnt / "remote/local")
    with refused(errno.ENOTEMPTY, mnt / "remote"):
        os.rmdir(mnt / "remote")
    assert bucket.keys() == ["remote/f"]


@claim("DIR-4")
@memory_only
def test_a_file_being_written_fills_a_directory(mount: Mounter) -> None:
    mnt = mount()
    os.mkdir(mnt / "d")
    fd = os.open(mnt / "d/f", os.O_WRONLY | os.O_CREAT)
    with refused(errno.ENOTEMPTY, mnt / "d"):
        os.rmdir(mnt / "d")
    os.close(fd)


@claim("DIR-5")
@tidy_stores
def test_rmtree(bucket: Bucket, mount: Mounter) -> None:
    for key in ("top/a/b/f", "top/a/g", "top/h"):
        bucket.put(key)
    mnt = mount()
    os.unlink(mnt / "top/a/b/f")
    assert os.listdir(mnt / "top/a/b") == []
    os.rmdir(mnt / "top/a/b")
    shutil.rmtree(mnt / "top")
    assert bucket.keys() == []
    assert os.listdir(mnt.path) == []


@claim("DIR-6")
@memory_only
def test_what_others_remove_is_gone(bucket: Bucket, mount: Mounter) -> None:
    for name in ("empty", "local", "written"):
        bucket.put(f"{name}/deep/f")
    mnt = mount(metadata_ttl=0)
    os.mkdir(mnt / "local/deep/made")
    with open(mnt / "written/deep/new", "wb"):
        for name in ("empty", "local", "written"):
            bucket.delete(f"{name}/deep/f")
        assert os.listdir(mnt.path) == ["local", "written"]
        assert tree(mnt / "local") == {"deep": None, "deep/made": None}
        assert os.listdir(mnt / "written") == ["deep"]
        assert os.listdir(mnt / "written/deep") == ["new"]
        with refused(errno.ENOENT, mnt / "empty"):
            os.listdir(mnt / "empty")
    assert bucket.keys() == ["written/deep/new"]


@memory_only
def test_regression_what_is_local_keeps_the_directories_above_it(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a/b/c/f")
    mnt = mount(metadata_ttl=0)
    os.mkdir(mnt / "a/b/c/local")
    bucket.delete("a/b/c/f")
    assert tree(mnt.path) == {"a": None, "a/b": None, "a/b/c": None, "a/b/c/local": None}
    bucket.put("a", b"hidden by what is local")
    assert os.listdir(mnt.path) == ["a"]
    assert [entry.stat().st_mtime for entry in os.scandir(mnt.path)] == [os.stat(mnt.path).st_mtime]
    with refused(errno.ENOTEMPTY, mnt / "a"):
        os.rmdir(mnt / "a")
    os.rmdir(mnt / "a/b/c/local")
    assert tree(mnt.path) == {"a": b"hidden by what is local"}


@claim("DIR-7")
def test_markers_keep_directories(bucket: Bucket, mount: Mounter) -> None:
    mnt, other = mount(keep_dirs=True), mount("other", keep_dirs=True, metadata_ttl=0)
    os.makedirs(mnt / "a/b")
    assert bucket.keys() == ["a/", "a/b/"]
    assert tree(other.path) == {"a": None, "a/b": None}
    with refused(errno.EEXIST, other / "a"):
        os.mkdir(other / "a")
    (mnt / "a/b/f").write_bytes(b"")
    with refused(errno.EPERM, mnt / "a/b"):
        os.rmdir(mnt / "a/b")
    os.unlink(mnt / "a/b/f")
    assert (other / "a/b").is_dir()
    os.rmdir(mnt / "a/b")
    assert not (other / "a/b").exists()
    shutil.rmtree(mnt / "a")
    assert bucket.keys() == []


@claim("DIR-7")
@memory_only
def test_deleting_a_marker_is_a_deletion(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(keep_dirs=True, allow_delete=False)
    os.mkdir(mnt / "a")
    with refused(errno.EPERM, mnt / "a"):
        os.rmdir(mnt / "a")
    assert bucket.keys() == ["a/"]


@claim("DIR-8")
def test_a_marker_alone_is_remote(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/")
    mnt = mount()
    with refused(errno.EPERM, mnt / "d"):
        os.rmdir(mnt / "d")
    assert bucket.keys() == ["d/"]


@claim("DIR-9")
@memory_only
def test_nothing_is_made_in_a_removed_directory(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    os.makedirs(mnt / "top/d")
    os.rmdir(mnt / "top/d")
    with refused(errno.ENOENT, mnt / "top/d/f"):
        open(mnt / "top/d/f", "wb")
    with refused(errno.ENOENT, mnt / "top/d/sub"):
        os.mkdir(mnt / "top/d/sub")
    assert bucket.keys() == []
    assert os.listdir(mnt.path) == ["top"]


@claim("DIR-10")
@memory_only
def test_local_directories_are_of_one_mount(bucket: Bucket, mount: Mounter) -> None:
    one, two = mount("one"), mount("two")
    os.mkdir(one / "d")
    assert os.listdir(one.path) == ["d"]
    assert os.listdir(two.path) == []
    (one / "d/f").write_bytes(b"x")
    assert tree(two.path) == {"d": None, "d/f": b"x"}


@claim("DIR-11")
@memory_only
def test_a_local_directory_hides_a_later_object(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl=0)
    os.mkdir(mnt / "d")
    bucket.put("d", b"object")
    assert tree(mnt.path) == {"d": None}
    with refused(errno.EISDIR, mnt / "d"):
        open(mnt / "d", "rb")
    os.rmdir(mnt / "d")
    assert (mnt / "d").read_bytes() == b"object"


@claim("DIR-12")
@memory_only
def test_fsync_of_a_directory(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f")
    mnt = mount()
    fd = os.open(mnt / "d", os.O_RDONLY | os.O_DIRECTORY)
    before = mnt.requests.counts
    os.fsync(fd)
    assert mnt.requests.counts == before
    os.close(fd)


@claim("DIR-13")
def test_a_traversal_sees_what_single_listings_see(bucket: Bucket, mount: Mounter) -> None:
    for key in ("a/1", "a-/2", "a b/3", "a.b/c/4", "a/d/5", "b/e/f/g/6", "marker/", "marked/", "marked/7", "z"):
        bucket.put(key, b"x" * (not key.endswith("/")))
    bucket.put("empty", b"")
    bucket.put("a/none", b"")
    mnt = mount(metadata_ttl="indefinite")
    os.mkdir(mnt / "local")
    with open(mnt / "a/written", "w"):
        os.mkdir(mnt / "b/e/made")
        found = list(os.walk(mnt.path))
        for at, directories, files in found:
            assert [*directories, *files] == sorted(os.listdir(at), key=lambda name: name not in directories)
        assert {at[len(str(mnt.path)) + 1 :] for at, _, _ in found} >= {"a.b/c", "a/d", "b/e/f/g", "local", "marker"}


@claim("DIR-14")
@memory_only
def test_the_end_of_a_path_means_what_it_does_to_the_kernel(bucket: Bucket, mount: Mounter) -> None:
    """Every call on every ending: the operations "endings" of ``test_posix``."""
    mnt = mount(allow_rename=True)
    os.mkdir(mnt / "d")
    for ending, number in ((".", errno.EINVAL), ("./", errno.EINVAL), ("..", errno.ENOTEMPTY)):
        with refused(number, f"{mnt.path}/d/{ending}"):
            os.rmdir(f"{mnt.path}/d/{ending}")
        with refused(errno.EBUSY, f"{mnt.path}/d/{ending}"):
            os.rename(f"{mnt.path}/d/{ending}", mnt / "e")
    with refused(errno.EINVAL, f"{mnt.path}/."):
        os.rmdir(f"{mnt.path}/.")
    with refused(errno.EISDIR, f"{mnt.path}/new/"):
        open(f"{mnt.path}/new/", "w")
    with refused(errno.ENOENT, f"{mnt.path}/new/."):
        os.mkdir(f"{mnt.path}/new/.")
    assert os.listdir(mnt.path) == ["d"]
    assert bucket.keys() == []


@claim("DIR-13")
@memory_only
def test_a_traversal_sees_what_was_changed_here(bucket: Bucket, mount: Mounter) -> None:
    for name in "abcd":
        bucket.put(f"{name}/f")
    mnt = mount(metadata_ttl="indefinite")
    found = []
    for at, _, files in os.walk(mnt.path):
        found += files
        if at.endswith("a"):
            (mnt / "b/new").write_bytes(b"")
            os.unlink(mnt / "c/f")
            bucket.put("d/elsewhere")
    assert found in (["f", "f", "new", "f"], ["f", "f", "new", "elsewhere", "f"])
    assert os.listdir(mnt / "d") == ["elsewhere", "f"]


@claim("DIR-13")
@memory_only
def test_a_traversal_without_a_ttl_asks_for_each_directory(bucket: Bucket, mount: Mounter) -> None:
    for name in "abc":
        bucket.put(f"{name}/f")
    mnt = mount(metadata_ttl=0)
    found = []
    for at, _, files in os.walk(mnt.path):
        found += files
        if at == str(mnt.path):
            bucket.put("b/elsewhere")
    assert found == ["f", "elsewhere", "f", "f"]
