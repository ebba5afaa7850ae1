"""Python programs that a process with mounts starts, by every way to start one, have the same mounts."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vfsmount
from tests.forks import in_child
from tests.servers import Server
from vfsmount import CloudBucketMount, Secret
from vfsmount.session import Session, activate_stores
from vfsmount.store.memory import MemoryStore

READ = "print(open('/my-mount/a.txt').read(), end='')"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """What is in the bucket."""
    bucket = tmp_path / "bucket"
    (bucket / "dir").mkdir(parents=True)
    (bucket / "a.txt").write_text("alpha\n")
    (bucket / "dir" / "b.txt").write_text("beta\n")
    return bucket


@pytest.fixture
def session(disk: Path) -> Iterator[Session]:
    with vfsmount.activate({"/my-mount": f"file://{disk}"}) as active:
        yield active


def python(code: str, *arguments: str, **options: object) -> str:
    """What a Python program of this interpreter prints; fails where it says something on stderr."""
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stdout + finished.stderr
    return str(finished.stdout)


def handovers() -> list[Path]:
    return sorted(Path(os.environ["TMPDIR"]).glob(".vfsmount-session-*/[!.]*"))


# Ways to start -------------------------------------------------------------------------------------------


def _run(words: list[str]) -> int:
    return subprocess.run(words, timeout=60).returncode


def _shell(words: list[str]) -> int:
    return subprocess.run(f'exec {words[0]} -c "$CODE"', shell=True, timeout=60).returncode


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fork_and_exec(words: list[str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os.execv(words[0], words)
        finally:
            os._exit(99)
    return _wait(child)


def _asyncio(words: list[str]) -> int:
    async def run() -> int:
        child = await asyncio.create_subprocess_exec(*words)
        return await asyncio.wait_for(child.wait(), 60)

    return asyncio.run(run())


WAYS: dict[str, Callable[[list[str]], int]] = {
    "subprocess": _run,
    "shell": _shell,
    "no close_fds": lambda words: subprocess.call(words, close_fds=False, timeout=60),
    "an empty environment": lambda words: subprocess.call(words, env={}, timeout=60),
    "os.system": lambda words: os.waitstatus_to_exitcode(os.system(f'{words[0]} -c "$CODE"')),
    "os.spawnv": lambda words: os.spawnv(os.P_WAIT, words[0], words),
    "os.spawnve": lambda words: os.spawnve(os.P_WAIT, words[0], words, {}),
    "os.posix_spawn": lambda words: _wait(os.posix_spawn(words[0], words, {})),
    "fork and exec": _fork_and_exec,
    "asyncio": _asyncio,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_ways_to_start(session: Session, disk: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); open('/my-mount/' + open('/my-mount/a.txt').read(1), 'w').close()"
    )
    monkeypatch.setenv("CODE", code)
    assert WAYS[way]([sys.executable, "-c", code]) == 0
    assert (disk / "a").exists()


WORKERS = """
    import os, sys, vfsmount
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    def names(path):
        return sorted(os.listdir(path))

    def through_multiprocessing(method):
        with get_context(method).Pool(1) as pool:
            return pool.apply_async(names, ("/my-mount",)).get(50)

    def through_futures(method, path="/my-mount"):
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            return pool.submit(names, path).result(50)

    def through_futures_inside(method):
        os.chdir("/my-mount")
        return through_futures(method, ".")

    def through_loky(_):
        import joblib
        return joblib.Parallel(2, timeout=50)(joblib.delayed(names)("/my-mount") for _ in range(2))[0]

    if __name__ == "__main__":
        with vfsmount.activate({"/my-mount": "file://" + sys.argv[1]}):
            print(*globals()["through_" + sys.argv[2]](sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "method"),
    [
        ("multiprocessing", "spawn"),
        ("multiprocessing", "forkserver"),
        ("multiprocessing", "fork"),
        ("futures", "spawn"),
        ("futures_inside", "forkserver"),
        ("loky", ""),
    ],
)
def test_workers(disk: Path, tmp_path: Path, pool: str, method: str) -> None:
    if pool == "loky":
        pytest.importorskip("joblib")
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS))
    finished = subprocess.run(
        [sys.executable, str(script), str(disk), pool, method], capture_output=True, text=True, timeout=100
    )
    assert (finished.stdout, finished.returncode) == ("a.txt dir\n", 0), finished.stderr


