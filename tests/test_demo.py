"""The demo is checked by itself, step by step; here it is run, and made to fail."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from vfsmount import demo

pytestmark = pytest.mark.slow


def test_every_step_is_right() -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "vfsmount.demo"], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    assert f"All {len(demo.STORY)} steps gave what they should" in finished.stdout
    assert "drwxr-xr-x" in finished.stdout  # what ls printed
    assert "ENOSYS" in finished.stdout
    assert "EROFS" in finished.stdout
    assert "left out" not in finished.stdout


def test_a_wrong_answer_ends_it_with_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = demo.STORY[0]
    monkeypatch.setattr(demo, "STORY", (demo.Step(step.function, lambda got: got == ["something else"]),))
    assert demo.main() == 1
    assert "step 1 (list_the_bucket) returned ['animals'" in capsys.readouterr().err


def test_what_is_left_behind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_a_file() -> object:
        with open("/my-mount/stays.txt", "w") as file:
            return file.write("x")

    monkeypatch.setattr(demo, "STORY", (demo.Step(write_a_file, lambda got: got == 1),))
    with pytest.raises(demo.Wrong, match="does not hold what it held before"):
        demo.run(io.StringIO())
