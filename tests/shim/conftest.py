"""A mount of a bucket in memory, patched in by the shim alone: no session, no children."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from vfsmount import real
from vfsmount.clock import SystemClock
from vfsmount.shim.context import ShimContext
from vfsmount.shim.cwd import VirtualCwd
from vfsmount.shim.descriptors import FdTable
from vfsmount.shim.install import Installation, install
from vfsmount.shim.route import Router
from vfsmount.store.memory import MemoryStore
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import run_inline
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.mounts import Mount, MountTable
from vfsmount.vfs.options import FsOptions

SEED = {"a.txt": b"alpha", "dir/b.txt": b"beta", "dir/sub/c.txt": b"gamma", "other/d.bin": b"\0\1", ".hidden/e": b"h"}


@dataclass
class Mounted:
    """One mount, with its store within reach."""

    point: str
    store: MemoryStore
    context: ShimContext
    installation: Installation

    def path(self, *parts: str) -> str:
        return "/".join((self.point, *parts))

    def keys(self) -> list[str]:
        return sorted(meta.key for meta in self.store.list_page("", delimiter=None).objects)


@dataclass
class Mounter:
    """Mounts buckets; everything is undone when the test ends."""

    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __call__(self, *points: str, seed: dict[str, bytes] | None = None, **options: object) -> Mounted:
        store = MemoryStore()
        for key, data in (SEED if seed is None else seed).items():
            store.put(key, data)
        values = {"bucket": "memory", "uid": os.getuid(), "gid": os.getgid(), **options}
        mounts = [
            Mount(
                point,
                Filesystem(
                    store if index == 0 else MemoryStore(),
                    FsOptions(**values),  # type: ignore[arg-type]
                    submit=run_inline,
                    budget=Budget(64 << 20),
                    clock=SystemClock(),
                ),
            )
            for index, point in enumerate(points)
        ]
        table, cwd, fds = MountTable(mounts), VirtualCwd(), FdTable()
        context = ShimContext(table=table, router=Router(table, cwd, fds), cwd=cwd, fds=fds)
        installation = install(context)
        self.cleanup.callback(installation.undo)
        return Mounted(points[0], store, context, installation)


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """For tests that keep errors of replaced functions: the frames in these hold originals, for which every later
    activation would search until they are collected.
    """
    yield
    gc.collect()


@pytest.fixture
def mount() -> Iterator[Callable[..., Mounted]]:
    """Mounts a seeded bucket in memory at the given mount points."""
    where = real.getcwd()
    mounter = Mounter()
    with mounter.cleanup:
        yield mounter
    real.chdir(where)


@pytest.fixture
def mounted(mount: Callable[..., Mounted]) -> Mounted:
    """A seeded bucket at ``/vfs-bucket``, which does not exist on the disk."""
    return mount("/vfs-bucket", allow_overwrite=True)
