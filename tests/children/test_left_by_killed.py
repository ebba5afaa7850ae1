"""What processes that were killed leave on the local disk goes when the next one begins to mount."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vfsmount
from tests.children.natively import PRELUDE, QUIET

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(native_bucket: Path) -> Path:
    return native_bucket


def killed(bucket: Path, code: str) -> Path:
    """The scratch directory of a program that has killed itself, and the processes that it prints."""
    program = PRELUDE + "import signal\n" + textwrap.dedent(code) + "os.kill(os.getpid(), signal.SIGKILL)\n"
    command = [sys.executable, "-W", QUIET, "-c", program, str(bucket)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for pid in map(int, done.stdout.split()):  # which takes a moment to die
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(pid)
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            assert poll.poll(60_000)
            os.close(watch)
    return Path(os.environ["TMPDIR"])


def next_one(bucket: Path) -> None:
    with vfsmount.activate({"/next": f"file://{bucket}"}):
        assert sorted(os.listdir("/next")) == ["a.txt", "dir"]


def test_the_file_with_secrets(bucket: Path) -> None:
    code = """
        from vfsmount import CloudBucketMount, Secret
        secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "never-to-be-left"})
        vfsmount.activate({"/my-mount": CloudBucketMount("bucket", "http://127.0.0.1:9", secret=secret)}, check=False)
        subprocess.run([sys.executable, "-c", ""], check=True)
    """
    scratch = killed(bucket, code)
    (left,) = scratch.glob(".vfsmount-session-*/[!.]*")
    assert b"never-to-be-left" in left.read_bytes()
    next_one(bucket)
    assert not left.parent.exists()


def test_what_stands_for_the_mounts_to_programs(bucket: Path) -> None:
    """And the short name by which a mounted script's interpreter finds it."""
    script = bucket / "script"
    script.write_text("#!/bin/sh\necho up\nread line\n")
    code = """
        vfsmount.activate({"/my-mount": f"file://{bucket}?file_mode=0o755"})
        child = subprocess.Popen(["/my-mount/script"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"up\\n"
    """
    before = {entry.name for entry in os.scandir("/tmp") if entry.is_symlink()}
    scratch = killed(bucket, code)
    script.unlink()
    bases = list(scratch.glob("vfsmount-*"))
    assert bases
    names = [entry for entry in os.scandir("/tmp") if entry.is_symlink() and entry.name not in before]
    ours = [entry.path for entry in names if os.readlink(entry.path).startswith(str(scratch))]
    assert ours
    next_one(bucket)
    assert not any(base.exists() for base in bases)
    assert not any(os.path.lexists(name) for name in ours)


@pytest.mark.parametrize("which", ["the supervisor", "both"])
def test_a_supervisor(bucket: Path, which: str) -> None:
    """Of ``native=True``; it takes the one that it supervises with it: every call on a path fails."""
    code = """
        import vfsmount.children.native.peer as peer
        activate()
        c_read("/my-mount/a.txt")
        print(peer._peer[0].supervisor, flush=True)
        os.kill(peer._peer[0].supervisor, signal.SIGKILL)
    """
    if which == "the supervisor":
        code += """
        while libc.access(b"/etc/passwd", 4) == 0:
            pass
        """
    scratch = killed(bucket, code)
    assert list(scratch.glob("vfsmount-*"))
    next_one(bucket)
    assert not list(scratch.glob("vfsmount-*"))


def test_what_living_processes_have_stays(bucket: Path) -> None:
    code = """
        with activate():
            other = "import sys, vfsmount; vfsmount.activate({'/other': 'file://' + sys.argv[1]}); print('began')"
            environment = {**os.environ, "VFSMOUNT_CHILD": ""}
            command = [sys.executable, "-c", other, bucket]
            assert b"began" in subprocess.run(command, env=environment, capture_output=True, timeout=60).stdout
            assert c_read("/my-mount/a.txt") == b"alpha\\n"
            subprocess.run(["cat", "/my-mount/dir/b.txt"], check=True)
    """
    program = [sys.executable, "-W", QUIET, "-c", PRELUDE + textwrap.dedent(code), str(bucket)]
    with vfsmount.activate({"/here": f"file://{bucket}"}):
        subprocess.run(["cat", "/here/a.txt"], check=True, stdout=subprocess.DEVNULL)
        environment = {**os.environ, "VFSMOUNT_CHILD": ""}
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100)
        assert (done.stdout, done.stderr, done.returncode) == ("beta\n", "", 0)
        assert subprocess.run(["cat", "/here/a.txt"], check=True, stdout=-1).stdout == b"alpha\n"
    assert not list(Path(os.environ["TMPDIR"]).glob("*vfsmount-*"))