@pytest.mark.slow
def test_xdist_workers(session: Session, tmp_path: Path) -> None:
    test = "import os\ndef test_it():\n    assert os.listdir('/my-mount/dir') == ['b.txt']\n"
    (tmp_path / "test_in_worker.py").write_text(test)
    finished = subprocess.run(
        [sys.executable, *"-m pytest -q -n 1 -p no:cacheprovider".split(), str(tmp_path / "test_in_worker.py")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "1 passed" in finished.stdout, finished.stdout + finished.stderr


@pytest.mark.slow
def test_scripts(session: Session, tmp_path: Path) -> None:
    script = tmp_path / "prog"
    script.write_text(f"#!{sys.executable}\nimport sys\nprint(open(sys.argv[1]).read(), end='')\n")
    script.chmod(0o755)
    assert subprocess.check_output([str(script), "/my-mount/a.txt"], text=True, timeout=60) == "alpha\n"
    line = f"{sys.executable} {script} /my-mount/dir/b.txt"
    assert subprocess.check_output(line, shell=True, text=True, timeout=60) == "beta\n"
    (tmp_path / "module.py").write_text("import sys; print(sys.argv[1], open(sys.argv[1]).read(), end='')")
    words = [sys.executable, "-m", "module", "/my-mount/a.txt"]
    assert subprocess.check_output(words, text=True, cwd=tmp_path, timeout=60) == "/my-mount/a.txt alpha\n"


@pytest.mark.slow
def test_programs_on_the_mount(session: Session, disk: Path) -> None:
    (disk / "prog.py").write_text("import os, sys, beside; print(*sys.argv[1:], __name__, os.getcwd(), beside.X)")
    (disk / "beside.py").write_text("X = 1")
    words = [sys.executable, "-u", "/my-mount/prog.py", "arg"]
    assert subprocess.check_output(words, text=True, cwd="/", timeout=60) == "arg __main__ / 1\n"
    for start in (["prog.py"], ["-um", "prog"]):
        words = [sys.executable, *start, "arg"]
        output = subprocess.check_output(words, text=True, cwd="/my-mount", timeout=60)
        assert output == "arg __main__ /my-mount 1\n"


@pytest.mark.slow
def test_the_current_directory_is_carried_over(session: Session) -> None:
    show = "import os; print(os.getcwd(), os.listdir())"
    assert python(show, cwd="/my-mount/dir") == "/my-mount/dir ['b.txt']\n"
    before = os.getcwd()
    os.chdir("/my-mount/dir")
    try:
        assert python(show) == "/my-mount/dir ['b.txt']\n"
        assert python("import os; print(os.getcwd())", cwd="/") == "/\n"
    finally:
        os.chdir(before)
    for missing, expected in (("/my-mount/none", FileNotFoundError), ("/my-mount/a.txt", NotADirectoryError)):
        with pytest.raises(expected):
            python(show, cwd=missing)


@pytest.mark.slow
def test_grandchildren(session: Session) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READ!r}], env={{}}, check=True, timeout=50)"
    assert python(code) == "alpha\n"
    below_a_shell = "import subprocess, sys; subprocess.run(['sh', '-c', sys.executable + ' -c \"$CODE\"'], timeout=50)"
    assert python(below_a_shell, env={**os.environ, "CODE": READ}) == "alpha\n"


@pytest.mark.slow
def test_what_children_write_is_there_when_they_have_ended(session: Session, disk: Path) -> None:
    code = "import os, sys; os.mkdir('/my-mount/new'); open(sys.argv[1], 'w').write('text')"
    python(code, "/my-mount/new/out.txt")
    assert (disk / "new" / "out.txt").read_text() == "text"
    assert Path("/my-mount/new/out.txt").read_text() == "text"


# What a child is given ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_child_that_touches_no_mount_loads_nothing(session: Session) -> None:
    code = """
        import os, subprocess, sys, tempfile, glob, shutil
        os.listdir("/usr"), os.path.exists("/none/at/all"), glob.glob("/usr/*"), shutil.which("sh")
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        with tempfile.TemporaryDirectory() as name:
            open(name + "/my-mounted", "w").close()
        print(sorted({"vfsmount", "json", "obstore", "fsspec"}.intersection(sys.modules)))
    """
    assert python(code) == "[]\n"


