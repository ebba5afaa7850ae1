"""One mounted bucket, shaped like system calls; paths are mount-relative, ``display`` is what errors name."""

from __future__ import annotations

import errno
import logging
import os
from typing import Final, NoReturn

from vfsmount.clock import Clock
from vfsmount.errors import StoreError, from_store, os_error
from vfsmount.model import Attr, Entry
from vfsmount.store.protocol import PutAttributes, Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.listing import Listing
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of, parent_of, prefix_of
from vfsmount.vfs.openfile import OpenFile
from vfsmount.vfs.opening import Opener
from vfsmount.vfs.options import FsOptions

log = logging.getLogger(__name__)

BLOCK_SIZE: Final = 4096
"""``f_bsize``, bytes."""

BLOCKS: Final = (1 << 50) // BLOCK_SIZE
"""A bucket has no size; statvfs shows 1 PiB, all of it free, so that "is there room?" checks pass."""


class Filesystem:
    """Look-ups, listings, handles and changes of one mount, under its restrictions.

    All methods raise OSError naming ``display``; what each costs in requests stands with it.
    """

    def __init__(self, store: Store, options: FsOptions, *, submit: Submit, budget: Budget, clock: Clock) -> None:
        self.options: Final = options
        self.store: Final = store
        self._clock: Final = clock
        self._cache = AttrCache(options.metadata_ttl, options.negative_ttl, clock)
        self._local = LocalState()
        self._appearance = Appearance(options, clock.time_ns())
        self._lookup = Lookup(store, options.key_prefix, self._local, self._cache, self._appearance, submit)
        self._listing = Listing(store, options.key_prefix, self._local, self._lookup, self._appearance)
        self._opener = Opener(
            store,
            options,
            local=self._local,
            cache=self._cache,
            lookup=self._lookup,
            appearance=self._appearance,
            submit=submit,
            budget=budget,
            clock=clock,
        )

    @property
    def device(self) -> int:
        """``st_dev``."""
        return self._appearance.device

    def stat(self, path: str, display: str) -> Attr:
        """HEAD and LIST at once; nothing within ``metadata_ttl`` of the last answer."""
        return self._lookup.attr(path, display)

    def scandir(self, path: str, display: str) -> list[Entry]:
        """One LIST for each thousand names; answers the stat of each of them for ``metadata_ttl``."""
        return self._listing.entries(path, display)

    def open(self, path: str, flags: int, display: str) -> OpenFile:
        """See :class:`~vfsmount.vfs.opening.Opener`."""
        return self._opener.open(path, flags, display)

    def access(self, path: str, mode: int, display: str) -> bool:
        """Whether the mount's modes and restrictions allow ``mode``; costs what ``stat`` costs. Raises as ``stat``."""
        attr = self.stat(path, display)
        if mode & os.W_OK and self.options.read_only:
            return False
        user = os.geteuid()
        if user == 0:
            return not mode & os.X_OK or attr.is_dir or bool(attr.mode & 0o111)
        shift = 6 if user == attr.uid else 3 if attr.gid in (os.getegid(), *os.getgroups()) else 0
        return attr.mode >> shift & mode & 7 == mode & 7

    def mkdir(self, path: str, display: str) -> None:
        """A local directory (``keep_dirs``: a marker, one PUT). Raises EEXIST, ENOENT, ENOTDIR, EROFS."""
        self._lookup.check(path, display)
        try:
            self._lookup.attr(path, display, fresh=True)
        except FileNotFoundError:
            pass
        else:
            raise os_error(errno.EEXIST, display)
        self._require_writable(display)
        self._lookup.require_directory(parent_of(path), display)
        if self.options.keep_dirs:
            key = prefix_of(self.options.key_prefix, path)
            try:
                self.store.put(key, b"", attributes=PutAttributes(content_type="application/x-directory"))
            except StoreError as error:
                raise from_store(error, display) from error
        else:
            self._local.add_directory(path, self._clock.time_ns())
        self._cache.drop(path)

    def rmdir(self, path: str, display: str) -> None:
        """Only an empty local directory (``keep_dirs``: or a marker alone). One to three requests.

        Raises ENOTEMPTY (local things below), EPERM (the bucket has keys below), ENOTDIR, ENOENT, EROFS.
        Source: Mountpoint SEMANTICS, "Directory operations".
        """
        if not self._lookup.attr(path, display, fresh=True).is_dir:
            raise os_error(errno.ENOTDIR, display)
        self._require_writable(display)
        if self._local.anything_below(path):
            raise os_error(errno.ENOTEMPTY, display)
        prefix = prefix_of(self.options.key_prefix, path)
        try:
            page = self.store.list_page(prefix, delimiter=False, limit=2)
            keys = {meta.key for meta in page.objects}
            if keys == {prefix} and self.options.keep_dirs:
                self.store.delete(prefix)
            elif keys or page.prefixes:
                raise os_error(errno.EPERM, display, hint="the directory exists by keys in the bucket; delete those")
        except StoreError as error:
            raise from_store(error, display) from error
        self._local.remove_directory(path)
        self._cache.drop(path)

    def unlink(self, path: str, display: str) -> None:
        """One DELETE, and the look-up where the file was not seen lately.

        Raises EPERM (``allow_delete`` is off, or being written), EISDIR, ENOENT, EROFS.
        """
        if self._lookup.attr(path, display).is_dir:
            raise os_error(errno.EISDIR, display)
        self._require_writable(display)
        if not self.options.allow_delete:
            raise os_error(errno.EPERM, display, hint="mounted without allow_delete")
        if self._local.is_being_written(path):
            raise os_error(errno.EPERM, display, hint="the file is being written; close it first")
        try:
            self.store.delete(key_of(self.options.key_prefix, path))
        except StoreError as error:
            raise from_store(error, display) from error
        self._local.keep_ancestors(path, self._clock.time_ns())
        self._cache.drop(path)

    def rename(self, source: str, target: str, display: str, display2: str) -> None:
        """With ``allow_rename``, a file: one server-side copy and one delete besides the look-ups.

        Raises ENOSYS (``allow_rename`` is off), EPERM (a directory; being written; no ``allow_delete``), EEXIST (no
        ``allow_overwrite``), EISDIR, ENOENT, ENOTDIR, EROFS.
        """
        attr = self._lookup.attr(source, display, fresh=True)
        if source == target:
            return
        self._require_writable(display, display2)
        if not self.options.allow_rename:
            raise os_error(
                errno.ENOSYS, display, display2, hint="mounted without allow_rename; copy and delete instead"
            )
        if attr.is_dir:
            raise os_error(errno.EPERM, display, display2, hint="directories cannot be renamed")
        self._lookup.check(target, display2)
        self._lookup.require_directory(parent_of(target), display2)
        if self._local.is_being_written(source) or self._local.is_being_written(target):
            raise os_error(errno.EPERM, display, display2, hint="the file is being written; close it first")
        if not self.options.allow_delete:
            raise os_error(errno.EPERM, display, display2, hint="mounted without allow_delete")
        self._check_target(target, display, display2)
        prefix = self.options.key_prefix
        try:
            self.store.copy(
                key_of(prefix, source),
                key_of(prefix, target),
                if_match=attr.etag,
                if_none_match=not self.options.allow_overwrite and self.store.traits.conditional_put,
            )
            self.store.delete(key_of(prefix, source))
        except StoreError as error:
            failed = from_store(error, display)
            failed.filename2 = display2
            raise failed from error
        finally:
            self._cache.drop(source)
            self._cache.drop(target)
        self._local.committed(target)
        self._local.keep_ancestors(source, self._clock.time_ns())

    def refuse_node(self, path: str, display: str) -> NoReturn:
        """Links, devices, pipes: EEXIST where something is there (zarr counts on the order), else EPERM."""
        try:
            self._lookup.attr(path, display)
        except FileNotFoundError:
            self._require_writable(display)
            raise os_error(errno.EPERM, display, hint="a bucket has no links and no special files") from None
        raise os_error(errno.EEXIST, display)

    def set_metadata(self, path: str, display: str, what: str) -> None:
        """chmod and chown: EPERM, or nothing at all with ``metadata_ops="ignore"``; the look-up in both cases."""
        self._lookup.attr(path, display)
        self._require_writable(display)
        if self.options.metadata_ops != "ignore":
            raise os_error(
                errno.EPERM, display, hint=f'{what} is not supported; metadata_ops="ignore" accepts it unheard'
            )

    def utime(self, path: str, mtime_ns: int, display: str) -> None:
        """On a file being written: shown until it is committed. Else as :meth:`set_metadata`."""
        writer = self._local.writer(path)
        if writer is not None:
            writer.utime(mtime_ns)
        else:
            self.set_metadata(path, display, "utime")

    def truncate(self, path: str, length: int, display: str) -> None:
        """On a file being written as ``ftruncate``; else EISDIR, ENOENT, EROFS, EPERM."""
        writer = self._local.writer(path)
        if writer is not None:
            writer.truncate(length)
            return
        if length < 0:
            raise os_error(errno.EINVAL, display)
        if self._lookup.attr(path, display).is_dir:
            raise os_error(errno.EISDIR, display)
        self._require_writable(display)
        raise os_error(errno.EPERM, display, hint='a committed file cannot be cut; mount with writes="staged" for that')

    def statvfs(self, path: str, display: str) -> os.statvfs_result:
        """Costs what ``stat`` costs."""
        self.stat(path, display)
        flags = os.ST_NOSUID | (os.ST_RDONLY if self.options.read_only else 0)
        files = 1 << 40
        return os.statvfs_result((BLOCK_SIZE, BLOCK_SIZE, BLOCKS, BLOCKS, BLOCKS, files, files, files, flags, 255))

    def flush(self) -> None:
        """Commit every file being written; each can then only be closed. Raises the first failure after trying all."""
        first: OSError | None = None
        for writer in self._local.open_writers():
            try:
                writer.fsync()
            except OSError as error:
                first = first or error
        if first is not None:
            raise first

    def invalidate(self, path: str) -> None:
        """Forget all answers about ``path`` and below."""
        self._cache.drop_below(path)

    def open_writers(self) -> list[OpenFile]:
        """Files being written."""
        return list(self._local.open_writers())

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _check_target(self, target: str, display: str, display2: str) -> None:
        try:
            existing = self._lookup.attr(target, display2, fresh=True)
        except FileNotFoundError:
            return
        if existing.is_dir:
            raise os_error(errno.EISDIR, display, display2)
        if not self.options.allow_overwrite:
            raise os_error(errno.EEXIST, display, display2, hint="mounted without allow_overwrite")

    def _require_writable(self, display: str, display2: str | None = None) -> None:
        if self.options.read_only:
            raise os_error(errno.EROFS, display, display2, hint="mounted with read_only")
