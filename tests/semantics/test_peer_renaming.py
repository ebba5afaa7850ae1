"""What Mountpoint's own tests of renaming assert, where no claim's test does so already."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused, tree

pytestmark = memory_only


@pytest.mark.parametrize("prefix", ["", "some/prefix/"])
def test_a_source_that_is_gone_but_remembered(prefix: str, bucket: Bucket, mount: Mounter) -> None:
    bucket.put(f"{prefix}dir/source.txt", b"hello world")
    mnt = mount(allow_rename=True, metadata_ttl="indefinite", key_prefix=prefix or None)
    assert os.listdir(mnt / "dir") == ["source.txt"]
    bucket.delete(f"{prefix}dir/source.txt")
    assert (mnt / "dir/source.txt").exists()
    with refused(errno.ENOENT):
        os.rename(mnt / "dir/source.txt", mnt / "dir/destination.txt")
    assert not (mnt / "dir/destination.txt").exists()
    assert bucket.keys() == []


def test_a_key_that_is_too_long(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/a.txt", b"hello world")
    mnt = mount(allow_rename=True)
    with refused(errno.ENAMETOOLONG):
        os.rename(mnt / "dir/a.txt", mnt / ("X" * 1027))
    assert bucket.keys() == ["dir/a.txt"]


def test_deep_structures(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a/b/cc", b"content")
    mnt = mount(allow_rename=True)
    os.makedirs(mnt / "a/b/c/d/e/f/g")
    os.makedirs(mnt / "a/b/hg/sd/as/df/fd/kk")
    os.rename(mnt / "a/b/cc", mnt / "a/b/c/d/e/cc")
    with refused(errno.ENOENT):
        os.rename(mnt / "a/b/c/d/f/cc", mnt / "a/b/hg/sd/as/df/fd/assd")
    os.rename(mnt / "a/b/c/d/e/cc", mnt / "a/b/hg/sd/as/df/fd/assd")
    assert bucket.keys() == ["a/b/hg/sd/as/df/fd/assd"]
    assert (mnt / "a/b/hg/sd/as/df/fd/kk").is_dir()
    assert (mnt / "a/b/c/d/e/f/g").is_dir()


def test_a_structure_as_on_disk(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    local = tmp_path / "local"
    for key, text in (("a/b/c/d", "d"), ("a/b/c/e", "e"), ("a/b/f", "f"), ("a/b/g", "g"), ("h/i", "i")):
        bucket.put(key, text.encode())
        (local / key).parent.mkdir(parents=True, exist_ok=True)
        (local / key).write_text(text)
    mnt = mount(allow_rename=True, metadata_ttl="indefinite")
    for source, target in (("a/b/f", "a/b/c/d"), ("a/b/c/e", "a/b/g"), ("a/b/c/d", "a/d"), ("a/b/g", "h/i")):
        os.rename(mnt / source, mnt / target)
        os.rename(local / source, local / target)
        assert tree(mnt.path) == tree(local)


def test_into_and_out_of_directories(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_rename=True)
    for source, target in (("dir/a/b.txt", "dir/b.txt"), ("dir/b.txt", "dir/a/b.txt"), ("dirb/c/d", "dir/a/b.txt")):
        bucket.put(source, source.encode())
        bucket.put(target, target.encode())
        os.rename(mnt / source, mnt / target)
        assert (mnt / target).read_text() == source
        assert bucket.get(source) is None


def test_what_was_appended_moves(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_rename=True, writes="staged")
    os.mkdir(mnt / "dir")
    (mnt / "a.txt").write_bytes(b"Some data!")
    for source, target in (("a.txt", "dir/b.txt"), ("dir/b.txt", "dir/c.txt")):
        with open(mnt / source, "ab") as file:
            file.write(b"append")
            os.fsync(file.fileno())
        os.rename(mnt / source, mnt / target)
    assert bucket.keys() == ["dir/c.txt"]
    assert (mnt / "dir/c.txt").read_bytes() == b"Some data!appendappend"


@pytest.mark.slow
def test_many_renames_at_once(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a", b"a")
    bucket.put("b", b"b")
    mnt = mount(allow_rename=True, metadata_ttl=0)
    barrier, done = threading.Barrier(20), []

    def run(source: str, target: str) -> None:
        barrier.wait()
        try:
            os.rename(mnt / source, mnt / target)
        except FileNotFoundError:
            return
        done.append(source)

    threads = [threading.Thread(target=run, args=random.choice((("a", "b"), ("b", "a")))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done
    (left,) = bucket.keys()
    assert (mnt / left).read_bytes() in (b"a", b"b")


@pytest.mark.slow
def test_random_renames_keep_every_file(bucket: Bucket, mount: Mounter) -> None:
    choose = random.Random(4)
    where = {f"{number}": f"{number}".encode() for number in range(30)}
    for key, data in where.items():
        bucket.put(key, data)
    mnt = mount(allow_rename=True)
    for number in range(200):
        source = choose.choice(sorted(where))
        target = "/".join([*choose.choices("xyz", k=choose.randrange(4)), f"n{number}"])
        os.makedirs((mnt / target).parent, exist_ok=True)
        os.rename(mnt / source, mnt / target)
        where[target] = where.pop(source)
    assert {path: data for path, data in tree(mnt.path).items() if data is not None} == where