@pytest.mark.slow
def test_what_was_loaded_before_the_trap_is_reached_too(session: Session, disk: Path, tmp_path: Path) -> None:
    """By a ``.pth`` file, as an editable installation may have one; 3.10's pathlib captures when it is loaded."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=100)
    (packages,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    (packages / "early.py").write_text("import pathlib; from os import listdir; from io import open")
    (packages / "early.pth").write_text("import early\n")
    code = "import sys; early = sys.modules['early']; print('vfsmount' in sys.modules, {}, 'vfsmount' in sys.modules)"
    for touch in ("pathlib.Path(sys.argv[1]).read_text()", "open(sys.argv[1]).read()", "listdir('/my-mount')"):
        program = [f"{tmp_path}/venv/bin/python", "-c", code.format(f"len(early.{touch}) > 1"), "/my-mount/a.txt"]
        finished = subprocess.run(program, capture_output=True, text=True, timeout=100)
        assert finished.stdout == "False True True\n", finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "touch",
    [
        "io.FileIO('/my-mount/a.txt').read()",
        "open(b'/my-mount/a.txt').read()",
        "pathlib.Path('/my-mount/a.txt').read_text()",
        "os.stat('//my-mount/./a.txt')",
        "os.open('/my-mount/a.txt', os.O_RDONLY)",
        "os.listdir(path='/my-mount')",
        "(os.chdir('/'), open('my-mount/a.txt').read())",
        "'my-mount' in os.listdir('/') or 1 / 0",
        "open(sys.argv[1]).read()",
        "__import__('sqlite3') and sys.modules['vfsmount']",
        "__import__('vfsmount').is_active() or 1 / 0",
        "sys.path.append('/my-mount/dir') or __import__('module')",
        "class_with_open().opener('/my-mount/a.txt')",
        "captured('/my-mount/a.txt')",
        "subprocess.run(['cat', '/my-mount/a.txt'], check=True, stdout=subprocess.DEVNULL)",
    ],
)
def test_the_first_touch_mounts(session: Session, disk: Path, tmp_path: Path, touch: str) -> None:
    (disk / "dir" / "module.py").write_text("")
    (tmp_path / "link").symlink_to("/my-mount/a.txt")
    code = f"""
        import io, os, pathlib, subprocess, sys
        captured = open
        class class_with_open:
            opener = open
        assert "vfsmount" not in sys.modules and isinstance(open(os.devnull, "rb").raw, io.FileIO)
        {touch}
        assert "vfsmount.session" in sys.modules
    """
    python(code, str(tmp_path / "link"))


@pytest.mark.slow
def test_threads_touch_at_once(session: Session) -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier
        barrier = Barrier(8)
        def read(_):
            barrier.wait(30)
            return open("/my-mount/a.txt").read()
        with ThreadPoolExecutor(8) as pool:
            print({*pool.map(read, range(8))})
    """
    assert python(code) == "{'alpha\\n'}\n"


