"""The other ways to start a program, and what happens to commands that concern no mount."""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def store() -> Iterator[MemoryStore]:
    bucket = MemoryStore()
    bucket.put("a.txt", b"alpha\n")
    with activate_stores({"/my-mount": (CloudBucketMount("bucket"), bucket)}, children="staging"):
        yield bucket


def test_system(store: MemoryStore) -> None:
    assert os.waitstatus_to_exitcode(os.system("test -f /my-mount/a.txt")) == 0
    assert os.waitstatus_to_exitcode(os.system("grep -q beta /my-mount/a.txt")) == 1
    assert os.waitstatus_to_exitcode(os.system("exit 3")) == 3
    assert os.waitstatus_to_exitcode(os.system("echo x > /my-mount/new")) == 0
    assert store.objects()["new"] == b"x\n"
    with pytest.raises(OSError) as caught:
        os.system("cat x:/my-mount/a.txt")
    assert caught.value.errno == errno.ENOTSUP


def test_popen() -> None:
    with os.popen("cat /my-mount/a.txt") as pipe:
        assert pipe.read() == "alpha\n"


def test_spawn() -> None:
    assert os.spawnlp(os.P_WAIT, "test", "test", "-f", "/my-mount/a.txt") == 0
    assert os.spawnv(os.P_WAIT, "/usr/bin/test", ["test", "-f", "/my-mount/none"]) == 1
    assert os.spawnvp(os.P_WAIT, "true", ["true"]) == 0
    pid = os.spawnvp(os.P_NOWAIT, "cmp", ["cmp", "/my-mount/a.txt", "/my-mount/a.txt"])
    assert os.waitpid(pid, 0)[1] == 0


def test_posix_spawn_judges_file_actions_as_the_original() -> None:
    for actions in ([None], [()], [(None,)], [(12345,)], [(os.POSIX_SPAWN_CLOSE,)], [(os.POSIX_SPAWN_OPEN, 3)], 3):
        with pytest.raises(TypeError):
            os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=actions)
    actions = iter([(os.POSIX_SPAWN_CLOSE, 0)])
    pid = os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=actions)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_posix_spawn() -> None:
    pid = os.posix_spawnp("grep", ["grep", "-q", "alpha", "/my-mount/a.txt"], os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    pid = os.posix_spawn("/bin/true", ["true"], os.environ)
    assert os.waitpid(pid, 0)[1] == 0


def test_exec_of_a_mounted_path_is_refused() -> None:
    with pytest.raises(OSError) as caught:
        os.execvp("cat", ["cat", "/my-mount/a.txt"])
    assert caught.value.errno == errno.ENOTSUP
    child = os.fork()
    if child == 0:
        os.execvp("true", ["true"])
    assert os.waitpid(child, 0)[1] == 0


def test_asyncio() -> None:
    async def run() -> bytes:
        child = await asyncio.create_subprocess_exec("cat", "/my-mount/a.txt", stdout=subprocess.PIPE)
        return (await child.communicate())[0]

    assert asyncio.run(run()) == b"alpha\n"


def test_other_commands_are_untouched() -> None:
    assert subprocess.check_output(["echo", "x"]) == b"x\n"
    assert subprocess.check_output("echo $((1+1))", shell=True) == b"2\n"
    assert subprocess.check_output(iter(["echo", "x"])) == b"x\n"  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        subprocess.run(["cat", "/my-mount/a.txt", 5])  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError) as caught:
        subprocess.run(["/no-such-program"])
    assert caught.value.filename == "/no-such-program"
    with pytest.raises(TypeError):
        subprocess.run(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        subprocess.Popen()  # type: ignore[call-overload]
    child = subprocess.Popen(["true"])
    assert child.wait() == 0
    assert child.poll() == 0


def test_popen_keeps_its_signature_and_subclasses_work() -> None:
    assert "pass_fds" in inspect.signature(subprocess.Popen).parameters

    class Mine(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]

    with Mine(["cat", "/my-mount/a.txt"], -1, None, None, subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read() == b"alpha\n"


def test_children_see_no_descriptor_they_were_not_given() -> None:
    number = os.open("/my-mount/a.txt", os.O_RDONLY)
    code = f"import os\ntry: os.fstat({number})\nexcept OSError: print('closed')"
    assert subprocess.check_output([sys.executable, "-c", code], close_fds=False) == b"closed\n"
    os.close(number)


def test_a_shell_wants_no_path_object(tmp_path: Path) -> None:
    for path in (tmp_path / "x", Path("/my-mount/a.txt")):
        with pytest.raises(TypeError, match="path-like"):
            subprocess.Popen(path, shell=True)


@pytest.mark.slow
def test_regression_warnings_of_default_encodings_name_the_caller_s_line() -> None:
    lines = ["import subprocess", "subprocess.run('echo x', shell=True, text=True)", "open('/dev/null').close()"]
    active = [
        "from vfsmount import CloudBucketMount; from vfsmount.session import activate_stores",
        "from vfsmount.testing import MemoryStore",
        "activate_stores({'/another-mount': (CloudBucketMount('b'), MemoryStore())})",
    ]

    def warned(code: list[str], *, isolated: bool = True) -> list[bytes]:
        """What is said of the last two lines. ``isolated``: by a program that gets no mounts of ours."""
        words = [sys.executable, *(["-I"] if isolated else []), "-X", "warn_default_encoding", "-c", "\n".join(code)]
        said = subprocess.run(words, stderr=subprocess.PIPE, check=True, timeout=60).stderr.splitlines()
        return [line for line in said if b"EncodingWarning" in line]  # Python 3.13 shows the line's text too

    bare = warned(["", "", "", *lines])
    assert len(bare) == (2 if sys.version_info >= (3, 11) else 1)  # subprocess warns from 3.11 on
    assert warned([*active, *lines]) == bare
    assert warned(["", "", "", *lines], isolated=False) == bare


def test_a_program_keeps_open_what_it_inherits_as_its_output(store: MemoryStore) -> None:
    """Its standard output is a mounted file by ``dup2``; what it wrote later used to be lost."""
    number, before = os.open("/my-mount/log", os.O_WRONLY | os.O_CREAT), os.dup(1)
    try:
        os.dup2(number, 1)
        program = subprocess.Popen(["sh", "-c", "echo one; read line; echo $line"], stdin=subprocess.PIPE)
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(number)
    program.communicate(b"two\n", timeout=60)
    assert bytes(store.get_range("log", 0, 100).data) == b"one\ntwo\n"
