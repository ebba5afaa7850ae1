"""From what a child gave a system call to an absolute path on a mount, or to none."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import procfs
from vfsmount.errors import os_error
from vfsmount.vfs.ending import Purpose, check_ending

if TYPE_CHECKING:
    from vfsmount.vfs.mounts import MountTable

AT_FDCWD: Final = -100
MAX_LINKS: Final = 40
"""Source: Linux, path_resolution(7)."""


class Resolver:
    """Resolves paths for the processes of one family, whose directories on mounts are those below ``root``.

    A directory that a process stands in, or has open, is a real one of the skeleton at ``root``, so the kernel keeps
    account of it: ``/proc/PID/cwd`` and ``/proc/PID/fd/N`` say where it is.
    """

    def __init__(self, table: MountTable, root: str, aliases: Mapping[str, str]) -> None:
        """``aliases``: short names of paths in the skeleton."""
        self._table = table
        self._root = root
        self._aliases = aliases

    def mounted(self, local: str) -> str | None:
        """The mounted path that the skeleton's ``local`` stands for."""
        if local == self._root:
            return "/"
        return local[len(self._root) :] if local.startswith(f"{self._root}/") else None

    def directory(self, pid: int, dirfd: int) -> str:
        """Where a relative path starts, absolute, on either side. Raises: EBADF, ENOTDIR, ENOENT."""
        link = f"/proc/{pid}/cwd" if dirfd == AT_FDCWD else f"/proc/{pid}/fd/{dirfd}"
        try:
            found = real.readlink(link)
        except FileNotFoundError:
            raise os_error(errno.EBADF) from None
        if not found.startswith("/"):
            raise os_error(errno.ENOTDIR)
        inside = self.mounted(found)
        return found if inside is None else inside

    def is_inside(self, pid: int, dirfd: int) -> bool:
        """Whether relative paths start in the skeleton."""
        try:
            found = real.readlink(f"/proc/{pid}/cwd" if dirfd == AT_FDCWD else f"/proc/{pid}/fd/{dirfd}")
        except OSError:
            return False
        return self.mounted(found) is not None

    def resolve(self, pid: int, dirfd: int, raw: bytes, *, follow: bool, purpose: Purpose = Purpose.LOOK) -> str | None:
        """The absolute normalised path on a mount (or of a synthetic directory above one); None: not ours.

        Raises: Outside, Magic; ENOTDIR, ENOENT, ELOOP for paths that lead through a mount.
        """
        text = os.fsdecode(raw)
        if not text:
            return None
        for alias, local in list(self._aliases.items()):
            if text.startswith(alias) and text[len(alias) :][:1] in ("", "/"):
                text = local + text[len(alias) :]
        inside = False
        if text[0] != "/":
            start = self.directory(pid, dirfd)
            inside = self.is_inside(pid, dirfd)
            text = f"{start}/{text}"
        elif (inner := self.mounted(text)) is not None:
            inside, text = True, inner
        for _ in range(MAX_LINKS):
            try:
                return self._find(text, inside=inside, follow=follow, purpose=purpose)
            except Magic as magic:
                text, inside = self._through(procfs.own(pid, magic.path), follow=follow)
        raise os_error(errno.ELOOP, text)

    def _through(self, text: str, *, follow: bool) -> tuple[str, bool]:
        """The path behind a link of /proc that leads to a directory, and whether that is one of the skeleton.

        Raises: Magic where it does not.
        """
        parts = procfs.link(text)
        if parts is None or not (parts[1] or follow):
            raise Magic(text)
        try:
            leads_to = real.readlink(parts[0])
            is_directory = stat.S_ISDIR(real.stat(parts[0]).st_mode)
        except OSError:
            raise Magic(text) from None
        if not is_directory:
            raise Magic(text)
        inner = self.mounted(leads_to)
        return (f"{leads_to.rstrip('/') if inner is None else inner.rstrip('/')}{parts[1]}" or "/", inner is not None)

    def _find(self, text: str, *, inside: bool, follow: bool, purpose: Purpose) -> str | None:
        if procfs.is_through(text):
            raise Magic(text)
        plain = "/" + posixpath.normpath(text).lstrip("/")
        if "/.." not in text and self._table.covers(plain):
            return check_ending(self._table, plain, text, purpose)
        if not inside and "/.." not in text and real.access(text, 0, follow_symlinks=False):
            # Exists on the disk. A link on the way may still lead to what a mount hides, where one hides something.
            if not self._hides() and not (follow and _is_link(text)):
                return None
        found, crossed = self._walk(text, follow=follow)
        if self._table.covers(found):
            return check_ending(self._table, found, text, purpose)
        if self._table.is_ancestor(found) and not real.access(found, 0):
            return found
        if inside or crossed:
            raise Outside(found)
        return None

    def _hides(self) -> bool:
        return any(os.path.isabs(point) and _is_directory(point) for point in self._table.points)

    def _walk(self, absolute: str, *, follow: bool) -> tuple[str, bool]:
        """Component by component, following links on the local disk. Also tells whether the path leads out of a mount
        again. Raises: Magic for what leads through /proc, whose links mean something else to every process.
        """
        todo = [part for part in reversed(absolute.split("/")) if part not in ("", ".")]
        done, links, crossed = "", 0, False
        while todo:
            part = todo.pop()
            if part == "..":
                if self._table.covers(done or "/") and not self._table.stat(done).is_dir:
                    raise os_error(errno.ENOTDIR, done)
                crossed = crossed or self._table.is_point(done)
                done = done.rpartition("/")[0]
                continue
            step = f"{done}/{part}"
            if step == "/proc":
                raise Magic("/".join(["/proc", *reversed(todo)]))
            if self._table.covers(step) or not (todo or follow):
                done = step
                continue
            try:
                target = real.readlink(step)
            except OSError:
                done = step
                continue
            links += 1
            if links > MAX_LINKS:
                raise os_error(errno.ELOOP, absolute)
            if target.startswith("/"):
                done = ""
            todo.extend(piece for piece in reversed(target.split("/")) if piece not in ("", "."))
        return done or "/", crossed


class Magic(Exception):
    """A path through /proc, where a link may lead straight to an open file of some process."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path
        """Absolute."""


class Outside(Exception):
    """A path that starts in a mount, or leads through one, and ends outside, where the kernel would not find it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path
        """Absolute, on the local disk."""


def _is_link(path: str) -> bool:
    try:
        real.readlink(path)
    except OSError:
        return False
    return True


def _is_directory(path: str) -> bool:
    try:
        return bool(real.stat(path).st_mode & 0o170000 == 0o040000)
    except OSError:
        return False
