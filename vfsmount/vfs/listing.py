"""The names in a directory: what the bucket has, what is local, and what is hidden.

Sorted by name and not by key: ``a-/`` sorts before ``a/`` as keys, but ``a`` before ``a-`` as names, so a file and the
directory that hides it can be pages apart and nothing is told before the last page is in.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from vfsmount.errors import NotFound, StoreError, os_error
from vfsmount.model import Attr, Entry, ListPage, ObjectMeta
from vfsmount.store.protocol import ListObjects
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.flat import FlatListing
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup, failed
from vfsmount.vfs.namespace import child_of, name_in, prefix_of, visible
from vfsmount.vfs.traversal import PerTraversal

log = logging.getLogger(__name__)

_name: Final = itemgetter(0)


class Listing:
    """Lists directories of one mount."""

    def __init__(
        self,
        store: ListObjects,
        key_prefix: str,
        *,
        local: LocalState,
        cache: AttrCache,
        lookup: Lookup,
        appearance: Appearance,
        flat: Callable[[], FlatListing] | None = None,
    ) -> None:
        """``flat``: makes what feeds one recursive traversal; None where each directory is to be listed by itself."""
        self._store: Final = store
        self._key_prefix: Final = key_prefix
        self._local: Final = local
        self._cache: Final = cache
        self._lookup: Final = lookup
        self._appearance: Final = appearance
        self._make_flat: Final = flat
        self._traversals: Final = None if flat is None else PerTraversal(flat)
        self._warned = False

    def entries(self, path: str, display: str) -> list[Entry]:
        """All names in ``path``, sorted; one request for each thousand keys and prefixes, fewer in a traversal.

        Fills the attr cache. Raises ENOENT, ENOTDIR, EACCES, EIO.
        """
        self._lookup.check(path, display, missing=True)
        if self._lookup.is_known_file(path) and self._local.directory(path) is None:
            raise os_error(errno.ENOTDIR, display)  # glob and rglob try to list every file that they meet
        flat = self.flat()
        told = None if flat is None else flat.directory(*self._below(path))
        contents = _Contents()
        since = None
        if told is not None and (told.page.objects or told.page.prefixes or (path and self._local.directory(path))):
            epoch, since = told.epoch, told.since
            self._read(path, told.page, contents)
        else:
            epoch = self._lookup.epoch()
            self._remote(path, display, contents)
        files, directories = contents.files, contents.directories
        local_directories, writers = self._local.names_in(path)
        if not contents.found and path and self._local.directory(path) is None:
            if not self._lookup.attr(path, display, fresh=True).is_dir:
                raise os_error(errno.ENOTDIR, display)
        hidden = directories.keys() & files.keys()
        for name in hidden:
            del files[name]
        entries = self._appearance.files(path, files)
        for name, writer in writers.items():
            if name not in directories:
                entries[name] = writer.stat()
        for name, made in local_directories.items():
            entries[name] = self._appearance.directory(child_of(path, name), made or None)
        for name in directories:
            entries[name] = self._appearance.directory(child_of(path, name))
        if hidden:
            self._warn(path, "a file is hidden by the directory of its name")
        ordered = list(map(Entry._make, sorted(entries.items(), key=_name)))
        for name in writers:
            entries.pop(name, None)  # what it looks like changes with every write
        self._lookup.listed(path, entries, epoch, since)
        self._cache.put_directories(path, frozenset(directories) | frozenset(local_directories), epoch, since)
        if path and contents.found:
            self._lookup.remember(path, self._appearance.directory(path), epoch)
        if flat is not None:
            flat.named([prefix_of(self._key_prefix, child_of(path, name)) for name in directories])
        return ordered

    def learn(self, path: str) -> bool:
        """Remember which directories are in ``path``, where one request tells that; False where it does not."""
        flat = None if self._make_flat is None else self._make_flat()
        told = None if flat is None else flat.directory(*self._below(path))
        if told is None:
            return False
        contents = _Contents()
        self._read(path, told.page, contents)
        if not contents.found:
            return True
        local_directories, _ = self._local.names_in(path)
        names = frozenset(contents.directories) | frozenset(local_directories)
        self._cache.put_directories(path, names, told.epoch, told.since)
        return True

    def flat(self) -> FlatListing | None:
        """What feeds the traversal under way."""
        return None if self._traversals is None else self._traversals.current()

    def told(self, path: str) -> Attr | None:
        """The attr of a directory that the traversal under way was told of and now comes to; at most the request that
        it makes in any case. None outside of traversals, and for whatever else is there.
        """
        flat = self.flat()
        if flat is None or not path or self._local.is_being_written(path):
            return None
        made = self._local.directory(path)
        if made is not None:
            return self._appearance.directory(path, made or None)
        known, attr = self._cache.get(path)
        if known:
            return attr if attr is not None and attr.is_dir else None
        return self._appearance.directory(path) if flat.has_directory(*self._below(path)) else None

    def _below(self, path: str) -> tuple[str, Callable[[int], bool]]:
        return prefix_of(self._key_prefix, path), functools.partial(self._cache.changed_since, path)

    def _remote(self, path: str, display: str, contents: _Contents) -> None:
        prefix = prefix_of(self._key_prefix, path)
        token = None
        while True:
            try:
                page = self._store.list_page(prefix, delimiter=True, token=token)
            except NotFound as error:
                if error.code == "NoSuchBucket":
                    raise failed(error, display) from error
                return
            except StoreError as error:
                raise failed(error, display) from error
            self._read(path, page, contents)
            token = page.token
            if token is None:
                return

    def _read(self, path: str, page: ListPage, contents: _Contents) -> None:
        prefix = prefix_of(self._key_prefix, path)
        contents.found = contents.found or bool(page.objects or page.prefixes)
        files, start = contents.files, len(prefix)
        for meta in page.objects:
            key = meta[0]
            name = key[start:]
            if visible(name):
                files[name] = meta
            elif key != prefix:  # the directory's own marker
                self._warn(path, "a key that no file name can express")
        for common in page.prefixes:
            found = name_in(prefix, common)
            if found is None:
                self._warn(path, "a key that no file name can express")
            else:
                contents.directories[found] = None

    def _warn(self, path: str, what: str) -> None:
        """Once a mount, because a bucket that has one such key usually has many."""
        if not self._warned:
            self._warned = True
            log.warning("keys are hidden below %r: %s", prefix_of(self._key_prefix, path) or "/", what)


@dataclass(slots=True)
class _Contents:
    """What the bucket has directly in one directory."""

    files: dict[str, ObjectMeta] = field(default_factory=dict)
    directories: dict[str, None] = field(default_factory=dict)
    found: bool = False
    """There is something, be it only a marker or what no name can express."""
