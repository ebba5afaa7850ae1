"""Sessions over a bucket in memory, with children served by staging or by the supervisor."""

from __future__ import annotations

import glob
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.children.natively import ROOT
from vfsmount import CloudBucketMount
from vfsmount.children.supervisor.detect import supervision
from vfsmount.session import Children, Session, activate_stores
from vfsmount.store.memory import MemoryStore

SEED = {"a.txt": b"alpha\n", "big.bin": bytes(1_000_000), "dir/b c.txt": b"beta\n", "dir/sub/c.txt": b"gamma\n"}


@dataclass
class Served:
    """The session and the store behind ``/my-mount``."""

    session: Session
    store: MemoryStore

    def stored(self, key: str) -> bytes:
        return bytes(self.store.get_range(key, 0, 1 << 30).data)

    def keys(self) -> list[str]:
        return sorted(meta.key for meta in self.store.list_page("", delimiter=False).objects)


def stages() -> set[str]:
    return set(glob.glob(os.path.join(os.environ["TMPDIR"], "vfsmount-*")))


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Children are staged."""
    yield from serving("staging", tmp_path_factory, monkeypatch)


@pytest.fixture
def supervised(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Children are supervised."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    yield from serving("auto", tmp_path_factory, monkeypatch)


def serving(
    children: Children, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Iterator[Served]:
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("stages")))
    store = MemoryStore()
    for key, data in SEED.items():
        store.put(key, data)
    before = stages()
    mount = CloudBucketMount("bucket", **options)
    with activate_stores({"/my-mount": (mount, store)}, children=children) as session:
        yield Served(session, store)
        assert stages() <= before


def output(*argv: Any, **options: Any) -> str:
    """What a program that ends well prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, **options).stdout


def failed(*argv: Any, **options: Any) -> str:
    """What a program that fails says."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode != 0
    return done.stderr


@pytest.fixture
def native_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
    found = tmp_path / "bucket"
    (found / "dir").mkdir(parents=True)
    (found / "a.txt").write_text("alpha\n")
    (found / "dir" / "b.txt").write_text("beta\n")
    return found
