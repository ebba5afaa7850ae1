"""Programs that outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from vfsmount.children.supervisor import keeper
from vfsmount.children.supervisor.syscalls import ARCHITECTURES

pytestmark = pytest.mark.slow

_SET_CHILD_SUBREAPER: Final = 36
_LONG: Final = 30_000
"""Milliseconds."""


@pytest.fixture
def adopting() -> Iterator[None]:
    """Whoever is left is ours."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


LEFT: Final = """
import os, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.write(1, b"up\\n")
os.read(0, 1)
try:
    os.stat("/my-mount/a.txt")
except OSError as error:
    found = error.errno
if sys.argv[2] == "well":
    os._exit(0)
os._exit(found)
"""


@pytest.mark.parametrize(("end", "status"), [("well", 0), ("badly", 38)])
def test_a_program_with_threads_can_end(native_bucket: Path, adopting: None, end: str, status: int) -> None:
    """Its calls on paths fail with ENOSYS."""
    code = f"""
        import os, subprocess, sys, vfsmount
        vfsmount.activate({{"/my-mount": "file://{native_bucket}"}})
        command = [sys.executable, "-I", "-S", "-c", {LEFT!r}, "/my-mount", "{end}"]
        child = subprocess.Popen(command, stdin=0, stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        child.returncode = 0
    """
    reading, writing = os.pipe()
    starter = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(starter, stdin=reading, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0
    pid = int(done.stdout)
    poll = select.poll()
    watch = os.pidfd_open(pid)
    poll.register(watch, select.POLLIN)
    try:
        assert not poll.poll(0)
        os.write(writing, b"x")
        assert poll.poll(_LONG), "it lingers"
    finally:
        poll.unregister(watch)
        for number in (reading, writing, watch):
            os.close(number)
        os.kill(pid, signal.SIGKILL)
        found = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(found) == status
    for left in keepers():  # which end with it
        watch = os.pidfd_open(left)
        poll.register(watch, select.POLLIN)
        assert poll.poll(_LONG), "its keeper lingers"
        poll.unregister(watch)
        os.close(watch)
        os.waitpid(left, 0)


def keepers() -> list[int]:
    """Those that are this process's, ended or not."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, children.read_text().split()):
            stat = Path(f"/proc/{pid}/stat").read_text()
            if b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes() or ") Z " in stat:
                found.append(pid)
    return found


def test_it_knows_the_architectures() -> None:
    assert {name: architecture.audit for name, architecture in ARCHITECTURES.items()} == keeper._NATIVE
