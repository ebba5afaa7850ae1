"""A bucket, a place for it, and the proof that a test left nothing behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfsmount
from tests.session.starting import untouched
from vfsmount.testing import MemoryStore


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    untouched()
    yield
    left = vfsmount.is_active()
    while vfsmount.is_active():
        with contextlib.suppress(OSError, RuntimeError):
            vfsmount.deactivate()
    assert not left, "the test left a session"
    untouched()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def point(tmp_path: Path) -> str:
    """Absent on the disk, in a directory that can be written."""
    return str(tmp_path / "bucket")
