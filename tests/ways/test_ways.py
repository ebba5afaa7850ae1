"""Every way in gives on a mount what it gives on the disk, or is declared as not reached and fails loudly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfsmount
from tests.servers import Server
from tests.session.starting import untouched
from tests.ways import table
from tests.ways.way import Place, Unreached, Way, seed
from vfsmount import CloudBucketMount, Secret
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore

OPTIONS = {"allow_rename": True, "metadata_ops": "ignore"}


def on_disk(root: str) -> dict[str, bytes]:
    """Relative path -> content of every file, without the byte code that imports leave."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return _without_byte_code(found)


def in_bucket(store: MemoryStore) -> dict[str, bytes]:
    """The same of the bucket, behind the mount's back."""
    page = store.list_page("", delimiter=False)
    return _without_byte_code({meta.key: bytes(store.get_range(meta.key, 0, 1 << 30).data) for meta in page.objects})


def _without_byte_code(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if "__pycache__" not in name}


@pytest.fixture
def disk(tmp_path: Path) -> Place:
    root = tmp_path / "disk"
    for name, data in seed().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "local1").mkdir()
    return Place(str(root), str(tmp_path / "local1"))


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "local2").mkdir()
    yield Place(str(tmp_path / "bucket"), str(tmp_path / "local2"))
    untouched()
    assert not (tmp_path / "bucket").exists()


def moto_mount(moto: Server, bucket: str, **options: object) -> CloudBucketMount:
    return CloudBucketMount(
        bucket,
        bucket_endpoint_url=moto.endpoint_url,
        secret=Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_REGION": moto.region}),
        force_path_style=True,
        **OPTIONS,
        **options,  # type: ignore[arg-type]
    )


def seeded() -> MemoryStore:
    store = MemoryStore()
    for name, data in seed().items():
        store.put(name, data)
    return store


@pytest.mark.parametrize("case", [way for way in table.ways() if not way.shared], ids=lambda case: case.id)
def test_as_on_the_disk(case: Way, disk: Place, mount: Place) -> None:
    for module in case.needs:
        pytest.importorskip(module)
    expected, left = case.run(disk), on_disk(disk.root)
    store = seeded()
    with activate_stores({mount.root: (CloudBucketMount("memory", writes=case.mode, **OPTIONS), store)}):
        got = case.run(mount)
    assert got == expected
    assert sorted(in_bucket(store)) == sorted(left)
    if case.same_bytes:
        assert in_bucket(store) == left


@pytest.mark.slow
@pytest.mark.parametrize("case", [way for way in table.ways() if way.shared], ids=lambda case: case.id)
def test_as_on_the_disk_with_other_processes(case: Way, disk: Place, mount: Place, moto: Server) -> None:
    expected, left = case.run(disk), on_disk(disk.root)
    bucket = moto.new_bucket("ways")
    for name, data in seed().items():
        moto.put(bucket, name, data)
    with vfsmount.activate({mount.root: moto_mount(moto, bucket, writes=case.mode)}):
        assert case.run(mount) == expected
    assert {name: moto.get(bucket, name) for name in moto.keys(bucket)} == left


@pytest.mark.parametrize("case", table.unreached(), ids=lambda case: case.name.replace(" ", "_"))
def test_not_reached_is_never_wrong(case: Unreached, mount: Place) -> None:
    store = seeded()
    with activate_stores({mount.root: (CloudBucketMount("memory", writes=case.mode, **OPTIONS), store)}):
        case.run(mount)
    assert in_bucket(store) == seed()


def test_the_table_is_complete_and_counts() -> None:
    names = [way.id for way in table.ways()] + [f"not {case.group} {case.name}" for case in table.unreached()]
    assert len(set(names)) == len(names)
    assert len(table.ways()) >= 96
    assert f"{len(table.ways())} ways, {len(table.unreached())} declared as not reached." in table.text()
