"""The functions of ``os`` that take a path, but for open and the directories' contents."""

from __future__ import annotations

import errno
import math
import os
import stat as _stat
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, SupportsFloat

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.shim.calls import Function, by_path, by_two_paths
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.fdcalls import metadata_of
from vfsmount.shim.patcher import MISSING
from vfsmount.shim.route import follow_up
from vfsmount.vfs.ending import Purpose

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.shim.description import Description

_statvfs: Final = os.statvfs
_pathconf: Final = os.pathconf

NAME_MAX: Final = 255
"""Bytes of UTF-8 in one name. Source: Mountpoint SEMANTICS, names; the same on most local file systems."""


def replacements(context: ShimContext) -> Iterator[Replacement]:
    """Everything here that this platform's ``os`` has."""
    actions = _Actions(context)
    for name, (act, on_file, follow, purpose) in actions.one_path().items():
        original = vars(os).get(name)
        if original is not None:
            if name == "mkdir":
                original = _mkdir(context, original)
            yield Replacement(
                os, name, by_path(context, original, act, on_file=on_file, follow=follow, purpose=purpose)
            )
    for name in ("rename", "replace"):
        move = by_two_paths(context, vars(os)[name], actions.rename, leaving=Purpose.LEAVE, taking=Purpose.TAKE)
        yield Replacement(os, name, move)
    if hasattr(os, "link"):
        yield Replacement(os, "link", by_two_paths(context, os.link, actions.link))
    yield Replacement(os, "access", _access(context, os.access, actions.access))
    yield Replacement(os, "symlink", _symlink(context, os.symlink))
    yield from _cwd(context)


