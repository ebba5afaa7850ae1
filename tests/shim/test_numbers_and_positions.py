"""A number and a position are one thing to Python, to native code and to other threads, whatever comes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from tests.shim.conftest import Mounted


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": b"hello world"})


def test_the_number_of_a_file_whose_number_was_closed_is_told_all_the_same(bucket: Mounted) -> None:
    first = open(bucket.path("a.txt"), "rb")
    number = first.fileno()
    second = os.fdopen(number, "rb", closefd=False)
    first.close()
    assert second.fileno() == number  # as on a disk, where it is any number
    with pytest.raises(OSError, match="Bad file descriptor"):
        second.read()


def test_what_is_read_while_the_content_escapes_is_read_once(bucket: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    file = bucket.context.fds.get(number).file  # type: ignore[union-attr]
    read, begun, go_on = file.read, threading.Event(), threading.Event()

    def slow(size: int) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return read(size)

    monkeypatch.setattr(file, "read", slow)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(os.read(number, 2)))
    reader.start()
    assert begun.wait(20)
    numbers: list[int] = []
    copier = threading.Thread(target=lambda: numbers.append(os.dup(number)))
    copier.start()
    copier.join(0.05)  # it has to wait, which nothing tells
    go_on.set()
    reader.join(20)
    copier.join(20)
    assert found == [b"he"]
    assert os.read(number, 9) == b"llo world"
    for each in (number, *numbers):
        os.close(each)
