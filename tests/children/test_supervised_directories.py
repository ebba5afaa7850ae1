"""Supervised programs stand in mounted directories, and execute what lies there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.children.conftest import Served, output, serving
from vfsmount.children.supervisor.detect import supervision

TOOL = b'#!/bin/sh\necho "$@"\ncat "$(dirname "$0")/../a.txt"\n'


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A mount whose files may be executed."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    for served in serving("auto", tmp_path_factory, monkeypatch, file_mode=0o755):
        served.store.put("bin/tool", TOOL)
        served.store.put("bin/true", Path("/bin/true").read_bytes())
        yield served


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cd /my-mount && ls && pwd -P", "a.txt\nbig.bin\ndir\n/my-mount\n"),
        ("cd /my-mount/dir && cat sub/c.txt ../a.txt && cd .. && cat a.txt", "gamma\nalpha\nalpha\n"),
        ("(cd /my-mount/dir; pwd; ls sub); pwd", "/my-mount/dir\nc.txt\n/\n"),
        ("cd /my-mount/dir/sub; cd ../..; pwd -P; cd ..; pwd -P; ls -d my-mount", "/my-mount\n/\nmy-mount\n"),
        ("cd my-mount; head -c 4 ../etc/passwd; cd ../etc; pwd", "root/etc\n"),
        ("cd /my-mount/dir; mkdir new; echo x > new/y; ls new; cat ./new/y", "y\nx\n"),
        ("cd /my-mount/none || echo refused", "refused\n"),
        ("cd /my-mount/a.txt || echo refused", "refused\n"),
        ("cd /my-mount; find . -name '*.txt' | sort", "./a.txt\n./dir/b c.txt\n./dir/sub/c.txt\n"),
        ("find /my-mount -name 'c.txt' -execdir cat {} +", "gamma\n"),
        ("env -C /my-mount/dir ls", "b c.txt\nsub\n"),
        ("cd /my-mount/dir; readlink /proc/self/cwd; realpath sub", "/my-mount/dir\n/my-mount/dir/sub\n"),
        ("cd /my-mount/dir; for f in *; do echo \"$f\"; done; echo /my-mount/*.txt", "b c.txt\nsub\n/my-mount/a.txt\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_changing_directory(supervised: Served, shell: str, line: str, expected: str) -> None:
    if not os.path.exists(shell):
        pytest.skip(f"no {shell}")
    done = subprocess.run([shell, "-c", line], capture_output=True, text=True, cwd="/", timeout=60)
    assert done.stdout == expected


ENDINGS = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.semantics import posix, posix_endings
for number, (name, function) in enumerate(posix.OPERATIONS.items()):
    top = Path(sys.argv[1], str(number))
    os.mkdir(top)
    posix.prepare(top)
    print(name, posix.observe(function, top))
"""


