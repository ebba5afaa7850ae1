"""``activate(native=True)``: system calls of this process itself are answered, whoever makes them.

Each test is a program of its own, because a filter stays until its process ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.children.natively import PRELUDE, QUIET, ROOT, run
from vfsmount.children.supervisor.detect import supervision

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(native_bucket: Path) -> Path:
    return native_bucket


def test_native_code_and_python_see_the_same(bucket: Path) -> None:
    """Each sees at once what the other has made, written and removed; directories that are in no bucket too."""
    code = """
        with activate():
            assert c_read("/my-mount/a.txt") == b"alpha\\n" == open("/my-mount/a.txt", "rb").read()
            os.makedirs("/my-mount/new/deep")
            c_write("/my-mount/new/deep/x", b"from C")
            assert open("/my-mount/new/deep/x").read() == "from C" and stored("new/deep/x") == b"from C"
            assert os.stat("/my-mount/new/deep/x").st_size == 6
            c_write("/my-mount/new/deep/x", b"from C, longer")
            assert os.stat("/my-mount/new/deep/x").st_size == 14
            with open("/my-mount/py", "w") as file:
                file.write("from Python")
            assert c_read("/my-mount/py") == b"from Python"
            c_call("mkdir", b"/my-mount/made", 0o777)
            assert os.listdir("/my-mount") == ["a.txt", "dir", "made", "new", "py"]
            c_call("rmdir", b"/my-mount/made")
            assert not os.path.exists("/my-mount/made")
            os.unlink("/my-mount/py")
            for function in (c_read, os.stat):
                try:
                    function("/my-mount/py")
                except FileNotFoundError:
                    continue
                raise AssertionError
            c_call("unlink", b"/my-mount/new/deep/x")
            assert os.listdir("/my-mount/new/deep") == []
            os.mkdir("/my-mount/empty")
            os.rmdir("/my-mount/empty")
            try:
                c_write("/my-mount/empty/y", b"")
            except FileNotFoundError:
                print("as it should be")
    """
    assert run(bucket, code) == "as it should be\n"


def test_threads_that_are_there_already(bucket: Path) -> None:
    """Also those that never stop making calls meanwhile, and hold the interpreter's lock while they wait."""
    code = """
        stop, found = threading.Event(), []
        holding = ctypes.PyDLL(None)
        def work_holding():
            while not stop.is_set():
                holding.access(b"/etc/passwd", 4)
            found.append(c_read("/my-mount/a.txt"))
        def work():
            while not stop.is_set():
                os.stat("/etc/passwd")
            found.append(c_read("/my-mount/a.txt"))
        threads = [threading.Thread(target=each) for each in (work, work, work_holding, work_holding)]
        for thread in threads:
            thread.start()
        with activate():
            stop.set()
            for thread in threads:
                thread.join(30)
            assert found == [b"alpha\\n"] * 4, found
    """
    run(bucket, code)


def test_refusals_are_the_mounts(bucket: Path) -> None:
    code = """
        with vfsmount.activate({"/my-mount": f"file://{bucket}?read_only=true"}, native=True):
            for call in (lambda: c_write("/my-mount/a.txt", b""), lambda: c_call("mkdir", b"/my-mount/d", 0o777)):
                try:
                    call()
                except OSError as error:
                    print(errno.errorcode[error.errno])
    """
    assert run(bucket, code) == "EROFS\nEROFS\n"


def test_after_deactivation_the_calls_are_the_kernels(bucket: Path) -> None:
    """At a mount point that no other process uses."""
    code = """
        point = f"{bucket}-mount"
        for _ in range(2):
            with vfsmount.activate({point: f"file://{bucket}"}, native=True):
                assert c_read(f"{point}/a.txt") == b"alpha\\n"
            try:
                c_read(f"{point}/a.txt")
            except FileNotFoundError:
                print("gone")
            assert c_read("/etc/passwd")
            assert not os.path.exists(point)
            assert subprocess.run(["cat", f"{point}/a.txt"], stderr=subprocess.DEVNULL).returncode == 1
    """
    assert run(bucket, code) == "gone\ngone\n"


