"""A forked child makes its own client, and leaves the parent's alone."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server, s3_options
from vfsmount.errors import Unavailable
from vfsmount.store.fsspec_store import open_fsspec
from vfsmount.store.memory import MemoryStore
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import Store


def in_child(work: Callable[[], object], seconds: int = 30) -> int:
    """The exit status of a forked child that runs ``work``: 0, 1 after an exception, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)  # a hang becomes a failure
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the child ends here
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_across_fork(store: Store) -> None:
    store.put("before", b"parent")
    upload = store.create_multipart("unfinished")
    upload.put_part(1, b"x")

    def child() -> None:
        assert bytes(store.get_range("before", 0, 10).data) == b"parent"
        store.put("child", b"child")
        assert [meta.key for meta in store.list_page("").objects] == ["before", "child"]

        def grandchild() -> None:
            assert bytes(store.get_range("child", 0, 10).data) == b"child"

        assert in_child(grandchild) == 0
        upload.abort()  # not the child's to abort
        store.close()

    assert in_child(child) == 0
    # The parent's client works on, and its upload is whole.
    assert bytes(store.get_range("before", 0, 10).data) == b"parent"
    upload.complete()
    assert bytes(store.get_range("unfinished", 0, 10).data) == b"x"
    store.close()


@pytest.mark.servers
@pytest.mark.slow
def test_s3fs(moto: Server, moto_bucket: str) -> None:
    check_across_fork(open_fsspec(s3_options(moto, moto_bucket)))


@pytest.mark.servers
@pytest.mark.slow
def test_gcsfs(gcs: Server, gcs_bucket: str) -> None:
    check_across_fork(open_fsspec(s3_options(gcs, gcs_bucket)))


def test_local_files(tmp_path: Path) -> None:
    check_across_fork(open_fsspec(StoreOptions("fsspec", "local", url=f"file://{tmp_path}")))


@pytest.mark.servers
@pytest.mark.slow
def test_fork_while_requests_run(moto: Server, moto_bucket: str) -> None:
    store = open_fsspec(s3_options(moto, moto_bucket))
    store.put("file", b"x" * 100_000)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            try:
                assert len(store.get_range("file", 0, 100_000).data) == 100_000
            except BaseException as error:  # noqa: BLE001 - a thread ends here
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(3):
            assert in_child(lambda: store.get_range("file", 0, 100_000)) == 0
    finally:
        stop.set()
        for reader in readers:
            reader.join(20)
    store.close()
    assert failures == []


def test_memory_while_the_lock_is_held() -> None:
    store = MemoryStore()
    store.put("file", b"x")
    with store._lock:
        assert in_child(lambda: store.put("child", b"x"), seconds=5) == 0
    assert list(store.objects()) == ["file"]


@pytest.mark.slow
def test_an_import_that_another_thread_was_making_at_the_fork_holds_nobody_up() -> None:
    from vfsmount.store import gcsfs_client

    with gcsfs_client._import_locks.setdefault(os.getpid(), threading.Lock()):
        client = gcsfs_client.GcsClient(
            StoreOptions("gs", "b", endpoint_url="http://127.0.0.1:1", anonymous=True, max_attempts=1)
        )

        def use() -> None:
            with pytest.raises(Unavailable):
                client.run("head", "k", lambda: client.request("GET", "/", operation="head"))

        assert in_child(use, 60) == 0
