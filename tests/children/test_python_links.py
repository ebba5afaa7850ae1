"""Symbolic links on the local disk that lead a Python program to a mount of its parent's."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vfsmount


@pytest.mark.slow
@pytest.mark.parametrize(
    ("walk", "found"),
    [
        ("next(os.walk(at, followlinks=True))[1]", ["link", "local"]),
        ("[os.path.basename(path) for path in glob.glob(at + '/*/a.txt')]", ["a.txt"]),
        ("[path.name for path in pathlib.Path(at).glob('*/a.txt')]", ["a.txt"]),
        ("os.listdir(shutil.copytree(at, at + '-copy', False, None, shutil.copyfile, True) + '/link')", ["a.txt"]),
        ("next(os.walk(at + '/local', followlinks=True))[2]", ["x.txt"]),
    ],
)
def test_a_walk_that_comes_to_a_local_link_into_a_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walk: str, found: list[str]
) -> None:
    (tmp_path / "tree" / "local").mkdir(parents=True)
    (tmp_path / "tree" / "local" / "x.txt").touch()
    (tmp_path / "tree" / "local" / "nowhere").symlink_to("none")
    (tmp_path / "again").symlink_to("/my-mount")
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "again")
    code = f"""
        import glob, os, pathlib, shutil, sys
        at = sys.argv[1]
        assert "vfsmount" not in sys.modules
        print(sorted(name for name in {walk} if name != "nowhere" and name in {found!r}))
        print("vfsmount.session" in sys.modules)
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "a.txt").touch()
    with vfsmount.activate({"/my-mount": f"file://{tmp_path}/bucket"}):
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "tree")],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (ran.stdout.splitlines(), ran.stderr) == ([repr(found), str("/local'" not in walk)], "")
