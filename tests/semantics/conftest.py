"""Fixtures for claims: a bucket on each store, and mounts of it in the activated process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clock import SteppedClock
from tests.semantics.buckets import Bucket, MemoryBucket, ServerBucket
from tests.semantics.mounting import STORES, Mounter


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A fresh bucket: in memory always, and on moto and SeaweedFS unless the test says otherwise."""
    if request.param == "memory":
        return MemoryBucket()
    server = request.getfixturevalue(request.param)
    return ServerBucket(server, server.new_bucket())


@pytest.fixture
def mount(bucket: Bucket, tmp_path: Path) -> Iterator[Mounter]:
    """Makes mounts of the bucket; all are closed at the end, the last one first."""
    with contextlib.ExitStack() as stack:
        yield Mounter(bucket, tmp_path, stack)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """The clock of the sessions made after this."""
    clock = SteppedClock()
    monkeypatch.setattr("vfsmount.session.SystemClock", lambda: clock)
    return clock
