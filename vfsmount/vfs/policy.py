"""What a mount allows: pure decisions from what was asked, what is there, and how it was mounted. No I/O.

Each function answers with a :class:`Refusal`, or says what to do. The order of the tests is the kernel's where the
kernel has one, because callers count on it: what is there (ENOENT, EEXIST, EISDIR, ENOTDIR) comes before what is
allowed (EROFS, EPERM). Source: Mountpoint SEMANTICS; open(2), unlink(2), rename(2).
"""

from __future__ import annotations

import enum
import errno
import os
from typing import Final, NamedTuple

from vfsmount.vfs.options import FsOptions

O_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
O_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)
O_SYNC: Final = getattr(os, "O_SYNC", 0) | getattr(os, "O_DSYNC", 0)

REPLACE_HINT: Final = 'an existing file can only be replaced (mode "w"); mount with writes="staged" to change it'


class Node(enum.Enum):
    """What is at a path."""

    MISSING = enum.auto()
    FILE = enum.auto()
    """An object, and nobody here writes it."""
    WRITING = enum.auto()
    """A file that this process is writing."""
    DIRECTORY = enum.auto()


class Access(enum.Enum):
    """What an open makes."""

    READER = enum.auto()
    WRITER = enum.auto()
    """In sequence, from nothing."""
    EDITOR = enum.auto()
    """Through a local spool, in any pattern (``writes="staged"``)."""
    DIRECTORY = enum.auto()
    CREATED = enum.auto()
    """O_RDONLY with O_CREAT: an empty object, then a reader of it."""


class Refusal(NamedTuple):
    """Why not."""

    number: int
    """errno"""
    hint: str | None = None


READ_ONLY: Final = Refusal(errno.EROFS, "mounted with read_only")
NO_OVERWRITE: Final = Refusal(errno.EPERM, "mounted with allow_overwrite=False")
NO_DELETE: Final = Refusal(errno.EPERM, "mounted with allow_delete=False")
IN_USE: Final = Refusal(
    errno.EPERM, "one writer or many readers: the file is open elsewhere in this process; close that first"
)
IN_USE_BEYOND: Final = Refusal(
    errno.EPERM,
    "one writer or many readers: native code, or a program that was started, has the file open; close that first",
)


def is_writing(flags: int) -> bool:
    """True where the open asks to write."""
    return flags & os.O_ACCMODE != os.O_RDONLY


def open_flags(flags: int) -> Refusal | None:
    """Flags that no file on a mount can be opened with."""
    if O_TMPFILE and flags & O_TMPFILE == O_TMPFILE:
        return Refusal(errno.ENOTSUP, "a file without a name cannot be in a bucket")
    if O_DIRECTORY and flags & O_DIRECTORY and flags & os.O_CREAT:
        return Refusal(errno.EINVAL)  # open(2): since Linux 6.4
    if flags & O_SYNC:
        return Refusal(errno.EINVAL, "O_SYNC and O_DSYNC are not supported; use fsync")
    return None


def open_access(flags: int, node: Node, options: FsOptions) -> Access | Refusal:
    """What ``open`` makes of ``node``."""
    exclusive = flags & os.O_CREAT and flags & os.O_EXCL
    if node is Node.DIRECTORY:
        if exclusive:
            return Refusal(errno.EEXIST)
        if is_writing(flags) or flags & (os.O_CREAT | os.O_TRUNC):
            return Refusal(errno.EISDIR)
        return Access.DIRECTORY
    if node is Node.MISSING:
        return _create(flags, options)
    if exclusive:
        return Refusal(errno.EEXIST)
    if O_DIRECTORY and flags & O_DIRECTORY:
        return Refusal(errno.ENOTDIR)
    staged = options.writes == "staged"
    if node is Node.WRITING and not staged:
        return IN_USE
    if is_writing(flags):
        return _change(flags, options, staged=staged)
    if flags & os.O_TRUNC:
        return READ_ONLY if options.read_only else Refusal(errno.EINVAL, "O_TRUNC needs a file opened for writing")
    return Access.READER


def _create(flags: int, options: FsOptions) -> Access | Refusal:
    if not flags & os.O_CREAT:
        return Refusal(errno.ENOENT)
    if options.read_only:
        return READ_ONLY
    if not is_writing(flags):
        return Access.CREATED
    return Access.EDITOR if options.writes == "staged" else Access.WRITER


