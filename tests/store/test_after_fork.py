"""A store that a forked child inherits."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server, s3_options
from tests.store.scripted import OBJECT, Answer, serve
from vfsmount.store import after_fork
from vfsmount.store.obstore_store import ObstoreStore
from vfsmount.store.options import Credentials, StoreOptions

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")


def in_child(work: Callable[[], bool]) -> int:
    """Run ``work`` in a fork; 0 where it returned true, 1 where not, 2 where it raised, -14 where it hung."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def used(moto: Server, moto_bucket: str) -> ObstoreStore:
    store = ObstoreStore(s3_options(moto, moto_bucket))
    store.put("k", b"hello")
    return store


def read(store: ObstoreStore) -> bytes:
    return bytes(store.get_range("k", 0, 10).data)


def test_child_reads_and_writes_with_its_own_copy(used: ObstoreStore, moto: Server, moto_bucket: str) -> None:
    def work() -> bool:
        used.put("from-child", b"x")
        return read(used) == b"hello" and after_fork.load().private

    assert in_child(work) == 0
    assert moto.get(moto_bucket, "from-child") == b"x"
    assert not after_fork.load().private
    assert read(used) == b"hello"


def test_grandchild_has_yet_another(used: ObstoreStore) -> None:
    def grandchild() -> bool:
        return read(used) == b"hello" and after_fork.load().private

    def child() -> bool:
        mine = after_fork.load().api
        return read(used) == b"hello" and in_child(lambda: grandchild() and after_fork.load().api is not mine) == 0

    assert in_child(child) == 0


def test_child_forked_before_the_first_request(moto: Server, moto_bucket: str) -> None:
    moto.put(moto_bucket, "k", b"hello")
    store = ObstoreStore(s3_options(moto, moto_bucket))
    assert in_child(lambda: read(store) == b"hello") == 0


def test_errors_of_the_copy_are_store_errors(used: ObstoreStore) -> None:
    from vfsmount.errors import AlreadyExists, NotFound, PreconditionFailed

    def work() -> bool:
        for failure, verb in (
            (NotFound, lambda: used.head("missing")),
            (AlreadyExists, lambda: used.put("k", b"", if_none_match=True)),
            (PreconditionFailed, lambda: used.get_range("k", 0, 1, if_match='"other"')),
        ):
            try:
                verb()
            except failure:
                continue
            return False
        return True

    assert in_child(work) == 0


@pytest.mark.slow
def test_fork_while_other_threads_read(used: ObstoreStore) -> None:
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            read(used)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(lambda: read(used) == b"hello") for _ in range(3)] == [0, 0, 0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_programs_own_modules_stay(used: ObstoreStore) -> None:
    before = {name: id(module) for name, module in sys.modules.items() if name.split(".")[0] == "obstore"}

    def work() -> bool:
        read(used)
        after = {name: id(module) for name, module in sys.modules.items() if name.split(".")[0] == "obstore"}
        return after == before

    assert before
    assert in_child(work) == 0


def test_the_parents_connection_is_left_alone() -> None:
    with serve(lambda asked: Answer(headers=OBJECT, body=b"hello")) as server:
        keys = Credentials("AK", "SK")
        store = ObstoreStore(
            StoreOptions("s3", "bucket", endpoint_url=server.url, region="us-east-1", credentials=lambda: keys)
        )

        def child() -> bool:
            return store.head("from-child").size == 5

        store.head("parent")
        assert in_child(child) == 0
        store.head("parent")
    parent, other, again = (asked.port for asked in server.asked)
    assert other != parent
    assert again == parent, "the parent's connection did not survive the fork"


def test_without_memfd_a_temporary_file_serves(
    used: ObstoreStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def work() -> bool:
        import tempfile

        tempfile.tempdir = None
        monkeypatch.delattr(os, "memfd_create", raising=False)
        return read(used) == b"hello" and after_fork.load().private and os.listdir(tmp_path) == []

    assert in_child(work) == 0
