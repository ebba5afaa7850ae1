"""The names in a directory: what the bucket has, what is local, and what is hidden.

Sorted by name and not by key: ``a-/`` sorts before ``a/`` as keys, but ``a`` before ``a-`` as names, so a file and the
directory that hides it can be pages apart and nothing is told before the last page is in.
"""

from __future__ import annotations

import errno
import logging
from typing import Final

from vfsmount.errors import NotFound, StoreError, os_error
from vfsmount.model import Entry, ObjectMeta
from vfsmount.store.protocol import ListObjects
from vfsmount.vfs.attrs import Appearance
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup, failed
from vfsmount.vfs.namespace import child_of, name_in, prefix_of

log = logging.getLogger(__name__)


class Listing:
    """Lists directories of one mount."""

    def __init__(
        self, store: ListObjects, key_prefix: str, local: LocalState, lookup: Lookup, appearance: Appearance
    ) -> None:
        self._store: Final = store
        self._key_prefix: Final = key_prefix
        self._local: Final = local
        self._lookup: Final = lookup
        self._appearance: Final = appearance
        self._warned = False

    def entries(self, path: str, display: str) -> list[Entry]:
        """All names in ``path``, sorted; one request for each thousand keys and prefixes.

        Fills the attr cache. Raises ENOENT, ENOTDIR, EACCES, EIO.
        """
        self._lookup.check(path, display, missing=True)
        if self._lookup.is_known_file(path) and self._local.directory(path) is None:
            raise os_error(errno.ENOTDIR, display)  # glob and rglob try to list every file that they meet
        epoch = self._lookup.epoch()
        files, directories, found = self._remote(path, display)
        local_directories, writers = self._local.names_in(path)
        if not found and path and self._local.directory(path) is None:
            if not self._lookup.attr(path, display, fresh=True).is_dir:
                raise os_error(errno.ENOTDIR, display)
        entries = {
            name: self._appearance.file(child_of(path, name), meta)
            for name, meta in files.items()
            if name not in directories
        }
        for name, writer in writers.items():
            if name not in directories:
                entries[name] = writer.stat()
        for name, made in local_directories.items():
            entries[name] = self._appearance.directory(child_of(path, name), made or None)
        for name in directories:
            entries[name] = self._appearance.directory(child_of(path, name))
        if len(directories.keys() & files.keys()):
            self._warn(path, "a file is hidden by the directory of its name")
        ordered = [Entry(name, entries[name]) for name in sorted(entries)]
        self._lookup.listed(path, epoch)
        for entry in ordered:
            if entry.name not in writers:
                self._lookup.remember(child_of(path, entry.name), entry.attr, epoch)
        if path and found:
            self._lookup.remember(path, self._appearance.directory(path), epoch)
        return ordered

    def _remote(self, path: str, display: str) -> tuple[dict[str, ObjectMeta], dict[str, None], bool]:
        prefix = prefix_of(self._key_prefix, path)
        files: dict[str, ObjectMeta] = {}
        directories: dict[str, None] = {}
        found, token = False, None
        while True:
            try:
                page = self._store.list_page(prefix, delimiter=True, token=token)
            except NotFound as error:
                if error.code == "NoSuchBucket":
                    raise failed(error, display) from error
                return files, directories, found
            except StoreError as error:
                raise failed(error, display) from error
            found = found or bool(page.objects or page.prefixes)
            for meta in page.objects:
                if meta.key == prefix:
                    continue  # the directory's own marker
                name = name_in(prefix, meta.key)
                if name is None or meta.key.endswith("/"):
                    self._warn(path, "a key that no file name can express")
                else:
                    files[name] = meta
            for common in page.prefixes:
                name = name_in(prefix, common)
                if name is None:
                    self._warn(path, "a key that no file name can express")
                else:
                    directories[name] = None
            token = page.token
            if token is None:
                return files, directories, found

    def _warn(self, path: str, what: str) -> None:
        """Once a mount, because a bucket that has one such key usually has many."""
        if not self._warned:
            self._warned = True
            log.warning("keys are hidden below %r: %s", prefix_of(self._key_prefix, path) or "/", what)
