"""The garbage collector runs in the middle of our own code, under each of its locks."""

from __future__ import annotations

import gc
import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.forks import in_child
from tests.session.starting import start
from vfsmount.session import Session
from vfsmount.testing import MemoryStore


class Collecting:
    """A lock under which garbage is collected, as it may be under any."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.used = 0

    def __enter__(self) -> None:
        self.lock.acquire()
        self.used += 1
        gc.collect()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Knot:
    """Keeps itself, and a file, until the garbage collector comes."""

    def __init__(self, file: object) -> None:
        self.file = file
        self.itself = self


OWNERS: dict[str, Callable[[Session, MemoryStore], Any]] = {
    "store": lambda _, store: store,
    "budget": lambda session, _: session._budget,
    "counters": lambda session, _: session._counters,
    "local state": lambda session, _: session._mounts[0].fs._local,
    "attrs": lambda session, _: session._mounts[0].fs._cache,
}


@contextmanager
def collecting_under(owner: Any) -> Iterator[Collecting]:
    before, owner._lock = owner._lock, Collecting(owner._lock)
    try:
        yield owner._lock
    finally:
        owner._lock = before


@pytest.mark.parametrize("name", OWNERS)
def test_files_that_are_collected_under_a_lock_wait_for_nobody(store: MemoryStore, point: str, name: str) -> None:
    """It used to hang for ever: the file's end waited for a lock of the code that it interrupted."""

    def child() -> None:
        session = start(point, store, children="never")

        class File(io.FileIO):
            pass

        owner = OWNERS[name](session, store)
        gc.disable()
        gc.freeze()  # of all that the tests loaded
        warnings.simplefilter("ignore", ResourceWarning)
        writer = open(f"{point}/written", "wb", buffering=0)
        writer.write(b"content")
        other = File(f"{point}/by a subclass", "w")
        other.write(b"content")
        Knot([writer, other, open(f"{point}/seed"), open(f"{point}/seed", "rb", buffering=0)])
        del writer, other
        with collecting_under(owner) as lock:
            os.listdir(point)
            os.path.exists(f"{point}/no")
            with open(f"{point}/seed") as file:
                assert file.read() == "seed"
            with open(f"{point}/new", "w") as file:
                file.write("new")
        assert lock.used
        session.close()
        left = {"seed": b"seed", "new": b"new", "written": b"content", "by a subclass": b"content"}
        assert store.objects() == left

    store.put_object("seed", b"seed")
    in_child(child)


def test_what_is_buffered_by_a_file_that_goes_in_the_middle_of_own_code_is_written(
    store: MemoryStore, point: str
) -> None:
    """Not by the collector, which ends the raw file first, but with its last reference."""
    held: list[Any] = []

    class Dropping(Collecting):
        def __enter__(self) -> None:
            super().__enter__()
            held.clear()

    def child() -> None:
        session = start(point, store, children="never")
        gc.freeze()
        warnings.simplefilter("ignore", ResourceWarning)
        held.append(open(f"{point}/text", "w"))
        held[0].write("buffered")
        held.append(open(f"{point}/update", "w+b"))
        held[1].write(b"one two")
        session._mounts[0].fs._local._lock = Dropping(session._mounts[0].fs._local._lock)
        os.path.exists(f"{point}/no")
        assert held == []
        session.close()
        assert store.objects() == {"text": b"buffered", "update": b"one two"}

    in_child(child)
