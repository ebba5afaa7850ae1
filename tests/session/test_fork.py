"""Processes that fork while a session is active: what the child can do, and what it leaves alone."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import pytest

import vfsmount
from tests.forks import in_child
from tests.servers import Server
from tests.session.starting import interpreter
from vfsmount import CloudBucketMount, Secret
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore

pytestmark = pytest.mark.slow

FILES = 12
PATIENCE = 120.0
"""Seconds, for what takes one on a machine that has nothing else to do."""


def content(number: int) -> bytes:
    return f"file {number} ".encode() * 1000


@pytest.fixture(params=["disk", "s3"])
def point(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A mount with ``FILES`` files in ``d``, each in a process of its own where it is on S3."""
    if request.param == "disk":
        (tmp_path / "bucket").mkdir()
        mount: Any = f"file://{tmp_path}/bucket"
    else:
        server: Server = request.getfixturevalue("moto")
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
        bucket = request.getfixturevalue("moto_bucket")
        mount = CloudBucketMount(bucket, server.endpoint_url, secret=Secret.from_dict(keys), region="us-east-1")
    place = str(tmp_path / "mount")
    with vfsmount.activate({place: mount}):
        for number in range(FILES):
            Path(place, "d", "e", f"{number:02}.txt").parent.mkdir(parents=True, exist_ok=True)
            Path(place, "d", "e", f"{number:02}.txt").write_bytes(content(number))
        yield place


def read_all(point: str) -> None:
    for number, name in enumerate(sorted(os.listdir(f"{point}/d/e"))):
        with open(f"{point}/d/e/{name}", "rb") as file:
            assert file.read() == content(number)


def write(point: str, name: str) -> None:
    Path(point, name).write_text(name * 100)
    assert Path(point, name).read_text() == name * 100


def list_all(point: str) -> None:
    assert len(os.listdir(f"{point}/d/e")) == FILES
    assert len(list(os.scandir(f"{point}/d"))) == 1


def walk(point: str) -> None:
    assert sum(len(names) for _, _, names in os.walk(f"{point}/d")) == FILES