def test_a_file_that_is_open_when_its_mount_goes_shows_no_zeros(bucket: Path) -> None:
    """What is here, or an error."""
    code = """
        point = f"{bucket}-mount"
        content = os.urandom(24 << 20)
        with open(f"{bucket}/large", "wb") as file:
            file.write(content)
        with vfsmount.activate({point: f"file://{bucket}"}, native=True):
            number = libc.open(f"{point}/large".encode(), os.O_RDONLY)
            assert number >= 900 and os.read(number, 10) == content[:10]
        for at in (5, 20 << 20):
            try:
                assert os.pread(number, 10, at) == content[at : at + 10]
            except OSError as error:
                assert error.errno in (errno.EIO, errno.EBADF), error
        print("right")
    """
    assert run(bucket, code) == "right\n"


def test_children(bucket: Path) -> None:
    """They inherit the filter: programs, shells, Python, and one that stands in a mounted directory."""
    code = """
        def output(*argv, **options):
            return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, **options).stdout
        with activate():
            assert output("cat", "/my-mount/a.txt") == "alpha\\n"
            line = "pwd; cat b.txt; echo new > c.txt"
            assert output("sh", "-c", line, cwd="/my-mount/dir") == "/my-mount/dir\\nbeta\\n"
            assert stored("dir/c.txt") == b"new\\n" == open("/my-mount/dir/c.txt", "rb").read()
            os.chdir("/my-mount/dir")
            assert output("cat", "b.txt") == "beta\\n"
            python = "import os, sys; print(open('/my-mount/a.txt').read(), 'vfsmount' in sys.modules)"
            assert output(sys.executable, "-c", python) == "alpha\\n False\\n"
            assert os.system("cp /my-mount/a.txt /my-mount/dir/copy") == 0 and stored("dir/copy") == b"alpha\\n"
            pid = os.fork()
            if pid == 0:
                os.mkdir("/my-mount/by-child")
                c_write("/my-mount/by-child/x", c_read("/my-mount/a.txt") + open("/my-mount/a.txt", "rb").read())
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert c_read("/my-mount/by-child/x") == b"alpha\\nalpha\\n" == open("/my-mount/by-child/x", "rb").read()
    """
    run(bucket, code)


def test_exec(bucket: Path) -> None:
    """The process number stays, and so does the directory."""
    code = """
        activate()
        os.chdir("/my-mount/dir")
        print(os.getpid(), flush=True)
        os.execlp("sh", "sh", "-c", "echo $$; pwd; cat b.txt /my-mount/a.txt")
    """
    pid, same, *rest = run(bucket, code).splitlines()
    assert pid == same
    assert rest == ["/my-mount/dir", "beta", "alpha"]


def test_a_failed_upload_is_told_at_the_end(bucket: Path) -> None:
    code = """
        os.mkdir(f"{bucket}/late")
        session = activate()
        file = opened("/my-mount/late/x", b"w")
        libc.fputs(b"text", file)
        with vfsmount.passthrough():
            os.rmdir(f"{bucket}/late")
            open(f"{bucket}/late", "w").close()
        libc.fclose(file)
        try:
            session.close()
        except OSError as error:
            print(error.filename)
    """
    assert run(bucket, code, stderr=None) == "/my-mount/late/x\n"


