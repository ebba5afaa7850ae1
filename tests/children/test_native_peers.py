"""``native=True`` and other processes: those that join, those that must not, and the supervisor's own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.children.natively import PRELUDE, ROOT, run

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(native_bucket: Path) -> Path:
    return native_bucket


def test_where_the_process_is_supervised_already(bucket: Path) -> None:
    """By ``vfsmount run --native``: a filter below another cannot be answered by anybody else."""
    command = [sys.executable, "-m", "vfsmount", "run", "--native", "--mount", f"/other=file://{bucket}", "--"]
    code = """
        try:
            activate()
        except OSError as error:
            print(errno.errorcode[error.errno], vfsmount.is_active())
    """
    finished = subprocess.run(
        [*command, sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(bucket)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert finished.stdout == "ENOTSUP False\n"


def test_a_program_that_is_started_by_one_joins(bucket: Path, tmp_path: Path) -> None:
    """Such as a worker that imports the main program again; other mounts than those of the process above it has not."""
    worker = PRELUDE + textwrap.dedent("""
        with activate():
            os.makedirs("/my-mount/by-worker")
            c_write("/my-mount/by-worker/x", b"from C")
            assert open("/my-mount/by-worker/x").read() == "from C"
            with vfsmount.activate({"/other": f"file://{bucket}"}):
                assert os.listdir("/other/dir") == ["b.txt"]
        try:
            vfsmount.activate({"/other": f"file://{bucket}"}, native=True)
        except OSError as error:
            print(errno.errorcode[error.errno], error.filename)
    """)
    (tmp_path / "worker.py").write_text(worker)
    code = """
        with activate():
            for env in (None, dict(os.environ)):
                command = [sys.executable, sys.argv[2], bucket]
                done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
                assert (done.stdout, done.stderr) == ("ENOTSUP /other\\n", ""), done
                assert c_read("/my-mount/by-worker/x") == b"from C"
                os.unlink("/my-mount/by-worker/x")
                os.rmdir(f"{bucket}/by-worker")
    """
    run(bucket, code, str(tmp_path / "worker.py"))


@pytest.mark.parametrize("native", [True, False])
def test_a_program_that_mounts_something_else_there(bucket: Path, tmp_path: Path, native: bool) -> None:
    """Its native code would see the other bucket: neither with ``native`` nor without, and nothing is lost."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("another\n")
    (bucket / "prefix").mkdir()
    worker = PRELUDE + textwrap.dedent("""
        other, native = sys.argv[2], sys.argv[3] == "True"
        for url in (f"file://{other}", f"file://{bucket}?read_only=true", f"file://{bucket}/prefix/"):
            try:
                vfsmount.activate({"/my-mount": url}, native=native)
            except ValueError as error:
                print(str(error).partition("(")[2].partition(")")[0])
            assert not vfsmount.is_active()
        with vfsmount.activate({"/my-mount": f"file://{bucket}"}, native=native):
            print(open("/my-mount/a.txt").read() + c_read("/my-mount/a.txt").decode(), end="")
        with vfsmount.activate({"/elsewhere": f"file://{other}"}):
            print(open("/elsewhere/a.txt").read(), end="")
    """)
    (tmp_path / "worker.py").write_text(worker)
    code = """
        def differ(url):
            try:
                vfsmount.activate({"/my-mount": url}, native=sys.argv[4] == "True")
            except ValueError as error:
                assert "bucket_name" in str(error), error
                return not vfsmount.is_active()
        with activate() as session:
            command = [sys.executable, *sys.argv[2:3], bucket, *sys.argv[3:]]
            print(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout, end="")
            pid = os.fork()
            if pid == 0:
                session.close()
                os._exit(0 if differ(f"file://{sys.argv[3]}") else 1)
            assert os.waitpid(pid, 0)[1] == 0
            assert open("/my-mount/a.txt", "rb").read() == c_read("/my-mount/a.txt") == b"alpha\\n"
        with vfsmount.activate({"/my-mount": f"file://{sys.argv[3]}"}, native=True):
            assert c_read("/my-mount/a.txt") == b"another\\n"
    """
    said = ["other bucket_name", "other read_only", "other bucket_name", "alpha", "alpha", "another"]
    assert run(bucket, code, str(tmp_path / "worker.py"), str(other), str(native)).splitlines() == said


