"""The table of mounts: which file system a path belongs to, and what exists only because something is mounted below it.

Paths are absolute, normalised ``str``: no trailing slash, no ``.``, ``..`` or ``//``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from vfsmount.errors import os_error
from vfsmount.model import Attr, Entry
from vfsmount.vfs import policy
from vfsmount.vfs.attrs import inode
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.openfile import DirectoryFile, OpenFile

SYNTHETIC_DEVICE: Final = 0xEE700
"""``st_dev`` of directories that exist only because a mount point lies below them."""

BUSY: Final = "a bucket is mounted here"


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system at one place."""

    point: str
    fs: Filesystem


class MountTable:
    """The longest mount point that covers a path wins. Every method raises OSError naming the path given.

    Methods may be called while :meth:`set_mounts` runs in another thread: each of them sees the old mounts or the new.
    """

    def __init__(self, mounts: Sequence[Mount], mounted_at_ns: int = 0) -> None:
        self._mounted_at: Final = mounted_at_ns
        self.before: Callable[[], None] | None = None
        """Called before each call on a covered path."""
        self.set_mounts(mounts)

    def set_mounts(self, mounts: Sequence[Mount]) -> None:
        """Replace all mounts at once."""
        ordered = tuple(sorted(mounts, key=lambda mount: (-len(mount.point), mount.point)))
        points = tuple(mount.point for mount in ordered)
        by_point, below = {mount.point: mount for mount in ordered}, _names_below(points)
        self.mounts, self.points, self._by_point, self._below = ordered, points, by_point, below
        self.nested: bool = any(one != other and one.startswith(f"{other}/") for one in points for other in points)
        """A mount point lies below another one."""

    # -- which paths are ours --

    def find(self, path: str) -> tuple[Mount, str] | None:
        """The mount that covers ``path``, and the path relative to it."""
        for mount in self.mounts:
            point = mount.point
            if path.startswith(point):
                if len(path) == len(point):
                    return mount, ""
                if path[len(point)] == "/":
                    return mount, path[len(point) + 1 :]
        return None

    def covers(self, path: str) -> bool:
        """True at and below a mount point; ``/mnt-beside`` is not below ``/mnt``."""
        return self.find(path) is not None

    def is_point(self, path: str) -> bool:
        return path in self._by_point

    def is_ancestor(self, path: str) -> bool:
        """True for a real or synthetic directory that some mount point lies below, and no mount covers."""
        return path in self._below and not self.covers(path)

    def names_below(self, path: str) -> tuple[str, ...]:
        """Names that mount points add to the listing of ``path``."""
        return self._below.get(path, ())

    def synthetic_attr(self, path: str) -> Attr:
        """Of a directory that exists only because a mount point lies below it."""
        return Attr(
            mode=stat.S_IFDIR | 0o755,
            ino=inode(SYNTHETIC_DEVICE, path),
            dev=SYNTHETIC_DEVICE,
            uid=os.geteuid(),
            gid=os.getegid(),
            size=0,
            mtime_ns=self._mounted_at,
        )

    # -- system calls on covered paths --

    def stat(self, path: str) -> Attr:
        mount, inner = self._target(path)
        try:
            attr = mount.fs.stat(inner, path)
        except (FileNotFoundError, NotADirectoryError):
            if path in self._below:
                return self.synthetic_attr(path)
            raise
        return attr if attr.is_dir or path not in self._below else self.synthetic_attr(path)

    def scandir(self, path: str) -> list[Entry]:
        mount, inner = self._target(path)
        added = self._below.get(path)
        if added is None:
            return mount.fs.scandir(inner, path)
        try:
            entries = {entry.name: entry for entry in mount.fs.scandir(inner, path)}
        except (FileNotFoundError, NotADirectoryError):
            entries = {}
        for name in added:
            entries[name] = Entry(name, self.stat(f"{path}/{name}"))
        return [entries[name] for name in sorted(entries)]

    def open(self, path: str, flags: int, mode: int = 0o666) -> OpenFile:
        """``mode`` is not used: modes are set for the whole mount."""
        if path in self._below:  # a directory whatever the bucket has there, or the mounts below could not be reached
            if flags & os.O_CREAT and flags & os.O_EXCL:
                raise os_error(errno.EEXIST, path)
            if flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC):
                raise os_error(errno.EISDIR, path)
            return DirectoryFile(path, flags, self.stat(path) if self.covers(path) else self.synthetic_attr(path))
        mount, inner = self._target(path)
        return mount.fs.open(inner, flags, path)

    def access(self, path: str, mode: int) -> bool:
        mount, inner = self._target(path)
        try:
            return mount.fs.access(inner, mode, path)
        except (FileNotFoundError, NotADirectoryError):
            if path in self._below:
                return not mode & os.W_OK
            raise

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """``mode`` is not used: modes are set for the whole mount."""
        if path in self._by_point or path in self._below:
            raise os_error(errno.EEXIST, path)
        mount, inner = self._target(path)
        mount.fs.mkdir(inner, path)

    def rmdir(self, path: str) -> None:
        self._refuse_busy(path)
        mount, inner = self._target(path)
        mount.fs.rmdir(inner, path)

    def unlink(self, path: str) -> None:
        if path in self._below:
            raise os_error(errno.EISDIR, path)
        mount, inner = self._target(path)
        mount.fs.unlink(inner, path)

    def rename(self, source: str, target: str) -> None:
        """EBUSY for mount points and what is above them, EXDEV between mounts and between a mount and the disk."""
        for path in (source, target):
            if path in self._by_point or path in self._below:
                raise os_error(errno.EBUSY, source, target, hint=BUSY)
        if self.before is not None:
            self.before()
        found, found2 = self.find(source), self.find(target)
        if found is None or found2 is None or found[0] is not found2[0]:
            raise os_error(errno.EXDEV, source, target, hint="source and target are on different mounts; copy instead")
        found[0].fs.rename(found[1], found2[1], source, target)

    def readlink(self, path: str) -> NoReturn:
        self.stat(path)
        raise os_error(errno.EINVAL, path)

    def symlink(self, target: str, path: str) -> None:
        """Always raises: EEXIST before EPERM."""
        self.mknod(path)

    def link(self, source: str, path: str) -> NoReturn:
        """ENOENT (``source``), EEXIST, EXDEV, EPERM, in the kernel's order."""
        found, found2 = self.find(source), self.find(path)
        if found is not None:
            self.stat(source)
        if found2 is not None:
            try:
                self.stat(path)
            except FileNotFoundError:
                pass
            else:
                raise os_error(errno.EEXIST, source, path)
        if found is None or found2 is None or found[0] is not found2[0]:
            raise os_error(errno.EXDEV, source, path)
        raise os_error(errno.EPERM, source, path, hint="a bucket has no links")

    def mknod(self, path: str) -> None:
        """Always raises."""
        mount, inner = self._target(path)
        mount.fs.refuse_node(inner, path)

    def chmod(self, path: str, mode: int) -> None:
        mount, inner = self._target(path)
        mount.fs.set_metadata(inner, path, "chmod")

    def chown(self, path: str, uid: int, gid: int) -> None:
        mount, inner = self._target(path)
        mount.fs.set_metadata(inner, path, "chown")

    def ignores_metadata(self, path: str) -> bool:
        """True where a change of mode, owner or times is accepted without effect. Raises: EROFS."""
        found = self.find(path)
        options = found[0].fs.options if found is not None else None
        if options is not None and options.read_only:
            raise os_error(policy.READ_ONLY.number, path, hint=policy.READ_ONLY.hint)
        return options is not None and options.metadata_ops == "ignore"

    def utime(self, path: str, mtime_ns: int) -> None:
        mount, inner = self._target(path)
        mount.fs.utime(inner, mtime_ns, path)

    def truncate(self, path: str, length: int) -> None:
        mount, inner = self._target(path)
        mount.fs.truncate(inner, length, path)

    def xattr(self, path: str) -> NoReturn:
        """ENOTSUP, for all four calls."""
        self.stat(path)
        raise os_error(errno.ENOTSUP, path, hint="a mount has no extended attributes")

    def statvfs(self, path: str) -> os.statvfs_result:
        mount, inner = self._target(path)
        return mount.fs.statvfs(inner, path)

    # -- all mounts --

    def flush(self) -> None:
        """Commit every file being written. Raises the first failure after trying all."""
        first: OSError | None = None
        for mount in self.mounts:
            try:
                mount.fs.flush()
            except OSError as error:
                first = first or error
        if first is not None:
            raise first

    def invalidate(self, path: str) -> None:
        """Forget what is cached at and below ``path``, which may lie above mount points. Raises nothing."""
        if self.before is not None:
            self.before()
        found = self.find(path)
        if found is not None:
            found[0].fs.invalidate(found[1])
        for mount in self.mounts:
            if mount.point.startswith(f"{path.rstrip('/')}/"):
                mount.fs.invalidate("")

    def _target(self, path: str) -> tuple[Mount, str]:
        if self.before is not None:
            self.before()
        found = self.find(path)
        if found is None:
            raise os_error(errno.ENOENT, path)
        return found

    def _refuse_busy(self, path: str) -> None:
        if path in self._by_point or path in self._below:
            raise os_error(errno.EBUSY, path, hint=BUSY)


def _names_below(points: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """For each directory above a mount point, the names that lead to one.

    >>> _names_below(("/a/b", "/a/c"))
    {'/': ('a',), '/a': ('b', 'c')}
    """
    names: dict[str, set[str]] = {}
    for point in points:
        path = point
        while path != "/":
            parent, _, name = path.rpartition("/")
            names.setdefault(parent or "/", set()).add(name)
            path = parent or "/"
    return {path: tuple(sorted(found)) for path, found in sorted(names.items())}