def test_the_supervisor_ends(bucket: Path) -> None:
    """Killed: nothing hangs; calls fail with an errno. It ends by itself when nobody is left."""
    code = """
        import signal, vfsmount.children.native.peer as peer
        session = activate()
        supervisor = peer._peer[0].supervisor
        with vfsmount.passthrough():
            assert "supervise" in open(f"/proc/{supervisor}/cmdline").read()
        print(supervisor, flush=True)
        if sys.argv[2] == "kill":
            os.kill(supervisor, signal.SIGKILL)
            try:
                while True:
                    c_read("/my-mount/a.txt")
            except OSError as error:
                print(errno.errorcode[error.errno], flush=True)
            try:
                open("/etc/passwd")
            except OSError as error:
                print(errno.errorcode[error.errno], flush=True)
            try:
                session.close()
            except OSError as error:
                print(errno.errorcode[error.errno], vfsmount.is_active(), flush=True)
            os._exit(0)
    """
    assert run(bucket, code, "kill").splitlines()[1:] == ["ENOSYS", "ENOSYS", "EIO False"]
    supervisor = int(run(bucket, code, "stay"))
    watch = None
    try:
        watch = os.pidfd_open(supervisor)
    except ProcessLookupError:
        return
    import select

    poll = select.poll()
    poll.register(watch, select.POLLIN)
    assert poll.poll(60_000)
    os.close(watch)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root to become nobody")
