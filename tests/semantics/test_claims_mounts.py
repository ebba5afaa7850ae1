"""MOUNT: where mounts are, and what they leave alone."""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from pathlib import Path

import pytest

import vfsmount
from tests.semantics.buckets import Bucket, MemoryBucket
from tests.semantics.mounting import Mounter, memory_only, refused, tree

claim = pytest.mark.claim
pytestmark = memory_only


@claim("MOUNT-1")
def test_a_mount_point_need_not_exist(bucket: Bucket, mount: Mounter, tmp_path: Path) -> None:
    bucket.put("f", b"content")
    mnt = mount("deep/er/mnt")
    assert (mnt / "f").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["deep"]
    assert os.listdir(tmp_path / "deep") == ["er"]
    assert (tmp_path / "deep/er").is_dir()
    assert tree(tmp_path) == {"deep": None, "deep/er": None, "deep/er/mnt": None, "deep/er/mnt/f": b"content"}
    mnt.session.close()
    assert os.listdir(tmp_path) == []


@claim("MOUNT-2")
def test_mounts_nest(bucket: MemoryBucket, mount: Mounter) -> None:
    bucket.put("f", b"outer")
    bucket.put("in/f", b"hidden by the mount")
    outer = mount("mnt")
    bucket.put("nested/f", b"inner")
    inner = mount("mnt/in", key_prefix="nested/")
    assert (outer / "in/f").read_bytes() == b"inner"
    (inner / "g").write_bytes(b"x")
    assert bucket.get("nested/g") == b"x"
    assert os.listdir(outer.path) == ["f", "in", "nested"]
    with refused(errno.EXDEV):
        os.rename(outer / "f", inner / "h")
    with refused(errno.EBUSY):
        os.rmdir(inner.path)
    inner.session.close()
    assert (outer / "in/f").read_bytes() == b"hidden by the mount"


@claim("MOUNT-3")
def test_deactivating_puts_everything_back(bucket: Bucket, mount: Mounter, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [(builtins, "open"), (io, "open"), (os, "stat"), (os, "open"), (os, "scandir"), (os, "rename")]
    before = [getattr(module, name) for module, name in names]
    mnt = mount()
    during = [getattr(module, name) for module, name in names]
    assert not any(one is other for one, other in zip(before, during, strict=True))

    def another(path: object, target: object) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "rename", another)  # patched over ours: not ours to undo
    mnt.session.close()
    assert [getattr(module, name) for module, name in names] == [*before[:-1], another]
    monkeypatch.undo()  # puts back what it found, which was ours
    os.rename = before[-1]


@claim("MOUNT-4")
def test_the_rest_is_untouched(mount: Mounter, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()

    def observe() -> list[object]:
        (local / "f").write_text("text")
        os.rename(local / "f", local / "g")
        os.symlink("g", local / "link")
        seen: list[object] = [sorted(os.listdir(local)), (local / "link").read_text(), os.stat(local / "g").st_size]
        for call in (lambda: os.stat(local / "missing"), lambda: open(local), lambda: os.rmdir(local), open):
            try:
                call()  # type: ignore[operator]
            except (OSError, TypeError) as error:
                seen.append((type(error), str(error) if isinstance(error, OSError) else ""))
        os.unlink(local / "link")
        os.unlink(local / "g")
        return seen

    before = observe()
    mount()
    assert observe() == before
    with open(__file__) as file:
        assert type(file) is io.TextIOWrapper


@claim("MOUNT-5")
def test_passthrough(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    seen: list[bool] = []
    with vfsmount.passthrough():
        assert not os.path.exists(mnt / "f")
        thread = threading.Thread(target=lambda: seen.append(os.path.exists(mnt / "f")))
        thread.start()
        thread.join()
    assert seen == [True]
    assert os.path.exists(mnt / "f")


@claim("MOUNT-6")
def test_mount_points_stay(mount: Mounter, tmp_path: Path) -> None:
    mnt = mount("deep/mnt", allow_rename=True)
    for path in (mnt.path, tmp_path / "deep"):
        with refused(errno.EBUSY, path):
            os.rmdir(path)
        with refused(errno.EBUSY, path, tmp_path / "other"):
            os.rename(path, tmp_path / "other")
        with refused(errno.EISDIR, path):
            os.unlink(path)
    with refused(errno.EEXIST, mnt.path):
        os.mkdir(mnt.path)


@claim("MOUNT-7")
def test_two_mounts_are_two_clients(bucket: Bucket, mount: Mounter) -> None:
    one, two = mount("one"), mount("two")
    with open(one / "f", "wb") as first, open(two / "f", "wb") as second:
        first.write(b"first")
        second.write(b"second")
        assert os.listdir(two.path) == ["f"]
        first.close()
        assert bucket.get("f") == b"first"
    assert bucket.get("f") == b"second"
    with open(one / "f", "rb") as reading:
        (two / "f").write_bytes(b"third")
        assert reading.read() == b"second"
    assert (one / "f").read_bytes() == b"third"