def _change(flags: int, options: FsOptions, *, staged: bool) -> Access | Refusal:
    if options.read_only:
        return READ_ONLY
    if staged:
        return Access.EDITOR if options.allow_overwrite else NO_OVERWRITE
    if flags & os.O_TRUNC:
        return Access.WRITER if options.allow_overwrite else NO_OVERWRITE
    if flags & os.O_ACCMODE == os.O_WRONLY:
        return Refusal(errno.EPERM, REPLACE_HINT)
    return Access.READER  # O_RDWR without O_TRUNC


def mkdir(node: Node, options: FsOptions) -> Refusal | None:
    if node is not Node.MISSING:
        return Refusal(errno.EEXIST)
    return READ_ONLY if options.read_only else None


def rmdir(node: Node, options: FsOptions, *, local_below: bool) -> Refusal | None:
    """Before the bucket is asked what is below."""
    if node is Node.MISSING:
        return Refusal(errno.ENOENT)
    if node is not Node.DIRECTORY:
        return Refusal(errno.ENOTDIR)
    if options.read_only:
        return READ_ONLY
    return Refusal(errno.ENOTEMPTY) if local_below else None


def rmdir_remote(options: FsOptions, *, marker: bool, others: bool) -> Refusal | None:
    """After: ``marker`` is the directory's own key, ``others`` are keys below it."""
    if others or (marker and not options.keep_dirs):
        return Refusal(errno.EPERM, "the directory exists by keys in the bucket; delete those")
    return NO_DELETE if marker and not options.allow_delete else None


def unlink(node: Node, options: FsOptions) -> Refusal | None:
    if node is Node.MISSING:
        return Refusal(errno.ENOENT)
    if node is Node.DIRECTORY:
        return Refusal(errno.EISDIR)
    if options.read_only:
        return READ_ONLY
    if not options.allow_delete:
        return NO_DELETE
    if node is Node.WRITING and options.writes != "staged":
        return Refusal(errno.EPERM, "the file is being written; close it first")
    return None


def rename_source(node: Node, options: FsOptions) -> Refusal | None:
    """Before the target is looked at. Mountpoint has no rename on general purpose buckets: ENOSYS."""
    if node is Node.MISSING:
        return Refusal(errno.ENOENT)
    if options.read_only:
        return READ_ONLY
    if not options.allow_rename:
        return Refusal(errno.ENOSYS, "mounted without allow_rename; mount with allow_rename=True, or copy and delete")
    if not options.allow_delete:
        return NO_DELETE
    return _not_while_written(node, options)


def rename_target(source: Node, target: Node, options: FsOptions) -> Refusal | None:
    """``target`` may be an empty directory where the source is one; that is the caller's to find out."""
    if target is Node.MISSING:
        return None
    if target is Node.DIRECTORY:
        return None if source is Node.DIRECTORY else Refusal(errno.EISDIR)
    if source is Node.DIRECTORY:
        return Refusal(errno.ENOTDIR)
    if not options.allow_overwrite:
        return Refusal(errno.EEXIST, NO_OVERWRITE.hint)
    return _not_while_written(target, options)


def _not_while_written(node: Node, options: FsOptions) -> Refusal | None:
    if node is Node.WRITING and options.writes != "staged":
        return Refusal(errno.EPERM, "the file is being written; close it first")
    return None


def make_node(node: Node, options: FsOptions) -> Refusal:
    """Links, devices, pipes: EEXIST where something is there (zarr counts on the order)."""
    if node is not Node.MISSING:
        return Refusal(errno.EEXIST)
    return READ_ONLY if options.read_only else Refusal(errno.EPERM, "a bucket has no links and no special files")


def metadata(options: FsOptions, what: str) -> Refusal | None:
    """chmod, chown and utime of what is committed. None: accepted and without effect (``metadata_ops="ignore"``)."""
    if options.read_only:
        return READ_ONLY
    if options.metadata_ops == "ignore":
        return None
    return Refusal(errno.EPERM, f'{what} is not supported; metadata_ops="ignore" accepts it without effect')


def truncate(node: Node, length: int, options: FsOptions) -> Refusal | None:
    """Of a path; a file being written in sequence has rules of its own."""
    if length < 0:
        return Refusal(errno.EINVAL)
    if node is Node.MISSING:
        return Refusal(errno.ENOENT)
    if node is Node.DIRECTORY:
        return Refusal(errno.EISDIR)
    if options.read_only:
        return READ_ONLY
    if options.writes != "staged":
        return Refusal(errno.EPERM, REPLACE_HINT)
    return None if options.allow_overwrite else NO_OVERWRITE
