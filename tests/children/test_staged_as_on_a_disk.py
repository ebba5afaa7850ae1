"""Random shell lines on copies of a mount and on a real directory: the same output, exit codes and files."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.children.conftest import stages
from tests.children.lines import TREE, line
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.store.memory import MemoryStore

LINES = 6
"""In a row on one tree."""


def files(root: Path) -> dict[str, bytes]:
    return {
        os.path.relpath(os.path.join(at, name), root): Path(at, name).read_bytes()
        for at, _, names in os.walk(root)
        for name in names
    }


def run(text: str, point: Path, here: Path, *, inside: bool) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        ["bash", "-c", text.replace("/my-mount", str(point))],
        capture_output=True,
        timeout=60,
        cwd=point / "dir" if inside else here,
        env={**os.environ, "LC_ALL": "C"},
    )
    out, err = (each.replace(bytes(point), b"/my-mount") for each in (done.stdout, done.stderr))
    return done.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_lines(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    chosen = random.Random(seed)
    disk, mount, here, there = (tmp_path / name for name in ("disk", "moun", "here", "ther"))
    for each in (disk, here, there):
        each.mkdir()
    store = MemoryStore()
    for name, data in TREE.items():
        (disk / name).parent.mkdir(exist_ok=True)
        (disk / name).write_bytes(data)
        store.put(name, data)
    options = CloudBucketMount("bucket", allow_rename=True, keep_dirs=True)
    with activate_stores({str(mount): (options, store)}, children="staging"):
        for _ in range(LINES):
            text, inside = line(chosen)
            inside = inside and (disk / "dir").is_dir()
            expected, got = run(text, disk, here, inside=inside), run(text, mount, there, inside=inside)
            assert (text, *got) == (text, *expected)
            for one, other in ((mount, disk), (there, here)):
                found = {name: data.replace(bytes(disk), bytes(mount)) for name, data in files(other).items()}
                assert files(one) == found, text
    assert not stages()
