"""What ``open(2)`` does on a mount: which flags make a reader, a writer or a refusal, and at what cost."""

from __future__ import annotations

import errno
import os
from typing import Final

from vfsmount import real
from vfsmount.clock import Clock
from vfsmount.errors import NotFound, StoreError, from_store, os_error
from vfsmount.model import Attr, ObjectMeta
from vfsmount.store.protocol import GetResult, PutAttributes, Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.reader import Reader
from vfsmount.transfer.uploader import Condition, Uploader
from vfsmount.transfer.window import FIRST_REQUEST
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of, parent_of
from vfsmount.vfs.openfile import DirectoryFile, OpenFile
from vfsmount.vfs.options import FsOptions
from vfsmount.vfs.readfile import ReadFile
from vfsmount.vfs.writefile import WriteFile

O_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
O_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)
O_SYNC: Final = getattr(os, "O_SYNC", 0) | getattr(os, "O_DSYNC", 0)

IN_USE: Final = "one writer or many readers: the file is open elsewhere in this process; close that first"


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
    ) -> None:
        self._store: Final = store
        self._options: Final = options
        self._local: Final = local
        self._cache: Final = cache
        self._lookup: Final = lookup
        self._appearance: Final = appearance
        self._submit: Final = submit
        self._budget: Final = budget
        self._clock: Final = clock

    def open(self, path: str, flags: int, display: str) -> OpenFile:
        """A reader costs one GET with a LIST beside it (the GET alone where a listing showed the file lately), a
        writer a LIST, and a HEAD where its flags make existence matter, all in one round trip; the PUT comes at close.

        Raises ENOENT, ENOTDIR, EISDIR, EEXIST, EINVAL (O_SYNC, O_DSYNC), EPERM, EROFS, EACCES, ENOTSUP (O_TMPFILE).
        """
        if O_TMPFILE and flags & O_TMPFILE == O_TMPFILE:
            raise os_error(errno.ENOTSUP, display)
        if flags & O_SYNC:
            raise os_error(errno.EINVAL, display, hint="O_SYNC and O_DSYNC are not supported; use fsync")
        writing = flags & os.O_ACCMODE != os.O_RDONLY
        if not path or flags & O_DIRECTORY:
            return self._open_directory(path, flags, display, writing=writing)
        if not writing and not flags & (os.O_CREAT | os.O_TRUNC):
            return self._open_reader(path, flags, display)
        return self._open_for_change(path, flags, display, writing=writing)

    def _open_directory(self, path: str, flags: int, display: str, *, writing: bool) -> OpenFile:
        attr = self._lookup.attr(path, display)
        if not attr.is_dir:
            raise os_error(errno.ENOTDIR, display)
        return self._directory(flags, display, attr, writing=writing)

    def _directory(self, flags: int, display: str, attr: Attr, *, writing: bool) -> OpenFile:
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise os_error(errno.EEXIST, display)
        if writing or flags & (os.O_CREAT | os.O_TRUNC):
            raise os_error(errno.EISDIR, display)
        return DirectoryFile(display, flags, attr)

    # -- reading --

    def _open_reader(self, path: str, flags: int, display: str) -> OpenFile:
        self._lookup.check(path, display, missing=True)
        made = self._local.directory(path)
        if made is not None:
            return self._directory(flags, display, self._appearance.directory(path, made or None), writing=False)
        if not self._local.begin_read(path):
            raise os_error(errno.EPERM, display, hint=IN_USE)
        try:
            handle = self._fetch_first(path, flags, display)
        except BaseException:
            self._local.end_read(path)
            raise
        if handle.is_dir:
            self._local.end_read(path)
        return handle

    def _fetch_first(self, path: str, flags: int, display: str) -> OpenFile:
        """The first range is the metadata request; what may hide the file is asked beside it."""
        shadow = None
        if self._options.lookup == "strict" and not self._lookup.is_known_file(path):
            shadow = self._submit(lambda: self._lookup.has_keys_below(path))
        result: GetResult | None = None
        failure: StoreError | None = None
        try:
            result = self._store.get_range(key_of(self._options.key_prefix, path), 0, FIRST_REQUEST)
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
                raise self._lookup.missing(path, display)
            raise from_store(failure, display) from failure
        attr = self._lookup.settle(path, display, result.meta if result else None, is_directory=is_directory)
        if result is None or is_directory:
            return DirectoryFile(display, flags, attr)
        reader = Reader(self._store, result.meta, submit=self._submit, budget=self._budget, first=result.data)
        return ReadFile(display, flags, attr, reader, lambda: self._local.end_read(path))

    # -- writing --

    def _open_for_change(self, path: str, flags: int, display: str, *, writing: bool) -> OpenFile:
        self._lookup.check(path, display)
        existing = self._existing(path, flags, display)
        if existing is not None and existing.is_dir:
            return self._directory(flags, display, existing, writing=writing)
        if existing is not None and flags & os.O_CREAT and flags & os.O_EXCL:
            raise os_error(errno.EEXIST, display)
        truncating = bool(flags & os.O_TRUNC)
        if existing is not None and not truncating:
            if flags & os.O_ACCMODE == os.O_WRONLY:
                if self._options.read_only:
                    raise os_error(errno.EROFS, display, hint="mounted with read_only")
                hint = 'an existing file can only be replaced (mode "w"); mount with writes="staged" to change it'
                raise os_error(errno.EPERM, display, hint=hint)
            if writing and self._options.read_only:
                raise os_error(errno.EROFS, display, hint="mounted with read_only")
            return self._open_reader(path, flags, display)  # O_RDWR without O_TRUNC opens a reader
        if existing is None and not flags & os.O_CREAT:
            raise self._lookup.missing(path, display)
        if self._options.read_only:
            raise os_error(errno.EROFS, display, hint="mounted with read_only")
        if existing is not None and not self._options.allow_overwrite:
            raise os_error(errno.EPERM, display, hint="mounted without allow_overwrite")
        if not writing:
            return self._create_then_read(path, flags, display)
        return self._open_writer(path, flags, display, existed=existing is not None)

    def _existing(self, path: str, flags: int, display: str) -> Attr | None:
        """What is at ``path``; where its being a file does not matter, None for a file too and no HEAD for it."""
        if self._local.is_being_written(path):
            if flags & os.O_CREAT and flags & os.O_EXCL:
                raise os_error(errno.EEXIST, display)
            raise os_error(errno.EPERM, display, hint=IN_USE)
        replacing = flags & os.O_TRUNC and flags & os.O_CREAT and not flags & os.O_EXCL
        if replacing and self._options.allow_overwrite and not self._options.read_only:
            made = self._local.directory(path)
            if made is not None:
                return self._appearance.directory(path, made or None)
            if self._lookup.is_known_file(path):
                return None
            below = self._submit(lambda: self._lookup.has_keys_below(path))
            try:
                self._lookup.require_directory(parent_of(path), display)
            finally:
                is_directory = self._lookup.outcome(below, display)
            return self._appearance.directory(path) if is_directory else None
        try:
            return self._lookup.attr(path, display, fresh=True)
        except FileNotFoundError:
            if flags & os.O_CREAT:
                self._lookup.require_directory(parent_of(path), display)
            return None

    def _create_then_read(self, path: str, flags: int, display: str) -> OpenFile:
        """O_RDONLY with O_CREAT: an empty object, then a reader of it. O_RDONLY with O_TRUNC: refused."""
        if flags & os.O_TRUNC:
            raise os_error(errno.EINVAL, display, hint="O_TRUNC needs a file opened for writing")
        writer = self._open_writer(path, flags, display, existed=False)
        writer.close()
        return self._open_reader(path, flags, display)

    def _open_writer(self, path: str, flags: int, display: str, *, existed: bool) -> OpenFile:
        if not self._local.begin_write(path):
            raise os_error(errno.EPERM, display, hint=IN_USE)
        exclusive = bool(flags & os.O_EXCL) or not self._options.allow_overwrite
        condition = Condition(if_none_match=exclusive and self._store.traits.conditional_put)
        key = key_of(self._options.key_prefix, path)
        attributes = PutAttributes(content_type=content_type(path))

        def start() -> Uploader:
            return Uploader(
                self._store,
                key,
                attributes=attributes,
                part_size=max(self._options.part_size, self._store.traits.min_part_size),
                submit=self._submit,
                budget=self._budget,
                condition=condition,
            )

        opened = self._clock.time_ns()

        def attr_of(size: int, mtime_ns: int | None) -> Attr:
            return self._appearance.writing(path, size, opened if mtime_ns is None else mtime_ns)

        def on_commit(meta: ObjectMeta) -> None:
            self._local.committed(path)
            self._cache.drop(path)

        def on_end() -> None:
            self._local.end_write(path)
            self._cache.drop(path)

        try:
            handle = WriteFile(display, flags, start=start, attr_of=attr_of, on_commit=on_commit, on_end=on_end)
        except BaseException:
            self._local.end_write(path)
            raise
        self._local.set_writer(path, handle)
        return handle


def content_type(path: str) -> str | None:
    """The MIME type that the name suggests."""
    import mimetypes  # reads the system's tables at first use, so not before the first write

    with real.passthrough():
        return mimetypes.guess_type(path.rpartition("/")[2])[0]
