"""What a program made of its stage: told apart from what it was given, and uploaded to where it belongs.

Nothing is lost unsaid: what could not be uploaded stays in the stage, and the log says where.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from vfsmount import real
from vfsmount.errors import StoreError, os_error, told

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable
    from vfsmount.vfs.openfile import OpenFile

logger = logging.getLogger(__name__)

_CHUNK: Final = 8 << 20
_TOLD: Final = 20
"""Failures that are logged one by one."""
_CANNOT: Final = "copies serve this program, and from them new and changed files alone are uploaded"
_LINK: Final = "a bucket has no links and no special files"
_ELSEWHERE: Final = "it lies outside of the mounts"
_NAMES: Final = "it names the local copies that the program worked on, which are not there for anybody else"
_GONE: Final = "the session that mounted it has ended"
_REPLACED: Final = "another client, or another program, changed it since it was copied for this one"


class Refusal(NamedTuple):
    """Why something that a program did cannot be uploaded."""

    number: int
    """errno"""
    hint: str


class _Print(NamedTuple):
    """What changes if a program touches a staged file."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int


@dataclass(slots=True)
class Outputs:
    """What a program did, by mounted path; each list is sorted."""

    directories: list[str] = field(default_factory=list)
    """New ones."""
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    """With anything in here, nothing is uploaded."""
    inodes: set[int] = field(default_factory=set)
    """Of all files, to tell links between them from those to files elsewhere, which are as good as copies."""

    def made(self) -> list[str]:
        """What would be lost with the stage."""
        return [*self.directories, *self.new, *self.changed]

    def lasting(self) -> list[str]:
        """What to tell of: files; directories where there are none."""
        return [*self.new, *self.changed] or self.directories


