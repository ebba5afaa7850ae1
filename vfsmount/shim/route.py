"""Which paths belong to a mount: from whatever a caller passed to an absolute, normalised path below a mount point.

Three tests, from cheap to dear. ``Router.needle`` is a string that every spelling of a mounted path contains, so
``needle not in path`` settles nearly every local call in thirty nanoseconds. :meth:`Router.route` resolves what is
left by its text. :meth:`Router.retry` follows symbolic links on the local disk, and runs only after the real call has
failed: a link that leads into a mount dangles, as far as the kernel knows.
"""

from __future__ import annotations

import errno
import posixpath
import stat
import sys
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.vfs.ending import Purpose, check_ending

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.vfs.mounts import MountTable

MAX_LINKS: Final = 40
"""Symbolic links followed for one path before ELOOP. Source: Linux, path_resolution(7)."""

_RETRIED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES})
"""EACCES: the kernel does not follow another user's guard in a sticky directory, nor one into a private TMPDIR.
Source: proc_sys_fs(5), protected_symlinks.
"""
_AT_FDCWD: Final = -100 if sys.platform.startswith("linux") else -2


class Router:
    """Decides, for one mount table, which paths are ours. Holds no lock; :meth:`refresh` replaces all it knows."""

    __slots__ = (
        "_above",
        "_aliases",
        "_ancestors",
        "_careful",
        "_cwd",
        "_fds",
        "_names",
        "_needle",
        "_pieces",
        "_starts",
        "_table",
        "needle",
        "pieces",
    )

    def __init__(self, table: MountTable, cwd: VirtualCwd, fds: FdTable) -> None:
        self._table = table
        self._cwd = cwd
        self._fds = fds
        self.refresh()

    def refresh(self) -> None:
        """Take over what the mount table holds now."""
        table, points = self._table, self._table.points
        self._aliases = _aliases(points)
        self._starts = (*points, *self._aliases)
        self._names = tuple({posixpath.basename(point) for point in points})
        # A mount point that hides a real directory: a link to it does not dangle, so links must be followed beforehand.
        self._careful = any(_is_real_directory(point) for point in points)
        self._above = frozenset(parent for point in points for parent in _parents(point) if table.is_ancestor(parent))
        self._ancestors = frozenset(key for point in points for key in _ancestor_keys(point))
        # Where nothing is mounted no path is ours, not even one that some left-over replacement is called with.
        self._needle = "" if self._careful else _shared_piece(self._names) if points else "\0"
        self._pieces = ("",) if self._careful else _pieces(self._names) if points else ("\0",)
        self._show()

    def _show(self) -> None:
        anything = self._cwd.path is not None
        self.needle: str = "" if anything else self._needle
        """A path that does not contain this string is not ours."""
        self.pieces: tuple[str, ...] = ("",) if anything else self._pieces
        """A path relative to no descriptor that contains none of these is not ours: as the needle, for many mounts."""

    # -- the virtual cwd

    def enter(self, path: str | None) -> None:
        """Make the mounted directory ``path`` the current directory, or, with None, the kernel's own again."""
        self._cwd.path = path
        self._show()

    # -- routing

    def is_foreign(self, path: str) -> bool:
        """True where ``path``, relative to no descriptor, is not ours by its text."""
        for piece in self.pieces:
            if piece in path:
                return False
        return True

    def route(
        self, path: object, *, dir_fd: object = None, follow: bool = True, purpose: Purpose = Purpose.LOOK
    ) -> str | None:
        """The absolute path below a mount, or None if the real call is to go ahead.

        ``follow=False`` leaves a symbolic link in the last place alone (lstat, unlink, rename). ``purpose`` says what a
        slash or a dot at the end means.

        Raises: ENOTDIR, ENOENT for a ``file/`` or ``file/..`` below a mount, and what
        :func:`~vfsmount.vfs.ending.check_ending` raises; the caller corrects the filename.
        """
        if real.in_passthrough():
            return None
        text = _text(path)
        if text is None:
            return None
        if text[0] == "/" and not self._careful and _is_plain(text):
            if not text.startswith(self._starts):
                return self._behind_number(text) if "/fd/" in text else None
            absolute: str | None = text
        else:
            absolute = self._join(text, dir_fd)
            if absolute is None:
                return None
        assert absolute is not None
        return self._resolve(absolute, follow=follow, purpose=purpose)

    def retry(
        self,
        error: OSError,
        path: object,
        *,
        dir_fd: object = None,
        follow: bool = True,
        purpose: Purpose = Purpose.LOOK,
    ) -> str | None:
        """After the real call failed: the path below a mount that local symbolic links lead to, or a synthetic parent.

        Costs a path that plainly does not exist two ``access`` calls, and one for each directory that is missing too.
        """
        if error.errno not in _RETRIED or real.in_passthrough():
            return None
        text = _text(path)
        if text is None:
            return None
        absolute = text if text[0] == "/" else self._join(text, dir_fd, any_name=True)
        if absolute is None:
            return None
        plain = _normal(absolute)
        if plain in self._above and ".." not in absolute:
            return plain
        if error.errno == errno.ENOENT and "/.." not in absolute and not self._may_lead_on(plain):
            return None
        resolved = self._walk(absolute, follow=follow or _names_what_is_behind(absolute, purpose))
        if self._table.covers(resolved):
            return check_ending(self._table, resolved, absolute, purpose)
        return resolved if self._table.is_ancestor(resolved) and not real.access(resolved, 0) else None

    def behind_links(self, path: object) -> str | None:
        """Where symbolic links on the disk lead ``path`` to a mount; None where they do not. Raises: OSError."""
        try:
            real.stat(self.local(path))  # type: ignore[arg-type]
        except OSError as error:
            return self.retry(error, path)
        return None

    def local(self, path: object, dir_fd: object = None) -> object:
        """What to give the real call where :meth:`route` answered None: ``path`` itself, unless it starts from what
        only we know (the virtual cwd, one of our descriptors, a mount that it leaves by ``..``); then the absolute
        path on the local disk, to be used without dir_fd.
        """
        text = _text(path)
        if text is None or real.in_passthrough():
            return path
        base = self._start(dir_fd) if text[0] != "/" else None
        if base is not None:
            absolute = self._walk(f"{base}/{text}", follow=False)
        elif "/.." in text and (through := self._join(text, dir_fd)) is not None and self._leaves_a_mount(through):
            absolute = self._walk(through, follow=False)
        else:
            return path
        return real.fsencode(absolute) if isinstance(path, bytes) else absolute

    def absolute(self, path: object, dir_fd: object = None) -> str | None:
        """The absolute normalised form of a path on either side, by its text alone; None where ``path`` is none."""
        text = _text(path)
        if text is None:
            return None
        joined = self._join(text, dir_fd, any_name=True)
        return None if joined is None else _normal(joined)

    def is_ancestor(self, path: object) -> str | None:
        """The ancestor of a mount point that the real directory ``path`` (a path or a descriptor) is, by any spelling
        or link.
        """
        if isinstance(path, str) and self._table.is_ancestor(path):
            return path
        try:
            found = real.stat(path)  # type: ignore[arg-type]
        except (OSError, TypeError, ValueError):
            return None
        for device, inode, name in self._ancestors:
            if inode == found.st_ino and device == found.st_dev:
                return name
        absolute = self.absolute(path)
        return absolute if absolute is not None and self._table.is_ancestor(absolute) else None

    def is_synthetic(self, path: object, dir_fd: object = None) -> bool:
        """True for a directory above a mount point that is not on the disk."""
        if real.in_passthrough():
            return False
        absolute = self.absolute(path, dir_fd)
        return absolute is not None and absolute in self._above and not real.access(absolute, 0)

    # -- how

    def _start(self, dir_fd: object) -> str | None:
        """The directory of ours that a relative path starts from, if it is ours. Raises: ENOTDIR for a file of ours."""
        if dir_fd is None or dir_fd == _AT_FDCWD:
            return self._cwd.path
        return self._fds.directory(dir_fd) if isinstance(dir_fd, int) else None

    def _behind_number(self, text: str) -> str | None:
        """What ``/dev/fd/N`` and ``/proc/self/fd/N`` lead to, if the number is ours."""
        where, _, rest = text.partition("/fd/")
        digits, _, below = rest.partition("/")
        if where not in ("/dev", "/proc/self", "/proc/thread-self", f"/proc/{real.getpid()}") or not digits.isdecimal():
            return None
        entry = self._fds.get(int(digits))
        if entry is None:
            return None
        return self._resolve(f"{entry.path}/{below}" if below else entry.path, follow=True, purpose=Purpose.LOOK)

    def _join(self, text: str, dir_fd: object, *, any_name: bool = False) -> str | None:
        """``text`` made absolute, not normalised; None if it cannot be ours (or cannot be resolved)."""
        if text[0] == "/":
            return text if any_name or self._careful or self._named(text) else None
        base = self._start(dir_fd)
        if base is not None:
            return f"{base}/{text}"
        if not (any_name or self._careful or self._named(text)):
            return None
        try:
            if dir_fd is None or dir_fd == _AT_FDCWD:
                return f"{real.getcwd()}/{text}"
            return f"{_descriptor_path(dir_fd)}/{text}" if isinstance(dir_fd, int) else None
        except OSError:
            return None

    def _named(self, text: str) -> bool:
        # Whoever walks into a mount from outside steps through the mount point's own name.
        for name in self._names:
            if name in text:
                return True
        return False

    def _may_lead_on(self, plain: str) -> bool:
        """False where the kernel's ENOENT for ``plain`` is proved to be the end: its first missing component is no link
        either, and bears the name of no mount point, so that nothing leads from there into a mount.
        """
        if not self._careful and self._named(plain):
            return True
        child, above = plain, plain.rpartition("/")[0]
        while above and not real.access(above, 0):
            child, above = above, above.rpartition("/")[0]
        return real.access(child, 0, follow_symlinks=False)

    def _leaves_a_mount(self, absolute: str) -> bool:
        """True where a ``..`` in ``absolute`` stands after something below a mount."""
        at = absolute.find("/..")
        while at >= 0:
            if at and self._table.covers(self._walk(absolute[:at], follow=True)):
                return True
            at = absolute.find("/..", at + 3)
        return False

    def _resolve(self, absolute: str, *, follow: bool, purpose: Purpose) -> str | None:
        follow = follow or _names_what_is_behind(absolute, purpose)
        if "/.." in absolute:
            plain = self._walk(absolute, follow=follow)
        else:
            plain = self._canonical(_normal(absolute))
            if self._careful and not self._table.covers(plain):
                plain = self._walk(absolute, follow=follow)
        return check_ending(self._table, plain, absolute, purpose) if self._table.covers(plain) else None

    def _canonical(self, plain: str) -> str:
        for alias, point in self._aliases.items():
            if plain == alias or plain.startswith(alias + "/"):
                return point + plain[len(alias) :]
        return plain

    def _walk(self, absolute: str, *, follow: bool) -> str:
        """Resolve component by component as the kernel does, following links on the local disk; a missing name is kept.

        Raises: ENOTDIR, ENOENT where ``..`` leaves something below a mount that is not a directory; ELOOP.
        """
        todo = [part for part in reversed(absolute.split("/")) if part not in ("", ".")]
        done = ""
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if self._table.covers(done or "/") and not self._table.stat(done).is_dir:
                    raise os_error(errno.ENOTDIR, done)
                done = done.rpartition("/")[0]
                continue
            step = self._canonical(f"{done}/{part}")
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
        return done or "/"


