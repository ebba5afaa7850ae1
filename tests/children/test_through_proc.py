"""Supervised programs that come to mounted files through /proc and /dev/fd see their content, and lose no write."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.children.conftest import Served, output
from vfsmount.children.supervisor import procfs
from vfsmount.children.supervisor.family import Family

LARGE = random.Random(7).randbytes(40 << 20)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cd /my-mount; ls > /dev/null; cat /proc/self/cwd/a.txt", "alpha\n"),
        ("cd /my-mount; cat /proc/self/cwd/dir/../dir/sub/c.txt /proc/self/cwd//./a.txt", "gamma\nalpha\n"),
        ("cd /my-mount; ls > /dev/null; cat /proc/$$/cwd/a.txt", "alpha\n"),
        ("ls /my-mount/dir > /dev/null; exec 5< /my-mount/dir; cat '/proc/self/fd/5/b c.txt'", "beta\n"),
        ("ls /my-mount/dir > /dev/null; exec 5< /my-mount/dir; cat '/dev/fd/5/b c.txt'", "beta\n"),
        ("exec 5< /my-mount/dir; ls /dev/fd/5/", "b c.txt\nsub\n"),
        ("exec 5< /my-mount; cd /proc/self/fd; cat 5/a.txt", "alpha\n"),
        ("ROOT=/proc/self/root; cat $ROOT/my-mount/a.txt", "alpha\n"),
        ("cd /; : /my-mount; cat /proc/self/cwd/my-mount/a.txt", "alpha\n"),
        ("ln -s /proc/self/cwd link; cd /my-mount; ls > /dev/null; cat \"$OLDPWD/link/a.txt\"", "alpha\n"),
        (": /my-mount; cd /proc/self; cat /proc/self/cwd/comm", "sh\n"),
        ("exec 5> /my-mount/new; echo a >&5; echo b >> /dev/fd/5; exec 5>&-; cat /my-mount/new", "a\nb\n"),
    ],
)  # fmt: skip
def test_a_path_through_proc(supervised: Served, tmp_path: Path, line: str, expected: str) -> None:
    assert output("sh", "-c", f": /my-mount/; {line}", cwd=tmp_path) == expected


def test_what_is_written_through_the_descriptor_of_a_reader_is_written_to_the_file(supervised: Served) -> None:
    line = "exec 5< /my-mount/a.txt; echo new > /dev/fd/5; cat /my-mount/a.txt; cat <&5"
    assert output("sh", "-c", line) == "new\nalpha\n"
    assert supervised.stored("a.txt") == b"new\n"


def test_what_the_mount_would_refuse_is_refused_there_too(supervised: Served) -> None:
    supervised.store.put("large", LARGE)
    code = """
import os
number = os.open("/my-mount/large", os.O_RDONLY)
for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        os.write(os.open(f"/proc/self/fd/{number}", flags), b"x")
    except OSError as error:
        print(error.errno)
try:
    os.truncate(f"/dev/fd/{number}", 5)
except OSError as error:
    print(error.errno)
print(os.fstat(number).st_size, os.pread(number, 5, 0).hex())
"""
    found = output(sys.executable, "-I", "-c", code).split()
    assert found[-2:] == [str(len(LARGE)), LARGE[:5].hex()]
    assert found[:-2] == ["9", "1", "1"]
    assert supervised.stored("large") == LARGE


def fetched(served: Served) -> int:
    return sum(usage.bytes_received for usage in served.session.stats().values())


def test_the_rest_of_proc_fetches_nothing(supervised: Served) -> None:
    """Libraries read /proc/cpuinfo and the like while files are open, and programs the pipes that a shell names."""
    supervised.store.put("large", LARGE)
    code = """
import os
number = open("/my-mount/large", "rb", buffering=0)
reading, writing = os.pipe()
null = os.open("/dev/null", os.O_RDONLY)
os.close(os.open(f"/dev/fd/{reading}", os.O_RDONLY))
os.close(os.open(f"/proc/self/fd/{null}", os.O_RDONLY))
for path in ("/proc/meminfo", "/proc/self/status", "/etc/mtab", "/proc/self/maps"):
    open(path).read()
number.read(9)
"""
    output(sys.executable, "-I", "-c", code)
    assert fetched(supervised) < 12 << 20


def test_a_link_to_a_file_that_is_being_read_has_all_of_it(supervised: Served) -> None:
    supervised.store.put("large", LARGE)
    code = """
import os, sys
number = os.open("/my-mount/large", os.O_RDONLY)
os.link(f"/proc/self/fd/{number}", sys.argv[1], src_dir_fd=os.open("/", 0), follow_symlinks=True)  # linkat
os.close(number)
os.write(1, open(sys.argv[1], "rb").read()[20000000:20000099])
"""
    link = Path(os.environ["TMPDIR"]) / "link"  # where the skeleton is: on the same disk
    done = subprocess.run([sys.executable, "-I", "-c", code, link], capture_output=True, timeout=60)
    link.unlink(missing_ok=True)
    assert (done.stdout, done.stderr) == (LARGE[20000000:20000099], b"")


def test_own_paths_are_those_of_the_process_for_others_too() -> None:
    assert procfs.own(7, "/proc//self/./fd/3") == "/proc/7/fd/3"
    assert procfs.own(7, "/proc/thread-self/cwd") == "/proc/7/cwd"
    assert procfs.own(7, "/dev/stdin") == procfs.own(7, "/dev/fd/0") == "/proc/7/fd/0"
    assert procfs.own(7, "/proc/selfish/x") == "/proc/selfish/x"
    assert procfs.link("/proc/7/cwd/a/b") == ("/proc/7/cwd", "/a/b")
    assert procfs.link("/proc/7/task/8/fd/12") == ("/proc/7/task/8/fd/12", "")
    assert procfs.link("/proc/7/fdinfo/12") is procfs.link("/proc/7/cwdx") is procfs.link("/proc/cpuinfo") is None
    assert procfs.may_open("/proc/7/fd/3")
    assert not procfs.may_open("/proc/7/fdinfo/3")


def test_no_other_program_inherits_the_listener(supervised: Served) -> None:
    """It would keep calls waiting for an answer when nobody is left to give it."""
    with subprocess.Popen(["sh", "-c", "echo /my-mount; read line"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"/my-mount\n"
        (family,) = [each for each in gc.get_objects() if type(each) is Family and not each._over.is_set()]
        assert not os.get_inheritable(family.listener.descriptor)
        child.communicate(b"\n", timeout=60)
