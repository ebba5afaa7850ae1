"""What the end of a path asks of its last component: a slash, ``.`` or ``..`` behind which no name stands.

A path loses these when it is normalised, and the kernel judges by them. Source: Linux, fs/namei.c (``LAST_DOT``,
``LAST_DOTDOT``, trailing slashes), path_resolution(7), rmdir(2), rename(2), open(2).
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import Final, Protocol

from vfsmount.errors import os_error
from vfsmount.model import Attr


class Purpose(Enum):
    """What is going to happen to the name at the end of a path."""

    LOOK = "look"
    """It is used as it is, or unlinked."""
    MAKE = "make"
    """It may become a directory (mkdir) or a new name of what there is (the target of a link)."""
    CREATE = "create"
    """It may become a file (``O_CREAT``)."""
    REMOVE = "remove"
    """Its directory goes (rmdir)."""
    LEAVE = "leave"
    """It is renamed."""
    TAKE = "take"
    """Something is renamed to it."""


def opening(flags: object) -> Purpose:
    """What an open with ``flags`` means for the name."""
    return Purpose.CREATE if isinstance(flags, int) and flags & os.O_CREAT else Purpose.LOOK


_MAY_BE_MISSING: Final = frozenset({Purpose.MAKE, Purpose.TAKE})

_DOTS: Final = {
    Purpose.REMOVE: {"/.": errno.EINVAL, "/..": errno.ENOTEMPTY},
    Purpose.LEAVE: {"/.": errno.EBUSY, "/..": errno.EBUSY},
    Purpose.TAKE: {"/.": errno.EBUSY, "/..": errno.EBUSY},
}


class Table(Protocol):
    """What is needed of a mount table."""

    def stat(self, path: str) -> Attr: ...

    def is_point(self, path: str) -> bool: ...


def check_ending(table: Table, plain: str, text: str, purpose: Purpose) -> str:
    """``plain``, the normalised absolute path of ``text``; costs the look-up of one directory, where ``text`` ends so.

    Raises: ENOTDIR, ENOENT; EISDIR for a file to be created by a name with a slash; EINVAL, ENOTEMPTY, EBUSY for
    what may not end in ``.`` or ``..``.
    """
    if text[-1:] not in ("/", "."):
        return plain
    bare = text.rstrip("/")
    dots = "/." if bare.endswith("/.") else "/.." if bare.endswith("/..") else ""
    if not dots and bare is text:
        return plain  # a name that ends in a dot
    if table.is_point(plain):
        refused = _DOTS.get(purpose, {}).get(dots)
        if purpose is Purpose.CREATE and not dots:
            refused = errno.EISDIR
        if refused is not None:
            raise os_error(refused, plain)
        return plain
    if purpose is Purpose.MAKE and not dots:
        return plain  # mkdir(2) and link(2) say EEXIST of a file there
    if purpose is Purpose.CREATE and not dots:
        _require_directory(table, plain.rpartition("/")[0])
        raise os_error(errno.EISDIR, plain, hint="a file's name cannot end in a slash")
    try:
        _require_directory(table, plain)
    except FileNotFoundError:
        if dots or purpose not in _MAY_BE_MISSING:
            raise
        if purpose is Purpose.TAKE:  # before anybody judges what is to become a directory
            _require_directory(table, plain.rpartition("/")[0])
    refused = _DOTS.get(purpose, {}).get(dots)
    if refused is not None:
        raise os_error(refused, plain)
    return plain


def _require_directory(table: Table, path: str) -> None:
    if not table.stat(path).is_dir:
        raise os_error(errno.ENOTDIR, path)