def _names_what_is_behind(absolute: str, purpose: Purpose) -> bool:
    """True where the end of the path has a link in the last place followed, whatever the call."""
    return absolute.endswith("/.") or (purpose is Purpose.LOOK and absolute.endswith("/"))


def follow_up(error: OSError, path: object, path2: object = None) -> OSError:
    """``error`` itself, its filename (and filename2) set to what the caller gave: str, bytes, or what ``__fspath__``
    returned.
    """
    error.filename = _named_as(path)
    if path2 is not None:
        error.filename2 = _named_as(path2)
    return error


def names_directory(path: object) -> bool:
    """True where ``path`` ends in a slash, so that nothing but a directory can be meant."""
    text = _text(path)
    return text is not None and text.endswith("/")


def require_directory(attr: Attr, path: str) -> None:
    """Raises: ENOTDIR."""
    if not attr.is_dir:
        raise os_error(errno.ENOTDIR, path)


def _named_as(path: object) -> object:
    if isinstance(path, (str, bytes, int)):
        return path
    try:
        return real.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        return path


def _text(path: object) -> str | None:
    """``path`` as str, or None for whatever the real function is to judge (descriptors, wrong types, empty, NUL)."""
    if isinstance(path, str):
        text = path
    elif isinstance(path, int):
        return None
    else:
        try:
            text = real.fsdecode(path)  # type: ignore[arg-type]
        except TypeError:
            if sys.version_info >= (3, 12):
                return None
            try:  # the functions of os take any buffer, if with a warning
                text = real.fsdecode(bytes(memoryview(path)))  # type: ignore[arg-type]
            except TypeError:
                return None
    return text if text and "\0" not in text else None


