"""``fsync`` in a supervised program; and writes that a coarse clock does not show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.children.conftest import Faulty
from vfsmount import real
from vfsmount.children.supervisor.processes import Listeners, Process
from vfsmount.children.supervisor.writers import Writer

pytestmark = pytest.mark.slow

STEPS: Final = """
import os
def step():
    print(flush=True)
    input()
new = os.open("/my-mount/new", os.O_RDWR | os.O_CREAT)
os.write(new, b"one"); os.fsync(new); step()
os.pwrite(new, b"two", 0); os.fdatasync(new); step()
os.pwrite(new, b"six", 0); step()
os.close(new); step()
old = os.open("/my-mount/old", os.O_RDWR); os.pwrite(old, b"xyz", 0); os.dup2(old, 1); os.fsync(1)
os.pwrite(1, b"uvw", 0)
"""


@pytest.mark.claim("CHILD-10")
def test_it_publishes_and_writing_goes_on(serve_faulty: Callable[..., Faulty], unswept: None) -> None:
    served = serve_faulty(writes="staged")
    served.memory.put("old", b"abc")
    argv = [sys.executable, "-I", "-S", "-c", STEPS, "/my-mount"]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for expected in (b"one", b"two", b"two", b"six"):
            assert child.stdout.readline() == "\n"
            assert served.objects == {"new": expected, "old": b"abc"}
            child.stdin.write("\n")
    assert child.returncode == 0
    assert served.objects == {"new": b"six", "old": b"uvw"}


def test_a_close_right_after_it_sends_nothing(serve_faulty: Callable[..., Faulty]) -> None:
    served = serve_faulty(writes="staged")
    sent: list[str] = []
    served.store.before("put", lambda: sent.append("put"), times=None)
    code = "import os; new = os.open('/my-mount/new', os.O_WRONLY | os.O_CREAT); os.write(new, b'x'); os.fsync(new)"
    subprocess.run([sys.executable, "-I", "-S", "-c", f"{code}; os.close(new)"], check=True, timeout=60)
    assert (sent, served.objects) == (["put"], {"new": b"x"})


@pytest.mark.claim("CHILD-10")
@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_it_fails_where_the_upload_does_and_the_close_tries_again(
    serve_faulty: Callable[..., Faulty], call: str
) -> None:
    served = serve_faulty(writes="staged")
    served.refuse()
    code = f"""
import os
new = os.open("/my-mount/new", os.O_WRONLY | os.O_CREAT)
os.write(new, b"text")
try:
    os.{call}(new)
except OSError as error:
    print(error.errno, flush=True)
input()
os.close(new)
"""
    argv = [sys.executable, "-I", "-S", "-c", code, "/my-mount"]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, stderr=-1, text=True, bufsize=1) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "5\n"
        served.store.heal()
        said = child.communicate("\n", timeout=60)[1]
    assert said.startswith("vfsmount: /my-mount/new was not uploaded: Input/output error: ")
    assert said.count("\n") == 1
    assert child.returncode == 0
    assert served.objects == {"new": b"text"}


@pytest.mark.parametrize("line", ["dd if=src of=/my-mount/new conv=fsync", "dd if=src of=/my-mount/new conv=fdatasync"])
def test_dd_says_that_it_is_its_fsync(serve_faulty: Callable[..., Faulty], line: str) -> None:
    served = serve_faulty(writes="staged")
    served.refuse()
    done = served.run(line)
    assert done.returncode == 1
    assert "failed for '/my-mount/new': Input/output error" in done.stderr


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the command")
def test_a_database_says_that_a_transaction_is_not_durable(serve_faulty: Callable[..., Faulty]) -> None:
    served = serve_faulty(writes="staged")
    make = "create table t(a); insert into t values (1), (2); select sum(a) from t"
    assert served.run(f"sqlite3 /my-mount/x.db '{make}'").stdout == "3\n"
    before = served.objects
    assert list(before) == ["x.db"]
    served.refuse()
    done = served.run("sqlite3 /my-mount/x.db 'update t set a = 5'")
    assert done.returncode != 0
    assert "I/O error" in done.stderr
    served.store.heal()
    assert served.run("sqlite3 /my-mount/x.db 'select sum(a) from t'").stdout == "3\n"


@pytest.mark.claim("CHILD-10")
@pytest.mark.parametrize("writes", ["staged", "sequential"])
def test_elsewhere_it_waits_for_the_close(serve_faulty: Callable[..., Faulty], unswept: None, writes: str) -> None:
    served = serve_faulty(writes=writes)
    code = "import os; new = os.open('/my-mount/new', os.O_WRONLY | os.O_CREAT); os.fsync(new); os.write(new, b'x')"
    subprocess.run([sys.executable, "-I", "-S", "-c", f"{code}; os.fsync(new)"], check=True, timeout=60)
    assert served.objects == {"new": b"x"}


def test_a_write_within_one_tick_of_the_clock_shows(serve_faulty: Callable[..., Faulty], tmp_path: Path) -> None:
    """As kernels before Linux 6.13 have it: the file has the same time, and size, as before."""
    served = serve_faulty(writes="staged")
    served.memory.put("old", b"abc")
    local = tmp_path / "local"
    local.write_bytes(b"abc")
    before = os.stat(local)
    (mount,) = served.session._mounts

    class Node:
        def __init__(self) -> None:
            self.path, self.local = "/my-mount/old", str(local)

    handle = mount.fs.open("old", os.O_RDWR, "/my-mount/old")
    process = Process.of(os.getpid())
    writer = Writer(handle, Node(), process, Listeners((process,), ""), changed=False)  # type: ignore[arg-type]
    for text in (b"xyz", b"uvw"):
        local.write_bytes(text)
        real.utime(local, ns=(before.st_mtime_ns, before.st_mtime_ns))
        assert writer.publish()
        assert served.objects == {"old": text}
    local.write_bytes(b"end")
    real.utime(local, ns=(before.st_mtime_ns, before.st_mtime_ns))
    writer.commit()
    assert served.objects == {"old": b"end"}
