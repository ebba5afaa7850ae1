"""What tests of sessions share: a mount, and the proof that nothing is left of it."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import vfsmount
from vfsmount import CloudBucketMount
from vfsmount.session import Session, activate_stores
from vfsmount.testing import FaultyStore, MemoryStore

MOUNT = CloudBucketMount("memory")
ORIGINALS = {
    (module, name): getattr(module, name)
    for module, names in (
        (builtins, ("open",)),
        (io, ("open", "FileIO")),
        (os, ("stat", "open", "listdir", "scandir", "mkdir", "rename", "close", "getcwd", "chdir", "fork")),
    )
    for name in names
}


def untouched() -> None:
    """Nothing is patched, and no session is active."""
    assert not vfsmount.is_active()
    assert {place: getattr(*place) for place in ORIGINALS} == ORIGINALS


def start(point: str, store: MemoryStore | FaultyStore, mount: CloudBucketMount = MOUNT, **options: object) -> Session:
    return activate_stores({point: (mount, store)}, **options)  # type: ignore[arg-type]


def interpreter(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``source`` in a fresh Python."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
    )
