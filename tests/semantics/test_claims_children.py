"""Child processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest

import vfsmount
from tests.children.conftest import Served, serving
from tests.servers import Server
from vfsmount import CloudBucketMount, Secret
from vfsmount.children.supervisor.detect import supervision
from vfsmount.errors import Unavailable
from vfsmount.store.memory import MemoryStore

ROOT: Final = Path(__file__).resolve().parents[2]
READ: Final = "print(open('/my-mount/a.txt').read(), end='')"

claim = pytest.mark.claim


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))


def child(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, **options)  # type: ignore[call-overload,no-any-return]


def failing(line: str) -> str:
    """A program that prints the errno that ``line`` fails with."""
    return f"import errno\ntry:\n    {line}\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"


def other_pythons() -> list[str]:
    """Interpreters of other versions that vfsmount runs on, oldest first, without anything installed for it."""
    found: dict[tuple[int, ...], str] = {}
    siblings = [str(path) for path in sorted(Path(sys.base_prefix).parent.glob("*/bin/python3"))]
    for candidate in [shutil.which(f"python3.{minor}") for minor in range(10, 15)] + siblings:
        if candidate is None:
            continue
        told = subprocess.run(
            [candidate, "-ISc", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, timeout=60
        )
        version = tuple(map(int, told.stdout.split())) if told.returncode == 0 else ()
        if version >= (3, 10) and version != sys.version_info[:2]:
            found.setdefault(version, candidate)
    return [found[version] for version in sorted(found)]


@claim("CHILD-1")
@pytest.mark.slow
def test_python_children(moto: Server, moto_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this version, the oldest and the newest here, whose own environments have no vfsmount.

    Where this one's client is built for another Python than the child, that is an ``OSError``, and said.
    """
    monkeypatch.delenv("PYTHONPATH")
    moto.put(moto_bucket, "a.txt", b"alpha\n")
    keys = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
    mount = CloudBucketMount(moto_bucket, moto.endpoint_url, secret=keys, force_path_style=True)
    code = f"try:\n    {READ}\nexcept OSError as error:\n    print(error.errno, error.__cause__)"
    others = other_pythons()
    with vfsmount.activate({"/my-mount": mount}):
        assert child(sys.executable, "-c", code).stdout == "alpha\n"
        for python in {*others[:1], *others[-1:]}:
            done = child(python, "-c", code)
            assert done.returncode == 0, done.stderr
            if done.stdout != "alpha\n":
                assert done.stdout.startswith("95 ")
                assert "obstore" in done.stdout
                assert done.stderr.startswith("vfsmount: /my-mount cannot be mounted in this program: ")


@claim("CHILD-3")
@pytest.mark.slow
def test_a_bucket_in_memory() -> None:
    with vfsmount.activate({"/my-mount": "memory://child-claim"}):
        Path("/my-mount/a.txt").write_text("alpha\n")
        assert child(sys.executable, "-c", failing("open('/my' + '-mount/a.txt')")).stdout == "ENOTSUP\n"


@claim("CHILD-4")
@pytest.mark.slow
def test_a_function_that_the_child_cannot_find(moto: Server, moto_bucket: str) -> None:
    moto.put(moto_bucket, "a.txt", b"alpha\n")
    ends = time.time() + 3600

    def values() -> dict[str, str | float]:
        return {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "expires_at": ends}

    mount = CloudBucketMount(moto_bucket, moto.endpoint_url, secret=Secret.from_callable(values), force_path_style=True)
    with vfsmount.activate({"/my-mount": mount}):
        assert child(sys.executable, "-c", READ).stdout == "alpha\n"
    ends = time.time() + 30  # as good as over
    with vfsmount.activate({"/my-mount": mount}):
        assert Path("/my-mount/a.txt").read_text() == "alpha\n"
        assert child(sys.executable, "-c", failing(READ)).stdout == "ENOTSUP\n"


@claim("CHILD-5")
@pytest.mark.slow
def test_credentials_that_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that requests are signed with."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0])
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OF-THE-PARENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    with HTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            mount = CloudBucketMount("bucket", url, region="us-east-1", force_path_style=True, max_attempts=1)
            with vfsmount.activate({"/my-mount": mount}, check=False):
                with pytest.raises(PermissionError):
                    Path("/my-mount/a.txt").read_text()
                assert set(seen) == {"OF-THE-PARENT"}
                seen.clear()
                own = {**os.environ, "AWS_ACCESS_KEY_ID": "OF-THE-CHILD"}
                assert "PermissionError" in child(sys.executable, "-c", READ, env=own).stderr
                assert set(seen) == {"OF-THE-CHILD"}
        finally:
            server.shutdown()


