"""What programs do to a directory, each as one small function: an id, and what it sees.

A function gets a fresh directory that holds ``file`` (ten digits), ``empty``, ``dir/inner`` and ``made/`` (by mkdir),
and returns something comparable: no absolute path, inode or time in it.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

Operation = Callable[[Path], object]
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register under ``name``."""

    def register(function: Operation) -> Operation:
        assert name not in OPERATIONS
        OPERATIONS[name] = function
        return function

    return register


def prepare(top: Path) -> None:
    """Files first: what they are in exists by them."""
    (top / "file").write_bytes(b"0123456789")
    (top / "empty").write_bytes(b"")
    os.mkdir(top / "dir")
    (top / "dir/inner").write_bytes(b"inner")
    os.mkdir(top / "made")


def observe(function: Operation, top: Path) -> object:
    """What it returns, or how it fails."""
    try:
        return function(top)
    except io.UnsupportedOperation as error:
        return type(error).__name__
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def content(path: Path) -> bytes:
    return path.read_bytes()
