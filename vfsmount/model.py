"""The nouns that all layers share: objects, pages of a listing, attributes of a file."""

from __future__ import annotations

import os
import stat as _stat
from typing import Final, NamedTuple

BLOCK: Final = 512
"""Bytes in one unit of ``st_blocks`` (POSIX)."""

PREFERRED_IO: Final = 1 << 20
"""``st_blksize``: one MiB, so that copy loops which trust it make few calls."""


class ObjectMeta(NamedTuple):
    """One object as a store reports it. A tuple, because a flat listing makes a thousand of them a page."""

    key: str
    """Raw key, never normalised."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Last modification, nanoseconds since the epoch."""
    etag: str | None = None
    """As the store spells it (usually with its quotes); None where it has none."""
    storage_class: str | None = None


class ObjectId(NamedTuple):
    """One version of one object: what a read is pinned to."""

    key: str
    etag: str | None


class ListPage(NamedTuple):
    """One page of a listing, in key order where the store's traits say so."""

    objects: tuple[ObjectMeta, ...]
    prefixes: tuple[str, ...] = ()
    """Common prefixes, raw, each ending in the delimiter."""
    token: str | None = None
    """Where the next page starts; None on the last page."""


class Attr(NamedTuple):
    """What ``stat`` tells of a file or directory. A tuple, because a listing makes as many as there are names."""

    mode: int
    """Type and permission bits."""
    ino: int
    dev: int
    uid: int
    gid: int
    size: int
    """Bytes; 0 for a directory."""
    mtime_ns: int
    """Stands for atime and ctime too. Source: Mountpoint SEMANTICS, metadata."""
    etag: str | None = None
    storage_class: str | None = None

    @property
    def is_dir(self) -> bool:
        return _stat.S_ISDIR(self.mode)

    def stat_result(self) -> os.stat_result:
        """The same as Python's ``os.stat_result``, whose fields without a number follow the ten in a fixed order."""
        mode, ino, dev, uid, gid, size, ns, _, _ = self
        seconds = ns / 1_000_000_000
        whole = ns // 1_000_000_000
        nlink = 2 if _stat.S_ISDIR(mode) else 1
        blocks = -(-size // BLOCK)
        plain = mode, ino, dev, nlink, uid, gid, size, whole, whole, whole
        return os.stat_result((*plain, seconds, seconds, seconds, ns, ns, ns, PREFERRED_IO, blocks, 0))


class Entry(NamedTuple):
    """One name in a directory."""

    name: str
    attr: Attr
