"""What ``shutil.copytree`` asks a bucket for, beside the files' own requests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore

pytestmark = pytest.mark.usefixtures("collected")

POINT = "/vfs-copied-to"
FILES = [f"d{number // 5}/f{number}" for number in range(20)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """20 files in 4 directories on the disk."""
    for name in FILES:
        file = tmp_path / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return tmp_path / "source"


def mount(**options: object) -> CloudBucketMount:
    return CloudBucketMount(  # attrs never expire, so that a loaded machine makes no request more
        "bucket",
        metadata_ops="ignore",
        **{"metadata_ttl": "indefinite", **options},  # type: ignore[arg-type]
    )


def test_from_the_disk_a_file_is_one_put(source: Path) -> None:
    store = CountingStore(MemoryStore())
    with activate_stores({POINT: (mount(), store)}):
        store.reset()
        shutil.copytree(source, f"{POINT}/new")
        assert store.counts == {"put": 20, "head": 5, "list_page": 5}  # a look-up for each directory
    assert store.inner.objects() == {f"new/{name}": name.encode() for name in FILES}  # type: ignore[attr-defined]


def test_into_what_is_there(source: Path) -> None:
    memory = MemoryStore()
    memory.put("old/d0/f0", b"old")
    memory.put("old/d1/f5/f5", b"below a directory of the file's name")
    memory.put("old/other", b"")
    store = CountingStore(memory)
    with activate_stores({POINT: (mount(), store)}):
        shutil.copytree(source, f"{POINT}/old", dirs_exist_ok=True)
        assert sorted(os.listdir(f"{POINT}/old")) == ["d0", "d1", "d2", "d3", "other"]
    found = memory.objects()
    assert found.pop("old/d1/f5/f5") == b"d1/f5"  # as in a directory on the disk
    assert found.pop("old/other") == b""
    assert found == {f"old/{name}": name.encode() for name in FILES if name != "d1/f5"}


def test_what_another_client_made_meanwhile_is_not_replaced(source: Path) -> None:
    memory = MemoryStore()

    class Busy(CountingStore):
        def put(self, key: str, *args: object, **more: object) -> object:  # type: ignore[override]
            if key == "new/d2/f10":
                memory.put(key, b"theirs")
            return super().put(key, *args, **more)  # type: ignore[arg-type]

    with activate_stores({POINT: (mount(allow_overwrite=False), Busy(memory))}):
        with pytest.raises(shutil.Error) as caught:
            shutil.copytree(source, f"{POINT}/new")
    assert [error[1] for error in caught.value.args[0]] == [f"{POINT}/new/d2/f10"]
    assert memory.objects()["new/d2/f10"] == b"theirs"