class _Actions:
    """What the calls do below a mount. ``target`` is covered by a mount, or a synthetic directory above one."""

    __slots__ = ("_table",)

    def __init__(self, context: ShimContext) -> None:
        self._table = context.table

    def one_path(self) -> dict[str, tuple[Function, Function | None, bool, Purpose]]:
        """Name -> action on a path, on one of our descriptors, whether it follows links, what becomes of the name."""
        look, make = Purpose.LOOK, Purpose.MAKE
        return {
            "stat": (self.stat, lambda entry, **_: entry.stat().stat_result(), True, look),
            "lstat": (self.stat, None, False, look),
            "mkdir": (self.mkdir, None, False, make),
            "rmdir": (self.rmdir, None, False, Purpose.REMOVE),
            "unlink": (self.unlink, None, False, look),
            "remove": (self.unlink, None, False, look),
            "readlink": (self.readlink, None, False, look),
            "chmod": (self.chmod, self.file_chmod, True, look),
            "lchmod": (self.chmod, None, False, look),
            "chown": (self.chown, self.file_chown, True, look),
            "lchown": (self.chown, None, False, look),
            "chflags": (self.refused, None, True, look),
            "lchflags": (self.refused, None, False, look),
            "utime": (self.utime, self.file_utime, True, look),
            "truncate": (self.truncate, lambda entry, length: entry.truncate(length), True, look),
            "mkfifo": (self.mknod, None, False, look),
            "mknod": (self.mknod, None, False, look),
            "statvfs": (self.statvfs, lambda entry: self.statvfs(entry.path), True, look),
            "pathconf": (self.pathconf, lambda entry, name: self.pathconf(entry.path, name), True, look),
            "chroot": (self.refused, None, True, look),
            "getxattr": (self.named_xattr, _file_xattr, True, look),
            "setxattr": (self.xattr, _file_xattr, True, look),
            "listxattr": (self.xattr, _file_xattr, True, look),
            "removexattr": (self.named_xattr, _file_xattr, True, look),
        }

    def attr(self, target: str) -> Attr:
        return self._table.stat(target) if self._table.covers(target) else self._table.synthetic_attr(target)

    def stat(self, target: str, **_: object) -> os.stat_result:
        return self.attr(target).stat_result()

    def access(self, target: str, mode: int, **_: object) -> bool:
        return self._table.access(target, mode) if self._table.covers(target) else not mode & os.W_OK

    def mkdir(self, target: str, mode: int = 0o777, **_: object) -> None:
        self._above(target, errno.EEXIST)
        self._table.mkdir(target, mode)

    def rmdir(self, target: str, **_: object) -> None:
        self._above(target, errno.EBUSY)
        self._table.rmdir(target)

    def unlink(self, target: str, **_: object) -> None:
        self._above(target, errno.EISDIR)
        self._table.unlink(target)

    def readlink(self, target: str, **_: object) -> str:
        self._above(target, errno.EINVAL)
        return self._table.readlink(target)

    def chmod(self, target: str, mode: int, **_: object) -> None:
        self._above(target, errno.EPERM)
        self._table.chmod(target, mode)

    def chown(self, target: str, uid: int, gid: int, **_: object) -> None:
        self._above(target, errno.EPERM)
        self._table.chown(target, uid, gid)

    def utime(self, target: str, times: object = None, *, ns: object = MISSING, **_: object) -> None:
        self._above(target, errno.EPERM)
        self._table.utime(target, _mtime_ns(times, ns))

    def file_chmod(self, entry: Description, mode: int, **_: object) -> None:
        with metadata_of(self._table, entry):
            entry.chmod(mode)

    def file_chown(self, entry: Description, uid: int, gid: int, **_: object) -> None:
        with metadata_of(self._table, entry):
            entry.chown(uid, gid)

    def file_utime(self, entry: Description, times: object = None, *, ns: object = MISSING, **_: object) -> None:
        with metadata_of(self._table, entry):
            entry.utime(_mtime_ns(times, ns))

    def truncate(self, target: str, length: int) -> None:
        self._above(target, errno.EISDIR)
        self._table.truncate(target, length)

    def mknod(self, target: str, *_: object, **__: object) -> None:
        self._above(target, errno.EEXIST)
        self._table.mknod(target)

    def statvfs(self, target: str) -> os.statvfs_result:
        if self._table.covers(target):
            return self._table.statvfs(target)
        # A synthetic directory: as if it stood on the root's file system.
        return _statvfs("/")

    def pathconf(self, target: str, name: str | int) -> int | None:
        self.attr(target)
        if name in ("PC_NAME_MAX", os.pathconf_names.get("PC_NAME_MAX")):
            return NAME_MAX
        return _pathconf("/", name)

    def refused(self, target: str, *_: object, **__: object) -> None:
        self.attr(target)
        raise os_error(errno.EPERM, target, hint="not possible on a mount")

    def named_xattr(self, target: str, attribute: object, **_: object) -> None:
        self.xattr(target)

    def xattr(self, target: str, *_: object, **__: object) -> None:
        self._above(target, errno.ENOTSUP)
        self._table.xattr(target)

    def rename(self, source: str, target: str) -> None:
        self._table.rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._table.link(source, target)

    def _above(self, target: str, number: int) -> None:
        if not self._table.covers(target):
            raise os_error(number, target, hint="this directory exists only because a bucket is mounted below it")


def _mkdir(context: ShimContext, original: Function) -> Function:
    """A directory that is shown because a mount point lies below it exists, although the disk has none."""

    def mkdir(path: object = MISSING, *args: object, **kwargs: object) -> object:
        if path is MISSING:
            return original(*args, **kwargs)
        if context.router.is_synthetic(path, kwargs.get("dir_fd")):
            raise follow_up(os_error(errno.EEXIST), path)
        return original(path, *args, **kwargs)

    return mkdir


def _access(context: ShimContext, original: Function, act: Function) -> Function:
    """``access`` answers False where others raise."""
    router = context.router

    def found(*args: object, **kwargs: object) -> bool:
        if original(*args, **kwargs):
            return True
        raise os_error(errno.ENOENT)  # so that a link into a mount is followed

    call = by_path(context, found, act)

    def access(_: object, /, path: object = MISSING, *args: object, **kwargs: object) -> object:
        if (
            type(path) is str
            and not kwargs
            and (router.needle not in path or router.is_foreign(path))
            and original(path, *args)
        ):
            return True
        try:
            return call(None, path, *args, **kwargs)
        except OSError:
            return False

    return access


