"""A private local tree of real directories and files that stand for what is on the mounts, made as it is asked for.

``/my-mount/dir/a`` stands at ``ROOT/my-mount/dir/a``. What a child has open, stands in or lists is one of these, so
the kernel itself keeps account of descriptors, directories and positions. A file has the right name, size, time and
mode from the start, and its content when it is opened; one file stands for one version of an object.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import string
import tempfile
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor.sharing import Readers
from vfsmount.transfer.ownership import ALIASES, own
from vfsmount.transfer.spool import scratch_directory

if TYPE_CHECKING:
    from vfsmount.children.supervisor.view import View
    from vfsmount.model import Attr
    from vfsmount.vfs.openfile import OpenFile

CHUNK: Final = 1 << 20
"""Bytes fetched at a time for a file that is read while it is fetched."""
_LETTERS: Final = string.ascii_letters + string.digits
_WHOLE: Final = 8 << 20
"""Bytes fetched at a time for one that is wanted whole."""


class Node:
    """One file of the skeleton."""

    def __init__(self, path: str, local: str, attr: Attr, identity: tuple[int, int]) -> None:
        self.path = path
        self.local = local
        self.attr = attr
        self.identity: Final = identity
        """Device and inode."""
        self.lock = threading.RLock()
        self.writing = False
        """A child writes it; what it holds is the truth."""
        self.is_gone = False
        """About to be unlinked, if it is not yet."""
        self.readers: Final = Readers()
        """Under :attr:`lock`."""
        self._source: OpenFile | None = None
        self._number = -1
        self._missing: set[int] | None = None
        """Chunks that are not here; None where nothing is known, that is, none is."""

    @property
    def version(self) -> tuple[object, int, int]:
        return (self.attr.etag, self.attr.size, self.attr.mtime_ns)

    @property
    def is_whole(self) -> bool:
        return self._missing is not None and not self._missing

    @property
    def is_open(self) -> bool:
        """Whether it holds the object open, for what is still to be fetched."""
        return self._source is not None

    @property
    def is_lost(self) -> bool:
        """Some of its content is not here, and there is nowhere to fetch it from any more."""
        return self._source is None and bool(self._missing)

    def has(self, start: int, stop: int) -> bool:
        """Whether ``[start, stop)`` of the content is here."""
        missing = self._missing
        if missing is None:
            return False
        chunks = range(start // CHUNK, -(-min(stop, self.attr.size) // CHUNK))
        return missing.isdisjoint(chunks)

    def lend(self, source: OpenFile) -> None:
        """``source`` is an open reader of this very version; it is closed as soon as it is of no more use.

        Raises: Replaced.
        """
        with self.lock:
            if self._source is not None or self.is_whole:
                source.close()
                return
            try:
                self._number = self.reopen(os.O_RDWR)
            except BaseException:
                source.close()
                raise
            self._source = source
            if self._missing is None:
                self._missing = set(range(-(-self.attr.size // CHUNK)))
            self._settle()

    def reopen(self, flags: int) -> int:
        """A descriptor for it. Raises: Replaced."""
        with self.lock:
            held = self._number >= 0
            try:
                number = real.fd_open(f"/proc/self/fd/{self._number}" if held else self.local, flags | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise Replaced(self.path) from None
            if self.is_gone and not held:  # the number of its inode may be that of what is there now
                real.fd_close(number)
                raise Replaced(self.path)
            return number

    def ensure(self, start: int, stop: int) -> None:
        """Have ``[start, stop)`` of the content here. Costs what reading it costs. Raises: OSError."""
        with self.lock:
            if self._missing is None or self._source is None:
                return
            for index in range(start // CHUNK, -(-min(stop, self.attr.size) // CHUNK)):
                if index in self._missing:
                    self._fetch(index * CHUNK, min((index + 1) * CHUNK, self.attr.size))
                    self._missing.discard(index)
            self._settle()

    def fill(self) -> None:
        """Have all of it here. Raises: OSError."""
        with self.lock:
            if self._source is None or not self._missing:
                return
            at = 0
            while at < self.attr.size:
                stop = min(at + _WHOLE, self.attr.size)
                chunks = range(at // CHUNK, -(-stop // CHUNK))
                if all(index in self._missing for index in chunks):
                    self._fetch(at, stop)
                    self._missing.difference_update(chunks)
                else:
                    self.ensure(at, stop)
                at = stop
            self._settle()

    def release_unused(self) -> None:
        """Close the object where no child has the file open; not where it is just being opened or fetched."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self._source is not None and is_unused(self._number):
                self.release()
        finally:
            self.lock.release()

    def release(self) -> None:
        with self.lock:
            source, self._source = self._source, None
            number, self._number = self._number, -1
            if number >= 0:
                real.fd_close(number)
            if source is not None:
                source.close()

    def _fetch(self, start: int, stop: int) -> None:
        assert self._source is not None
        while start < stop:
            data = self._source.pread(stop - start, start)
            if not data:
                raise self._source.error(5, "the object ended early")
            write_all(self._number, data, start)
            start += len(data)

    def _settle(self) -> None:
        real.utime(self._number, ns=(self.attr.mtime_ns, self.attr.mtime_ns))
        if not self._missing:
            self.release()