@pytest.mark.slow
def test_the_childs_environment_is_its_own(session: Session, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.seen = open('/my-mount/a.txt').read()")
    (tmp_path / "usercustomize.py").write_text("import builtins; builtins.user = 1")
    code = """
        import os, sys
        print(seen, os.environ["PYTHONPATH"], "VFSMOUNT_CHILD" in os.environ, sys.modules["sitecustomize"].__file__)
    """
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    assert python(code, env=env) == f"alpha\n {tmp_path}:{ROOT} False {tmp_path / 'sitecustomize.py'}\n"
    assert not [name for name in os.environ if name.startswith("VFSMOUNT_")]
    code = "import os, sys; print('PYTHONPATH' in os.environ, [entry for entry in sys.path if 'bootstrap' in entry])"
    assert python(code, env={"PATH": "/bin"}) == "False []\n"


@pytest.mark.slow
def test_the_handover_is_private_and_goes_with_the_session(disk: Path) -> None:
    started = "import sys; print('up', flush=True); sys.stdin.readline(); print(open('/my-mount/a.txt').read())"
    with vfsmount.activate({"/my-mount": f"file://{disk}"}):
        assert handovers() == []
        early = subprocess.Popen(
            [sys.executable, "-c", started], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert early.stdout is not None
        assert early.stdout.readline() == "up\n"
        (file,) = handovers()
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(file.parent).st_mode) == 0o700
        with vfsmount.activate({"/other": f"file://{disk / 'dir'}"}):
            assert python("print(open('/other/b.txt').read())") == "beta\n\n"
            assert len(handovers()) == 2
        assert handovers() == [file]
        variables = {"VFSMOUNT_CHILD": str(file), "PYTHONPATH": str(ROOT / "vfsmount" / "bootstrap")}
    assert handovers() == []
    assert not file.parent.exists()
    assert early.communicate("go\n", timeout=60)[0] == "alpha\n\n"
    late = subprocess.run([sys.executable, "-c", "print(1)"], env=variables, capture_output=True, text=True, timeout=60)
    assert late.stdout == "1\n"
    assert "the session that this program was to have its mounts from has ended" in late.stderr
    assert subprocess.run(["sh", "-c", 'test -z "$VFSMOUNT_CHILD"'], timeout=60).returncode == 0


@pytest.mark.slow
def test_a_forked_childs_handover_goes_with_the_session_too(disk: Path) -> None:
    with vfsmount.activate({"/my-mount": f"file://{disk}"}):
        child = os.fork()
        if child == 0:
            try:
                os.execv(sys.executable, [sys.executable, "-c", READ])
            finally:
                os._exit(99)
        assert _wait(child) == 0
        assert len(handovers()) == 1
    assert handovers() == []


@pytest.mark.slow
def test_a_forked_child_that_outlives_the_session_has_a_handover_until_it_ends(disk: Path) -> None:
    forked, ended = os.pipe(), os.pipe()

    def child() -> None:
        os.write(forked[1], b".")
        os.read(ended[0], 1)
        assert handovers() == []
        assert python(READ) == "alpha\n"
        assert python(READ) == "alpha\n"
        assert len(handovers()) == 1
        weakref.finalize._exitfunc()  # type: ignore[attr-defined]  # as at the interpreter's end

    with ThreadPoolExecutor(1) as other:
        with vfsmount.activate({"/my-mount": f"file://{disk}"}):
            assert python(READ) == "alpha\n"
            assert len(handovers()) == 1
            done = other.submit(in_child, child, timeout=100)
            os.read(forked[0], 1)
        os.write(ended[1], b".")
        done.result(110)
    assert list(Path(os.environ["TMPDIR"]).glob(".vfsmount-session-*")) == []
    for number in (*forked, *ended):
        os.close(number)


@pytest.mark.slow
def test_secrets_show_nowhere(moto: Server, moto_bucket: str) -> None:
    key = "a-very-secret-key"
    values = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": key}
    mount = CloudBucketMount(
        moto_bucket, moto.endpoint_url, secret=Secret.from_callable(lambda: values), region="us-east-1"
    )
    with vfsmount.activate({"/my-mount": mount}):
        Path("/my-mount/a.txt").write_text("alpha\n")
        code = """
            import sys
            print(open("/my-mount/a.txt").read() == "alpha\\n")
            for name in ("environ", "cmdline"):
                print(sys.argv[1] in open("/proc/self/" + name).read())
        """
        assert python(code, key[:-1], env={}) == "True\nFalse\nTrue\n"  # True: the argument itself
        assert key in handovers()[0].read_text()


# What cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_flags_that_lose_it_are_said(session: Session, caplog: pytest.LogCaptureFixture, flag: str) -> None:
    finished = subprocess.run(
        [sys.executable, flag, "-c", "import sys; print(open(sys.argv[1]).read())", "/my-mount/a.txt"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.stdout == "alpha\n\n"  # as any program that is not Python
    assert flag in caplog.text
    assert "/my-mount" in caplog.text


@pytest.mark.slow
def test_buckets_in_memory_are_refused(disk: Path, tmp_path: Path) -> None:
    code = """
        import os
        for path in ("/in-memory/x", "/given"):
            try:
                os.listdir(path)
            except OSError as error:
                print(error.errno)
        print(open("/my-mount/a.txt").read())
    """
    (tmp_path / "prog").write_text(
        textwrap.dedent(code)
    )  # named in an argument, they would be served as to any program
    mounts = {"/my-mount": f"file://{disk}", "/in-memory": "memory://bucket"}
    with vfsmount.activate(mounts), activate_stores({"/given": (CloudBucketMount("bucket"), MemoryStore())}):
        assert python("exec(open('prog').read())", cwd=tmp_path) == f"{errno.ENOTSUP}\n{errno.ENOTSUP}\nalpha\n\n"


@pytest.mark.slow
def test_children_never(disk: Path) -> None:
    with vfsmount.activate({"/my-mount": f"file://{disk}"}, children="never"):
        assert python("import os; print(os.path.exists('/my-mount/a.txt'))") == "False\n"
    assert handovers() == []


@pytest.mark.slow
def test_a_program_may_mount_the_same_itself(session: Session, disk: Path) -> None:
    code = """
        import os, sys, vfsmount
        with vfsmount.activate({"/my-mount": "file://" + sys.argv[1]}):
            print(os.listdir("/my-mount"))
        print(sorted(os.listdir("/my-mount")))
    """
    assert python(code, str(disk / "dir")) == "['b.txt']\n['a.txt', 'dir']\n"


@pytest.mark.slow
def test_an_environment_without_vfsmount(session: Session, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=100)
    code = "import sys, importlib.util as u; " + READ + "; print(u.find_spec('pytest'), 'vfsmount' in sys.modules)"
    other = str(tmp_path / "venv" / "bin" / "python")
    finished = subprocess.run([other, "-c", code], env={}, capture_output=True, text=True, timeout=100)
    assert finished.stdout == "alpha\nNone True\n", finished.stderr
