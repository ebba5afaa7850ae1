"""Mounting for tests of semantics, and saying what is expected of a refusal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.semantics.buckets import Bucket
from vfsmount import CloudBucketMount, Session
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, FaultyStore

_SERVER: Final = (pytest.mark.servers, pytest.mark.slow)
MOTO: Final = pytest.param("moto", marks=_SERVER)
WEED: Final = pytest.param("weed", marks=_SERVER)
STORES: Final = ("memory", MOTO, WEED)

memory_only: Final = pytest.mark.parametrize("bucket", ["memory"], indirect=True)
"""For what does not reach the store, or what only the memory store can be made to do."""

verbatim_stores: Final = pytest.mark.parametrize("bucket", ["memory", MOTO], indirect=True)
"""For keys that SeaweedFS does not keep (it merges slashes, refuses dot segments and names over 255 bytes, takes a
backslash for a slash), and for what it does not have (Glacier)."""


tidy_stores: Final = verbatim_stores
"""For what becomes of emptied directories: SeaweedFS goes on listing them, for a while, and lets none of them copy."""


@dataclass(frozen=True)
class Mounted:
    """One active mount."""

    path: Path
    session: Session
    faults: FaultyStore
    requests: CountingStore

    def __truediv__(self, name: str) -> Path:
        return self.path / name


class Mounter:
    """Makes mounts of one bucket."""

    def __init__(self, bucket: Bucket, folder: Path, stack: contextlib.ExitStack) -> None:
        self._bucket = bucket
        self._folder = folder
        self._stack = stack

    def __call__(self, at: str = "mnt", **options: Any) -> Mounted:
        """Mount the bucket at ``at``; ``options`` are those of CloudBucketMount."""
        requests = CountingStore(self._bucket.open())
        faults = FaultyStore(requests)
        path = self._folder / at
        options = {"uid": os.geteuid(), "gid": os.getegid()} | options
        session = activate_stores({str(path): (CloudBucketMount(self._bucket.name, **options), faults)})
        self._stack.callback(session.close)
        return Mounted(path, session, faults, requests)


@contextlib.contextmanager
def refused(number: int, path: object = None, path2: object = None) -> Iterator[pytest.ExceptionInfo[OSError]]:
    """The block raises an OSError with this errno and its text, naming ``path`` (and ``path2``) where given."""
    with pytest.raises(OSError) as caught:
        yield caught
    error = caught.value
    assert (error.errno, error.strerror) == (number, os.strerror(number)), error
    if path is not None:
        assert error.filename == (os.fspath(path) if isinstance(path, os.PathLike) else path)
    if path2 is not None:
        assert error.filename2 == (os.fspath(path2) if isinstance(path2, os.PathLike) else path2)


def tree(top: Path) -> dict[str, bytes | None]:
    """Everything below ``top`` as ``os.walk`` finds it: the bytes of files, None for directories."""
    found: dict[str, bytes | None] = {}
    for folder, directories, files in os.walk(top):
        below = "" if folder == str(top) else f"{os.path.relpath(folder, top)}/"
        found |= {below + name: None for name in directories}
        found |= {below + name: Path(folder, name).read_bytes() for name in files}
    return found
