"""What supervised programs write is in the bucket when they have ended, under the rules that hold in the process."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.children.conftest import SEED, Served, failed, output, serving
from vfsmount.children.supervisor.detect import supervision
from vfsmount.children.supervisor.notify import Listener
from vfsmount.errors import Unavailable
from vfsmount.store.memory import MemoryStore


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Supervised children on a mount with options of its own."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    running: list[Iterator[Served]] = []

    def start(**options: Any) -> Served:
        running.append(serving("auto", tmp_path_factory, monkeypatch, **options))
        return next(running[-1])

    yield start
    for each in running:
        assert next(each, None) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("echo one > /my-mount/new", b"one\n"),
        ("sort -r < /my-mount/a.txt > /my-mount/new", b"alpha\n"),
        ("echo two | tee /my-mount/new | cat > /dev/null", b"two\n"),
        ("(echo one; echo two) > /my-mount/new; echo three > /my-mount/other; cat /my-mount/other", b"one\ntwo\n"),
        ("dd if=/my-mount/big.bin of=/my-mount/new bs=1000 count=3 status=none", SEED["big.bin"][:3000]),
        ("cp /my-mount/a.txt /my-mount/new", b"alpha\n"),
        ("echo old > /my-mount/new; echo new > /my-mount/new", b"new\n"),
        ("touch /my-mount/new", b""),
        ("exec 3> /my-mount/new; echo a >&3; echo b >&3; (echo c >&3); exec 3>&-", b"a\nb\nc\n"),
        ("cd /my-mount; echo a > new; cat new new > x; cp x new", b"a\na\n"),
        ("(cat /my-mount/a.txt; echo late) > /my-mount/new & wait", b"alpha\nlate\n"),
        ("sh -c 'echo a > /my-mount/deep/new' || { mkdir /my-mount/deep; echo b > /my-mount/new; }", b"b\n"),
        ("printf 0123456789 > /my-mount/new; ls -l /my-mount/new | grep -q ' 10 '", b"0123456789"),
    ],
)  # fmt: skip
def test_what_is_written_is_uploaded(supervised: Served, line: str, expected: bytes) -> None:
    subprocess.run(line, shell=True, check=True, capture_output=True, timeout=60)
    assert supervised.stored("new") == expected


def test_an_existing_file_is_seen_to_be_replaced_only_when_it_is_closed(supervised: Served) -> None:
    with subprocess.Popen(
        ["sh", "-c", "exec > /my-mount/a.txt; echo new; echo ready >&2; read line"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == b"ready\n"
        assert supervised.stored("a.txt") == b"alpha\n"
        with pytest.raises(PermissionError):  # one writer or many readers, in this process too
            open("/my-mount/a.txt")
        child.communicate(b"\n", timeout=30)
    assert supervised.stored("a.txt") == b"new\n"
    assert open("/my-mount/a.txt").read() == "new\n"


def test_what_the_mount_refuses_is_refused(supervised: Served) -> None:
    assert "Operation not permitted" in failed("sh", "-c", "echo x >> /my-mount/a.txt", env={"LC_ALL": "C"})
    assert "Operation not permitted" in failed("touch", "/my-mount/a.txt")
    assert "Operation not permitted" in failed("chmod", "600", "/my-mount/a.txt")
    assert "Operation not permitted" in failed("ln", "-s", "a.txt", "/my-mount/link")
    assert "cross-device" in failed("ln", "/etc/hostname", "/my-mount/link")
    assert "Function not implemented" in failed("mv", "/my-mount/a.txt", "/my-mount/b.txt")
    assert "Operation not permitted" in failed("truncate", "-s", "3", "/my-mount/a.txt")
    assert "File exists" in failed("mkdir", "/my-mount/dir")
    assert "Operation not permitted" in failed("rmdir", "/my-mount/dir")
    code = "import os; os.open('/my-mount/a.txt', os.O_WRONLY | os.O_CREAT | os.O_EXCL)"
    assert f"[Errno {errno.EEXIST}]" in failed(sys.executable, "-c", code)
    assert supervised.keys() == sorted(SEED)
    assert supervised.stored("a.txt") == b"alpha\n"


def test_options_of_the_mount_hold(serve: Callable[..., Served]) -> None:
    served = serve(read_only=True)
    for argv in (["touch", "/my-mount/new"], ["rm", "/my-mount/a.txt"], ["mkdir", "/my-mount/new"]):
        assert "Read-only file system" in failed(*argv)
    assert subprocess.call(["test", "-w", "/my-mount/a.txt"]) == 1
    assert served.keys() == sorted(SEED)


def test_no_delete_and_no_overwrite(serve: Callable[..., Served]) -> None:
    served = serve(allow_delete=False, allow_overwrite=False)
    assert "Operation not permitted" in failed("rm", "/my-mount/a.txt")
    assert "Operation not permitted" in failed("cp", "/etc/hostname", "/my-mount/a.txt")
    assert served.stored("a.txt") == b"alpha\n"


def test_directories_are_made_and_removed(supervised: Served) -> None:
    lines = "mkdir -p /my-mount/x/y && ls -d /my-mount/x/y && rmdir /my-mount/x/y && ! test -e /my-mount/x/y"
    assert output("sh", "-c", lines) == "/my-mount/x/y\n"
    output("rm", "-r", "/my-mount/dir")
    assert supervised.keys() == ["a.txt", "big.bin"]
    output("rm", "/my-mount/a.txt")
    assert supervised.keys() == ["big.bin"]


def test_moves(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(allow_rename=True)
    output("mv", "/my-mount/a.txt", "/my-mount/b.txt")
    assert served.stored("b.txt") == b"alpha\n"
    output("mv", "/my-mount/b.txt", str(tmp_path / "c"))
    assert (tmp_path / "c").read_bytes() == b"alpha\n"
    output("mv", str(tmp_path / "c"), "/my-mount/dir/")
    assert served.stored("dir/c") == b"alpha\n"
    assert "b.txt" not in served.keys()
    output("sh", "-c", "cd /my-mount && mv dir moved && cat moved/c")
    assert served.keys() == ["big.bin", "moved/b c.txt", "moved/c", "moved/sub/c.txt"]


def test_a_staged_mount_takes_any_pattern(serve: Callable[..., Served]) -> None:
    served = serve(writes="staged")
    output("sh", "-c", "echo more >> /my-mount/a.txt; echo end >> /my-mount/a.txt")
    assert served.stored("a.txt") == b"alpha\nmore\nend\n"
    output("dd", "if=/dev/zero", "of=/my-mount/big.bin", "bs=1", "count=2", "seek=4", "conv=notrunc", "status=none")
    assert served.stored("big.bin") == SEED["big.bin"]
    output("sh", "-c", "printf X | dd of=/my-mount/a.txt bs=1 seek=2 conv=notrunc status=none")
    assert served.stored("a.txt") == b"alXha\nmore\nend\n"
    code = (
        "import mmap, os; f = open('/my-mount/a.txt', 'r+b'); g = open('/my-mount/a.txt', 'ab');"
        "m = mmap.mmap(f.fileno(), 0);"
        "m[0:1] = b'Z'; g.write(b'!'); g.close(); f.close(); assert open('/my-mount/a.txt').read()[0] == 'Z'"
    )
    output(sys.executable, "-c", code)
    assert served.stored("a.txt") == b"ZlXha\nmore\nend\n!"
    output("truncate", "-s", "3", "/my-mount/a.txt")
    assert served.stored("a.txt") == b"ZlX"


def test_a_failed_upload_is_a_failed_exit(
    supervised: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise Unavailable("no route", operation="put", bucket="bucket", key="new")

    monkeypatch.setattr(MemoryStore, "put", refuse)
    assert subprocess.call(["sh", "-c", "echo x > /my-mount/new; exit 0"]) == 1
    assert "/my-mount/new could not be uploaded" in caplog.text
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run("echo x > /my-mount/new", shell=True, check=True)
    assert os.waitstatus_to_exitcode(os.system("echo x > /my-mount/new")) == 1
    assert subprocess.call(["sh", "-c", "echo x > /my-mount/new; exit 5"]) == 5
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo x > /my-mount/new"], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert "new" not in supervised.keys()


def test_a_supervisor_that_fails_tells_what_is_lost(
    supervised: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("not an error of the file system")

    monkeypatch.setattr(Listener, "answer", fail)
    line = "exec 3> /my-mount/new; echo x >&3; test -e /my-mount/a.txt; exit 0"
    assert subprocess.call(["sh", "-c", line], timeout=60) == 1
    assert "not an error of the file system" in caplog.text
    assert "new" not in supervised.keys()


@pytest.mark.parametrize("refused", [False, True])
def test_every_way_to_wait_tells_of_the_upload(
    supervised: Served, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    if refused:

        def refuse(*arguments: object, **options: object) -> None:
            raise Unavailable("no route", operation="put", bucket="bucket", key="new")

        monkeypatch.setattr(MemoryStore, "put", refuse)

    def status(code: int) -> int:
        return os.waitstatus_to_exitcode(code)

    def watched(pid: int) -> int:
        """Seen first, and then waited for."""
        seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert seen is not None
        assert ("new" in supervised.keys()) is not refused
        assert os.waitid(os.P_PID, pid, os.WEXITED) == seen
        return seen.si_status

    def polled(pid: int) -> int:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        assert found is not None
        assert (found.si_pid, found.si_code) == (pid, os.CLD_EXITED)
        return found.si_status

    ways: list[Callable[[int], int]] = [
        lambda pid: status(os.waitpid(pid, 0)[1]),
        lambda pid: status(os.wait4(pid, 0)[1]),
        watched,
        polled,
    ]
    for way in ways:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo x > /my-mount/new"], os.environ)
        assert way(pid) == refused
        if not refused:
            assert supervised.stored("new") == b"x\n"
            os.unlink("/my-mount/new")
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo x > /my-mount/new; exit 7"], os.environ)
    assert watched(pid) == 7


def test_asyncio_sees_the_upload(supervised: Served) -> None:
    async def write() -> int:
        child = await asyncio.create_subprocess_exec("sh", "-c", "echo x > /my-mount/new")
        return await asyncio.wait_for(child.wait(), 60)

    assert asyncio.run(write()) == 0
    assert supervised.stored("new") == b"x\n"


def test_a_killed_writer_leaves_what_a_disk_would_have(supervised: Served) -> None:
    line = "exec > /my-mount/new; echo begun; kill -9 $$"
    assert subprocess.call(["sh", "-c", line]) == -9
    assert supervised.stored("new") == b"begun\n"


def test_a_grandchild_that_goes_on_writes_on(supervised: Served) -> None:
    code = "read line < {fifo}; echo late"
    fifo = Path(os.environ["TMPDIR"]) / "fifo"
    os.mkfifo(fifo)
    assert subprocess.call(["sh", "-c", f"({code.format(fifo=fifo)}) > /my-mount/new 2>/dev/null &"]) == 0
    assert "new" not in supervised.keys()
    fifo.write_text("go\n")
    for thread in threading.enumerate():
        if thread.name.startswith("vfsmount-child"):
            thread.join(30)
    assert supervised.stored("new") == b"late\n"