def test_fork_while_threads_read_write_list_and_walk(point: str, request: pytest.FixtureRequest) -> None:
    over = threading.Event()
    failures: list[BaseException] = []

    def work(action: Callable[[], None]) -> None:
        try:
            while not over.is_set():
                action()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    def child(number: int) -> None:
        read_all(point)
        list_all(point)
        walk(point)
        write(point, f"child-{number}")

    actions: list[Callable[[], None]] = [
        lambda: read_all(point),
        lambda: read_all(point),
        lambda: list_all(point),
        lambda: walk(point),
        lambda: walk(point),
        lambda: vfsmount.prefetch(f"{point}/d"),
        lambda: write(point, "one"),
        lambda: write(point, "other"),
    ]
    threads = [threading.Thread(target=work, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    forks = 20 if "disk" in request.node.name else 4
    try:
        for number in range(forks):
            in_child(lambda number=number: child(number), timeout=PATIENCE)  # type: ignore[misc]
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []
    for name in ("one", "other", *(f"child-{number}" for number in range(forks))):
        assert Path(point, name).read_text() == name * 100


ENDS = """
    import logging, os, subprocess, sys
    import vfsmount
    from vfsmount.children.supervisor.detect import supervision

    logging.basicConfig()
    disk, staged, cache = sys.argv[1:4]
    SUPERVISED = supervision() is not None
    staging = f"file://{staged}?writes=staged&cache_dir={cache}"
    vfsmount.activate({"/my-mount": f"file://{disk}", "/staged": staging})
    with open("/my-mount/read", "w") as file:
        file.write("read " * 100)
    with open("/staged/changed", "w") as file:
        file.write("before")
    reading = open("/my-mount/read")
    reading.read(5)
    sequential = open("/my-mount/sequential", "w")
    sequential.write("one ")
    sequential.flush()
    sequential.write("two ")
    number = os.open("/my-mount/number", os.O_WRONLY | os.O_CREAT)
    os.write(number, b"by number")
    changed = open("/staged/changed", "r+")
    changed.write("AFTER")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    line = "exec 3>/my-mount/made; echo; read line; echo $line >&3; cat /my-mount/read >&3"
    program = subprocess.Popen(["sh", "-c", line], **pipes) if SUPERVISED else None
    if program:
        program.stdout.readline()
    code = "import sys; sys.stdin.readline(); print(len(open('/my-mount/read').read()))"
    python = subprocess.Popen([sys.executable, "-c", code], **pipes)
    copy = vfsmount.materialize("/my-mount/read")
    local = copy.__enter__()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        own = open("/my-mount/own", "w")  # left to the interpreter's end
        own.write("by the child")
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert sorted(os.listdir(disk)) == ["own", "read"], os.listdir(disk)
    assert reading.read() == "read " * 99
    with vfsmount.passthrough():
        assert open(local).read() == "read " * 100
    copy.__exit__(None, None, None)
    if program:
        assert program.communicate(b"told\\n", timeout=60)[0] == b""
        assert program.returncode == 0
        assert open("/my-mount/made").read() == "told\\n" + "read " * 100
    assert python.communicate(b"\\n", timeout=60)[0] == b"500\\n"
    later = subprocess.run([sys.executable, "-c", code], input=b"\\n", capture_output=True, timeout=60)
    assert later.stdout == b"500\\n"
    os.close(number)
    sequential.close()
    changed.close()
    vfsmount.deactivate()
    assert open(f"{disk}/sequential").read() == "one two "
    assert open(f"{disk}/number").read() == "by number"
    assert open(f"{disk}/own").read() == "by the child"
    assert open(f"{staged}/changed").read() == "AFTERe"
    print("well")
"""


def test_a_child_that_ends_by_sys_exit_leaves_everything_of_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open writers, a staged file, programs under way, a materialised copy, what children find the mounts by."""
    for name in ("disk", "staged", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    ended = interpreter(ENDS, str(tmp_path / "disk"), str(tmp_path / "staged"), str(tmp_path / "cache"))
    assert (ended.returncode, ended.stdout) == (0, "well\n"), ended.stderr
    said = [line for line in ended.stderr.splitlines() if "fork" not in line]  # Python 3.12 warns of it
    assert len(said) == 1, said
    assert said[0].endswith("/my-mount/own was still open for writing; it is committed as it stands")
    assert os.listdir(tmp_path / "scratch") == []


def test_grandchildren(point: str) -> None:
    def child() -> None:
        read_all(point)
        write(point, "child")
        in_child(grandchild, timeout=PATIENCE / 2)
        write(point, "child again")

    def grandchild() -> None:
        read_all(point)
        walk(point)
        write(point, "grandchild")

    read_all(point)
    in_child(child, timeout=PATIENCE)
    for name in ("child", "grandchild", "child again"):
        assert Path(point, name).read_text() == name * 100


def length_of(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read())


def test_a_pool_of_forked_workers(point: str) -> None:
    paths = [f"{point}/d/e/{name}" for name in sorted(os.listdir(f"{point}/d/e"))]
    assert length_of(paths[0]) == len(content(0))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        lengths = pool.map_async(length_of, paths * 3, chunksize=2).get(PATIENCE)
    assert lengths == [len(content(number)) for number in range(FILES)] * 3


def test_workers_forked_after_the_application_was_loaded(point: str) -> None:
    """As gunicorn's with --preload: the parent has read, the workers serve, and end by a handler that exits."""
    paths = [f"{point}/d/e/{name}" for name in sorted(os.listdir(f"{point}/d/e"))]
    shared = open(paths[3], "rb")
    assert shared.read(10) == content(3)[:10]
    workers = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the last worker may be told to end before it began
        for _ in range(3):
            worker = os.fork()
            if worker == 0:
                try:
                    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
                    serve(listening, paths, shared)
                except SystemExit:
                    vfsmount.deactivate()
                    os._exit(0)
                finally:
                    os._exit(1)
            workers.append(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        try:
            for number in (*range(FILES), *range(FILES)):
                with socket.create_connection(listening.getsockname(), timeout=PATIENCE) as asking:
                    asking.settimeout(PATIENCE)
                    asking.sendall(b"%d\n" % number)
                    with asking.makefile("rb") as answer:
                        assert answer.read() == content(number) + content(3)[-10:]
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGTERM)
            ends = [os.waitpid(worker, 0)[1] for worker in workers]
    assert ends == [0, 0, 0]
    assert shared.read() == content(3)[10:]
    shared.close()
    write(point, "parent")


def serve(listening: socket.socket, paths: list[str], shared: BinaryIO) -> None:
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as asked, open(paths[int(asked.readline())], "rb") as file:
            connection.sendall(file.read())
            shared.seek(-10, os.SEEK_END)
            connection.sendall(shared.read())


def load(point: str, shared: BinaryIO, indices: Any, batches: Any) -> None:
    for index in iter(indices.get, None):
        with open(f"{point}/d/e/{index:02}.txt", "rb") as file:
            batches.put((index, file.read(), os.pread(shared.fileno(), 20, 100)))


def test_workers_of_a_loader(point: str) -> None:
    """As torch's: the data set was opened by the parent, each worker gets indices and gives samples; two epochs."""
    context = multiprocessing.get_context("fork")
    with open(f"{point}/d/e/05.txt", "rb") as shared:
        for _ in range(2):
            indices, batches = context.Queue(), context.Queue()
            workers = [
                context.Process(target=load, args=(point, shared, indices, batches), daemon=True) for _ in range(2)
            ]
            for worker in workers:
                worker.start()
            for index in (*range(FILES), None, None):
                indices.put(index)
            samples = sorted(batches.get(timeout=PATIENCE) for _ in range(FILES))
            for worker in workers:
                worker.join(PATIENCE)
            assert [worker.exitcode for worker in workers] == [0, 0]
            assert samples == [(number, content(number), content(5)[100:120]) for number in range(FILES)]
        assert shared.read() == content(5)


class Waiting(MemoryStore):
    """Its put begins, and waits to be let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def put(self, *args: Any, **more: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return super().put(*args, **more)


def test_a_fork_while_another_thread_closes_the_session(tmp_path: Path) -> None:
    """The child's end of the session used to be nobody's, and its exit went round for ever."""
    store = Waiting()
    session = activate_stores({f"{tmp_path}/mount": (CloudBucketMount("memory"), store)})
    file = open(f"{tmp_path}/mount/file", "w")
    file.write("content")
    closing = threading.Thread(target=session.close)
    closing.start()
    try:
        assert store.begun.wait(PATIENCE)

        def child() -> None:
            vfsmount.deactivate()
            assert not vfsmount.is_active()

        in_child(child)
    finally:
        store.go_on.set()
        closing.join(PATIENCE)
    assert store.objects() == {"file": b"content"}


def test_what_another_thread_was_importing_at_the_fork_is_imported_anew_in_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of ours import clients when they are needed; CPython keeps a module's lock in the child for ever."""
    (tmp_path / "halfway.py").write_text("import halfway_inner\nvalue = halfway_inner.value\n")
    (tmp_path / "halfway_inner.py").write_text(
        "import test_fork_gate\ntest_fork_gate.begun.set()\ntest_fork_gate.goes_on.wait(60)\nvalue = 5\n"
    )
    gate: Any = ModuleType("test_fork_gate")
    gate.begun, gate.goes_on = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "test_fork_gate", gate)
    monkeypatch.syspath_prepend(str(tmp_path))

    def use() -> None:
        gate.goes_on = threading.Event()
        gate.goes_on.set()
        thread = threading.Thread(target=lambda: importlib.import_module("halfway"))
        thread.start()
        thread.join(60)
        assert importlib.import_module("halfway").value == 5

    with activate_stores({"/vfs-bucket": (CloudBucketMount("memory"), MemoryStore())}):
        importing = threading.Thread(target=lambda: importlib.import_module("halfway"))
        importing.start()
        try:
            assert gate.begun.wait(60)
            in_child(use, timeout=PATIENCE)
        finally:
            gate.goes_on.set()
            importing.join(60)
        assert sys.modules["halfway"].value == 5  # the parent's import went on
    for name in ("halfway", "halfway_inner"):
        monkeypatch.delitem(sys.modules, name)
