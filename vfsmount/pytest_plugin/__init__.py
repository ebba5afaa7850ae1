"""pytest plugin: buckets and mounts for tests.

Fixtures ``vfs_bucket`` (a fresh bucket) and ``vfs_mount`` (mounts it), and the marker
``@pytest.mark.vfsmount("/data", seed={"a.txt": b"..."}, read_only=True)``. Loaded by every run of pytest where vfsmount
is installed, so nothing heavy is imported before a test asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from vfsmount.pytest_plugin.buckets import Bucket, MotoServer, Mounter

BACKENDS: Final = ("moto", "memory")
_server: Final[pytest.StashKey[MotoServer]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vfsmount", "buckets as directories")
    group.addoption(
        "--vfsmount-backend",
        choices=BACKENDS,
        default=None,
        help="where vfs_bucket keeps its objects: an S3 server in this process (moto), or a dictionary (memory)",
    )
    parser.addini("vfsmount_backend", f"default of --vfsmount-backend: {' or '.join(BACKENDS)}", default=BACKENDS[0])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "vfsmount(point=None, *, seed={}, **options): mount vfs_bucket at `point` for this test, holding the objects "
        "of `seed` (names below the mount -> bytes or text); the options are those of CloudBucketMount",
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    server = config.stash.get(_server, None)
    if server is not None:
        server.stop()


@pytest.fixture
def vfs_bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A fresh bucket; ``put``, ``get``, ``list``, ``delete`` act behind the mount's back, ``fail`` injects faults."""
    from vfsmount.pytest_plugin import buckets

    config = request.config
    backend = config.getoption("--vfsmount-backend") or config.getini("vfsmount_backend")
    if backend not in BACKENDS:
        raise pytest.UsageError(f"vfsmount_backend: {backend!r} is none of {', '.join(BACKENDS)}")
    if backend == "memory":
        bucket = buckets.memory_bucket()
    else:
        if _server not in config.stash:
            config.stash[_server] = buckets.MotoServer()
        bucket = config.stash[_server].new_bucket()
    try:
        yield bucket
    finally:
        bucket.close()


@pytest.fixture
def vfs_mount(vfs_bucket: Bucket, tmp_path: Path) -> Iterator[Mounter]:
    """``vfs_mount(point=None, *, bucket=None, seed=None, **options)`` mounts ``vfs_bucket`` until the test ends.

    Returns the mount point as a Path; without ``point``, that is a new one below ``tmp_path``.
    """
    from vfsmount.pytest_plugin.buckets import Mounter

    with contextlib.ExitStack() as mounted:
        yield Mounter(vfs_bucket, tmp_path, mounted)


@pytest.fixture(autouse=True)
def _vfsmount_marker(request: pytest.FixtureRequest) -> None:
    """Mounts what the markers of a test say; markers of the class and module too, outermost first."""
    markers = list(request.node.iter_markers("vfsmount"))
    if not markers:
        return
    mount: Mounter = request.getfixturevalue("vfs_mount")
    for marker in reversed(markers):
        mount(*marker.args, **marker.kwargs)