def _is_plain(absolute: str) -> bool:
    """No ``.``, ``..`` or empty component but perhaps a trailing slash."""
    if "/." not in absolute:
        return "//" not in absolute
    return not ("//" in absolute or "/./" in absolute or "/../" in absolute or absolute.endswith(("/.", "/..")))


def _normal(absolute: str) -> str:
    """``absolute`` without empty and ``.`` components; ``..`` is kept for :meth:`Router._walk`, or dropped by its
    text.
    """
    if "//" in absolute or "/." in absolute or absolute[-1] == "/":
        return "/" + posixpath.normpath(absolute).lstrip("/")
    return absolute


def _shared_piece(names: tuple[str, ...]) -> str:
    """The longest string that all ``names`` contain; empty if there is none."""
    first = min(names, key=len, default="")
    for size in range(len(first), 0, -1):
        for start in range(len(first) - size + 1):
            piece = first[start : start + size]
            if all(piece in name for name in names):
                return piece
    return ""


def _pieces(names: tuple[str, ...]) -> tuple[str, ...]:
    """The fewest of ``names`` that tell: one that contains another needs no test of its own."""
    return tuple(name for name in names if not any(other in name for other in names if other != name))


def _aliases(points: tuple[str, ...]) -> dict[str, str]:
    """Where links above a mount point really lead (``/tmp`` on macOS): the kernel's spelling of the point -> the
    point.
    """
    found: dict[str, str] = {}
    with real.passthrough():
        for point in points:
            physical = posixpath.join(posixpath.realpath(posixpath.dirname(point)), posixpath.basename(point))
            if physical != point and physical not in points:
                found[physical] = point
    return found


def _is_real_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(real.lstat(path).st_mode)
    except OSError:
        return False


def _ancestor_keys(point: str) -> list[tuple[int, int, str]]:
    keys = []
    for parent in _parents(point):
        try:
            found = real.stat(parent)
        except OSError:
            continue
        keys.append((found.st_dev, found.st_ino, parent))
    return keys


def _parents(point: str) -> list[str]:
    found = []
    while point != "/":
        point = posixpath.dirname(point)
        found.append(point)
    return found


def _descriptor_path(descriptor: int) -> str:
    """Where the real directory ``descriptor`` lies. Raises: EBADF and the like."""
    if sys.platform == "darwin":
        import fcntl

        raw = real.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return real.fsdecode(raw.rstrip(b"\0"))
    return real.readlink(f"/proc/self/fd/{descriptor}")