class Snapshot:
    """How a stage looked when the program was about to start."""

    def __init__(self, table: MountTable, root: str) -> None:
        self.root: Final = root
        self.files: Final[dict[str, bool]] = {}
        """Staged ones, and whether with their content."""
        self.names: Final[dict[str, set[str]]] = {}
        """Of each directory that is there."""
        self.digests: Final[dict[str, bytes]] = {}
        self.attrs: Final[dict[str, Attr]] = {}
        self._table = table
        self._systems: Final = {mount.point: mount.fs for mount in table.mounts}
        self._prints: dict[str, _Print] = {}

    def local(self, path: str) -> str:
        """Where ``path`` stands, or would."""
        return self.root + path

    def take(self) -> None:
        """Everything is staged: remember how it looks."""
        for directory in list(self.names):
            self.names[directory] = set(real.listdir(self.local(directory)))
        for path in self.files:
            found = self._print(path)
            if found is not None:
                self._prints[path] = found

    def outputs(self) -> Outputs:
        """What has been done since :meth:`take`. No request."""
        found = Outputs(inodes={before.inode for before in self._prints.values()})
        for directory, names in self.names.items():
            now: set[str] = set()
            try:
                if stat.S_ISDIR(real.lstat(self.local(directory)).st_mode):
                    now = set(real.listdir(self.local(directory)))
            except OSError:
                pass
            base = directory.rstrip("/")
            for name in names - now:
                found.refused[f"{base}/{name}"] = Refusal(errno.EROFS, _CANNOT)
            for name in now - names:
                self._look(f"{base}/{name}", found)
        for path, before in self._prints.items():
            after = self._print(path)
            if after is not None and after != before:
                self._compare(path, before, after, found)
        for each in (found.directories, found.new, found.changed):
            each.sort()
        return found

    def upload(self, found: Outputs) -> dict[str, OSError]:
        """Directories before what is in them; what fails keeps nothing else from being tried. Returns the failures."""
        failures: dict[str, OSError] = {}
        for path in found.made():
            try:
                self._upload(path, found)
            except OSError as error:
                failures[path] = error
        return failures

    def keep(self, kept: set[str]) -> None:
        """Delete all but these mounted paths of the stage, and what they lie in."""
        wanted = {self.local(path) for path in kept}
        with real.passthrough():
            for at, _, names in os.walk(self.root, topdown=False):
                with contextlib.suppress(OSError):  # what cannot be removed stays, too
                    for name in names:
                        if f"{at}/{name}" not in wanted:
                            os.unlink(f"{at}/{name}")
                    if at not in wanted and not os.listdir(at):
                        os.rmdir(at)

    # -- how

    def _print(self, path: str) -> _Print | None:
        try:
            found = real.lstat(self.local(path))
        except OSError:
            return None
        return _Print(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)

    def _look(self, path: str, found: Outputs) -> None:
        """At something new, and all below it."""
        pending = [path]
        while pending:
            at = pending.pop()
            local = self.local(at)
            try:
                told = real.lstat(local)
                names = real.listdir(local) if stat.S_ISDIR(told.st_mode) else []
            except FileNotFoundError:
                continue  # something that the program left behind is still at work
            except OSError as error:
                found.refused[at] = Refusal(error.errno or errno.EIO, "the directory cannot be read")
                found.directories.append(at)
                continue
            refusal = self._refusal(at, replacing=False)
            if refusal is not None:
                found.refused[at] = refusal
            if stat.S_ISDIR(told.st_mode):
                found.directories.append(at)
                pending.extend(f"{at}/{name}" for name in names)
            elif stat.S_ISREG(told.st_mode) and (told.st_nlink == 1 or told.st_ino not in found.inodes):
                found.new.append(at)
                found.inodes.add(told.st_ino)
            else:
                found.refused[at] = Refusal(errno.EPERM, _LINK)

    def _compare(self, path: str, before: _Print, after: _Print, found: Outputs) -> None:
        if not stat.S_ISREG(after.mode) or not self.files[path]:
            found.refused[path] = Refusal(errno.EROFS, _CANNOT)
        elif after.size != before.size or self._digest(path) != self.digests.get(path):
            refusal = self._refusal(path, replacing=True)
            found.changed.append(path)
            if refusal is not None:
                found.refused[path] = refusal
        elif after.mode != before.mode and after.inode == before.inode and not self._ignores_metadata(path):
            found.refused[path] = Refusal(errno.EPERM, "modes are set for the whole mount")

    def _digest(self, path: str) -> bytes:
        from hashlib import blake2b  # loads OpenSSL, which most processes never need

        digest = blake2b()
        try:
            for block in _blocks(self.local(path)):
                digest.update(block)
        except OSError:
            return b""  # it can be read no more: as good as changed, and the upload tells why
        return digest.digest()

    def _ignores_metadata(self, path: str) -> bool:
        try:
            return self._table.ignores_metadata(path)
        except OSError:
            return False

    def _refusal(self, path: str, *, replacing: bool) -> Refusal | None:
        if not any(path == point or path.startswith(f"{point}/") for point in self._systems):
            return Refusal(errno.EROFS, _ELSEWHERE)
        mount = self._table.find(path)
        if mount is not None and mount[0].fs.options.read_only:
            return Refusal(errno.EROFS, "mounted with read_only")
        if mount is not None and replacing and not mount[0].fs.options.allow_overwrite:
            return Refusal(errno.EPERM, "mounted with allow_overwrite=False")
        return None

    def _upload(self, path: str, found: Outputs) -> None:
        mount = self._table.find(path)
        if mount is None or self._systems.get(mount[0].point) is not mount[0].fs:
            raise os_error(errno.ENODEV, path, hint=_GONE)
        local = real.lstat(self.local(path))
        if stat.S_ISDIR(local.st_mode):
            self._make(path)
            return
        if self._names_copies(path):
            raise os_error(errno.ENOTSUP, path, hint=_NAMES)
        how = os.O_CREAT | os.O_EXCL
        if path in self.attrs:
            how = os.O_CREAT | os.O_TRUNC
            was, now = self.attrs[path], self._table.stat(path)
            same = was.etag == now.etag if was.etag and now.etag else was.mtime_ns == now.mtime_ns
            if not same or was.size != now.size:
                raise os_error(errno.ESTALE, path, hint=_REPLACED)
        opened = self._table.open(path, os.O_WRONLY | how)
        try:
            for block in _blocks(self.local(path)):
                _write(opened, block)
        except BaseException:
            opened.close(abort=True)
            raise
        opened.close()

    def _names_copies(self, path: str) -> bool:
        """Whether the stage's own path shows in the content: the program was told it in the stead of a mounted one."""
        needle = os.fsencode(self.root.lstrip("/"))
        rest = b""
        for block in _blocks(self.local(path)):
            if needle in rest + block:
                return True
            rest = block[1 - len(needle) :]
        return False

    def _make(self, path: str) -> None:
        try:
            self._table.mkdir(path)
        except FileExistsError:
            if not self._table.stat(path).is_dir:
                raise


def report(root: str, failures: dict[str, OSError]) -> None:
    """Log what was not uploaded, why, and where it is kept."""
    told = list(failures.items())[:_TOLD]
    for path, error in told:
        logger.error("%s was not uploaded: %s; what the program wrote is kept in %s%s", path, _why(error), root, path)
    if len(failures) > len(told):
        logger.error("%d more were not uploaded, and are kept in %s", len(failures) - len(told), root)


def _why(error: OSError) -> str:
    notes = [note.removeprefix("vfsmount: ") for note in getattr(error, "__notes__", ())]
    if not notes and isinstance(error.__cause__, StoreError):  # Python 3.10 has no notes
        notes = [told(error.__cause__)]
    return ": ".join([error.strerror or str(error), *notes])


def _write(opened: OpenFile, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[opened.write(view) :]


def _blocks(local: str) -> Iterator[bytes]:
    number = real.fd_open(local, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while block := real.fd_read(number, _CHUNK):
            yield block
    finally:
        real.fd_close(number)
