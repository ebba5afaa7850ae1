"""Every way in gives on a mount what it gives on the disk, or is declared as not reached and fails loudly."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import vfsmount
from tests.servers import Server
from tests.session.starting import untouched
from tests.ways import table
from tests.ways.oracle import Oracle, oracle, without_byte_code
from tests.ways.way import Mode, Place, Unreached, Way, seed
from vfsmount import CloudBucketMount, Secret
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore

OPTIONS = {"allow_rename": True, "metadata_ops": "ignore"}


@dataclass
class Bucket:
    """A bucket in memory; each way has a mounted directory of its own."""

    point: str
    store: MemoryStore = field(default_factory=MemoryStore)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def directory(self) -> str:
        """A fresh one, seeded."""
        name = f"way{next(self.numbers)}"
        for path, data in seed().items():
            self.store.put(f"{name}/{path}", data)
        return name

    def files(self, name: str) -> dict[str, bytes]:
        """What is in it, behind the mount's back."""
        page = self.store.list_page(f"{name}/", delimiter=False)
        return without_byte_code(
            {meta.key[len(name) + 1 :]: bytes(self.store.get_range(meta.key, 0, 1 << 30).data) for meta in page.objects}
        )


@dataclass
class World:
    """What the ways of one module run in: the disk's answers, and one mounted bucket for each mode."""

    disk: Oracle
    buckets: dict[Mode, Bucket]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for case in table.ways():
        for module in case.needs:  # imported before the mount, as most programs do
            with contextlib.suppress(ImportError):
                __import__(module)
    place = tmp_path_factory.mktemp("ways")
    modes: tuple[Mode, ...] = ("sequential", "staged")
    buckets = {mode: Bucket(str(place / mode)) for mode in modes}
    mounts = {
        bucket.point: (CloudBucketMount("memory", writes=mode, **OPTIONS), bucket.store)
        for mode, bucket in buckets.items()
    }
    with oracle() as disk:
        with activate_stores(mounts):
            yield World(disk, buckets)
    untouched()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("case", [way for way in table.ways() if not way.shared], ids=lambda case: case.id)
def test_as_on_the_disk(case: Way, world: World, tmp_path: Path) -> None:
    for module in case.needs:
        pytest.importorskip(module)
    expected, left = world.disk(case.id)
    bucket = world.buckets[case.mode]
    name = bucket.directory()
    got = case.run(Place(f"{bucket.point}/{name}", str(tmp_path)))
    assert got == expected
    files = bucket.files(name)
    assert sorted(files) == sorted(left)
    if case.same_bytes:
        assert files == left


@pytest.mark.slow
@pytest.mark.parametrize("case", [way for way in table.ways() if way.shared], ids=lambda case: case.id)
def test_as_on_the_disk_with_other_processes(case: Way, tmp_path: Path, moto: Server) -> None:
    bucket = moto.new_bucket("ways")
    for name, data in seed().items():
        moto.put(bucket, name, data)
    mount = CloudBucketMount(
        bucket,
        bucket_endpoint_url=moto.endpoint_url,
        secret=Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_REGION": moto.region}),
        force_path_style=True,
        writes=case.mode,
        **OPTIONS,
    )
    with oracle() as disk:
        expected, left = disk(case.id)
    with vfsmount.activate({str(tmp_path / "bucket"): mount}):
        assert case.run(Place(str(tmp_path / "bucket"), str(tmp_path))) == expected
    assert {name: moto.get(bucket, name) for name in moto.keys(bucket)} == left


@pytest.mark.parametrize("case", table.unreached(), ids=lambda case: case.name.replace(" ", "_"))
def test_not_reached_is_never_wrong(case: Unreached, world: World, tmp_path: Path) -> None:
    bucket = world.buckets[case.mode]
    name = bucket.directory()
    case.run(Place(f"{bucket.point}/{name}", str(tmp_path)))
    assert bucket.files(name) == seed()


def test_the_table_is_complete_and_counts() -> None:
    names = [way.id for way in table.ways()] + [f"not {case.group} {case.name}" for case in table.unreached()]
    assert len(set(names)) == len(names)
    assert len(table.ways()) >= 96
    assert f"{len(table.ways())} ways, {len(table.unreached())} declared as not reached." in table.text()