class Replaced(OSError):
    """What stands at a file's path is another version by now."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE), path)


class Skeleton:
    """All of it; gone with :meth:`remove`. Thread-safe; its lock is held across no request."""

    def __init__(self, view: View) -> None:
        self._view = view
        with real.passthrough():
            scratch = os.path.realpath(scratch_directory())
            self.base: Final = tempfile.mkdtemp(prefix="vfsmount-", dir=scratch)
            """Goes with everything in it; ``root`` is one of the things."""
        own(self.base)
        self.root: Final = f"{self.base}/fs"
        real.mkdir(self.root, 0o755)
        self._lock = threading.RLock()
        self._nodes: dict[str, Node] = {}
        self._by_inode: dict[int, Node] = {}
        self._aliases: dict[str, str] = {}
        self.by_alias: Final[dict[str, str]] = {}
        """Short names, and where they lead."""
        self._remove = weakref.finalize(self, _remove, self.base, self.by_alias, real.getpid())

    def local(self, path: str) -> str:
        """Where ``path`` stands, or would."""
        return self.root + path

    def node(self, path: str) -> Node | None:
        return self._nodes.get(path)

    def behind(self, link: str, found: os.stat_result) -> Node | None:
        """The file that a child's descriptor leads to: ``link`` as /proc spells it, ``found`` what it looks like.

        The number of an inode alone does not tell: that of a file that is gone is given to the next one.
        """
        if not link.startswith(f"{self.root}/") or not stat.S_ISREG(found.st_mode):
            return None
        path = link[len(self.root) :]
        identity = (found.st_dev, found.st_ino)
        node = self._nodes.get(path)
        if node is not None and node.identity == identity:
            return node
        node = self._by_inode.get(found.st_ino)
        if node is not None and node.identity == identity and path == f"{node.path} (deleted)":
            return node
        return None

    def place(self, path: str, attr: Attr) -> os.stat_result:
        """Make what stands for ``path`` (and its parents) as ``attr`` says. Returns what it looks like itself."""
        with self._lock:
            self._parents(path)
            if attr.is_dir:
                self._directory(path, attr)
                return real.lstat(self.local(path))
            node = self.file(path, attr)
            return real.lstat(node.local)

    def written(self, path: str, attr: Attr) -> Node:
        """A new file, which a child is to write."""
        with self._lock:
            self.drop(path)
            node = self.file(path, attr)
            node.writing = True
            return node

    def file(self, path: str, attr: Attr) -> Node:
        """The file for this version of the object."""
        with self._lock:
            node = self._nodes.get(path)
            if node is not None:
                if node.writing or node.version == (attr.etag, attr.size, attr.mtime_ns):
                    return node
                self.drop(path)
            self._parents(path)
            local = self.local(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                number = real.fd_open(local, flags, 0o600)
            except FileExistsError:  # a directory until now
                with real.passthrough():
                    shutil.rmtree(local, ignore_errors=True)
                number = real.fd_open(local, flags, 0o600)
            try:
                if attr.size:
                    real.ftruncate(number, attr.size)
                real.chmod(number, stat.S_IMODE(attr.mode) | 0o600)
                real.utime(number, ns=(attr.mtime_ns, attr.mtime_ns))
                found = real.fstat(number)
            finally:
                real.fd_close(number)
            node = Node(path, local, attr, (found.st_dev, found.st_ino))
            if not attr.size:
                node._missing = set()
            before = self._by_inode.get(found.st_ino)
            if before is not None:  # gone, and nobody has it open any more
                before.release()
            self._nodes[path] = self._by_inode[found.st_ino] = node
            return node

    def listed(self, path: str) -> str:
        """The directory ``path`` with everything that is in it by name; costs its listing. Returns the local path.

        Raises: what listing raises.
        """
        entries = self._view.scandir(path)
        attr = self._view.stat(path)
        with self._lock:
            self._parents(path)
            self._directory(path, attr)
            local = self.local(path)
            names = set()
            for name, entry in entries:
                inner = f"{path.rstrip('/')}/{name}"
                names.add(name)
                if entry.is_dir:
                    self._directory(inner, entry)
                else:
                    self.file(inner, entry)
            for name in real.listdir(local):
                if name not in names:
                    self.drop(f"{path.rstrip('/')}/{name}")
            real.utime(local, ns=(attr.mtime_ns, attr.mtime_ns))
            return local

    def drop(self, path: str) -> None:
        """What stood for ``path`` no longer does; whoever has it open keeps it."""
        with self._lock:
            node = self._nodes.get(path)
            if node is not None and node.writing:
                return
            self._nodes.pop(path, None)
            if node is not None:
                node.is_gone = True
            try:
                real.unlink(self.local(path))
            except IsADirectoryError:
                for below in [each for each in self._nodes if each.startswith(f"{path}/")]:
                    self._nodes.pop(below).is_gone = True
                with real.passthrough():
                    shutil.rmtree(self.local(path), ignore_errors=True)
            except OSError:
                return

    def move(self, moves: Sequence[tuple[Node, str | None]]) -> None:
        """Files that are being written stand at these paths now, or at none; in any order, also in exchange."""
        with self._lock:
            for node, path in moves:
                if self._nodes.get(node.path) is node:
                    del self._nodes[node.path]
                if path is None:
                    node.is_gone = True
                    real.unlink(node.local)
                else:
                    real.rename(node.local, f"{self.base}/moving-{node.identity[1]}")
            for node, path in moves:
                if path is not None:
                    self.drop(path)
                    self._parents(path)
                    node.path, node.local = path, self.local(path)
                    real.rename(f"{self.base}/moving-{node.identity[1]}", node.local)
                    self._nodes[path] = node

    def alias(self, local: str) -> str:
        """A short name on the local disk that leads to ``local``; gone with the rest."""
        with self._lock:
            found = self._aliases.get(local)
            where = "/tmp" if real.access("/tmp", os.W_OK | os.X_OK) else os.path.dirname(self.base)
            while found is None:
                name = f"{where}/{''.join(secrets.choice(_LETTERS) for _ in range(3))}"
                try:
                    real.symlink(local, name)
                except FileExistsError:
                    continue
                self._remember_alias(name)
                found = self._aliases[local] = name
                self.by_alias[name] = local
            return found

    def _remember_alias(self, name: str) -> None:
        """For who removes what this process leaves, if it is killed."""
        with contextlib.suppress(FileExistsError):
            real.mkdir(f"{self.base}/{ALIASES}", 0o700)
        real.symlink(name, f"{self.base}/{ALIASES}/{len(self._aliases)}")

    def release_unused(self) -> None:
        """Close the objects of files that no child has open any more."""
        for node in self.open_nodes():
            node.release_unused()

    def open_nodes(self) -> list[Node]:
        """Files that are not whole and still wanted."""
        return [node for node in list(self._by_inode.values()) if node.is_open]

    def remove(self) -> None:
        """Delete all of it. Twice is once."""
        for node in list(self._by_inode.values()):
            node.release()
        self._remove()

    def _parents(self, path: str) -> None:
        at = ""
        for part in path.split("/")[1:-1]:
            at = f"{at}/{part}"
            _make_directory(self.root + at, 0o755)

    def _directory(self, path: str, attr: Attr) -> None:
        if path in self._nodes:
            self.drop(path)
        _make_directory(self.local(path), stat.S_IMODE(attr.mode) | 0o700)


def _make_directory(local: str, mode: int) -> None:
    try:
        real.mkdir(local, mode)
    except FileExistsError:
        return
    real.chmod(local, mode)


def is_unused(number: int) -> bool:
    """True where nobody but us has the file open, and we by ``number`` alone: the kernel gives a lease only then.

    Source: fcntl(2), F_SETLEASE.
    """
    return _lease(number, _F_WRLCK)


def is_unwritten(number: int) -> bool:
    """True where nobody has the file open for writing; ``number`` is for reading."""
    return _lease(number, _F_RDLCK)


def _lease(number: int, kind: int) -> bool:
    try:
        real.fcntl(number, _F_SETSIG, _SIGURG)  # should somebody open it just now: a signal that nobody minds
        real.fcntl(number, _F_SETLEASE, kind)
    except OSError:
        return False
    real.fcntl(number, _F_SETLEASE, _F_UNLCK)
    return True


_F_SETSIG: Final = 10
_F_SETLEASE: Final = 1024
_F_RDLCK, _F_WRLCK, _F_UNLCK = 0, 1, 2
_SIGURG: Final = 23


def write_all(number: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises: ENOSPC and the like."""
    view = memoryview(data)
    while view:
        done = real.pwrite(number, view, offset)
        offset += done
        view = view[done:]


def _remove(root: str, aliases: dict[str, str], owner: int) -> None:
    if real.getpid() != owner:
        return  # a forked child ends
    for name in list(aliases):
        with contextlib.suppress(OSError):
            real.unlink(name)
    with real.passthrough():
        shutil.rmtree(root, ignore_errors=True)
