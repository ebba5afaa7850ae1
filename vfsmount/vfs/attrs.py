"""What files and directories look like, and for how long an answer about them is trusted."""

from __future__ import annotations

import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL first, which takes longer than all modules of vfs together
except ImportError:
    from hashlib import blake2b

from cachetools import LRUCache

from vfsmount.clock import Clock
from vfsmount.model import Attr, ObjectMeta
from vfsmount.vfs.namespace import ancestors_of, child_of, parent_of
from vfsmount.vfs.options import FsOptions

CACHE_ENTRIES: Final = 100_000
"""Paths remembered at most, and names of listed directories; about 400 bytes each."""


def inode(device: int, path: str) -> int:
    """A number that is the same in every process and on every day, so that ``samefile`` and hard-link checks work.

    63 bits, because some callers keep it in a signed integer; never 0, which several tools take for "deleted".
    """
    hashed = _inodes(device)
    hashed.update(path.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "big") >> 1 or 1


def _inodes(device: int) -> blake2b:
    """Where the hash of a path begins; ``Appearance.files`` takes it from here as :func:`inode` does."""
    return blake2b(digest_size=8, salt=device.to_bytes(8, "big"))


def device(bucket: str, key_prefix: str, point: str) -> int:
    """``st_dev`` of a mount: a hash, in a range (major number 3800 to 4055) that Linux gives to no device."""
    raw = blake2b(f"{point}\0{bucket}/{key_prefix}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    value = int.from_bytes(raw, "big")
    major, minor = 3800 + (value >> 24), value & 0xFFFFF  # 12 bits and 20 bits, as glibc's makedev packs them
    return ((major & 0xFFF) << 8) | (minor & 0xFF) | ((minor & 0xFFF00) << 12)


class Appearance:
    """Makes :class:`Attr` for one mount."""

    def __init__(self, options: FsOptions, mounted_at_ns: int) -> None:
        self._options = options
        self._mounted_at = mounted_at_ns
        self.device: Final = device(options.bucket, options.key_prefix, options.point)
        self._inodes = _inodes(self.device)

    def file(self, path: str, meta: ObjectMeta) -> Attr:
        """Of a committed object."""
        return self.writing(path, meta.size, meta.mtime_ns, meta.etag, meta.storage_class)

    def files(self, path: str, metas: Mapping[str, ObjectMeta]) -> dict[str, Attr]:
        """As :meth:`file`, of many in the directory ``path``, by their names."""
        options = self._options
        mode, uid, gid, dev = stat.S_IFREG | options.file_mode, options.uid, options.gid, self.device
        inodes = self._inodes.copy()
        inodes.update(f"{path}/".encode("utf-8", "surrogatepass") if path else b"")
        begun, number = inodes.copy, int.from_bytes
        found = {}
        for name, (_, size, mtime_ns, etag, storage_class) in metas.items():
            hashed = begun()
            hashed.update(name.encode("utf-8", "surrogatepass"))
            ino = number(hashed.digest(), "big") >> 1 or 1
            found[name] = Attr(mode, ino, dev, uid, gid, size, mtime_ns, etag, storage_class)
        return found

    def writing(
        self, path: str, size: int, mtime_ns: int, etag: str | None = None, storage_class: str | None = None
    ) -> Attr:
        """Of a file with no object yet."""
        options = self._options
        return Attr(
            mode=stat.S_IFREG | options.file_mode,
            ino=inode(self.device, path),
            dev=self.device,
            uid=options.uid,
            gid=options.gid,
            size=size,
            mtime_ns=mtime_ns,
            etag=etag,
            storage_class=storage_class,
        )

    def directory(self, path: str, mtime_ns: int | None = None) -> Attr:
        """Of a directory. One that is only implied by keys has no time of its own and shows when it was mounted."""
        options = self._options
        return Attr(
            mode=stat.S_IFDIR | options.dir_mode,
            ino=inode(self.device, path),
            dev=self.device,
            uid=options.uid,
            gid=options.gid,
            size=0,
            mtime_ns=self._mounted_at if mtime_ns is None else mtime_ns,
        )


class _Answer(NamedTuple):
    attr: Attr | None
    epoch: int
    until: float
    """Monotonic seconds."""


class _Listed(NamedTuple):
    """What a directory's listing told of the names in it."""

    attrs: dict[str, Attr]
    order: int
    """Answers about one name from this epoch on are newer."""
    until: float
    """Monotonic seconds."""
    size: int
    """What it counts for among ``CACHE_ENTRIES``."""
    epoch: int
    """Before it was asked for."""
    complete: bool


class _Directories(NamedTuple):
    names: frozenset[str]
    epoch: int
    until: float
    """Monotonic seconds."""


class AttrCache:
    """Recent answers by path, positive and (``negative_ttl``) negative; bounded, thread-safe."""

    def __init__(self, ttl: float, negative_ttl: float, clock: Clock) -> None:
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._now = clock.monotonic
        self._epoch = 0
        self.told: Callable[[str, bool], None] | None = None
        """Called with each path that is changed here, and whether all below it is."""
        self._start_over()

    def _start_over(self) -> None:
        """Nothing is known, and answers to what was asked before are not learnt."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Answer] = OrderedDict()
        # Whole, because an answer for each name would take longer to make than the name's attr.
        self._filled: OrderedDict[str, _Listed] = OrderedDict()
        self._filled_size = 0
        self._made: OrderedDict[str, float] = OrderedDict()
        self._listed: LRUCache[str, int] = LRUCache(CACHE_ENTRIES // 10)
        self._changed: LRUCache[str, int] = LRUCache(CACHE_ENTRIES // 10)
        self._changed_below: dict[str, int] = {}
        self._changed_before: dict[str, int] = {}
        self._turned = self._forgotten = self._floor = self._epoch
        self._childless: frozenset[str] = frozenset()
        self._childless_until = 0.0
        self._directories: LRUCache[str, _Directories] = LRUCache(CACHE_ENTRIES // 100)
        self._missing: LRUCache[str, tuple[int, float]] = LRUCache(CACHE_ENTRIES // 10)

    def get(self, path: str) -> tuple[bool, Attr | None]:
        """Whether there is a fresh answer, and it; a fresh None says that nothing is there."""
        parent, _, name = path.rpartition("/")
        with self._lock:
            answer, now = self._entries.get(path), self._now()
            filled = self._filled.get(parent)
            if filled is not None and filled.until > now and (answer is None or answer.epoch < filled.order):
                attr = filled.attrs.get(name)
                if attr is not None:
                    return True, attr
            if answer is None or answer.until <= now or answer.epoch < self._listed.get(parent, 0):
                return False, None
            if answer.attr is None and any(answer.epoch < self._changed.get(one, 0) for one in ancestors_of(path)):
                return False, None  # what is above may be a file now: ENOTDIR
            return True, answer.attr

    def epoch(self) -> int:
        """A point between the answers that came before and those to come, for :meth:`listed` and :meth:`put`."""
        with self._lock:
            self._epoch += 1
            return self._epoch

    @property
    def latest(self) -> int:
        """The last such point; nothing was changed here, or forgotten, while it stays the same."""
        return self._epoch

    def fill(self, path: str, attrs: dict[str, Attr], epoch: int, since: float | None = None) -> None:
        """The directory was listed: of the names in it, what was learnt before ``epoch`` holds no longer, and these
        are remembered as by :meth:`put`, of a very wide directory the first ones. ``attrs`` is the cache's from here.
        """
        with self._lock:
            self._listed[path] = max(epoch, self._listed.get(path, 0))
            self._unfill(path)
            now = self._now()
            until = (now if since is None else since) + self._ttl
            if epoch < self._floor or until <= now:
                return
            if epoch < self._changed_at(path):
                changed = self._changed
                attrs = {name: one for name, one in attrs.items() if epoch >= changed.get(child_of(path, name), 0)}
            complete = len(attrs) <= CACHE_ENTRIES
            if not complete:
                attrs = dict(islice(attrs.items(), CACHE_ENTRIES))
            self._epoch += 1
            order = self._epoch if since is None else epoch + 1
            size = len(attrs) + 1
            self._filled[path] = _Listed(attrs, order, until, size, epoch, complete)
            self._filled_size += size
            while self._filled_size > CACHE_ENTRIES and len(self._filled) > 1:
                self._filled_size -= self._filled.popitem(last=False)[1].size

    def _unfill(self, path: str) -> None:
        filled = self._filled.pop(path, None)
        if filled is not None:
            self._filled_size -= filled.size

    def changed_since(self, path: str, epoch: int) -> bool:
        """True where something at or below the directory ``path`` was changed here, or forgotten, after ``epoch``."""
        with self._lock:
            return epoch < self._floor or epoch < self._changed_at(path)

    def _changed_at(self, path: str) -> int:
        """The epoch of the last change at or below ``path``, or a later one."""
        below = self._changed_below.get(path) or self._changed_before.get(path, 0)
        return max(self._forgotten, below)

    def put(self, path: str, attr: Attr | None, asked: int) -> None:
        """Remember what was just learnt, or, where it may not be trusted for any time, only forget what was known.

        ``asked``: the epoch before the request. Nothing is remembered where ``path`` was changed here since then: the
        answer may be from before the change.
        """
        with self._lock:
            if asked < self._floor or asked < self._changed.get(path, 0):
                return
            self._forget(path)
            now = self._now()
            until = now + (self._negative_ttl if attr is None else self._ttl)
            if until > now:
                self._entries[path] = _Answer(attr, self._epoch, until)
                if len(self._entries) > CACHE_ENTRIES:
                    self._entries.popitem(last=False)

    def put_missing(self, paths: Iterable[str], asked: int) -> None:
        """Nothing was at these paths, and no file above them. Their names are not taken for missing by that: it tells
        what is wrong with a path below them.
        """
        with self._lock:
            until = self._now() + self._ttl
            for path in paths:
                if asked >= max(self._floor, self._changed.get(path, 0)):
                    self._missing[path] = asked, until

    def is_missing(self, path: str) -> bool:
        """True where a look-up within ``ttl`` has shown that neither ``path`` nor anything above it is a file."""
        with self._lock:
            epoch, until = self._missing.get(path, (0, 0.0))
            if until <= self._now() or epoch < self._floor:
                return False
            return all(epoch >= self._changed.get(one, 0) for one in (path, *ancestors_of(path)))

    def put_childless(self, paths: frozenset[str]) -> None:
        """For as long as an answer is fresh, and until something is changed here: no key lies below these paths."""
        with self._lock:
            self._childless, self._childless_until = paths, self._now() + self._ttl

    def put_directories(self, path: str, names: frozenset[str], epoch: int, since: float | None = None) -> None:
        """All directories in ``path`` were found after ``epoch`` (at ``since``, if that is some time ago)."""
        with self._lock:
            self._directories.pop(path, None)
            until = (self._now() if since is None else since) + self._ttl
            if len(names) <= CACHE_ENTRIES // 10 and until > self._now():
                self._directories[path] = _Directories(names, epoch, until)

    def is_childless(self, path: str) -> bool:
        """True where it is known that no directory hides a file at ``path``; there need not be one."""
        parent, name = parent_of(path), path.rpartition("/")[2]
        with self._lock:
            if path in self._childless and self._now() < self._childless_until:
                return True
            found = self._directories.get(parent)
            if found is None or found.until <= self._now() or name in found.names:
                return False
            changed = max(self._floor, self._changed_at(path))
            return found.epoch >= changed

    def is_absent(self, path: str) -> bool:
        """True where the directory above was listed, or made, as long ago as an attr is trusted, with nothing at
        ``path``, and nothing was changed there here since.
        """
        parent, _, name = path.rpartition("/")
        with self._lock:
            filled = self._filled.get(parent)
            if filled is None or not filled.complete or filled.until <= self._now() or name in filled.attrs:
                return False
            return path not in self._entries and filled.epoch >= max(self._floor, self._changed_at(path))

    def put_made(self, path: str) -> None:
        """A file was just committed here at ``path``; what it looks like is not known, as the store sets its time."""
        with self._lock:
            self._made[path] = self._now() + self._ttl
            while len(self._made) > CACHE_ENTRIES // 100:
                self._made.popitem(last=False)

    def was_made(self, path: str) -> bool:
        """True for as long after that as an attr is trusted, and until it is changed again here."""
        with self._lock:
            return self._now() < self._made.get(path, 0.0)

    def drop(self, path: str, *, quiet: bool = False) -> None:
        """Forget ``path``, which was changed here, and do not learn it from requests that are on their way.

        ``quiet``: it was changed by who would be told.
        """
        with self._lock:
            self._childless = frozenset()
            self._epoch += 1
            self._changed[path] = self._epoch
            if len(self._changed_below) > CACHE_ENTRIES // 10:
                self._changed_before, self._changed_below = self._changed_below, {}
                self._forgotten, self._turned = self._turned, self._epoch
            for above in (path, *ancestors_of(path), ""):
                self._changed_below[above] = self._epoch
            self._forget(path)
        if self.told is not None and not quiet:
            self.told(path, False)

    def _forget(self, path: str) -> None:
        self._entries.pop(path, None)
        self._made.pop(path, None)
        parent, _, name = path.rpartition("/")
        filled = self._filled.get(parent)
        if filled is not None:
            filled.attrs.pop(name, None)

    def drop_below(self, path: str, *, quiet: bool = False) -> None:
        """Forget ``path`` and everything below it."""
        below = f"{path}/" if path else ""
        with self._lock:
            self._epoch += 1
            self._floor = self._epoch
            self._childless = frozenset()
            for known in [known for known in self._entries if known.startswith(below)]:
                self._entries.pop(known, None)
            self._made.clear()
            for known in [known for known in self._filled if known == path or known.startswith(below)]:
                self._unfill(known)
            self._forget(path)
        if self.told is not None and not quiet:
            self.told(path, True)

    def renew_lock(self) -> None:
        """In a forked child: a thread that is not here may hold the lock, and has then left things half done."""
        if self._lock.acquire(blocking=False):  # never locked(), which a thread may be about to make true
            self._lock = threading.Lock()
        else:
            self._start_over()
