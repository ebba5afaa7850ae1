"""A real media tool, ffmpeg, on a mount: its containers are written by seeking back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.children.conftest import Served

pytestmark = pytest.mark.slow


@pytest.fixture
def ffmpeg() -> list[str]:
    """The command, with output that is the same every time."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    return [program, "-nostdin", "-v", "error", "-y", "-threads", "1"]


@pytest.fixture
def movie(ffmpeg: list[str], tmp_path: Path) -> Path:
    """Raw frames, of more bytes than are fetched when a file is opened."""
    found = tmp_path / "in.avi"
    source = ["-f", "lavfi", "-i", "testsrc=duration=2:size=320x240:rate=10"]
    subprocess.run([*ffmpeg, *source, "-c:v", "rawvideo", "-bitexact", found], check=True, timeout=60)
    assert found.stat().st_size > 2 << 20
    return found


def transcode(ffmpeg: list[str], source: object, target: object) -> None:
    coded = ["-c:v", "mpeg4", "-flags", "+bitexact", "-fflags", "+bitexact", target]
    done = subprocess.run([*ffmpeg, "-i", source, *coded], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi"])
def test_supervised(supervised: Served, ffmpeg: list[str], movie: Path, tmp_path: Path, name: str) -> None:
    """From a mounted file to a mounted file: the same bytes as between local ones."""
    supervised.store.put("in.avi", movie.read_bytes())
    transcode(ffmpeg, movie, tmp_path / name)
    transcode(ffmpeg, "/my-mount/in.avi", f"/my-mount/{name}")
    assert supervised.stored(name) == (tmp_path / name).read_bytes()


def test_staged(served: Served, ffmpeg: list[str], movie: Path, tmp_path: Path) -> None:
    """Copies serve the reading and the writing: the same bytes as between local files."""
    served.store.put("in.avi", movie.read_bytes())
    transcode(ffmpeg, movie, tmp_path / "local.mp4")
    transcode(ffmpeg, "/my-mount/in.avi", tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "local.mp4").read_bytes()
    transcode(ffmpeg, "/my-mount/in.avi", "/my-mount/out.mp4")
    assert served.stored("out.mp4") == (tmp_path / "local.mp4").read_bytes()
