"""How a failed upload is told on standard error; and closes whose callers do not wait for the answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.children.conftest import Faulty
from tests.interrupting import interrupted
from vfsmount.children.supervisor.launch import LAUNCHER

# Standard error


@pytest.mark.slow
def test_standard_error_of_any_kind(faulty: Faulty) -> None:
    faulty.refuse()
    log = faulty.directory / "log"
    with log.open("w") as file:
        file.write("before\n")
        file.flush()
        faulty.run("cp src /my-mount/new; echo after >&2", capture_output=False, stderr=file)
    before, ours, cp, after = log.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert ours.startswith("vfsmount: /my-mount/new was not uploaded: ")
    assert cp.startswith("cp: ")
    here, there = socket.socketpair()
    with here, there:
        faulty.run("cp src /my-mount/new", capture_output=False, stderr=there)
        assert here.recv(10_000).startswith(b"vfsmount: /my-mount/new was not uploaded: ")
    assert (
        faulty.run("cp src /my-mount/new 2>&- && rm src").returncode != 0
    )  # may not be a number that the filter knows
    assert faulty.run("cp src /my-mount/new 2> /my-mount/err").returncode == 1
    assert "err" not in faulty.objects


@pytest.mark.slow
def test_a_close_that_nobody_sees_is_told_all_the_same(faulty: Faulty) -> None:
    faulty.refuse()
    line = "exec 3> /my-mount/new; echo x >&3; exec 3>&-; read line; exit 7"
    with faulty.start(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith(b"vfsmount: /my-mount/new was not uploaded: Input/output error: ")
        assert child.communicate(timeout=60) == (None, b"")
    assert child.returncode == 7


@pytest.mark.slow
def test_a_full_pipe_keeps_nobody_waiting(faulty: Faulty) -> None:
    faulty.refuse()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)
    try:
        code = "import os, sys\ntry: open('/my-mount/new', 'w').close()\nexcept OSError: os._exit(7)"
        assert subprocess.run([sys.executable, "-I", "-S", "-c", code], stderr=writing, timeout=60).returncode == 7
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), [("exit 7", "7"), ("kill -9 $$", "137")])
def test_a_program_that_ends_badly_with_the_file_open(faulty: Faulty, unswept: None, end: str, status: str) -> None:
    """Whoever started it goes on when the upload is done, and is told by the same output what became of it."""
    line = f"sh -c 'exec 3> /my-mount/new; echo x >&3; {end}'; echo $?; cat /my-mount/new"
    done = faulty.run(line)
    assert done.stdout == f"{status}\nx\n"
    assert "vfsmount" not in done.stderr
    faulty.refuse()
    done = faulty.run(line)
    assert done.stdout.startswith(f"{status}\n")
    assert done.stderr.count("vfsmount: /my-mount/new was not uploaded: Input/output error: ") == 1


# Whoever does not wait for the answer


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_of_an_upload(faulty: Faulty, number: signal.Signals) -> None:
    """The upload goes on, as a disk would."""
    hold = faulty.store.hold("put", times=1)
    with faulty.start("exec cp src /my-mount/new") as child:
        hold.wait_arrived()
        child.send_signal(number)
        assert faulty.objects == {}
        hold.release()
    assert child.returncode == -number
    assert faulty.objects == {"new": b"source\n"}


@pytest.mark.slow
def test_ctrl_c_while_the_upload_of_a_dead_program_goes_on(faulty: Faulty) -> None:
    hold = faulty.store.hold("put", times=1)
    with faulty.start("exec cp src /my-mount/new") as child:
        hold.wait_arrived()
        child.kill()
        assert interrupted(child.wait) < 5
        hold.release()
    faulty.session.close()
    assert faulty.objects == {"new": b"source\n"}


@pytest.mark.slow
def test_the_session_ends_in_the_middle_of_an_upload(faulty: Faulty) -> None:
    hold = faulty.store.hold("put", times=1)
    with faulty.start("cp src /my-mount/new") as child:
        hold.wait_arrived()
        closing = threading.Thread(target=faulty.session.close)
        closing.start()
        hold.release()
        closing.join(60)
        assert not closing.is_alive()
        assert child.wait(60) == 0
    assert faulty.objects == {"new": b"source\n"}


@pytest.mark.slow
def test_many_children_at_once(faulty: Faulty) -> None:
    """What a program that is just being started has inherited for a moment is nobody's."""
    for index in range(0, 48, 2):
        (faulty.directory / f"{index}").write_text("moved")
        (faulty.directory / f"{index + 1}").write_text("kept")
        faulty.refuse(key=f"{index + 1}")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda index: faulty.run(f"mv {index} /my-mount/{index}"), range(48)))
    assert [each.returncode for each in done] == [0, 1] * 24
    assert all(each.stderr.count("mv: ") == each.stderr.count("vfsmount: ") == each.returncode for each in done)
    assert faulty.objects == {f"{index}": b"moved" for index in range(0, 48, 2)}
    assert sorted(path.read_text() for path in faulty.directory.iterdir()) == [*["kept"] * 24, "source\n"]


