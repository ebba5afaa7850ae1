"""Ctrl-C while a server does not answer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.forks import in_child
from tests.interrupting import interrupted
from tests.store.test_obstore_store import scripted_options
from vfsmount.config import CloudBucketMount, Secret
from vfsmount.session import activate
from vfsmount.store.interruptible import MainThreadCalls
from vfsmount.store.obstore_store import ObstoreStore

STALLED = 20.0
"""Seconds that the client waits for an answer: far longer than a test may take."""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never answers; the kernel takes them for it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening


def url(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def mounted(silent: socket.socket) -> Iterator[None]:
    secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
    mount = CloudBucketMount(
        *("bucket", url(silent)),
        secret=secret,
        region="us-east-1",
        force_path_style=True,
        max_attempts=1,
        read_timeout=STALLED,
    )
    session = activate({"/interrupted": mount}, check=False)
    yield
    silent.close()  # resets the connections, so that the requests which nobody hears end before the session does
    session.close()


@pytest.mark.parametrize("verb", [lambda s: s.head("k"), lambda s: s.get_range("k", 0, 9), lambda s: s.put("k", b"")])
def test_ctrl_c_ends_a_request_that_is_not_answered(
    silent: socket.socket, verb: Callable[[ObstoreStore], object]
) -> None:
    store = ObstoreStore(scripted_options(url(silent), read_timeout=STALLED))
    assert interrupted(lambda: verb(store)) < STALLED / 4
    store.close()


@pytest.mark.usefixtures("mounted")
@pytest.mark.parametrize(
    "action",
    [
        lambda: open("/interrupted/x"),
        lambda: open("/interrupted/x", "w"),
        lambda: os.stat("/interrupted/x"),
        lambda: os.listdir("/interrupted"),
        lambda: os.path.exists("/interrupted/x"),
    ],
    ids=["open", "create", "stat", "listdir", "exists"],
)
def test_ctrl_c_ends_a_call_on_a_mount_whose_server_is_silent(action: Callable[[], object]) -> None:
    assert interrupted(action) < STALLED / 4


def test_ctrl_c_ends_an_activation_that_asks_a_silent_server(silent: socket.socket) -> None:
    secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
    mount = CloudBucketMount("bucket", url(silent), secret=secret, region="us-east-1", read_timeout=STALLED)
    assert interrupted(lambda: activate({"/interrupted": mount})) < STALLED / 4


def test_main_thread_calls_are_made_in_one_other_thread_and_raise_as_they_do() -> None:
    calls = MainThreadCalls()
    threads = {calls.run(threading.get_ident) for _ in range(50)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    with pytest.raises(ZeroDivisionError):
        calls.run(lambda: 1 / 0)
    calls.close()
    assert not any(thread.ident in threads for thread in threading.enumerate())


def test_other_threads_make_their_calls_themselves() -> None:
    calls = MainThreadCalls()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(calls.run(threading.get_ident) == threading.get_ident()))
    thread.start()
    thread.join()
    assert found == [True]


def test_main_thread_call_in_a_forked_child_has_a_thread_of_its_own() -> None:
    calls = MainThreadCalls()
    calls.run(os.getpid)

    def child() -> None:
        assert calls.run(os.getpid) == os.getpid()

    in_child(child)
    calls.close()


def test_regression_a_change_waits_for_one_that_was_interrupted() -> None:
    """The abandoned request may still arrive: after a second write of the same file it would undo that."""
    calls, gate, order = MainThreadCalls(), threading.Event(), list[str]()

    def first() -> None:
        gate.wait(STALLED)
        order.append("first")

    assert interrupted(lambda: calls.run(first, changes=("k",))) < STALLED / 4
    calls.run(lambda: order.append("another key"), changes=("j",))
    calls.run(lambda: order.append("a read"))
    assert interrupted(lambda: calls.run(lambda: order.append("never"), changes=("k",))) < STALLED / 4
    for change in (lambda: order.append("second"), lambda: order.append("third")):
        thread = threading.Thread(target=calls.run, args=(change,), kwargs={"changes": ("k", "j")})
        thread.start()
        gate.set()
        thread.join()
    assert order == ["another key", "a read", "first", "second", "third"]
    calls.close()
