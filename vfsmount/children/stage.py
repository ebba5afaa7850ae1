"""A directory of local stand-ins for mounted files, for one child program."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.outputs import VANISHED, Failures, Outputs, Snapshot, report
from vfsmount.children.parallel import in_parallel
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
_NOT_HERE: Final = "a child program is served by a local copy of it, which could not be made in {}; see TMPDIR"
_TOO_BIG: Final = "the directory is too big to be copied for a child program; pass the files it needs one by one"


class Stage:
    """Stand-ins stand at ``root`` + their mounted path, so that names and relative paths between them hold.

    A sparse stand-in has the right name, size, time and mode and no content; it is for programs that open nothing.
    Beside the root stands a witness: where somebody clears the temporary directory while a program runs, what is
    missing then is not taken for removed by the program.
    """

    def __init__(self, table: MountTable) -> None:
        self._table = table
        with real.passthrough():
            base = os.path.realpath(tempfile.mkdtemp(prefix="vfsmount-", dir=scratch_directory()))
        self.root: Final = f"{base}/t"
        self._witness = f"{base}/witness"
        real.mkdir(self.root, 0o700)
        real.fd_close(real.fd_open(self._witness, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._snapshot = Snapshot(table, self.root)
        self._files = self._snapshot.files
        self._names = self._snapshot.names
        self._copied = 0
        self._owner = real.getpid()
        self._abandon = weakref.finalize(self, _abandon, self._snapshot, self._owner)

    def local(self, path: str) -> str:
        """Where ``path`` stands, or would."""
        return self.root + path

    def place(self, path: str, attr: Attr, *, content: bool, depth: int | None, replaced: bool = False) -> str:
        """Stage the file or directory ``path``; what stands there already is completed. Returns the local path.

        ``replaced``: no file there is read by the program, but it may replace them as a whole.

        Costs the listing of ``depth`` levels (None: all), and what reading it costs where ``content``.
        Raises: ENOTSUP (too big), and what listing and reading raise.
        """
        self._make_parents(path)
        if attr.is_dir:
            self._tree(path, attr, content=content, depth=depth, replaced=replaced)
        else:
            self._file(path, attr, content=content, replaced=replaced)
        return self.local(path)

    def place_parent(self, path: str) -> str:
        """Stage the empty directory that ``path`` would be in, if it is one; else the program is to find that out.

        Costs a look at each directory that is missing. Raises: what looking raises.
        """
        parent = path.rpartition("/")[0]
        while parent and self._table.covers(parent):
            try:
                found = self._table.stat(parent)
            except (FileNotFoundError, NotADirectoryError):
                parent = parent.rpartition("/")[0]
                continue
            if found.is_dir:
                self._make_parents(f"{parent}/-")
            else:
                self.place(parent, found, content=False, depth=0)
            break
        return self.local(path)

    def outputs(self) -> Outputs:
        """What the program made, changed or removed. Raises: ESTALE where nobody can tell any more."""
        found = self._snapshot.outputs()
        try:
            real.lstat(self._witness)
        except OSError as error:
            self.keep(found, VANISHED)
            raise os_error(errno.ESTALE, self.root, hint=VANISHED) from error
        return found

    def carry_out(self, found: Outputs) -> bool:
        """Do the same to the mounts. False where something could not be done: that is logged, and what could not be
        uploaded kept.
        """
        try:
            failures = self._snapshot.carry_out(found)
        except BaseException:
            self.keep(found, "the upload was interrupted")
            raise
        if not failures:
            self.remove()
            return True
        report(self.root, failures)
        if failures.uploads:
            self._keep(set(failures.uploads))
        else:
            self.remove()
        return False

    def keep(self, found: Outputs, why: str) -> None:
        """Leave what the program wrote on the disk, and log that; there is nothing to leave where it wrote nothing."""
        if not found.made():
            self.remove()
            return
        report(self.root, Failures({path: os_error(errno.ECANCELED, path, hint=why) for path in found.lasting()}))
        self._keep({*found.made(), *found.refused}, found.unknown)

    def remove(self) -> None:
        """Delete all of it. Twice is once."""
        self._abandon.detach()
        _remove(self.root, self._owner)

    def _keep(self, paths: set[str], unknown: Sequence[str] = ()) -> None:
        self._abandon.detach()
        self._snapshot.keep(paths, unknown)

    # -- how

    def _make_parents(self, path: str) -> None:
        parts = path.split("/")[1:-1]
        at = ""
        for part in parts:
            self._note(at or "/", part)
            at = f"{at}/{part}"
            self._directory(at)

    def _note(self, directory: str, name: str) -> None:
        """``name`` is expected in ``directory``; names that are only reserved are dropped by :meth:`seal`."""
        self._names.setdefault(directory, set()).add(name)

    def seal(self) -> None:
        """Everything is staged: remember how it looks, to see changes."""
        self._snapshot.take()

    def _directory(self, path: str) -> None:
        self._names.setdefault(path, set())
        try:
            real.mkdir(self.local(path), 0o700)
        except FileExistsError:
            return

    def _tree(self, path: str, attr: Attr, *, content: bool, depth: int | None, replaced: bool) -> None:
        pending = [(path, attr, depth)]
        directories = []
        files: dict[str, Callable[[], None]] = {}
        while pending:
            at, found, levels = pending.pop()
            self._directory(at)
            directories.append((at, found))
            if levels == 0:
                continue
            for name, entry in self._table.scandir(at):
                inner = f"{at.rstrip('/')}/{name}"
                if len(files) + len(directories) > (MAX_COPIED if content else MAX_LISTED):
                    raise os_error(errno.ENOTSUP, path, hint=_TOO_BIG)
                if entry.is_dir:
                    pending.append((inner, entry, None if levels is None else levels - 1))
                    continue
                if content:
                    self._copied += entry.size
                    if self._copied > MAX_COPIED_BYTES:
                        raise os_error(errno.ENOTSUP, path, hint=_TOO_BIG)
                files[inner] = partial(self._file, inner, entry, content=content, replaced=replaced)
        failures = in_parallel(files, stop=True) if content else {}
        if failures:
            raise next(iter(failures.values()))
        if not content:
            for make in files.values():
                make()
        for at, found in reversed(directories):
            real.chmod(self.local(at), stat.S_IMODE(found.mode) | 0o700)
            real.utime(self.local(at), ns=(found.mtime_ns, found.mtime_ns))

    def _file(self, path: str, attr: Attr, *, content: bool, replaced: bool = False) -> None:
        had = self._files.get(path)
        if had is not None and had >= content:
            return
        try:
            self._copy(path, attr, content=content, replaced=replaced)
        except OSError as error:
            if error.filename is None or os.fsdecode(error.filename).startswith(self.root):
                raise os_error(error.errno or errno.EIO, path, hint=_NOT_HERE.format(self.root)) from error
            raise
        self._files[path] = content
        self._snapshot.replaced.discard(path)
        if replaced and not content:
            self._snapshot.replaced.add(path)
        self._snapshot.attrs[path] = attr

    def _copy(self, path: str, attr: Attr, *, content: bool, replaced: bool) -> None:
        local = self.local(path)
        mode = stat.S_IMODE(attr.mode)
        if path in self._files:
            real.unlink(local)
        from hashlib import blake2b  # loads OpenSSL, which most processes never need

        digest = blake2b()
        number = real.fd_open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if content:
                for block in self._blocks(path):
                    _write_all(number, block)
                    digest.update(block)
            else:
                real.ftruncate(number, attr.size)
            kept = (content or replaced) and not self._is_replaceable(path)
            real.chmod(number, mode & ~0o222 if kept else mode)
            real.utime(number, ns=(attr.mtime_ns, attr.mtime_ns))
        finally:
            real.fd_close(number)
        self._snapshot.digests[path] = digest.digest()

    def _is_replaceable(self, path: str) -> bool:
        found = self._table.find(path)
        return found is not None and not found[0].fs.options.read_only and found[0].fs.options.allow_overwrite

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


def _abandon(snapshot: Snapshot, owner: int) -> None:
    """Nobody has asked for what the program did, and nobody will."""
    if real.getpid() != owner:
        return
    found = snapshot.outputs()
    if not found.made():
        _remove(snapshot.root, owner)
        return
    hint = "nobody waited for the program before its session, or this process, ended"
    report(snapshot.root, Failures({path: os_error(errno.ECANCELED, path, hint=hint) for path in found.lasting()}))
    snapshot.keep({*found.made(), *found.refused}, found.unknown)


def _remove(root: str, owner: int) -> None:
    if real.getpid() != owner:
        return  # a forked child ends, and the program may still be at work
    with real.passthrough():
        shutil.rmtree(os.path.dirname(root), ignore_errors=True)
