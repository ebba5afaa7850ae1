"""What ``open(2)`` does on a mount: which flags make a reader, a writer or a refusal, and at what cost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from vfsmount.clock import Clock
from vfsmount.errors import NotFound, StoreError, os_error
from vfsmount.model import Attr, ObjectId, ObjectMeta
from vfsmount.store.protocol import GetResult, Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.uploader import Condition, Uploader
from vfsmount.vfs import policy
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.beginning import Beginnings
from vfsmount.vfs.local import LocalState, Readers
from vfsmount.vfs.lookup import Lookup, failed
from vfsmount.vfs.namespace import key_of, parent_of
from vfsmount.vfs.openfile import DirectoryFile, OpenFile
from vfsmount.vfs.options import FsOptions
from vfsmount.vfs.policy import Access, Node
from vfsmount.vfs.publishing import Publisher
from vfsmount.vfs.readfile import ReadFile
from vfsmount.vfs.staged import StagedFile, StagedNode, let_go
from vfsmount.vfs.traversal import is_one_of_several
from vfsmount.vfs.writefile import WriteFile

SERVER_COPY_FROM: Final = 8 << 20
"""Bytes from which on the store copies an object itself; the client that can do so under If-Match takes half a second
to load, and what is smaller is read and written in less.
"""


class Opener:
    """Opens files and directories of one mount. Source: Mountpoint SEMANTICS, "Open" and "Writes"."""

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        *,
        local: LocalState,
        cache: AttrCache,
        lookup: Lookup,
        appearance: Appearance,
        submit: Submit,
        budget: Budget,
        clock: Clock,
        beginnings: Beginnings,
    ) -> None:
        self._store: Final = store
        self._options: Final = options
        self._local: Final = local
        self._cache: Final = cache
        self._lookup: Final = lookup
        self._appearance: Final = appearance
        self._submit: Final = submit
        self._clock: Final = clock
        self._publisher: Final = Publisher(
            store, options, local, cache, lookup, appearance, submit=submit, budget=budget, clock=clock
        )
        self.beginnings: Final = beginnings

    def open(self, path: str, flags: int, display: str) -> OpenFile:
        """A reader costs one GET with a LIST beside it (the GET alone where a listing showed the file lately), a writer
        a LIST (none where its directory was listed or made lately), and a HEAD where its flags make existence matter,
        all in one round trip; the upload comes at close.

        Raises ENOENT, ENOTDIR, EISDIR, EEXIST, EINVAL (O_SYNC, O_DSYNC), EPERM, EROFS, EACCES, ENOTSUP (O_TMPFILE).
        """
        refuse(policy.open_flags(flags), display)
        plain = not policy.is_writing(flags) and not flags & (os.O_CREAT | os.O_TRUNC | policy.O_DIRECTORY)
        if plain and path:
            return self._open_reader(path, flags, display)
        self._lookup.check(path, display, missing=not flags & os.O_CREAT)
        while True:
            with self._local.looking() as began:
                opened = self._open_found(path, flags, display, began)
            if opened is not None:
                return opened

    def _open_found(self, path: str, flags: int, display: str, began: int) -> OpenFile | None:
        """None where another thread's handle was closed meanwhile, so that what was found may be out of date."""
        node, attr = self._node(path, flags, display)
        access = policy.open_access(flags, node, self._options)
        if isinstance(access, policy.Refusal):
            if access.number == errno.ENOENT:
                raise self._lookup.missing(path, display)
            raise os_error(access.number, display, hint=access.hint)
        if access is Access.DIRECTORY:
            return DirectoryFile(display, flags, attr or self._appearance.directory(path))
        if access is Access.READER:
            return self._open_reader(path, flags, display)
        if access is Access.CREATED:
            self._open_writer(path, flags, display).close()
            return self._open_reader(path, flags, display)
        if access is Access.EDITOR:
            return self._open_editor(path, flags, display, attr, began)
        return self._open_writer(path, flags, display)

    # -- reading --

    def _open_reader(self, path: str, flags: int, display: str) -> OpenFile:
        self._lookup.check(path, display, missing=True)
        made = self._local.directory(path)
        if made is not None:
            return DirectoryFile(display, flags, self._appearance.directory(path, made or None))
        readers = self._local.begin_read(path)
        if readers is None:
            return self._open_written(path, flags, display)
        reads, stays = False, True
        try:
            # Only looked at before the first request: to wait for a file to appear is no reason to refuse its writer.
            self._local.sharing.require_unwritten(path, display)
            handle = self._fetch_first(path, flags, display, readers)
            reads = not handle.is_dir
        finally:
            stays = self._local.opened_read(path, readers, reads=reads)
        if not stays:
            handle.close()
            raise os_error(policy.IN_USE.number, display, hint=policy.IN_USE.hint)
        return handle

    def _open_written(self, path: str, flags: int, display: str) -> OpenFile:
        """A reader of a file that is open for change here; one LIST."""
        staged = self._local.join_staged(path)
        handle = None if staged is None else self._staged_file(display, flags, staged)
        try:
            attr = self._lookup.attr(path, display)
            if attr.is_dir:  # another client's keys below it win over what is written here
                return DirectoryFile(display, flags, attr)
            if handle is None and not self._local.is_being_written(path):  # closed since
                return self._open_reader(path, flags, display)
            if handle is None:
                raise os_error(policy.IN_USE.number, display, hint=policy.IN_USE.hint)
            opened, handle = handle, None
            return opened
        finally:
            if handle is not None:
                handle.close()

    def _fetch_first(self, path: str, flags: int, display: str, readers: Readers) -> OpenFile:
        """The first range is the metadata request, or a HEAD where the cache has that range; what may hide the file is
        asked beside it. Nothing, where the file was fetched ahead.
        """
        ahead = self.beginnings.ahead(path)
        if ahead is not None:
            return self._read_file(path, flags, display, readers, self._appearance.file(path, ahead.meta), ahead)
        asked = self._lookup.epoch()
        shadow = None
        if not self.beginnings.is_unhidden(path):
            self.beginnings.asked(path)
            shadow = self._submit(lambda: self._lookup.has_keys_below(path))
        result: GetResult | None = None
        failure: StoreError | None = None
        try:
            try:
                result = self.beginnings.fetch(path)
            except StoreError as error:
                failure = error
            if shadow is not None:
                is_directory = self._lookup.outcome(shadow, display)
            elif isinstance(failure, NotFound):
                self._cache.drop(path)
                is_directory = self._lookup.outcome(self._submit(lambda: self._lookup.has_keys_below(path)), display)
            else:
                is_directory = False
            if failure is not None and not is_directory:
                if isinstance(failure, NotFound) and failure.code != "NoSuchBucket":
                    raise self._lookup.missing(path, display, asked)
                raise failed(failure, display) from failure
        finally:
            failure = None  # it and this frame would keep each other
        meta = result.meta if result else None
        attr = self._lookup.settle(path, display, meta, asked, is_directory=is_directory)
        if result is None or is_directory:
            return DirectoryFile(display, flags, attr)
        return self._read_file(path, flags, display, readers, attr, result)

    def _read_file(
        self, path: str, flags: int, display: str, readers: Readers, attr: Attr, first: GetResult
    ) -> ReadFile:
        hold = self._local.sharing.begin(path, display, writing=False)

        def on_close() -> None:
            self._local.sharing.end(hold)
            self._local.end_read(path, readers)

        try:
            return ReadFile(
                display,
                flags,
                attr,
                self.beginnings.reader(first),
                on_close,
                store=self._store,
                version=ObjectId(first.meta.key, first.meta.etag),
            )
        except BaseException:
            self._local.sharing.end(hold)
            raise

    # -- writing --

    def _node(self, path: str, flags: int, display: str) -> tuple[Node, Attr | None]:
        """What is at ``path``; MISSING for a file too where it will be replaced whatever it is, and no HEAD for it."""
        if not path:
            return Node.DIRECTORY, None
        if self._local.is_being_written(path):
            attr = self._lookup.attr(path, display)
            if attr.is_dir:  # another client's keys below it win over what is written here
                return Node.DIRECTORY, attr
            return Node.WRITING, None
        replacing = policy.is_writing(flags) and flags & os.O_TRUNC and flags & os.O_CREAT and not flags & os.O_EXCL
        if replacing and self._options.allow_overwrite and self._options.writes == "sequential":
            return self._node_to_replace(path, display)
        if _is_for_store(path, flags, self._store, self._cache, self.beginnings):
            return Node.MISSING, None
        try:
            attr = self._lookup.attr(path, display, fresh=True)
        except FileNotFoundError as error:
            if error.__cause__ is not None:  # the bucket itself is missing
                raise
            if flags & os.O_CREAT:
                self._lookup.require_directory(parent_of(path), display)
            return Node.MISSING, None
        return (Node.DIRECTORY if attr.is_dir else Node.FILE), attr

    def _node_to_replace(self, path: str, display: str) -> tuple[Node, Attr | None]:
        made = self._local.directory(path)
        if made is not None:
            return Node.DIRECTORY, self._appearance.directory(path, made or None)
        if self._lookup.is_known_file(path):
            return Node.FILE, None
        if self._lookup.is_unhidden(path):
            self._lookup.require_directory(parent_of(path), display)
            return Node.MISSING, None
        self.beginnings.asked(path)
        below = self._submit(lambda: self._lookup.has_keys_below(path))
        try:
            self._lookup.require_directory(parent_of(path), display)
        except OSError:
            self._lookup.outcome(below, display)
            raise
        return (Node.DIRECTORY if self._lookup.outcome(below, display) else Node.MISSING), None

    def _open_editor(self, path: str, flags: int, display: str, attr: Attr | None, began: int) -> OpenFile | None:
        let_go(self._local.staged(path))
        node = self._local.join_staged(path)
        if node is None:
            base = None
            if attr is not None:
                key = key_of(self._options.key_prefix, path)
                base = ObjectMeta(key, attr.size, attr.mtime_ns, attr.etag, attr.storage_class)
            made = StagedNode(path, display, base, self._publisher)
            try:
                made.hold = self._local.sharing.begin(path, display, writing=True)
            except OSError:
                made.close()
                raise
            node = self._local.add_staged(path, made, began)
            self._cache.drop(path)
            if node is not made:
                self._local.sharing.end(made.hold)
                made.close()
            if node is None:
                return None
        try:
            handle = self._staged_file(display, flags, node)
        except OSError:
            self._publisher.released(node)
            raise
        if flags & os.O_TRUNC:
            handle.truncate(0)
        return handle

    def _staged_file(self, display: str, flags: int, node: StagedNode) -> StagedFile:
        return StagedFile(display, flags, node, lambda: self._publisher.released(node))

    # -- writing in sequence --

    def _open_writer(self, path: str, flags: int, display: str) -> OpenFile:
        creating = bool(flags & os.O_CREAT and flags & os.O_EXCL)
        if not self._local.begin_write(path):  # being read, or another thread was faster
            exists = creating and self._local.is_being_written(path)
            refuse(policy.Refusal(errno.EEXIST) if exists else policy.IN_USE, display)
        try:
            hold = self._local.sharing.begin(path, display, writing=True)
        except OSError as error:
            self._local.end_write(path, None)
            refuse(policy.Refusal(errno.EEXIST) if creating and error.errno == errno.EPERM else None, display)
            raise
        exclusive = creating or not self._options.allow_overwrite

        def start() -> Uploader:
            return self._publisher.upload(path, Condition(if_none_match=exclusive))

        opened = self._clock.time_ns()

        def attr_of(size: int, mtime_ns: int | None) -> Attr:
            return self._appearance.writing(path, size, opened if mtime_ns is None else mtime_ns)

        def on_commit(meta: ObjectMeta) -> None:
            self._publisher.committed(path, meta)

        def on_end(writer: WriteFile) -> None:
            self._local.sharing.end(hold)
            self._local.end_write(path, writer)
            self._cache.drop(path)
            if writer.is_committed:
                self._cache.put_made(path)

        def copier(source: OpenFile) -> Callable[[], ObjectMeta] | None:
            if not isinstance(source, ReadFile) or source.store is not self._store or source.version.etag is None:
                return None
            if not self._store.traits.server_copy or source.stat().size < SERVER_COPY_FROM:
                return None
            (key, etag), target = source.version, key_of(self._options.key_prefix, path)
            condition = exclusive and self._store.traits.conditional_put
            return lambda: self._store.copy(key, target, if_match=etag, if_none_match=condition)

        try:
            handle = WriteFile(
                display, flags, start=start, attr_of=attr_of, on_commit=on_commit, on_end=on_end, copier=copier
            )
        except BaseException:
            self._local.sharing.end(hold)
            self._local.end_write(path, None)
            raise
        self._local.set_writer(path, handle)
        self._cache.drop(path)
        return handle


def _is_for_store(path: str, flags: int, store: Store, cache: AttrCache, beginnings: Beginnings) -> bool:
    """Whether the condition of the upload is to judge if the file is there: it must anyhow, and for one file of several
    a look before it costs two requests more. Only where it is not there as far as is known."""
    if not (flags & os.O_CREAT and flags & os.O_EXCL and is_one_of_several() and store.traits.conditional_put):
        return False
    if cache.is_absent(path):
        return True
    beginnings.asked(path)
    return False


def refuse(refusal: policy.Refusal | None, display: str, display2: str | None = None) -> None:
    """Raise what the policy says, if it says anything."""
    if refusal is not None:
        raise os_error(refusal.number, display, display2, hint=refusal.hint)
