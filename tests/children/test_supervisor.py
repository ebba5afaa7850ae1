"""Unmodified programs see the mounts through the supervisor: what they print, leave behind and are refused."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.children.conftest import SEED, Served, failed, output, stages
from tests.forks import in_child
from vfsmount.children.supervisor.family import Family

# Reading --------------------------------------------------------------------------------------------------------------


def test_ls_la(supervised: Served) -> None:
    lines = output("ls", "-la", "--time-style=+%s", "/my-mount").splitlines()
    assert [line.split(None, 6)[6] for line in lines[1:]] == [".", "..", "a.txt", "big.bin", "dir"]
    assert [line.split()[0] for line in lines[3:]] == ["-rw-r--r--", "-rw-r--r--", "drwxr-xr-x"]
    assert [line.split()[4] for line in lines[3:5]] == ["6", "1000000"]
    assert int(lines[3].split()[5]) == int(os.stat("/my-mount/a.txt").st_mtime)


def test_files_are_read(supervised: Served) -> None:
    assert output("cat", "/my-mount/a.txt", "/my-mount/dir/b c.txt") == "alpha\nbeta\n"
    digest = hashlib.sha256(SEED["big.bin"]).hexdigest()
    assert output("sha256sum", "/my-mount/big.bin") == f"{digest}  /my-mount/big.bin\n"
    assert output("cat", "//my-mount//dir/../a.txt") == "alpha\n"
    assert output("cat", Path("/my-mount/a.txt")) == output(b"cat", b"/my-mount/a.txt") == "alpha\n"
    assert "No such file" in failed("cat", "/my-mount/none")
    assert "Not a directory" in failed("cat", "/my-mount/a.txt/x")
    assert "Is a directory" in failed("cat", "/my-mount/dir")


def test_a_mount_inside_an_argument_or_the_environment_is_enough(
    supervised: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; print(open('/my-mount/a.txt').read(), end='')"
    assert output(sys.executable, "-c", code) == "alpha\n"
    assert output("sh", "-c", 'cat "$DATA/a.txt"', env={**os.environ, "DATA": "/my-mount"}) == "alpha\n"
    monkeypatch.setenv("DATA", "/my-mount")
    assert output("sh", "-c", 'cat "$DATA/a.txt"') == "alpha\n"


def test_a_link_on_the_disk_may_lead_into_a_mount(supervised: Served, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/my-mount/dir")
    assert output("sh", "-c", f": /my-mount; cat '{tmp_path}/link/b c.txt'") == "beta\n"
    assert output("sh", "-c", ": /my-mount; cat 'link/b c.txt'", cwd=tmp_path) == "beta\n"


def test_local_files_stay_what_they_are(supervised: Served, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("local\n")
    assert output("cat", f"{tmp_path}/x", "/my-mount/a.txt") == "local\nalpha\n"
    assert output("sh", "-c", "cat x; cat /my-mount/a.txt > y; cat y", cwd=tmp_path) == "local\nalpha\n"
    assert (tmp_path / "y").read_text() == "alpha\n"


# How it starts and ends -----------------------------------------------------------------------------------------------


def test_a_program_that_cannot_start_raises_as_ever(supervised: Served, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        subprocess.run(["no-such-program", "/my-mount/a.txt"])
    assert caught.value.filename == "no-such-program"
    (tmp_path / "plain").write_text("x")
    with pytest.raises(PermissionError):
        subprocess.run([tmp_path / "plain", "/my-mount"], stdin=subprocess.PIPE)
    with pytest.raises(FileNotFoundError):
        subprocess.run(["true", "/my-mount"], cwd="/no/such/directory")


def test_the_program_is_started_as_it_would_have_been(supervised: Served) -> None:
    code = "import os, sys; print(sys.argv[1:], sorted(os.environ), os.getppid())"
    argv = [sys.executable, "-I", "-c", code, "/my-mount", "a b"]
    assert output(*argv, env={"LC_ALL": "C.UTF-8", "A": "1"}) == (
        f"['/my-mount', 'a b'] ['A', 'LC_ALL'] {os.getpid()}\n"
    )
    assert output("zero", "-c", 'echo "$0" /my-mount', executable="/bin/sh") == "zero /my-mount\n"
    ignored = output("sh", "-c", "grep SigIgn /proc/self/status; : /my-mount").split()[1]
    assert int(ignored, 16) & (1 << 12) == 0  # SIGPIPE


def test_children_that_name_no_mount_are_left_alone(supervised: Served) -> None:
    assert (
        output("sh", "-c", "grep Seccomp: /proc/self/status").split()[1]
        == output(
            sys.executable, "-c", "print([l for l in open('/proc/self/status') if 'Seccomp:' in l][0].split()[1])"
        ).strip()
    )
    assert output("sh", "-c", "grep Seccomp: /proc/self/status; : /my-mount").split()[1] == "2"


def test_exit_codes_and_signals_are_the_programs_own(supervised: Served) -> None:
    assert subprocess.call(["sh", "-c", "exit 7 # /my-mount"]) == 7
    with subprocess.Popen(["sh", "-c", "read line; cat /my-mount/a.txt"], stdin=subprocess.PIPE) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM


def test_nothing_is_left_when_the_child_has_ended(supervised: Served) -> None:
    before = stages()
    child = subprocess.Popen(["cat", "/my-mount/a.txt", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stages() > before
    assert child.communicate(b"")[0] == b"alpha\n"
    assert stages() == before
    for thread in threading.enumerate():
        if thread.name.startswith("vfsmount-child"):
            thread.join(30)
            assert not thread.is_alive()


def test_a_forked_process_leaves_its_parents_children_alone(supervised: Served) -> None:
    with subprocess.Popen(
        ["sh", "-c", "exec 3> /my-mount/new; echo ready; read line; cat /my-mount/a.txt >&3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"ready\n"

        def look() -> None:
            child.poll()
            assert "new" not in supervised.keys()
            supervised.session.close()
            assert stages()

        in_child(look)
        child.communicate(b"\n", timeout=30)
    assert child.returncode == 0
    assert supervised.stored("new") == b"alpha\n"


def test_a_fork_while_a_family_is_woken_does_not_hang(supervised: Served) -> None:
    with subprocess.Popen(["sh", "-c", "read line; cat /my-mount/a.txt"], stdin=subprocess.PIPE) as child:
        (family,) = [each for each in gc.get_objects() if type(each) is Family and not each._over.is_set()]
        with family.listener._ending:
            in_child(lambda: None)
        child.communicate(b"\n", timeout=30)
    assert child.returncode == 0


def test_the_session_may_end_before_the_child(supervised: Served, caplog: pytest.LogCaptureFixture) -> None:
    with subprocess.Popen(
        ["sh", "-c", "exec 3> /my-mount/new; echo ready; read line; cat /my-mount/a.txt || exit 3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"ready\n"
        supervised.session.close()
        child.communicate(b"\n", timeout=30)
    assert child.returncode != 0
    assert "/my-mount/new, which is not uploaded" in caplog.text
    assert supervised.keys() == sorted(SEED)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root to become nobody")
def test_it_needs_no_privilege() -> None:
    code = (
        "import os, subprocess\n"
        "from vfsmount import CloudBucketMount\n"
        "from vfsmount.children.supervisor.detect import supervision\n"
        "from vfsmount.session import activate_stores\n"
        "from vfsmount.store.memory import MemoryStore\n"
        "store = MemoryStore()\n"
        "store.put('a', b'alpha')\n"
        "assert os.geteuid() == 65534 and supervision() is not None\n"
        "with activate_stores({'/my-mount': (CloudBucketMount('bucket'), store)}):\n"
        "    subprocess.run('cd /my-mount && ls -la . && cat a > b', shell=True, check=True)\n"
        "print(bytes(store.get_range('b', 0, 9).data))\n"
    )
    root = Path(__file__).parents[2]
    interpreter = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"  # ours may lie in root's home
    if not os.path.exists(interpreter):
        interpreter = sys.executable
    where = tempfile.mkdtemp(dir="/tmp")
    os.chown(where, 65534, 65534)
    environment = {**os.environ, "PYTHONPATH": f"{root}:{os.pathsep.join(sys.path[1:])}", "TMPDIR": where}
    nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    start = ["setpriv", *nobody, interpreter, "-c"]
    if subprocess.run([*start, "import vfsmount.session"], env=environment, cwd="/", capture_output=True).returncode:
        shutil.rmtree(where)
        pytest.skip("nobody cannot execute this interpreter, or not read these sources")
    done = subprocess.run(
        [*start, code],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        timeout=100,
    )
    shutil.rmtree(where)
    assert done.stdout.endswith("b'alpha'\n"), done.stderr
    assert re.search(r"^-rw-r--r-- +1 (nobody|65534) .* a$", done.stdout, re.MULTILINE)
