"""``shutil.rmtree`` in a request for each thousand files: what its walk is going to delete is deleted ahead of it.

shutil's own code walks the tree, meets every error and calls the handlers; only that many of its deletions are done
already when it comes to them. So nothing is deleted ahead where the walk might stop before it comes there: not where
the tree has what keeps a directory from being removed, or a file that is being written. What a store refuses is not
taken for done, and the walk asks for it again, so that each failure is told of the file that it is about.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from vfsmount.clock import FOREVER, Clock
from vfsmount.errors import StoreError, from_store, os_error
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import Store
from vfsmount.transfer.pool import Submit
from vfsmount.vfs import policy
from vfsmount.vfs.attrs import AttrCache
from vfsmount.vfs.flat import PAGE, FlatListing
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.namespace import key_of, parent_of, prefix_of, visible
from vfsmount.vfs.options import FsOptions

PAGES: Final = 4
"""Requests that are made to find out what one of them left."""

TOGETHER: Final = 1000
"""Keys in one request, where the store deletes many in one. Source: S3 DeleteObjects."""

AT_ONCE: Final = 32
"""Requests at once, where it does not."""


AGE: Final = 1.0
"""Seconds for which it is trusted what was left in the tree, and ``metadata_ttl`` where that is less."""


class _Left(NamedTuple):
    """What was left in the tree, or in a piece of it."""

    low: str
    """Keys behind this one."""
    keys: list[str]
    """Sorted."""
    complete: bool
    since: float
    """When they were asked for (monotonic seconds)."""
    batches: int
    """Requests that had deleted ahead by then."""


class Removal:
    """What one ``rmtree`` has of one mount. Not for several threads at once."""

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        *,
        local: LocalState,
        cache: AttrCache,
        flat: Callable[[], FlatListing | None],
        submit: Submit,
        clock: Clock,
    ) -> None:
        """``flat``: what feeds the traversal."""
        self._store: Final = store
        self._options: Final = options
        self._local: Final = local
        self._cache: Final = cache
        self._flat: Final = flat
        self._submit: Final = submit
        self._now: Final = clock.monotonic
        self._time_ns: Final = clock.time_ns
        self._top: str | None = None
        self._entered: set[str] = set()
        """Directories that the walk came to: a file of such a name was hidden by one, and stays."""
        self._done: dict[str, int] = {}
        """Paths deleted ahead, with the cache's epoch before that."""
        self._tried: dict[str, int] = {}
        """Those of which it is not known."""
        self._looked_at: ObjectMeta | None = None
        """The last key of which was known when there was nothing to delete ahead."""
        self._given_up = False
        self._batches = 0
        self._left: _Left | None = None
        self._backwards = False
        self._first = ""
        """The first key that was deleted ahead last."""

    def entered(self, path: str) -> None:
        """The walk lists the directory ``path``; the first one is what is to be removed."""
        if self._top is None:
            self._top = path
        self._entered.add(path)

    def has_deleted(self, path: str) -> bool:
        """True, once, where the file at ``path`` was deleted ahead, and nothing was put there here since."""
        epoch = self._done.pop(path, None)
        return epoch is not None and not self._cache.changed_since(path, epoch)

    def has_tried(self, path: str) -> bool:
        """True, once, where that was asked for and may have been done, so that it is no error if nothing is there."""
        epoch = self._tried.pop(path, None)
        return epoch is not None and not self._cache.changed_since(path, epoch)

    def delete(self, path: str) -> bool:
        """Delete the file at ``path``, which may be deleted, and others that the walk will come to; one request.

        False where the caller is to delete it alone.
        """
        keys = self._ahead(path)
        if not keys:
            self._batches += bool(self._batches)
            return False
        cut = len(self._options.key_prefix)
        epoch, now = self._cache.epoch(), self._time_ns()
        deleted = self._together(keys, epoch) if self._store.traits.bulk_delete else self._at_once(keys)
        self._batches += 1
        for key in deleted:
            self._done[key[cut:]] = epoch
            self._local.keep_ancestors(key[cut:], now)  # the walk must find the directories that it was told of
        self._given_up = len(deleted) < len(keys)
        self._first = keys[0]
        self._tried.pop(path, None)
        return self.has_deleted(path)

    def is_empty(self, path: str) -> bool:
        """True where the bucket has nothing below ``path``, which is a local directory; one request for each time that
        something was deleted ahead, and for each second. False where it is to be asked.
        """
        if not self._batches or self._top is None or self._options.keep_dirs or not self._local.directory(path):
            return False
        prefix = prefix_of(self._options.key_prefix, path)
        left = self._left
        if left is not None and self._now() - left.since < min(self._options.metadata_ttl, AGE):
            if self._tells(left, prefix):
                return True
            if left.batches == self._batches and left.low == self._low(path):
                return False
        left = self._left = self._ask(self._low(path))
        if left is not None and not left.complete and not self._backwards and not self._tells(left, prefix):
            self._backwards = True
            left = self._left = self._ask(self._low(path))
        return left is not None and self._tells(left, prefix)

    def finish(self) -> None:
        """The walk has ended, perhaps before it came to everything."""
        for path in (*self._done, *self._tried):
            self._local.forget_readers(path)
            self._cache.drop(path)
        self._done.clear()
        self._tried.clear()

    # -- what to delete

    def _ahead(self, path: str) -> list[str]:
        """Keys of files, that at ``path`` among them; none where no other is known that surely may be deleted."""
        options, flat = self._options, self._flat()
        if self._given_up or self._top is None or flat is None or self._local.files_below(self._top):
            return []
        held = flat.held(prefix_of(options.key_prefix, self._top))
        if not held or held[-1][0] is self._looked_at:
            return []
        keys = self._files(held)
        key = key_of(options.key_prefix, path)
        at = bisect_left(keys, key)
        if len(keys) < 2 or at == len(keys) or keys[at] != key:
            self._looked_at = held[-1][0]
            return []
        most = TOGETHER if self._store.traits.bulk_delete else AT_ONCE
        first = bisect_left(keys, prefix_of(options.key_prefix, parent_of(path)))
        first = max(0, min(first, len(keys) - most), at - most + 1)
        return keys[first : first + most]

    def _files(self, held: Sequence[tuple[ObjectMeta, int, bool]]) -> list[str]:
        """The keys of the files that a walk sees, sorted; gives up where there is what it stumbles over."""
        options, changed_since = self._options, self._cache.changed_since
        cut, start = len(options.key_prefix), len(prefix_of(options.key_prefix, self._top or ""))
        found: list[str] = []
        directories: set[str] = set()
        above: str | None = None
        for (key, *_), epoch, passed in held:
            directory, _, name = key.rpartition("/")
            if directory != above and len(key) - len(name) > start:
                above = directory
                below = key[start : len(directory)]
                if not all(map(visible, below.split("/"))):
                    self._given_up = True
                    return []
                while len(directory) >= start and directory not in directories:
                    directories.add(directory)
                    directory = directory.rpartition("/")[0]
            if not name:
                if not options.keep_dirs and len(key) > start:  # that of the top is met when all else is done
                    self._given_up = True
                    return []
            elif not visible(name):
                self._given_up = True
                return []
            elif key[cut:] in self._entered or self._local.directory(key[cut:]) is not None:
                self._given_up = True  # what was below it is gone already
                return []
            elif passed and not changed_since(key[cut:], epoch) and key[cut:] not in self._done:
                found.append(key)
        if not directories.isdisjoint(key for (key, *_), _, _ in held):
            self._given_up = True  # a file that a directory hides appears when that is gone
            return []
        found.sort()
        return found

    # -- requests

    def _together(self, keys: list[str], epoch: int) -> list[str]:
        try:
            self._store.delete_many(keys)
        except StoreError:  # it does not tell what it is about, and what was deleted all the same
            left, cut = self._left_of(keys), len(self._options.key_prefix)
            if left is not None:
                return [key for key in keys if key not in left]
            now = self._time_ns()
            for key in keys:
                self._tried[key[cut:]] = epoch
                self._local.keep_ancestors(key[cut:], now)  # as of what is deleted: they may be empty
            return []
        return keys

    def _left_of(self, keys: list[str]) -> set[str] | None:
        """Which of ``keys`` are still there; None where that cannot be found out with a few requests."""
        ordered = self._store.traits.ordered_list
        low, found = keys[0][:-1] if ordered else "", set[str]()
        for _ in range(PAGES):
            left = self._ask(low)
            if left is None or (not ordered and not left.complete):
                return None
            found.update(left.keys)
            if left.complete or left.keys[-1] >= keys[-1]:
                return found.intersection(keys)
            low = left.keys[-1]
        return None

    def _at_once(self, keys: list[str]) -> list[str]:
        def deleting(key: str) -> Callable[[], None]:
            return lambda: self._store.delete(key)

        answers = [(key, self._submit(deleting(key))) for key in keys]
        deleted = []
        for key, answer in answers:
            with contextlib.suppress(StoreError):
                answer.result(FOREVER)
                deleted.append(key)
        return deleted

    def _low(self, path: str) -> str:
        """Behind which to ask, so that the answer tells of other directories too: where the walk begins with the last
        one, of all that were emptied with this one.
        """
        if not self._backwards or not self._store.traits.ordered_list or path == self._top:
            return ""
        top = len(prefix_of(self._options.key_prefix, self._top or ""))
        key = prefix_of(self._options.key_prefix, path)
        first = self._first if self._first < key else key
        return first[: first.index("/", top)] if "/" in first[top:] else ""

    def _ask(self, low: str) -> _Left | None:
        since, batches = self._now(), self._batches
        top = prefix_of(self._options.key_prefix, self._top or "")
        try:
            page = self._store.list_page(top, delimiter=False, start_after=low or None, limit=PAGE)
        except StoreError:
            return None
        return _Left(low, sorted(meta.key for meta in page.objects), page.token is None, since, batches)

    def _tells(self, left: _Left, prefix: str) -> bool:
        """True where ``left`` shows that there is nothing below ``prefix``."""
        at = bisect_left(left.keys, prefix)
        if left.low >= prefix or (at < len(left.keys) and left.keys[at].startswith(prefix)):
            return False
        return left.complete or (self._store.traits.ordered_list and at < len(left.keys))


def rmdir_remote(store: Store, options: FsOptions, path: str, display: str) -> None:
    """What the bucket has to say to the removal of an empty directory: one LIST, and a DELETE of its marker.

    Raises EPERM where there are keys that stay.
    """
    prefix = prefix_of(options.key_prefix, path)
    try:
        page = store.list_page(prefix, delimiter=False, limit=2)
        marker = any(meta.key == prefix for meta in page.objects)
        others = bool(page.prefixes) or any(meta.key != prefix for meta in page.objects)
        refusal = policy.rmdir_remote(options, marker=marker, others=others)
        if refusal is not None:
            raise os_error(refusal.number, display, hint=refusal.hint)
        if marker:
            store.delete(prefix)
    except StoreError as error:
        raise from_store(error, display) from error