def test_it_needs_no_privilege() -> None:
    """And a child that nobody may look into sees no mounts, and works: as all do where Yama restricts that."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    code = """
        point = f"{bucket}-mount"
        with vfsmount.activate({point: f"file://{bucket}"}, native=True):
            c_write(f"{point}/a.txt", b"alpha")
            assert open(f"{point}/a.txt").read() == "alpha" and os.geteuid() == 65534
            pid = os.fork()
            if pid == 0:
                libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
                assert c_read("/etc/passwd")
                try:
                    c_read(f"{point}/a.txt")
                except OSError as error:
                    print(errno.errorcode[error.errno], flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            content = os.urandom(3 << 20)
            with vfsmount.passthrough(), open(f"{bucket}/large", "wb") as file:
                file.write(content)
            number = libc.open(f"{point}/large".encode(), os.O_RDONLY)
            pid = os.fork()
            if pid == 0:
                libc.prctl(4, 0, 0, 0, 0)
                assert os.read(number, 99) == content[:99] and os.pread(number, 99, 2 << 20) == content[2 << 20 :][:99]
                os._exit(0)
            assert number >= 900 and os.waitpid(pid, 0)[1] == 0
    """
    interpreter = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"  # ours may lie in root's home
    if not os.path.exists(interpreter):
        interpreter = sys.executable
    where = tempfile.mkdtemp(dir="/tmp")
    try:
        os.mkdir(f"{where}/bucket")
        for each in (where, f"{where}/bucket"):
            os.chown(each, 65534, 65534)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.pathsep.join(sys.path[1:])}", "TMPDIR": where}
        nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
        start = ["setpriv", *nobody, interpreter, "-W", QUIET, "-c"]
        probe = [*start, "import vfsmount.session, fsspec"]
        if subprocess.run(probe, env=environment, cwd="/", capture_output=True).returncode:
            pytest.skip("nobody cannot execute this interpreter, or not read these sources")
        finished = subprocess.run(
            [*start, PRELUDE + textwrap.dedent(code), f"{where}/bucket"],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (finished.stdout, finished.returncode) == ("ENOTDIR\n", 0), finished.stderr
    finally:
        shutil.rmtree(where, ignore_errors=True)  # its supervisor may be at the same work, as it ends


def test_what_only_this_process_has(bucket: Path) -> None:
    code = """
        try:
            vfsmount.activate({"/my-mount": "memory://x"}, native=True)
        except OSError as error:
            print(errno.errorcode[error.errno], error.filename, getattr(error, "__notes__", [""])[0][:21])
        assert not vfsmount.is_active()
    """
    assert run(bucket, code).startswith("ENOTSUP /my-mount")


def test_what_is_still_written_at_the_end(bucket: Path) -> None:
    code = """
        import logging
        logging.disable()
        session = activate()
        file = opened("/my-mount/open", b"w")
        libc.fputs(b"text", file)
        try:
            session.close()
        except OSError as error:
            print(errno.errorcode[error.errno], error.filename)
        assert not os.path.exists(f"{bucket}/open") and not vfsmount.is_active()
    """
    assert run(bucket, code) == "EBUSY /my-mount/open\n"


def test_libraries(bucket: Path) -> None:
    """Native libraries with no hook of ours, or past it."""
    pytest.importorskip("duckdb")
    pytest.importorskip("h5py")
    pytest.importorskip("polars")
    code = """
        import duckdb, h5py, polars
        with activate():
            duckdb.sql("COPY (SELECT range AS n FROM range(1000)) TO '/my-mount/t.parquet' (FORMAT parquet)")
            assert duckdb.sql("SELECT sum(n) FROM '/my-mount/t.parquet'").fetchall() == [(499500,)]
            assert stored("t.parquet")[:4] == b"PAR1" == open("/my-mount/t.parquet", "rb").read(4)
            duckdb.sql("COPY (SELECT range AS n, range % 3 AS p FROM range(9)) TO '/my-mount/parts' (PARTITION_BY (p))")
            assert os.listdir("/my-mount/parts") == ["p=0", "p=1", "p=2"]
            assert polars.scan_parquet("/my-mount/*.parquet").select(polars.col("n").sum()).collect().item() == 499500
        with vfsmount.activate({"/staged": f"file://{bucket}?writes=staged"}, native=True):
            from h5py import h5f
            h5f.create(b"/staged/x.h5").close()
            assert os.path.getsize("/staged/x.h5") > 0 and stored("x.h5")[:4] == b"\\x89HDF"
            for options, line in (({}, "CREATE TABLE t AS SELECT 1 AS a"), ({"read_only": True}, "SELECT a FROM t")):
                with vfsmount.passthrough(), duckdb.connect("/staged/x.duckdb", **options) as database:
                    found = database.execute(line).fetchall()
            assert found == [(1,)]
    """
    run(bucket, code)


def test_a_failed_upload_is_an_errno_of_the_close(bucket: Path) -> None:
    """Of this process, which goes on and ends well; and of the programs that it starts, seen by C too."""
    code = """
        os.mkdir(f"{bucket}/late")
        with open(f"{bucket}/src", "w") as file:
            file.write("source")
        activate()
        def fails():
            with vfsmount.passthrough():
                os.rmdir(f"{bucket}/late")
                open(f"{bucket}/late", "w").close()
        file = opened("/my-mount/late/x", b"w")
        lines = ("exec 3> /my-mount/late/y; echo >&2; cat; cat src >&3; exec 3>&- && rm src",
                 "{ echo >&2; cat src; cat; } > /my-mount/late/z && rm src")
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": bucket}
        children = [subprocess.Popen(["sh", "-c", line], **pipes) for line in lines]
        for child in children:
            child.stderr.readline()
        fails()
        assert libc.fclose(file) == -1 and ctypes.get_errno() == errno.EINVAL
        for child in children:
            told = child.communicate(timeout=60)[1].decode()
            assert child.returncode == 1, (child.returncode, told)
            assert "vfsmount: /my-mount/late/" in told and "was not uploaded: Invalid argument" in told, told
        assert os.path.exists(f"{bucket}/src")
        print("as it should be", flush=True)
    """
    assert run(bucket, code, stderr=None) == "as it should be\n"


def test_without_a_supervisor_a_process_with_threads_can_end(bucket: Path) -> None:
    code = """
        import signal, time, vfsmount.children.native.peer as peer
        import logging
        activate()
        logging.disable()
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        os.kill(peer._peer[0].supervisor, signal.SIGKILL)
        while libc.access(b"/etc/passwd", 4) == 0:
            pass
        print("the end")
    """
    program = [sys.executable, "-W", QUIET, "-c", PRELUDE + textwrap.dedent(code), str(bucket)]
    finished = subprocess.run(program, capture_output=True, text=True, timeout=100)
    assert (finished.returncode, finished.stdout) == (1, "the end\n")
    assert finished.stderr.startswith(
        "vfsmount: the supervisor's process is gone (native=True; it was killed), so this"
    )
