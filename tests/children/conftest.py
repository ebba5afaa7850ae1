"""Sessions over a bucket in memory, with children served by staging or by the supervisor."""

from __future__ import annotations

import glob
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.children.natively import ROOT
from vfsmount import CloudBucketMount
from vfsmount.children.supervisor import family
from vfsmount.children.supervisor.detect import supervision
from vfsmount.errors import StoreError, Unavailable
from vfsmount.session import Children, Session, activate_stores
from vfsmount.store.memory import MemoryStore
from vfsmount.testing import FaultyStore

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
def restricted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Served]:
    """Children are staged, with other options of the mount."""
    yield from serving("staging", tmp_path_factory, monkeypatch, **request.param)


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


@dataclass
class Faulty:
    """A mount whose uploads can be made to fail; ``directory`` holds a file ``src``."""

    session: Session
    memory: MemoryStore
    store: FaultyStore
    directory: Path

    @property
    def objects(self) -> dict[str, bytes]:
        return self.memory.objects()

    def refuse(self, kind: type[StoreError] = Unavailable, verb: str = "put", **options: Any) -> None:
        error = kind("in this test", operation=verb, bucket="bucket", key="new")
        self.store.fail(verb, error, times=None, **options)

    def run(self, line: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "env": {**os.environ, "LC_ALL": "C"}, **options}
        return subprocess.run(["sh", "-c", f"{line}\n# /my-mount"], cwd=self.directory, timeout=60, **options)

    def start(self, line: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sh", "-c", f"{line}\n# /my-mount"], cwd=self.directory, **options)


@pytest.fixture
def serve_faulty(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Faulty]]:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
    sessions: list[Session] = []

    def start(**options: Any) -> Faulty:
        memory, directory = MemoryStore(), tmp_path_factory.mktemp("local")
        store = FaultyStore(memory)
        (directory / "src").write_bytes(b"source\n")
        sessions.append(activate_stores({"/my-mount": (CloudBucketMount("bucket", **options), store)}))
        return Faulty(sessions[-1], memory, store, directory)

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def faulty(serve_faulty: Callable[..., Faulty]) -> Faulty:
    return serve_faulty()


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is uploaded because some time has passed."""
    monkeypatch.setattr(family, "_SWEEP", 3600.0)
