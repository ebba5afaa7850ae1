"""One mounted bucket in memory with everything around it in the test's hand."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clock import SteppedClock
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.mounts import Mount, MountTable
from vfsmount.vfs.openfile import OpenFile
from vfsmount.vfs.options import FsOptions

PART = 1000
"""Bytes of a part, so that a multipart upload is a matter of a few thousand bytes."""

TRAITS = StoreTraits(min_part_size=PART)
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
"""``open(path, "w")``."""
EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
"""``open(path, "x")``."""


class World:
    """``fs`` over a counting store over a faulty store over ``memory``, which is what other clients see.

    Paths are given without the mount point; ``/m`` is what errors name.
    """

    def __init__(self, traits: StoreTraits = TRAITS, **options: object) -> None:
        self.clock = SteppedClock()
        self.memory = MemoryStore(traits=traits, clock=self.clock)
        self.faulty = FaultyStore(self.memory)
        self.store = CountingStore(self.faulty)
        self.pool = ThreadPool(16)
        self.budget = Budget(256 << 20)
        self.options = FsOptions(**{"bucket": "memory", "part_size": PART, **options})  # type: ignore[arg-type]
        self.fs = self.another()

    def another(self) -> Filesystem:
        """One more client of the same bucket."""
        return Filesystem(self.store, self.options, submit=self.pool.submit, budget=self.budget, clock=self.clock)

    def settle(self) -> None:
        """Wait until what was begun in the background is done."""
        barrier = threading.Barrier(16)
        for one in [self.pool.submit(lambda: barrier.wait(10)) for _ in range(16)]:
            one.result(20)

    def table(self) -> MountTable:
        return MountTable([Mount("/m", self.fs)])

    def open(self, path: str, flags: int = os.O_RDONLY) -> OpenFile:
        return self.fs.open(path, flags, f"/m/{path}")

    def read(self, path: str) -> bytes:
        handle = self.open(path)
        try:
            return handle.read(-1)
        finally:
            handle.close()

    def write(self, path: str, data: bytes, flags: int = WRITE) -> None:
        handle = self.open(path, flags)
        handle.write(data)
        handle.close()

    def stat(self, path: str) -> tuple[bool, int]:
        """(is a directory, size)."""
        attr = self.fs.stat(path, f"/m/{path}")
        return attr.is_dir, attr.size

    def names(self, path: str = "") -> list[str]:
        return [entry.name for entry in self.fs.scandir(path, f"/m/{path}")]

    def exists(self, path: str) -> bool:
        try:
            self.fs.stat(path, f"/m/{path}")
        except FileNotFoundError:
            return False
        return True

    def mkdir(self, path: str) -> None:
        self.fs.mkdir(path, f"/m/{path}")

    def rmdir(self, path: str) -> None:
        self.fs.rmdir(path, f"/m/{path}")

    def unlink(self, path: str) -> None:
        self.fs.unlink(path, f"/m/{path}")

    def rename(self, source: str, target: str) -> None:
        self.fs.rename(source, target, f"/m/{source}", f"/m/{target}")

    def forget(self) -> None:
        """As if ``metadata_ttl`` had passed."""
        self.fs.invalidate("")

    def put(self, *keys: str, data: bytes = b"data") -> None:
        """Another client stores objects."""
        for key in keys:
            self.memory.put_object(key, data)

    def nothing_left(self) -> None:
        """No upload is unfinished and no byte is held."""
        assert self.memory.uploads() == ()
        assert self.budget.used == 0

    def close(self) -> None:
        self.pool.close()


@contextmanager
def raises(*numbers: int, path: str | None = None) -> Iterator[pytest.ExceptionInfo[OSError]]:
    """The block raises OSError with one of ``numbers``, the kernel's text, and ``path`` as its filename."""
    with pytest.raises(OSError) as caught:
        yield caught
    got = caught.value.errno
    names = [errno.errorcode[number] for number in numbers]
    assert got in numbers, f"{errno.errorcode.get(got or 0)} instead of {names}: {caught.value!r}"
    assert caught.value.strerror == os.strerror(got)
    if path is not None:
        assert caught.value.filename == path
