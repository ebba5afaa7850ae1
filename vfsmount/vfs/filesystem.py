"""One mounted bucket, shaped like system calls; paths are mount-relative, ``display`` is what errors name."""

from __future__ import annotations

import errno
import os
from typing import Final

from vfsmount.clock import Clock
from vfsmount.errors import StoreError, from_store
from vfsmount.model import Attr, Entry
from vfsmount.store.protocol import Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.pool import Submit
from vfsmount.vfs import policy
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.beginning import Beginnings
from vfsmount.vfs.changes import Changes
from vfsmount.vfs.claims import Claims
from vfsmount.vfs.flat import FlatListing
from vfsmount.vfs.listing import Listing
from vfsmount.vfs.local import BeingWritten, LocalState
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of, parent_of, prefix_of
from vfsmount.vfs.openfile import DirectoryFile, OpenFile
from vfsmount.vfs.opening import Opener, refuse
from vfsmount.vfs.options import FsOptions
from vfsmount.vfs.policy import Node
from vfsmount.vfs.removing import Removal, rmdir_remote
from vfsmount.vfs.renaming import MARKER, Renamer
from vfsmount.vfs.sharing import Sharing
from vfsmount.vfs.staged import let_go
from vfsmount.vfs.traversal import PerTraversal, is_removing, is_under_way, missing_so_far

BLOCK_SIZE: Final = 4096
"""``f_bsize``, bytes."""

BLOCKS: Final = (1 << 50) // BLOCK_SIZE
"""A bucket has no size; statvfs shows 1 PiB, all of it free, so that "is there room?" checks pass."""


_TRAVERSING: Final = (
    os.O_DIRECTORY
    | os.O_NOFOLLOW
    | os.O_NONBLOCK
    | os.O_CLOEXEC
    | getattr(os, "O_PATH", 0)
    | getattr(os, "O_LARGEFILE", 0)
)
"""Flags with which a directory is opened for its descriptor, beside O_RDONLY."""