@pytest.mark.slow
def test_other_calls_go_on_meanwhile(faulty: Faulty) -> None:
    hold = faulty.store.hold("put", times=1)
    line = "cp src /my-mount/new & ls /etc/hostname; echo >&2; wait"
    with faulty.start(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        hold.wait_arrived()
        assert child.stderr.readline() == b"\n"
        hold.release()
    assert child.returncode == 0


@pytest.mark.slow
def test_a_program_that_outlives_the_session_can_end(faulty: Faulty) -> None:
    """And sees nothing of the disk, where the mount was."""
    line = "echo ready; read line; exec 3>&1 1>&2; echo x > /my-mount/new; exit 0"
    with faulty.start(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"ready\n"
        faulty.session.close()
        child.stdin.close()
        assert b"Function not implemented" in child.stderr.read()
        assert child.wait(30) == 0
    assert not os.path.lexists("/my-mount/new")


@pytest.fixture
def interruptible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on Linux before 5.19: a signal ends the call, and it is made again."""
    changed = tmp_path / "launcher.py"
    source = Path(LAUNCHER).read_text()
    newer = '(_NEW_LISTENER | _WAIT_KILLABLE, b"K")'
    assert newer in source
    changed.write_text(source.replace(newer, '(_NEW_LISTENER, b"L")'))
    monkeypatch.setattr("vfsmount.children.supervisor.launch.LAUNCHER", str(changed))


SIGNALLED: Final = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.siginterrupt(signal.SIGUSR1, {interrupts})
new = os.open("/my-mount/new", os.O_WRONLY | os.O_CREAT)
try:
    os.close(new)
except OSError as error:
    os.write(1, os.strerror(error.errno).encode())
"""


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("interrupts", [False, True])
def test_a_signal_in_the_middle_of_a_close(
    faulty: Faulty, interruptible: None, *, fails: bool, interrupts: bool
) -> None:
    hold = faulty.store.hold("put", times=1)
    if fails:
        faulty.refuse()
    argv = [sys.executable, "-I", "-S", "-c", SIGNALLED.format(interrupts=interrupts), "/my-mount"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        hold.wait_arrived()
        child.send_signal(signal.SIGUSR1)
        hold.release()
        said, told = child.communicate(timeout=60)
    if fails:
        assert b"vfsmount: /my-mount/new was not uploaded" in told
        assert child.returncode == 1
        assert said in ((b"Interrupted system call", b"Input/output error") if interrupts else (b"Input/output error",))
    else:
        assert (child.returncode, told) == (0, b"")
        assert said in ((b"", b"Interrupted system call") if interrupts else (b"",))
    assert (faulty.objects == {}) == fails


@pytest.mark.slow
def test_the_last_two_close_at_once(faulty: Faulty, unswept: None) -> None:
    faulty.refuse()
    code = """
import os, sys, threading
new = os.open("/my-mount/new", os.O_WRONLY | os.O_CREAT)
r, w = os.pipe()
pid = os.fork()
os.close(r if pid else w)
os.read(r, 1) if pid == 0 else os.close(w)
try:
    os.close(new)
except OSError:
    os._exit(3)
os._exit(3 if pid and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3 else 4)
"""
    for _ in range(10):
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code, "/my-mount"], capture_output=True, timeout=60)
        assert done.returncode == 3, done.stderr
        assert done.stderr.count(b"vfsmount: ") == 1
