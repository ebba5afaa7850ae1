"""Renames of objects that are too large for one copy request: S3 copies at most 5 GiB at once."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.semantics.mounting import refused
from tests.servers import Server, s3_options
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.store.s3fs_store import S3fsStore
from vfsmount.testing import CountingStore

LARGE: Final = bytes(range(256)) * 4096 * 12
"""Over the limit of one copy, as :func:`_small_copies` lowers it."""


@contextlib.contextmanager
def _small_copies(
    server: Server, bucket: str, point: Path, **options: Any
) -> Iterator[tuple[S3fsStore, CountingStore]]:
    """A mount of a store that copies at most 8 MiB in one request, as S3 does at most 5 GiB, and then by 5 MiB."""
    store = S3fsStore(s3_options(server, bucket))
    store._traits = replace(store.traits, max_copy_size=8 << 20, max_part_size=5 << 20)
    counting = CountingStore(store)
    mounts = {str(point): (CloudBucketMount(bucket, allow_rename=True, **options), counting)}
    with activate_stores(mounts):
        yield store, counting


@pytest.mark.servers
@pytest.mark.slow
def test_an_object_over_the_limit_of_one_copy(moto: Server, moto_bucket: str, tmp_path: Path) -> None:
    moto.put(moto_bucket, "from", LARGE, ContentType="video/mp4")
    moto.put(moto_bucket, "to", b"old")
    with _small_copies(moto, moto_bucket, tmp_path / "m") as (_, counting):
        os.rename(tmp_path / "m/from", tmp_path / "m/dir-less")
        os.replace(tmp_path / "m/dir-less", tmp_path / "m/to")
        assert counting.counts["copy"] == 2
        assert (counting.counts["get_range"], counting.counts["put"]) == (0, 0)
        assert (tmp_path / "m/to").stat().st_size == len(LARGE)
    assert moto.keys(moto_bucket) == ["to"]
    assert moto.get(moto_bucket, "to") == LARGE
    told = moto.attributes(moto_bucket, "to")
    assert told["ContentType"] == "video/mp4"
    assert told["ETag"].strip('"').endswith("-3"), "not copied in parts"


@pytest.mark.servers
@pytest.mark.slow
def test_a_source_that_is_replaced_while_it_is_copied(
    moto: Server, moto_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto.put(moto_bucket, "from", LARGE)
    with _small_copies(moto, moto_bucket, tmp_path / "m") as (store, _):
        call = store.call

        async def replacing(client: Any, name: str, key: str, **arguments: Any) -> Any:
            if name == "upload_part_copy" and arguments["PartNumber"] == 2:
                moto.put(moto_bucket, "from", LARGE[:-1] + b"!")
            return await call(client, name, key, **arguments)

        monkeypatch.setattr(store, "call", replacing)
        with refused(errno.ESTALE, tmp_path / "m/from", tmp_path / "m/to"):
            os.rename(tmp_path / "m/from", tmp_path / "m/to")
        assert not (tmp_path / "m/to").exists()
    assert moto.keys(moto_bucket) == ["from"]
    assert moto.get(moto_bucket, "from") == LARGE[:-1] + b"!"
    assert moto.uploads(moto_bucket) == []