class Filesystem:
    """Look-ups, listings, handles and changes of one mount, under its restrictions.

    All methods raise OSError naming ``display``; what each costs in requests stands with it.
    """

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        *,
        submit: Submit,
        budget: Budget,
        clock: Clock,
        chunks: ChunkCache | None = None,
    ) -> None:
        """``chunks``: keeps what was read, where the disk does not (``cache_dir``)."""
        self.options: Final = options
        self.store: Final = store
        self.budget: Final = budget
        self._clock: Final = clock
        self._cache = AttrCache(options.metadata_ttl, options.negative_ttl, clock)
        self.sharing: Final = Sharing(staged=options.writes == "staged")
        self._local = LocalState(self.sharing)
        self._claims = Claims()
        self._appearance = Appearance(options, clock.time_ns())
        self._lookup = Lookup(store, options.key_prefix, self._local, self._cache, self._appearance, submit)
        self._listing = Listing(
            store,
            options.key_prefix,
            local=self._local,
            cache=self._cache,
            lookup=self._lookup,
            appearance=self._appearance,
            flat=self._flat_listing if store.traits.flat_list and options.metadata_ttl > 0 else None,
        )
        self._removals = PerTraversal(self._removal)
        self._renamer = Renamer(store, options, self._node, self._local, self._cache, self._lookup, submit, clock)
        learn = self._listing.learn
        beginnings = Beginnings(
            store, options, self._cache, self._lookup, submit, budget=budget, clock=clock, chunks=chunks, learn=learn
        )
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
            beginnings=beginnings,
        )

        self.changes: Final = Changes(self._local, self._cache)
        self._submit: Final = submit
        self.room: Final = _room(options, chunks)
        """Bytes of content that are kept at most after they were read."""
        self.largest_kept: Final = self.room // 2 if options.cache_dir is None else self.room
        """Bytes of the largest file that is kept whole."""

    def _flat_listing(self) -> FlatListing:
        return FlatListing(
            self.store,
            self._cache,
            ordered=self.store.traits.ordered_list,
            ttl=self.options.metadata_ttl,
            now=self._clock.monotonic,
            submit=self._submit,
        )

    def _removal(self) -> Removal:
        return Removal(
            self.store,
            self.options,
            local=self._local,
            cache=self._cache,
            flat=self._listing.flat,
            submit=self._submit,
            clock=self._clock,
        )

    @property
    def device(self) -> int:
        """``st_dev``."""
        return self._appearance.device

    def stat(self, path: str, display: str) -> Attr:
        """HEAD and LIST at once; nothing within ``metadata_ttl`` of the last answer."""
        if is_under_way() and (told := self._listing.told(path)) is not None:
            return told
        missing = missing_so_far()
        if missing is None:
            return self._lookup.attr(path, display)
        return self._lookup.attr_of_one(path, display, missing)

    def scandir(self, path: str, display: str) -> list[Entry]:
        """One LIST for each thousand names, or keys of a traversal; answers the stat of each of them for
        ``metadata_ttl``.
        """
        if is_removing() and (removal := self._removals.current()) is not None:
            removal.entered(path)
        found = self._listing.entries(path, display)
        self._opener.beginnings.listed(path, found)
        return found

    @property
    def moment(self) -> int:
        """For :meth:`changed_since`; the same as long as nothing is changed here, or asked for."""
        return self._cache.latest

    def changed_since(self, path: str, moment: int) -> bool:
        """Whether something at or below ``path`` was changed here, or forgotten, after ``moment``. No request."""
        return self._cache.changed_since(path, moment)

    def open(self, path: str, flags: int, display: str) -> OpenFile:
        """See :class:`~vfsmount.vfs.opening.Opener`. A traversal opens directories that it was told of for nothing."""
        missing = missing_so_far()
        if missing is not None:
            missing.discard((id(self._lookup), path))
        if is_under_way() and not flags & ~_TRAVERSING and (told := self._listing.told(path)) is not None:
            return DirectoryFile(display, flags, told)
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
        asked = self._cache.epoch()
        node, _ = self._node(path, display)
        if node is Node.MISSING:
            self._lookup.require_directory(parent_of(path), display)
        refuse(policy.mkdir(node, self.options), display)
        if self.options.keep_dirs:
            key = prefix_of(self.options.key_prefix, path)
            try:
                self.store.put(key, b"", attributes=MARKER)
            except StoreError as error:
                raise from_store(error, display) from error
        elif not self._local.add_directory(path, self._clock.time_ns()):
            refuse(policy.Refusal(errno.EEXIST), display)
        self._cache.drop(path)
        self._cache.put_directories(path, frozenset(), asked)
        self._cache.fill(path, {}, asked)

    def rmdir(self, path: str, display: str) -> None:
        """Only an empty local directory (``keep_dirs``: or a marker alone). One to three requests.

        Raises ENOTEMPTY (local things below), EPERM (the bucket has keys below), ENOTDIR, ENOENT, EROFS.
        Source: Mountpoint SEMANTICS, "Directory operations".
        """
        node, _ = self._node(path, display)
        refuse(policy.rmdir(node, self.options, local_below=self._local.anything_below(path)), display)
        removal = self._removals.current() if is_removing() else None
        if removal is None or not removal.is_empty(path):
            rmdir_remote(self.store, self.options, path, display)
        self._local.remove_directory(path)
        self._cache.drop(path)

    def unlink(self, path: str, display: str) -> None:
        """One DELETE, and the look-up where the file was not seen lately; of ``rmtree`` see
        :class:`~vfsmount.vfs.removing.Removal`.

        Raises EPERM (``allow_delete`` is off, or being written), EISDIR, ENOENT, EROFS.
        """
        removal = self._removals.current() if is_removing() else None
        with self._claims.hold(path):
            self.sharing.require_unwritten(path, display)
            if removal is None or not removal.has_deleted(path) or self._local.is_being_written(path):
                if removal is None or not removal.has_tried(path) or self._local.is_being_written(path):
                    refuse(policy.unlink(self._node(path, display, fresh=False)[0], self.options), display)
                staged = self._local.staged(path)
                if staged is not None:
                    staged.detach()
                    self._local.drop_staged(path, staged)
                try:
                    if removal is None or staged is not None or not removal.delete(path):
                        self.store.delete(key_of(self.options.key_prefix, path))
                except StoreError as error:
                    raise from_store(error, display) from error
            self._local.forget_readers(path)
            self._local.keep_ancestors(path, self._clock.time_ns())
            self._cache.drop(path)

    def rename(self, source: str, target: str, display: str, display2: str) -> None:
        """With ``allow_rename``: see :class:`~vfsmount.vfs.renaming.Renamer`. Else ENOSYS."""
        try:
            with self._claims.hold(source, target):
                for path in (source, target) if self.options.allow_rename else ():
                    self.sharing.require_unwritten(path, display)
                self._renamer.rename(source, target, display, display2)
        except OSError as error:  # rename(2) does not say which of the two it was, so Python names both
            error.filename, error.filename2 = display, display2
            raise

    def refuse_node(self, path: str, display: str) -> None:
        """Links, devices, pipes: always raises."""
        refuse(policy.make_node(self._node(path, display, fresh=False)[0], self.options), display)

    def set_metadata(self, path: str, display: str, what: str) -> None:
        """chmod and chown: EPERM, or nothing at all with ``metadata_ops="ignore"``; in both cases the look-up, but of
        what was just written here.
        """
        if not self._cache.was_made(path):
            self._lookup.attr(path, display)
        refuse(policy.metadata(self.options, what), display)

    def utime(self, path: str, mtime_ns: int, display: str) -> None:
        """On a file being written: shown until it is committed. Else as :meth:`set_metadata`."""
        writer = self._local.writer(path)
        if writer is not None:
            writer.utime(mtime_ns)
        else:
            self.set_metadata(path, display, "utime")

    def truncate(self, path: str, length: int, display: str) -> None:
        """On a file being written as ``ftruncate``; on another one only with ``writes="staged"``: a GET and a PUT.

        Raises EISDIR, ENOENT, EROFS, EPERM, EINVAL.
        """
        let_go(self._local.staged(path))
        writer = self._local.writer(path)
        if writer is not None:
            writer.truncate(length)
            return
        refuse(policy.truncate(self._node(path, display)[0], length, self.options), display)
        handle = self._opener.open(path, os.O_WRONLY, display)
        try:
            handle.truncate(length)
        finally:
            handle.close()

    def statvfs(self, path: str, display: str) -> os.statvfs_result:
        """Costs what ``stat`` costs."""
        attr = self.stat(path, display)
        flags = os.ST_NOSUID | (os.ST_RDONLY if self.options.read_only else 0)
        files = 1 << 40
        shown = (BLOCK_SIZE, BLOCK_SIZE, BLOCKS, BLOCKS, BLOCKS, files, files, files, flags, 255)
        return os.statvfs_result(shown, {"f_fsid": attr.dev})

    def flush(self) -> None:
        """Commit every file being written; each can then only be closed. Raises the first failure after trying all."""
        first: OSError | None = None
        for writer in self._local.open_writers():
            try:
                writer.fsync()
            except OSError as error:
                first = first or error
        if first is not None:
            try:
                raise first
            finally:
                first = None  # it and this frame would keep each other

    def saw_childless(self, keys: frozenset[str]) -> None:
        """A listing just showed that no key lies below these: for a while, to open one of them takes no LIST."""
        prefix = self.options.key_prefix
        self._cache.put_childless(frozenset(key[len(prefix) :] for key in keys if key.startswith(prefix)))

    def invalidate(self, path: str) -> None:
        """Forget all answers about ``path`` and below."""
        self._cache.drop_below(path)

    def open_writers(self) -> list[BeingWritten]:
        """Files being written."""
        return list(self._local.open_writers())

    def after_fork(self) -> None:
        """In a forked child: what is cached stays, what other threads held is let go."""
        self._cache.renew_lock()
        self._opener.beginnings.after_fork()
        self._local.after_fork()
        self._claims.after_fork()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _node(self, path: str, display: str, *, fresh: bool = True) -> tuple[Node, Attr | None]:
        """What is at ``path``, MISSING included; costs a look-up. Raises ENOTDIR and what the store answers."""
        try:
            attr = self._lookup.attr(path, display, fresh=fresh)
        except FileNotFoundError as error:
            if error.__cause__ is not None:  # the bucket itself is missing
                raise
            return Node.MISSING, None
        if attr.is_dir:
            return Node.DIRECTORY, attr
        return (Node.WRITING, None) if self._local.is_being_written(path) else (Node.FILE, attr)


def _room(options: FsOptions, chunks: ChunkCache | None) -> int:
    if options.cache_dir is not None:
        return options.cache_max_bytes or 1 << 62
    return 0 if chunks is None else chunks.capacity