def test_what_another_program_has_told(bucket: Path) -> None:
    """The variable alone, without the filter, joins nothing: native code would write to the local disk."""
    code = """
        import vfsmount.children.native.peer as peer
        if "VFSMOUNT_SUPERVISOR" in os.environ:
            with activate():
                c_write("/my-mount/by-child", b"from C")
            print(stored("by-child").decode(), peer._peer[0].joins)
        else:
            receiving, sending = os.pipe()
            pid = os.fork()
            if pid == 0:
                activate()
                os.write(sending, peer._peer[0].base.encode())
                os.read(receiving, 0)
                signal.pause()
            try:
                environment = {**os.environ, "VFSMOUNT_SUPERVISOR": os.read(receiving, 1000).decode()}
                subprocess.run([sys.executable, "-c", sys.argv[2], bucket], env=environment, check=True, timeout=60)
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    """
    program = PRELUDE + "import signal\n" + textwrap.dedent(code)
    assert run(bucket, "import signal\n" + textwrap.dedent(code), program) == "from C False\n"


def test_a_signal_while_the_supervisor_is_asked(bucket: Path) -> None:
    """Whose handler asks it too: neither gets the other's answer."""
    code = """
        import signal, vfsmount.children.native.peer as peer
        made = []
        def handler(*_):
            made.append("0")
            os.mkdir("/my-mount/0")
            c_call("access", b"/my-mount/0", 0)
        signal.signal(signal.SIGUSR1, handler)
        waiting = peer._answer
        def interrupted(link):
            if not made:
                signal.raise_signal(signal.SIGUSR1)
            return waiting(link)
        with activate():
            peer._answer = interrupted
            done = subprocess.run(["pwd"], cwd="/my-mount/dir", capture_output=True, text=True, timeout=60)
            assert made and os.listdir("/my-mount") == ["0", "a.txt", "dir"]
            print(done.stdout, end="")
    """
    assert run(bucket, code) == "/my-mount/dir\n"


def test_ctrl_c_while_the_supervisor_does_not_answer(bucket: Path) -> None:
    """Also where a library has SIGINT restart system calls, as polars does."""
    code = """
        import signal, vfsmount.children.native.peer as peer
        with activate():
            supervisor = peer._peer[0].supervisor
            beside = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
            signal.siginterrupt(signal.SIGINT, False)
            late = threading.Timer(10, os.kill, (supervisor, signal.SIGCONT))
            late.start()
            os.kill(supervisor, signal.SIGSTOP)
            beside.start()
            try:
                peer._peer[0].writing()
            except KeyboardInterrupt:
                assert late.is_alive(), "it went on when the supervisor did"
                print("ended")
            os.kill(supervisor, signal.SIGCONT)
            late.cancel()
            beside.join()
            print(peer._peer[0].writing(), c_read("/my-mount/a.txt"))
    """
    assert run(bucket, code) == "ended\n[] b'alpha\\n'\n"


def test_who_started_the_supervisor_is_gone(tmp_path: Path) -> None:
    """Before it has connected: the supervisor's process ends by itself."""
    code = """
        import sys, vfsmount.children.native.server as server
        class Nothing:
            def load(self, path):
                return [], lambda: print("let go")
        server._PATIENCE = 0.1
        server.Server(sys.argv[1], Nothing()).run()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("let go\n", "")


def test_nothing_that_is_secret_stays_on_the_disk(bucket: Path) -> None:
    """The supervisor has read the description of the mounts: a process that is killed leaves none behind."""
    code = """
        import signal, vfsmount.children.native.peer as peer
        from vfsmount import CloudBucketMount, Secret
        secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "never-to-be-shown"})
        mount = CloudBucketMount("bucket", "http://127.0.0.1:9", secret=secret)
        activate()
        vfsmount.activate({"/other": mount}, native=True, check=False)
        found = []
        with vfsmount.passthrough():
            for directory, inner, names in os.walk(os.environ["TMPDIR"]):
                inner[:] = [name for name in inner if name != "fs"]  # where the mounts themselves stand
                for name in names:
                    path = os.path.join(directory, name)
                    if os.path.isfile(path):
                        with open(path, "rb") as file:
                            found.append(b"never-to-be-shown" in file.read())
        supervisor = peer._peer[0].supervisor
        with vfsmount.passthrough(), open(f"/proc/{supervisor}/cmdline", "rb") as file:
            found.append(b"never-to-be-shown" in file.read())
        assert found and not any(found), found
        subprocess.run(["cat", "/my-mount/a.txt"], check=True)
    """
    assert run(bucket, code, stderr=None) == "alpha\n"
