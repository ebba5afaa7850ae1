"""Every way to start a program leads to the supervisor, and what it wrote is there when its end is told."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import unittest.mock
from collections.abc import Callable

import pytest

from tests.children.conftest import Served

LINE = "cat /my-mount/a.txt && tr a-z A-Z < /my-mount/a.txt > /my-mount/new"


def by_system() -> int:
    return os.waitstatus_to_exitcode(os.system(f"({LINE}) > /dev/null"))


def by_popen() -> int:
    with os.popen(LINE) as pipe:
        assert pipe.read() == "alpha\n"
    return 0


def by_check_output() -> int:
    assert subprocess.check_output(LINE, shell=True) == b"alpha\n"
    return 0


def by_getoutput() -> int:
    code, text = subprocess.getstatusoutput(LINE)
    assert text == "alpha"
    return code


def by_posix_spawn() -> int:
    pid = os.posix_spawnp("sh", ["sh", "-c", f"({LINE}) > /dev/null"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by_spawn() -> int:
    return os.spawnlp(os.P_WAIT, "sh", "sh", "-c", f"({LINE}) > /dev/null")


def by_spawn_without_wait() -> int:
    pid = os.spawnvp(os.P_NOWAIT, "sh", ["sh", "-c", f"({LINE}) > /dev/null"])
    while True:
        found, status = os.wait()
        if found == pid:
            return os.waitstatus_to_exitcode(status)


def by_asyncio_shell() -> int:
    async def run() -> int | None:
        child = await asyncio.create_subprocess_shell(LINE, stdout=asyncio.subprocess.PIPE)
        text, _ = await asyncio.wait_for(child.communicate(), 60)
        assert text == b"alpha\n"
        return child.returncode

    code = asyncio.run(run())
    assert code is not None
    return code


def by_asyncio_exec() -> int:
    async def run() -> int:
        child = await asyncio.create_subprocess_exec("sh", "-c", f"({LINE}) > /dev/null")
        return await asyncio.wait_for(child.wait(), 60)

    return asyncio.run(run())


def by_terminal() -> int:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(["sh", "-c", LINE], stdin=theirs, stdout=theirs, start_new_session=True) as child:
            code = child.wait(60)
        assert os.read(ours, 100) == b"alpha\r\n"
    finally:
        os.close(ours)
        os.close(theirs)
    return code


@pytest.mark.parametrize(
    "start",
    [
        by_system,
        by_popen,
        by_check_output,
        by_getoutput,
        by_posix_spawn,
        by_spawn,
        by_spawn_without_wait,
        by_asyncio_shell,
        by_asyncio_exec,
        by_terminal,
    ],
)
def test_entry_points(supervised: Served, start: Callable[[], int]) -> None:
    assert start() == 0
    assert supervised.stored("new") == b"ALPHA\n"


def test_close_fds_preexec_and_sessions(supervised: Served) -> None:
    reader, writer = os.pipe()
    try:
        line = f"echo passed > /dev/fd/{writer}; cat /my-mount/a.txt > /dev/null"
        subprocess.run(["sh", "-c", line], pass_fds=[writer], check=True, start_new_session=True, timeout=60)
        assert os.read(reader, 100) == b"passed\n"
        os.set_inheritable(writer, True)
        subprocess.run(["sh", "-c", line], close_fds=False, check=True, timeout=60)
        assert os.read(reader, 100) == b"passed\n"
        subprocess.run(["sh", "-c", line], pass_fds=[writer], check=True, preexec_fn=os.getpid, timeout=60)
        assert os.read(reader, 100) == b"passed\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_streams_of_ours_beside_paths(supervised: Served) -> None:
    with open("/my-mount/a.txt", "rb") as stdin, open("/my-mount/out", "wb") as stdout:
        subprocess.run(["cat", "-", "/my-mount/dir/b c.txt"], stdin=stdin, stdout=stdout, check=True, timeout=60)
    assert supervised.stored("out") == b"alpha\nbeta\n"


def test_two_sessions_and_many_children_at_once(supervised: Served) -> None:
    children = [subprocess.Popen(["sh", "-c", f"cat /my-mount/a.txt > /my-mount/out{index}"]) for index in range(6)]
    assert [child.wait(60) for child in children] == [0] * 6
    assert [supervised.stored(f"out{index}") for index in range(6)] == [b"alpha\n"] * 6


def test_regression_a_start_that_somebody_has_replaced_is_not_waited_for(supervised: Served) -> None:
    with open("/my-mount/a.txt", "rb") as stdin, unittest.mock.patch.object(subprocess.Popen, "_execute_child"):
        for argv in (["cat", "/my-mount/a.txt"], ["cat"]):
            child = subprocess.Popen(argv, stdin=stdin)
            assert child.pid is None
            assert child.args == argv
            child.returncode = 0
    open("/my-mount/a.txt", "w").close()  # nothing reads it any more


def test_regression_the_environment_that_is_inherited_is_the_process_s_own(supervised: Served) -> None:
    line = ["sh", "-c", "test -f /my-mount/a.txt && echo $VFSMOUNT_TEST_BY_PUTENV $VFSMOUNT_TEST_BEFORE_EXEC"]
    os.putenv("VFSMOUNT_TEST_BY_PUTENV", "putenv")
    try:
        done = subprocess.run(
            line, preexec_fn=lambda: os.putenv("VFSMOUNT_TEST_BEFORE_EXEC", "preexec"), capture_output=True, timeout=60
        )
    finally:
        os.unsetenv("VFSMOUNT_TEST_BY_PUTENV")
    assert done.stdout == b"putenv preexec\n"