@pytest.mark.claim("DIR-14")
@pytest.mark.slow
def test_the_end_of_a_path_means_what_it_does_to_the_kernel(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python without the bootstrap makes the calls: rename, mkdir and so on of libc."""
    root = Path(__file__).parents[2]
    local = tmp_path_factory.mktemp("endings")
    for served in serving("auto", tmp_path_factory, monkeypatch, allow_rename=True):
        if supervision() is None:
            pytest.skip("no seccomp user notification here")
        on_disk, mounted = (output(sys.executable, "-I", "-c", ENDINGS, top, root) for top in (local, "/my-mount/dir"))
        assert mounted.splitlines() == on_disk.splitlines()
        assert len(mounted.splitlines()) > 10
        assert served.stored("a.txt") == b"alpha\n"


def test_a_path_that_starts_at_another_root(supervised: Served, tmp_path: Path) -> None:
    """``openat2`` with RESOLVE_IN_ROOT and RESOLVE_BENEATH."""
    (tmp_path / "my-mount").mkdir()
    (tmp_path / "my-mount" / "a.txt").write_text("local")
    code = """
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def opened(directory, path, resolve, flags=os.O_RDONLY):
    how = struct.pack("3Q", flags, 0, resolve)
    number = libc.syscall(437, os.open(directory, os.O_RDONLY), path, how, 24)
    return os.read(number, 99) if number >= 0 else errno.errorcode[ctypes.get_errno()]
print(opened(sys.argv[1], b"/my-mount/a.txt", 0x10), opened(sys.argv[1], b"/my-mount/a.txt", 0x08))
print(opened(sys.argv[1], b"/my-mount/a.txt", 0), opened("/my-mount/dir", b"sub/c.txt", 0x08))
print(opened("/my-mount", b"/a.txt", 0x10), opened("/my-mount", b"a.txt", 0x10))
"""
    found = output(sys.executable, "-I", "-c", code, tmp_path).splitlines()
    assert found == ["b'local' EXDEV", "b'alpha\\n' b'gamma\\n'", "ENOTSUP b'alpha\\n'"]


def test_a_mount_holds_no_sockets(supervised: Served) -> None:
    code = """
import errno, os, socket, sys
os.chdir("/my-mount/dir")
for name in ("socket", "/my-mount/socket", sys.argv[1], "\\0abstract"):
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.bind(name)
        except OSError as error:
            print(errno.errorcode[error.errno])
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's name has room for 107 bytes
        assert output(sys.executable, "-I", "-c", code, f"{short}/s", "/my-mount") == "ENOTSUP\nENOTSUP\n"
        assert Path(f"{short}/s").is_socket()


def test_cwd_in_a_mount(supervised: Served) -> None:
    assert output("ls", cwd="/my-mount/dir") == "b c.txt\nsub\n"
    assert output("cat", "sub/c.txt", "../a.txt", cwd=Path("/my-mount/dir")) == "gamma\nalpha\n"
    output("touch", "new", cwd="/my-mount/dir")
    assert supervised.stored("dir/new") == b""
    with pytest.raises(FileNotFoundError):
        subprocess.run(["ls"], cwd="/my-mount/none")
    with pytest.raises(NotADirectoryError):
        subprocess.run(["ls"], cwd="/my-mount/a.txt")


def test_the_virtual_cwd_holds_for_children(supervised: Served) -> None:
    before = os.getcwd()
    os.chdir("/my-mount/dir")
    try:
        assert output("cat", "b c.txt", "../a.txt") == "beta\nalpha\n"
        assert output("pwd", cwd="/") == "/\n"
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/my-mount/bin/tool x 'y z'", "x y z\nalpha\n"),
        ("cd /my-mount/bin; ./tool 1; ../bin/true && echo ok", "1\nalpha\nok\n"),
        ("cd /my-mount; bin/tool", "\nalpha\n"),
        ("PATH=/my-mount/bin:$PATH tool from path", "from path\nalpha\n"),
        ("/my-mount/bin/true a b c && echo ok", "ok\n"),
        ("sh /my-mount/bin/tool 7", "7\nalpha\n"),
        ("/my-mount/bin/none || echo $?", "127\n"),
        ("/my-mount/bin || echo $?", "126\n"),
    ],
)
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_mounted_programs_and_scripts(programs: Served, shell: str, line: str, expected: str) -> None:
    if not os.path.exists(shell):
        pytest.skip(f"no {shell}")
    done = subprocess.run([shell, "-c", line], capture_output=True, text=True, timeout=60)
    assert done.stdout == expected


def test_a_mounted_program_is_started_directly(programs: Served) -> None:
    assert output("/my-mount/bin/tool", "q") == "q\nalpha\n"
    assert output("tool", "q", env={"PATH": "/my-mount/bin:/bin:/usr/bin"}) == "q\nalpha\n"
    assert output("./tool", "q", cwd="/my-mount/bin") == "q\nalpha\n"


def test_a_file_without_x_is_not_executed(supervised: Served) -> None:
    with pytest.raises(PermissionError):
        subprocess.run(["/my-mount/a.txt"])
