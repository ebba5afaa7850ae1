"""What killed processes have left on the local disk, and what is somebody's still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vfsmount import real
from vfsmount.transfer.ownership import _OWNERS, ALIASES, _place, _started, own, remove_abandoned, remove_if_empty

DEAD = 2**22 + 1
"""No process has this number. Source: proc(5), pid_max."""


def directory(where: Path, *lines: str, name: str = "vfsmount-x") -> Path:
    made = where / name
    (made / "deep" / "er").mkdir(parents=True)
    (made / "deep" / "er" / "secret").write_text("secret")
    (made / "secret").write_text("secret")
    if lines:
        (made / _OWNERS).write_text("".join(lines))
    return made


def line(pid: int, started: int | None = 0, place: str | None = None) -> str:
    return f"{pid} {started} {_place() if place is None else place}\n"


@pytest.mark.parametrize("name", ["vfsmount-x", ".vfsmount-session-1-x"])
def test_of_a_dead_process(tmp_path: Path, name: str) -> None:
    made = directory(tmp_path, line(DEAD), name=name)
    other = directory(tmp_path, line(DEAD), name="strange-x")
    kept = tmp_path / "vfsmount-rescued-x"
    kept.write_text("content")
    remove_abandoned(str(tmp_path))
    assert not made.exists()
    assert other.exists()
    assert kept.read_text() == "content"


def test_of_this_process(tmp_path: Path) -> None:
    made = directory(tmp_path, line(DEAD))
    own(str(made))
    remove_abandoned(str(tmp_path))
    assert (made / "deep" / "er" / "secret").read_text() == "secret"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="nobody tells when a process started")
def test_of_a_process_whose_number_another_one_has(tmp_path: Path) -> None:
    started = _started(os.getpid())
    assert started is not None
    made = directory(tmp_path, line(os.getpid(), started - 1))
    remove_abandoned(str(tmp_path))
    assert not made.exists()


def test_where_nobody_can_tell(tmp_path: Path) -> None:
    place = _place()
    for index, lines in enumerate(
        [
            (),
            ("",),
            ("12",),
            ("nonsense\n",),
            ("a b c\n",),
            (line(DEAD).rstrip("\n"),),
            (line(DEAD), line(DEAD, place="x" + place)),
            (line(DEAD, place=place[:-1]),),
            (line(DEAD) * 200,),
        ]
    ):
        directory(tmp_path, *lines, name=f"vfsmount-{index}")
    directory(tmp_path, line(DEAD), name="elsewhere")
    (tmp_path / "vfsmount-link").symlink_to(tmp_path / "elsewhere")
    inner = directory(tmp_path, name="vfsmount-linked")
    (inner / _OWNERS).symlink_to(tmp_path / "elsewhere" / _OWNERS)
    fifo = directory(tmp_path, name="vfsmount-fifo")
    os.mkfifo(fifo / _OWNERS)
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_of_another_user(tmp_path: Path) -> None:
    theirs = directory(tmp_path, line(DEAD), name="vfsmount-theirs")
    os.chown(theirs, 65534, 65534)
    planted = directory(tmp_path, line(DEAD), name="vfsmount-planted")
    os.chown(planted / _OWNERS, 65534, 65534)
    remove_abandoned(str(tmp_path))
    assert theirs.exists()
    assert planted.exists()


def test_links_elsewhere(tmp_path: Path) -> None:
    """Those that lead into the directory go with it; what has their name by now, and links that are in it, do not."""
    made = directory(tmp_path, line(DEAD))
    (made / ALIASES).mkdir()
    (tmp_path / "abc").symlink_to(made / "secret")
    (tmp_path / "abd").symlink_to(tmp_path / "outside")
    (tmp_path / "abe").write_text("a file")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    for index, name in enumerate(("abc", "abd", "abe", "absent")):
        (made / ALIASES / str(index)).symlink_to(tmp_path / name)
    (made / "deep" / "link").symlink_to(tmp_path / "outside")
    remove_abandoned(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abd", "abe", "outside"]
    assert (tmp_path / "outside" / "file").read_text() == "mine"


@pytest.mark.slow
def test_a_killed_process(tmp_path: Path) -> None:
    """Also while nobody has waited for it; and not while it lives."""
    code = "from vfsmount.transfer.spool import ScratchDirectory as S; s = S(); print(s.path, flush=True); input()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().rstrip("\n"))
        (path / "content").write_text("content")
        remove_abandoned(str(tmp_path))
        assert (path / "content").exists()
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert path.exists()
        remove_abandoned(str(tmp_path))
        assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_used_any_more(tmp_path: Path) -> None:
    made = tmp_path / "vfsmount-x"
    made.mkdir()
    own(str(made))
    (made / "used").touch()
    remove_if_empty(str(made))
    (made / "used").unlink()
    with pytest.MonkeyPatch.context() as patch:
        removed = real.rmdir

        def meanwhile(path: str) -> None:
            (made / "again").touch()
            removed(path)

        patch.setattr(real, "rmdir", meanwhile)
        with pytest.raises(OSError, match="not empty"):
            remove_if_empty(str(made))
    assert sorted(path.name for path in made.iterdir()) == [_OWNERS, "again"]
    (made / "again").unlink()
    remove_if_empty(str(made))
    assert list(tmp_path.iterdir()) == []