def _symlink(context: ShimContext, original: Function) -> Function:
    """``symlink(src, dst)``: only ``dst`` is a path that is looked up."""
    table = context.table

    def make(dst: object, src: object, *args: object, **kwargs: object) -> object:
        return original(src, dst, *args, **kwargs)

    def act(target: str, src: object, *_: object, **__: object) -> None:
        if not table.covers(target):
            raise os_error(errno.EEXIST, target)
        table.symlink(os.fsdecode(src), target)  # type: ignore[arg-type]

    link = by_path(context, make, act, follow=False)

    def symlink(_: object, /, src: object = MISSING, dst: object = MISSING, *args: object, **kwargs: object) -> object:
        if src is MISSING or dst is MISSING:
            given = {name: path for name, path in (("src", src), ("dst", dst)) if path is not MISSING}
            return original(*args, **given, **kwargs)
        try:
            return link(None, dst, src, *args, **kwargs)
        except OSError as error:
            # As symlink(2): the link's text comes first.
            if error.filename2 is None:
                error.filename, error.filename2 = src, error.filename
            raise

    return symlink


def _cwd(context: ShimContext) -> Iterator[Replacement]:
    router, cwd, fds, table = context.router, context.cwd, context.fds, context.table
    chdir: Function = os.chdir
    fchdir: Function = os.fchdir
    getcwd: Function = os.getcwd
    getcwdb: Function = os.getcwdb

    def leave(*args: object, **kwargs: object) -> None:
        chdir(*args, **kwargs)
        if not real.in_passthrough():
            router.enter(None)

    def enter(target: str) -> None:
        attr = table.stat(target) if table.covers(target) else table.synthetic_attr(target)
        if not _stat.S_ISDIR(attr.mode):
            raise os_error(errno.ENOTDIR, target)
        router.enter(target)

    def enter_file(entry: Description) -> None:
        if not entry.is_dir:
            raise os_error(errno.ENOTDIR, entry.path)
        router.enter(entry.path)

    def change(_: object, /, fd: object = MISSING, *args: object, **kwargs: object) -> None:
        if fd is MISSING:
            fchdir(*args, **kwargs)
        entry = None if real.in_passthrough() or args or kwargs else fds.get(fd)
        if entry is None:
            fchdir(fd, *args, **kwargs)
            if not real.in_passthrough():
                router.enter(None)
        elif entry.is_dir:
            router.enter(entry.path)
        else:
            raise os_error(errno.ENOTDIR)

    def where(_: object, /, *args: object, **kwargs: object) -> object:
        if cwd.path is None or args or kwargs or real.in_passthrough():
            return getcwd(*args, **kwargs)
        return cwd.path

    def where_bytes(_: object, /, *args: object, **kwargs: object) -> object:
        if cwd.path is None or args or kwargs or real.in_passthrough():
            return getcwdb(*args, **kwargs)
        return real.fsencode(cwd.path)

    yield Replacement(os, "chdir", by_path(context, leave, enter, on_file=enter_file))
    yield Replacement(os, "fchdir", change)
    yield Replacement(os, "getcwd", where)
    yield Replacement(os, "getcwdb", where_bytes)


def _file_xattr(entry: Description, *_: object, **__: object) -> None:
    raise os_error(errno.ENOTSUP, entry.path, hint="a mount has no extended attributes")


def _mtime_ns(times: object, ns: object) -> int:
    """The modification time that ``os.utime`` was asked for, in nanoseconds."""
    if ns is not MISSING and isinstance(ns, Sequence):
        return int(ns[1])
    if isinstance(times, Sequence):
        return _nanoseconds(times[1])
    return time.time_ns()


def _nanoseconds(seconds: SupportsFloat) -> int:
    if isinstance(seconds, int):
        return seconds * 1_000_000_000
    value = float(seconds)
    whole = math.floor(value)
    return whole * 1_000_000_000 + int((value - whole) * 1_000_000_000)
