"""A bucket that is not there, or is deleted while mounted, is told from a missing file."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.semantics.mounting import refused
from tests.servers import Server, s3_options
from vfsmount import CloudBucketMount
from vfsmount.errors import NotFound
from vfsmount.session import activate_stores
from vfsmount.store.factory import open_store

CALLS: dict[str, Callable[[Path], object]] = {
    "stat": os.stat,
    "open": lambda path: open(path, "rb"),
    "listdir": os.listdir,
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "write": lambda path: path.write_bytes(b""),
}


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "fsspec"])
def test_the_note_says_that_the_bucket_is_missing(engine: str, moto: Server, tmp_path: Path) -> None:
    store = open_store(s3_options(moto, "no-such-bucket", engine=engine))
    with activate_stores({str(tmp_path / "m"): (CloudBucketMount("no-such-bucket"), store)}):
        for name, call in CALLS.items():
            with refused(errno.ENOENT, tmp_path / "m/x") as caught:
                call(tmp_path / "m/x")
            assert isinstance(caught.value.__cause__, NotFound), name
            assert caught.value.__cause__.code == "NoSuchBucket", name
            if sys.version_info >= (3, 11):
                assert "bucket" in caught.value.__notes__[0], (name, caught.value.__notes__)
