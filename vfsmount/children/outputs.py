"""What a program made of its stage: told apart from what it was given, and uploaded to where it belongs.

Nothing is lost unsaid: what could not be uploaded stays in the stage, and the log says where.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from vfsmount import real
from vfsmount.children.parallel import in_parallel
from vfsmount.children.prelude import Renaming
from vfsmount.errors import os_error, reason

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable
    from vfsmount.vfs.openfile import OpenFile

logger = logging.getLogger(__name__)

_CHUNK: Final = 8 << 20
_TOLD: Final = 20
"""Failures that are logged one by one."""
_CANNOT: Final = "copies serve this program, and what it made of this one cannot be uploaded"
_POINT: Final = "it is a mount point"
_UNREADABLE: Final = "its copy cannot be looked at any more, so nobody knows what the program did there"
_LINK: Final = "a bucket has no links and no special files"
_ELSEWHERE: Final = "it lies outside of the mounts"
_NAMES: Final = "it is no text, and names the local copies that the program worked on, which nobody else has"
_AFTER: Final = "something else that the program wrote could not be uploaded"
VANISHED: Final = "somebody removed the local copies while the program worked on them, so nothing that it did is known"
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
    renamed: dict[str, str] = field(default_factory=dict)
    """By their new path, the old one of files that were not changed otherwise."""
    removed: list[str] = field(default_factory=list)
    removed_directories: list[str] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    """With anything in here, nothing is uploaded."""
    unknown: list[str] = field(default_factory=list)
    """What cannot be looked at any more; all of it may be new."""
    inodes: set[int] = field(default_factory=set)
    """Of all files, to tell links between them from those to files elsewhere, which are as good as copies."""

    def made(self) -> list[str]:
        """What would be lost with the stage."""
        return [*self.directories, *self.new, *self.changed, *self.unknown]

    def lasting(self) -> list[str]:
        """What to tell of: files; directories where there are none."""
        return [*self.new, *self.changed, *self.unknown] or self.directories


@dataclass(slots=True)
class Failures:
    """What could not be done, by mounted path."""

    uploads: dict[str, OSError] = field(default_factory=dict)
    renames: dict[str, OSError] = field(default_factory=dict)
    removals: dict[str, OSError] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.uploads or self.renames or self.removals)


class Snapshot:
    """How a stage looked when the program was about to start."""

    def __init__(self, table: MountTable, root: str) -> None:
        self.root: Final = root
        self.files: Final[dict[str, bool]] = {}
        """Staged ones, and whether with their content."""
        self.names: Final[dict[str, set[str]]] = {}
        """Of each directory that is there."""
        self.replaced: Final[set[str]] = set()
        """Those without content that the program replaces as a whole, or leaves alone."""
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
            try:
                is_directory = stat.S_ISDIR(real.lstat(self.local(directory)).st_mode)
                now = set(real.listdir(self.local(directory))) if is_directory else names
            except (FileNotFoundError, NotADirectoryError):  # it is gone, and all that was in it
                is_directory, now = True, set()
                if self._table.is_point(directory) or self._table.is_ancestor(directory):
                    found.refused[directory] = Refusal(errno.EBUSY, _POINT)
            except OSError as error:  # that is no reason to take anything for removed
                self._unknown(directory, error, found)
                continue
            if not is_directory:
                found.refused[directory] = Refusal(errno.EROFS, _CANNOT)
            base = directory.rstrip("/")
            for name in names - now:
                self._gone(f"{base}/{name}", found)
            for name in now - names:
                self._look(f"{base}/{name}", found)
        for path, before in self._prints.items():
            try:
                after = self._print(path)
            except OSError as error:
                self._unknown(path, error, found)
                continue
            if after is not None and after != before:
                self._compare(path, before, after, found)
        self._pair(found)
        for each in (found.directories, found.new, found.changed, found.removed, found.removed_directories):
            each.sort()
        return found

    def carry_out(self, found: Outputs) -> Failures:
        """Directories before what is in them. What fails keeps nothing else from being tried, but nothing is removed
        then.
        """
        failures = Failures()
        for path in found.directories:
            _try(path, failures.uploads, lambda: self._make(path))  # noqa: B023 - it is called at once
        for path, old in found.renamed.items():
            _try(path, failures.renames, lambda: self._rename(old, path))  # noqa: B023
        uploads = [*found.new, *found.changed]
        failures.uploads.update(in_parallel({path: partial(self._upload, path) for path in uploads}))
        removed = [*found.removed, *reversed(found.removed_directories)]
        if failures:
            failures.removals.update({path: os_error(errno.ECANCELED, path, hint=_AFTER) for path in removed})
            return failures
        failures.removals.update(in_parallel({path: partial(self._remove, path) for path in found.removed}))
        for path in reversed(found.removed_directories):
            _try(path, failures.removals, lambda: self._remove_directory(path))  # noqa: B023
        return failures

    def keep(self, kept: set[str], unknown: Sequence[str] = ()) -> None:
        """Delete all but these mounted paths of the stage, what they lie in, and all below the ``unknown`` ones."""
        wanted = {self.local(path) for path in kept} | {self.root}
        whole = tuple(f"{self.local(path).rstrip('/')}/" for path in unknown)
        with real.passthrough():
            for at, _, names in os.walk(self.root, topdown=False):
                if f"{at}/".startswith(whole):
                    continue
                with contextlib.suppress(OSError):  # what cannot be removed stays, too
                    for name in names:
                        if f"{at}/{name}" not in wanted:
                            os.unlink(f"{at}/{name}")
                    if at not in wanted and not os.listdir(at):
                        os.rmdir(at)

    # -- how it finds out

    def _unknown(self, path: str, error: OSError, found: Outputs) -> None:
        found.refused[path] = Refusal(error.errno or errno.EIO, _UNREADABLE)
        found.unknown.append(path)

    def _print(self, path: str) -> _Print | None:
        """None where there is nothing. Raises: OSError where nobody can tell."""
        try:
            found = real.lstat(self.local(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _Print(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)

    def _gone(self, path: str, found: Outputs) -> None:
        if path in self.files:
            found.removed.append(path)
        elif path in self.names and not self._table.is_point(path):
            found.removed_directories.append(path)

    def _pair(self, found: Outputs) -> None:
        """See which of the new files are old ones under another name, which costs no upload where that is allowed.

        An inode alone does not tell: the disk gives that of a removed file to the next new one.
        """
        inodes = {before.inode: path for path, before in self._prints.items()}
        removed = set(found.removed)
        for path in (*found.new, *found.changed):
            try:
                after = self._print(path)
            except OSError:  # the upload tells why
                continue
            old = inodes.get(after.inode) if after is not None else None
            if after is not None and old in removed and self._is_renamed(old, path, after):
                found.renamed[path] = old
                removed.discard(old)
        found.new = [path for path in found.new if path not in found.renamed]
        found.changed = [path for path in found.changed if path not in found.renamed]
        found.removed = [path for path in found.removed if path in removed]

    def _is_renamed(self, old: str, path: str, after: _Print) -> bool:
        before, mount = self._prints[old], self._table.find(path)
        if (after.size, after.mtime_ns) != (before.size, before.mtime_ns):
            return False
        if not self.files[old]:
            return True
        other = self._table.find(old)
        allowed = mount is not None and other is not None and mount[0] is other[0] and mount[0].fs.options.allow_rename
        return allowed and self._digest(path) == self.digests.get(old)

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
        replaced = path in self.replaced
        if not stat.S_ISREG(after.mode) or not (self.files[path] or replaced):
            found.refused[path] = Refusal(errno.EROFS, _CANNOT)
        elif replaced or after.size != before.size or self._digest(path) != self.digests.get(path):
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

    # -- how it does the same to the mounts

    def _require_mounted(self, path: str) -> None:
        mount = self._table.find(path)
        if mount is None or self._systems.get(mount[0].point) is not mount[0].fs:
            raise os_error(errno.ENODEV, path, hint=_GONE)

    def _require_unchanged(self, path: str) -> None:
        """Raises: ESTALE; ENOENT."""
        was, now = self.attrs[path], self._table.stat(path)
        same = was.etag == now.etag if was.etag and now.etag else was.mtime_ns == now.mtime_ns
        if not same or was.size != now.size:
            raise os_error(errno.ESTALE, path, hint=_REPLACED)

    def _require_absent(self, path: str) -> None:
        """Raises: EEXIST."""
        try:
            self._table.stat(path)
        except FileNotFoundError:
            return
        raise os_error(errno.EEXIST, path, hint=_REPLACED)

    def _upload(self, path: str) -> None:
        self._require_mounted(path)
        names = self._names_copies(path)
        if names is None:
            raise os_error(errno.ENOTSUP, path, hint=_NAMES)
        how = os.O_CREAT | os.O_EXCL
        if path in self.attrs:
            how = os.O_CREAT | os.O_TRUNC
            self._require_unchanged(path)
        renaming = Renaming(os.fsencode(self.root), always=True)
        opened = self._table.open(path, os.O_WRONLY | how)
        try:
            for block in _blocks(self.local(path)):
                _write(opened, renaming.feed(block) if names else block)
            _write(opened, renaming.end())
        except BaseException:
            opened.close(abort=True)
            raise
        opened.close()

    def _names_copies(self, path: str) -> bool | None:
        """Whether the stage's own path shows in the content: the program was told it in the stead of a mounted one.

        None: it does, and in what is no text, where it cannot be replaced.
        """
        needle = os.fsencode(self.root.lstrip("/"))
        rest, shows, is_text = b"", False, True
        for block in _blocks(self.local(path)):
            shows = shows or needle in rest + block
            is_text = is_text and b"\0" not in block
            rest = block[1 - len(needle) :]
        return shows if is_text or not shows else None

    def _rename(self, old: str, path: str) -> None:
        self._require_mounted(path)
        self._require_unchanged(old)
        if path in self.attrs:
            self._require_unchanged(path)
        else:
            self._require_absent(path)
        self._table.rename(old, path)

    def _remove(self, path: str) -> None:
        self._require_mounted(path)
        with contextlib.suppress(FileNotFoundError):
            self._require_unchanged(path)
            self._table.unlink(path)

    def _remove_directory(self, path: str) -> None:
        self._require_mounted(path)
        with contextlib.suppress(FileNotFoundError):  # without keys below it there is none
            self._table.rmdir(path)

    def _make(self, path: str) -> None:
        self._require_mounted(path)
        try:
            self._table.mkdir(path)
        except FileExistsError:
            if not self._table.stat(path).is_dir:
                raise


def report(root: str, failures: Failures) -> None:
    """Log what could not be done and why, and where the content is kept."""
    told = 0
    for what, kept, each in (
        ("uploaded", f"; what the program wrote is kept in {root}", failures.uploads),
        ("renamed", "", failures.renames),
        ("removed", "", failures.removals),
    ):
        for path, error in list(each.items())[: max(0, _TOLD - told)]:
            logger.error("%s was not %s: %s%s%s", path, what, reason(error), kept, path if kept else "")
        told += len(each)
    if told > _TOLD:
        kept = f"; what the program wrote is kept in {root}" if failures.uploads else ""
        logger.error("%d more could not be uploaded, renamed or removed%s", told - _TOLD, kept)


def _try(path: str, failures: dict[str, OSError], step: Callable[[], None]) -> None:
    try:
        step()
    except OSError as error:
        failures[path] = error


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
