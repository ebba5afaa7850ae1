"""From a path to what is there, with the fewest requests that can answer rightly.

A key ``a/b`` and keys below ``a/b/`` may both exist, and then the directory wins; so a strict look-up asks both at
once: HEAD of the key and LIST of what is below, one round trip. Precedence (Mountpoint SEMANTICS, "Mapping S3 object
keys"):

1. a remote directory      keys below ``path/`` (a marker alone is enough)
2. local state             a directory made here, a file being written here
3. a remote file           the object
"""

from __future__ import annotations

import errno
from concurrent.futures import Future
from typing import Final, Protocol

from vfsmount.clock import FOREVER
from vfsmount.errors import NotFound, StoreError, from_store, os_error
from vfsmount.model import Attr, ObjectMeta
from vfsmount.store.protocol import Head, ListObjects
from vfsmount.transfer.pool import Submit
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.namespace import ancestors_of, key_of, path_error, prefix_of


class LookupStore(Head, ListObjects, Protocol):
    """The verbs a look-up needs."""


def failed(error: StoreError, display: str) -> OSError:
    """The OSError for a request that failed; ENOENT of a missing bucket is told from that of a missing file."""
    return from_store(error, display, hint="the bucket does not exist" if error.code == "NoSuchBucket" else None)


class Lookup:
    """Resolves mount-relative paths. Every method raises OSError with the display path it is given."""

    def __init__(
        self,
        store: LookupStore,
        key_prefix: str,
        local: LocalState,
        cache: AttrCache,
        appearance: Appearance,
        submit: Submit,
    ) -> None:
        self._store: Final = store
        self._key_prefix: Final = key_prefix
        self._local: Final = local
        self._cache: Final = cache
        self._appearance: Final = appearance
        self._submit: Final = submit

    def attr(self, path: str, display: str, *, fresh: bool = False) -> Attr:
        """What is at ``path``. No request where the answer is cached or local; else two, in one round trip.

        ``fresh``: do not trust the cache. Raises ENOENT, ENOTDIR, ENAMETOOLONG, EACCES, EIO.
        """
        if not path:
            return self._appearance.directory("")
        if not fresh:
            known, attr = self._cache.get(path)
            if known and not self._local.is_being_written(path):
                if attr is None:
                    raise os_error(errno.ENOENT, display)
                return attr
        self.check(path, display, missing=True)
        made = self._local.directory(path)
        if made is not None:
            return self._appearance.directory(path, made or None)
        if self._local.is_being_written(path):
            return self._written_here(path, display)
        meta, is_directory, asked = self._ask(path, display)
        return self.settle(path, display, meta, asked, is_directory=is_directory)

    def attr_of_one(self, path: str, display: str, missing: set[tuple[int, str]]) -> Attr:
        """``attr`` for who copies one file of several: shutil looks three times at what it is about to write.

        What was missing a moment ago (``missing``) is missing still, as is what a directory that was just listed or
        made did not have.
        """
        if not self._local.is_being_written(path) and self._local.directory(path) is None:
            if (id(self), path) in missing or self._cache.is_absent(path):
                raise os_error(errno.ENOENT, display)
        try:
            return self.attr(path, display)
        except FileNotFoundError as error:
            if error.__cause__ is None:  # else the bucket is
                missing.add((id(self), path))
            raise

    def settle(self, path: str, display: str, meta: ObjectMeta | None, asked: int, *, is_directory: bool) -> Attr:
        """Decide by the precedence above, and remember the decision; ``asked``: the epoch before the requests.

        Raises ENOENT, ENOTDIR.
        """
        if is_directory:
            attr = self._appearance.directory(path)
        elif meta is not None:
            attr = self._appearance.file(path, meta)
        else:
            raise self.missing(path, display, asked)
        self.remember(path, attr, asked)
        return attr

    def remember(self, path: str, attr: Attr, asked: int) -> None:
        """Cache ``attr``, and that all above it are directories."""
        self._cache.put(path, attr, asked)
        self._remember_above(path, asked)

    def remember_above(self, path: str) -> None:
        """There is a key for ``path``: cache that all above it are directories."""
        self._remember_above(path, self._cache.epoch())

    def _remember_above(self, path: str, asked: int) -> None:
        for ancestor in ancestors_of(path):
            known, found = self._cache.get(ancestor)
            if known and found is not None and found.is_dir:
                break
            self._cache.put(ancestor, self._appearance.directory(ancestor), asked)

    def epoch(self) -> int:
        """Taken before requests whose answers are to be remembered."""
        return self._cache.epoch()

    def listed(self, path: str, attrs: dict[str, Attr], epoch: int, since: float | None = None) -> None:
        """Remember what is in the directory ``path``, by name, and that nothing else is, as it was at ``since`` (or
        now). ``attrs`` is not the caller's any more.
        """
        self._cache.fill(path, attrs, epoch, since)

    def missing(self, path: str, display: str, asked: int | None = None) -> OSError:
        """ENOTDIR where something above ``path`` is a file, else ENOENT; asks for what is above only where unknown.

        Two requests for the directory that ``path`` should be in. Where that is missing as well, the deepest ancestor
        that exists is found by halves, since all above it exist too: two requests each time. What was missing within
        ``metadata_ttl`` is not asked for again: at worst a file that another client made there is told as ENOENT.
        """
        begun = self._cache.epoch()
        unknown: list[str] = []
        is_file = False
        for ancestor in ancestors_of(path):
            known, attr = self._cache.get(ancestor)
            if self._local.directory(ancestor) is not None:
                break
            if known and not self._local.is_being_written(ancestor):
                is_file = attr is not None and not attr.is_dir
                break  # whoever found out that it is missing has looked at all above it
            if self._cache.is_missing(ancestor):
                break
            unknown.append(ancestor)
        missing, found = -1, len(unknown)  # the nearest first
        failure: OSError | None = None
        middle = 0
        while found - missing > 1:
            try:
                there = self._look(unknown[middle], display)
            except OSError as error:
                failure, found = error, middle  # it matters only where nothing nearer exists
            else:
                if there is None:
                    missing = middle
                else:
                    failure, found, is_file = None, middle, not there.is_dir
            middle = (missing + found) // 2
        if failure is not None:
            try:
                return failure
            finally:
                failure = None  # its traceback holds this frame
        if is_file:
            return os_error(errno.ENOTDIR, display)
        self._cache.put_missing(unknown[:found], begun)
        for ancestor in unknown[:found]:
            self._cache.put(ancestor, None, begun)
        if asked is not None:
            self._cache.put_missing((path,), asked)
            self._cache.put(path, None, asked)
        return os_error(errno.ENOENT, display)

    def _look(self, path: str, display: str) -> Attr | None:
        """What is at ``path``, None where nothing is; two requests. Raises EACCES, EIO."""
        if self._local.is_being_written(path):
            return self._written_here(path, display)
        meta, is_directory, asked = self._ask(path, display)
        if meta is None and not is_directory:
            return None
        return self.settle(path, display, meta, asked, is_directory=is_directory)

    def _ask(self, path: str, display: str) -> tuple[ObjectMeta | None, bool, int]:
        """The object's metadata, whether there is a directory, and the epoch before the two requests."""
        asked = self._cache.epoch()
        below = self._submit(lambda: self.has_keys_below(path))
        try:
            meta = self._head(path, display)
        except OSError:  # not after Ctrl-C, which must not wait for the other request
            self.outcome(below, display)
            raise
        return meta, self.outcome(below, display), asked

    def is_known_file(self, path: str) -> bool:
        """True where a recent answer says that ``path`` is a file, so that no directory hides it."""
        known, attr = self._cache.get(path)
        return known and attr is not None and not attr.is_dir

    def is_unhidden(self, path: str) -> bool:
        """True where it is known that no directory hides a file at ``path``."""
        return self.is_known_file(path) or self._cache.is_childless(path)

    def require_directory(self, path: str, display: str) -> None:
        """Raise ENOENT or ENOTDIR where nothing can be created in ``path``; one LIST where it is not known."""
        if not path or self._local.directory(path) is not None:
            return
        known, attr = self._cache.get(path)
        if not known:
            asked = self._cache.epoch()
            try:
                if self.has_keys_below(path):
                    self.remember(path, self._appearance.directory(path), asked)
                    return
            except StoreError as error:
                raise failed(error, display) from error
        if not (attr or self.attr(path, display, fresh=True)).is_dir:
            raise os_error(errno.ENOTDIR, display)

    def has_keys_below(self, path: str) -> bool:
        """Whether the directory exists in the bucket. One request. Raises StoreError."""
        prefix = prefix_of(self._key_prefix, path)
        try:
            page = self._store.list_page(prefix, delimiter=False, limit=1)
        except NotFound as error:
            if error.code == "NoSuchBucket":
                raise
            return False  # a store with real directories
        return bool(page.objects or page.prefixes)

    def check(self, path: str, display: str, *, missing: bool = False) -> None:
        """Raise ENAMETOOLONG, or EILSEQ (ENOENT where ``missing``), for a path that no key can have."""
        number = path_error(self._key_prefix, path)
        if number is not None:
            raise os_error(errno.ENOENT if missing and number == errno.EILSEQ else number, display)

    def outcome(self, answer: Future[bool], display: str) -> bool:
        """Wait for a listing that runs beside."""
        try:
            return answer.result(FOREVER)
        except StoreError as error:
            raise failed(error, display) from error

    def _head(self, path: str, display: str) -> ObjectMeta | None:
        try:
            return self._store.head(key_of(self._key_prefix, path))
        except NotFound as error:
            if error.code == "NoSuchBucket":
                raise failed(error, display) from error
            return None
        except StoreError as error:
            raise failed(error, display) from error

    def _written_here(self, path: str, display: str) -> Attr:
        if self.outcome(self._submit(lambda: self.has_keys_below(path)), display):
            return self._appearance.directory(path)
        writer = self._local.writer(path)
        if writer is not None:
            return writer.stat()
        meta, is_directory, asked = self._ask(path, display)  # just ended, or just being made: what the bucket has
        return self.settle(path, display, meta, asked, is_directory=is_directory)
