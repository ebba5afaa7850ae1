"""Claims about content that is kept in memory."""

from __future__ import annotations

import os
import random

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter

claim = pytest.mark.claim

KIB, MIB = 1 << 10, 1 << 20
BODY = random.Random(11).randbytes(3 * MIB + 17)


@claim("CACHE-4")
def test_read_again(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", BODY)
    mnt = mount()
    assert (mnt / "f").read_bytes() == BODY
    with mnt.requests.expect(head=1):
        assert (mnt / "f").read_bytes() == BODY
    found = mnt.session.stats().reading
    assert found.hits > 0
    assert found.bytes >= len(BODY) - 256 * KIB


@claim("CACHE-5")
def test_replaced_meanwhile(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", BODY)
    mnt = mount()
    assert (mnt / "f").read_bytes() == BODY
    new = bytes(reversed(BODY))
    bucket.put("f", new)
    assert (mnt / "f").read_bytes() == new
    bucket.put("f", b"short")
    assert (mnt / "f").read_bytes() == b"short"
    bucket.delete("f")
    with pytest.raises(FileNotFoundError):
        (mnt / "f").read_bytes()


@claim("CACHE-5")
def test_replaced_here(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", BODY)
    mnt = mount()
    assert (mnt / "f").read_bytes() == BODY
    (mnt / "f").write_bytes(b"new")
    assert (mnt / "f").read_bytes() == b"new"
    os.unlink(mnt / "f")
    with pytest.raises(FileNotFoundError):
        (mnt / "f").read_bytes()


@claim("CACHE-6")
def test_files_in_the_order_of_their_listing(bucket: Bucket, mount: Mounter) -> None:
    bodies = {f"{index:02}.bin": str(index).encode() for index in range(20)}
    for name, body in bodies.items():
        bucket.put(f"d/{name}", body)
    mnt = mount()
    read = {}
    for name in sorted(os.listdir(mnt / "d")):
        if name == "10.bin":
            (mnt / "d/11.bin").write_bytes(b"changed here")
        read[name] = (mnt / "d" / name).read_bytes()
    assert read == bodies | {"11.bin": b"changed here"}
    assert mnt.requests.counts["get_range"] <= 20 + 2  # asked for anew: what was changed, and what came in its place


@claim("CACHE-6")
def test_with_no_ttl_nothing_is_asked_for_ahead(bucket: Bucket, mount: Mounter) -> None:
    for index in range(8):
        bucket.put(f"d/{index}", b"old")
    mnt = mount(metadata_ttl=0)
    for name in sorted(os.listdir(mnt / "d")):
        bucket.put(f"d/{name}", b"new")
        assert (mnt / "d" / name).read_bytes() == b"new"
