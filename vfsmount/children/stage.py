"""A directory of local stand-ins for mounted files, for one child program."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.transfer.spool import scratch_directory

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable

MAX_LISTED: Final = 50_000
"""Entries in a staged listing; each costs a file of no content."""
MAX_COPIED: Final = 10_000
"""Files in a directory that is staged with its content."""
MAX_COPIED_BYTES: Final = 64 << 20
"""Bytes in a directory that is staged with its content."""
_CHUNK: Final = 8 << 20
_TOO_BIG: Final = "the directory is too big to be copied for a child program; pass the files it needs one by one"


class _Print(NamedTuple):
    """What changes if a program touches a staged file."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Stage:
    """Stand-ins stand at ``root`` + their mounted path, so that names and relative paths between them hold.

    A sparse stand-in has the right name, size, time and mode and no content; it is for programs that open nothing.
    """

    def __init__(self, table: MountTable) -> None:
        self._table = table
        with real.passthrough():
            self.root: Final = tempfile.mkdtemp(prefix="vfsmount-", dir=scratch_directory())
        self._files: dict[str, bool] = {}
        self._prints: dict[str, _Print] = {}
        self._names: dict[str, set[str]] = {}
        self._copied = 0
        self._remove = weakref.finalize(self, _remove, self.root, real.getpid())

    def local(self, path: str) -> str:
        """Where ``path`` stands, or would."""
        return self.root + path

    def place(self, path: str, attr: Attr, *, content: bool, depth: int | None) -> str:
        """Stage the file or directory ``path``; what stands there already is completed. Returns the local path.

        Costs the listing of ``depth`` levels (None: all), and what reading it costs where ``content``.
        Raises: ENOTSUP (too big), and what listing and reading raise.
        """
        self._make_parents(path)
        if attr.is_dir:
            self._tree(path, attr, content=content, depth=depth, bounded=True)
        else:
            self._file(path, attr, content=content)
        return self.local(path)

    def place_parent(self, path: str) -> str:
        """Stage the empty directory that ``path`` would be in."""
        self._make_parents(path)
        return self.local(path)

    def changes(self) -> list[str]:
        """Mounted paths of what the program made, changed or removed, sorted."""
        changed: set[str] = set()
        for directory, names in self._names.items():
            try:
                now = set(real.listdir(self.local(directory)))
            except OSError:
                now = set()
            changed.update(f"{directory.rstrip('/')}/{name}" for name in names ^ now)
        changed.update(path for path, before in self._prints.items() if self._print(path) != before)
        return sorted(changed)

    def remove(self) -> None:
        """Delete all of it. Twice is once."""
        self._remove()

    # -- how

    def _make_parents(self, path: str) -> None:
        parts = path.split("/")[1:-1]
        at = ""
        for part in parts:
            self._note(at or "/", part)
            at = f"{at}/{part}"
            self._directory(at)
        self._note(at or "/", path.rpartition("/")[2])

    def _note(self, directory: str, name: str) -> None:
        """``name`` is expected in ``directory``; names that are only reserved are dropped by :meth:`seal`."""
        self._names.setdefault(directory, set()).add(name)

    def seal(self) -> None:
        """Everything is staged: remember how it looks, to see changes."""
        for directory in list(self._names):
            self._names[directory] = set(real.listdir(self.local(directory)))
        for path in self._files:
            found = self._print(path)
            if found is not None:
                self._prints[path] = found

    def _print(self, path: str) -> _Print | None:
        try:
            found = real.lstat(self.local(path))
        except OSError:
            return None
        return _Print(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _directory(self, path: str) -> None:
        self._names.setdefault(path, set())
        try:
            real.mkdir(self.local(path), 0o700)
        except FileExistsError:
            return

    def _tree(self, path: str, attr: Attr, *, content: bool, depth: int | None, bounded: bool) -> None:
        pending = [(path, attr, depth)]
        directories = []
        count = 0
        while pending:
            at, found, levels = pending.pop()
            self._directory(at)
            directories.append((at, found))
            if levels == 0:
                continue
            for name, entry in self._table.scandir(at):
                inner = f"{at.rstrip('/')}/{name}"
                count += 1
                if count > (MAX_COPIED if content else MAX_LISTED):
                    raise os_error(errno.ENOTSUP, path, hint=_TOO_BIG)
                if entry.is_dir:
                    pending.append((inner, entry, None if levels is None else levels - 1))
                    continue
                if content:
                    self._copied += entry.size
                    if self._copied > MAX_COPIED_BYTES:
                        raise os_error(errno.ENOTSUP, path, hint=_TOO_BIG)
                self._file(inner, entry, content=content)
        for at, found in reversed(directories):
            real.chmod(self.local(at), stat.S_IMODE(found.mode) | 0o700)
            real.utime(self.local(at), ns=(found.mtime_ns, found.mtime_ns))

    def _file(self, path: str, attr: Attr, *, content: bool) -> None:
        had = self._files.get(path)
        if had is not None and had >= content:
            return
        local = self.local(path)
        mode = stat.S_IMODE(attr.mode)
        if had is not None:
            real.unlink(local)
        number = real.fd_open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if content:
                for block in self._blocks(path):
                    _write_all(number, block)
            else:
                real.ftruncate(number, attr.size)
            real.chmod(number, mode & ~0o222 if content else mode)
            real.utime(number, ns=(attr.mtime_ns, attr.mtime_ns))
        finally:
            real.fd_close(number)
        self._files[path] = content

    def _blocks(self, path: str) -> Iterator[bytes]:
        opened = self._table.open(path, os.O_RDONLY)
        try:
            while block := opened.read(_CHUNK):
                yield block
        finally:
            opened.close()


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[real.fd_write(number, view) :]


def _remove(root: str, owner: int) -> None:
    if real.getpid() != owner:
        return  # a forked child ends, and the program may still be at work
    with real.passthrough():
        shutil.rmtree(root, ignore_errors=True)