@pytest.fixture
def supervised(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    yield from serving("auto", tmp_path_factory, monkeypatch)


@claim("CHILD-2")
@pytest.mark.slow
@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_options_that_lose_the_mounts(tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str) -> None:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    (tmp_path / "a.txt").write_text("alpha\n")
    with vfsmount.activate({"/my-mount": f"file://{tmp_path}"}):
        code = f"import sys; {READ}; print('vfsmount' in sys.modules)"
        assert child(sys.executable, option, "-c", code).stdout == "alpha\nFalse\n"
    assert f"{option} " in caplog.text


@claim("CHILD-6")
@pytest.mark.slow
def test_other_programs(supervised: Served) -> None:
    assert child("cat", "/my-mount/a.txt").stdout == "alpha\n"
    assert child("cp", "/my-mount/a.txt", "/my-mount/copy").returncode == 0
    assert supervised.stored("copy") == b"alpha\n"
    assert "Operation not permitted" in child("chmod", "600", "/my-mount/copy").stderr


@claim("CHILD-6")
@pytest.mark.slow
def test_other_programs_with_copies(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for served in serving("staging", tmp_path_factory, monkeypatch):
        assert child("cat", "/my-mount/a.txt").stdout == "alpha\n"
        assert child("cp", "/my-mount/a.txt", "/my-mount/copy").returncode == 0
        assert served.stored("copy") == b"alpha\n"
        assert child("rm", "/my-mount/copy").returncode == 0
        assert "copy" not in served.keys()
        with pytest.raises(OSError, match="not supported"):
            child("cat", "x:/my-mount/a.txt")
        with pytest.raises(OSError, match="not permitted"):
            child("sh", "-c", "chmod 600 $0", "/my-mount/a.txt")


@claim("CHILD-9")
@pytest.mark.slow
@pytest.mark.parametrize("line", ["mv src /my-mount/new", "echo x > /my-mount/new && rm src"])
def test_failed_uploads(supervised: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Unavailable("no route", operation="put", bucket="bucket", key="new")

    monkeypatch.setattr(MemoryStore, "put", refuse)
    (tmp_path / "src").write_text("source\n")
    done = child("sh", "-c", line, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("vfsmount: /my-mount/new was not uploaded: Input/output error: ")
    assert ("mv: " in done.stderr) == line.startswith("mv")
    assert (tmp_path / "src").read_text() == "source\n"


@claim("CHILD-10")
@pytest.mark.slow
@pytest.mark.parametrize("writes", ["staged", "sequential"])
def test_fsync(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, writes: str) -> None:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    for served in serving("auto", tmp_path_factory, monkeypatch, writes=writes):
        line = "exec 3> /my-mount/new; dd if=/my-mount/a.txt conv=fsync >&3 2> /dev/null; echo; read x; echo y >&3"
        with subprocess.Popen(["sh", "-c", line], stdin=-1, stdout=-1) as started:
            assert started.stdin is not None
            assert started.stdout is not None
            assert started.stdout.readline() == b"\n"
            assert ("new" in served.keys()) == (writes == "staged")
            started.communicate(b"\n", timeout=60)
        assert served.stored("new") == b"alpha\ny\n"


@claim("CHILD-11")
@pytest.mark.slow
def test_two_that_write_one_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would have been lost to the other: both lines were appended, and the last one to close won."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    append = "exec 3>> /my-mount/a.txt && echo up && read x && echo line >&3"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for served in serving("auto", tmp_path_factory, monkeypatch, writes="staged"):
        with subprocess.Popen(["sh", "-c", append], **pipes) as first:  # type: ignore[call-overload]
            assert first.stdout.readline() == b"up\n"
            with pytest.raises(PermissionError):
                open("/my-mount/a.txt", "a")
            with pytest.raises(PermissionError):
                os.truncate("/my-mount/a.txt", 0)
            second = child("sh", "-c", append)
            assert (second.returncode, second.stdout) == (2, "")
            assert "/my-mount/a.txt: Operation not permitted" in second.stderr
            assert open("/my-mount/a.txt").read() == "alpha\n"
            first.communicate(b"\n", timeout=60)
        assert served.stored("a.txt") == b"alpha\nline\n"
        with open("/my-mount/a.txt", "a") as file:
            file.write("python\n")
            file.flush()
            assert child("sh", "-c", append).returncode == 2
        assert served.stored("a.txt") == b"alpha\nline\npython\n"
        assert child("sh", "-c", "echo again >> /my-mount/a.txt; echo again >> /my-mount/a.txt").returncode == 0
        assert served.stored("a.txt") == b"alpha\nline\npython\nagain\nagain\n"


@claim("CHILD-7")
@pytest.mark.slow
def test_large_files(supervised: Served) -> None:
    content = os.urandom(24 << 20)
    supervised.store.put("large", content)

    def fetched(line: str) -> tuple[bytes, int]:
        before = sum(usage.bytes_received for usage in supervised.session.stats().values())
        done = subprocess.run(line, shell=True, capture_output=True, check=True, timeout=100)
        return done.stdout, sum(usage.bytes_received for usage in supervised.session.stats().values()) - before

    text, size = fetched("head -c 100 /my-mount/large")
    assert text == content[:100]
    assert size < 12 << 20
    text, size = fetched("sha256sum < /my-mount/large")
    assert text.split()[0] == hashlib.sha256(content).hexdigest().encode()
    assert size >= 12 << 20


@claim("CHILD-8")
@pytest.mark.slow
def test_native_code(tmp_path: Path) -> None:
    """In a program of its own, because a filter stays."""
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    code = """
import ctypes, errno, os, sys, vfsmount
libc = ctypes.CDLL(None, use_errno=True)
with vfsmount.activate({"/my-mount": f"file://{sys.argv[1]}"}, native=True):
    os.mkdir("/my-mount/d")
    number = libc.creat(b"/my-mount/d/c", 0o600)
    assert number >= 0 and libc.write(number, b"from C", 6) == 6 and not os.path.exists("/my-mount/d/c")
    assert libc.close(number) == 0 and open("/my-mount/d/c").read() == "from C"
    with open("/my-mount/d/p", "w") as file:
        assert libc.access(b"/my-mount/d/p", 0) == -1
        assert libc.open(b"/my-mount/d/p", 0) == -1 and ctypes.get_errno() == errno.EPERM
    assert libc.access(b"/my-mount/d/p", 0) == 0
    number = libc.creat(b"/my-mount/d/c", 0o600)
    for call in (open, os.unlink):
        try:
            call("/my-mount/d/c")
        except PermissionError:
            continue
        raise AssertionError(call)
    assert libc.close(number) == 0 and open("/my-mount/d/c").read() == ""
    os.unlink("/my-mount/d/p")
    assert libc.access(b"/my-mount/d/p", 0) == -1
"""
    done = child(sys.executable, "-c", code, str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
