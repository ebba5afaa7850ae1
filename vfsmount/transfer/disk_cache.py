"""What was read, kept in a local directory: shared by handles, by processes, and by one run with the next.

Blocks of one version of one object, each in a file of its own that carries a checksum. A block appears whole, by a
rename, or not at all; one that is damaged counts as missing and is removed. No lock is held over any of it, in the
process or between processes: two that keep the same block write the same bytes. Trouble with the disk
never fails a read; keeping stops.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from vfsmount import real
from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import GetRange, GetResult

log = logging.getLogger(__name__)

BLOCK: Final = 256 << 10
"""Bytes of an object in one file. The windows of a scan begin and end at multiples of it, so nothing is fetched twice;
a random read is widened to it, which at 90 MB/s adds 3 ms to its round trip."""

FREE: Final = 0.05
"""Part of the disk that is left free, whatever ``max_bytes`` says: a full disk is worse than a cold cache."""

KEPT: Final = 0.9
"""Part of the bound that is left after old blocks were removed, so that they are not looked through at each block."""

ABANDONED: Final = 3600
"""Seconds after which a half-written file is taken for one that a killed process left."""

_HEADER: Final = struct.Struct("<8sIQI")
"""Magic, CRC-32 of what follows it, bytes of the object, bytes of the block."""
_MAGIC: Final = b"vfsmblk1"
_FOLDER: Final = "vfsmount-blocks"


class _Found(NamedTuple):
    used: float
    size: int
    path: str


class DiskCache:
    """Blocks in ``directory``, at most ``max_bytes`` of them; safe in many threads and processes.

    ``identity``: the endpoint and bucket, as two buckets may have keys and ETags in common.
    """

    def __init__(self, directory: str, max_bytes: int | None, identity: str) -> None:
        self._folder: Final = f"{directory}/{_FOLDER}"
        self._max_bytes: Final = max_bytes
        self._salt: Final = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._total: int | None = None
        """Bytes kept, as far as this process knows; None: not looked yet."""
        self._keeping = True
        self._pid = real.getpid()
        self._lock = threading.Lock()

    def block(self, key: str, etag: str, number: int) -> tuple[bytes, int] | None:
        """The block's bytes and the size of its object; None where it is not here."""
        path = self._path(key, etag, number)
        try:
            with real.open(path, "rb", buffering=0) as file:
                raw = file.read()
            real.utime(path)
        except OSError:
            return None
        if len(raw) >= _HEADER.size:
            magic, checksum, size, length = _HEADER.unpack_from(raw)
            if magic == _MAGIC and length == len(raw) - _HEADER.size and checksum == zlib.crc32(raw[12:]):
                return raw[_HEADER.size :], size
        log.warning("a block in the cache is damaged, and removed: %s", path)
        with contextlib.suppress(OSError):
            real.unlink(path)
        return None

    def keep(self, key: str, etag: str, number: int, data: bytes | memoryview, size: int) -> None:
        """Keep one block of an object of ``size`` bytes. Raises nothing: what cannot be kept is not."""
        if not self._keeping:
            return
        path = self._path(key, etag, number)
        try:
            self._make_room(_HEADER.size + len(data))
            self._write(path, data, size)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # later there may be room again
                self._set_total(None)
                return
            self._keeping = False
            log.warning("nothing more is kept in %s: %s", self._folder, error)

    def _path(self, key: str, etag: str, number: int) -> str:
        named = f"{len(key)}:{key}{etag}:{number}".encode("utf-8", "surrogatepass")
        name = hashlib.blake2b(named, digest_size=20, salt=self._salt).hexdigest()
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _write(self, path: str, data: bytes | memoryview, size: int) -> None:
        folder = path.rpartition("/")[0]
        tail = struct.pack("<QI", size, len(data))
        head = _MAGIC + struct.pack("<I", zlib.crc32(data, zlib.crc32(tail))) + tail
        part = f"{path}.part-{real.getpid()}-{os.urandom(4).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = real.fd_open(part, flags, 0o600)
        except FileNotFoundError:
            for one in (self._folder.rpartition("/")[0], self._folder, folder):
                with contextlib.suppress(FileExistsError):
                    real.mkdir(one, 0o700)
            descriptor = real.fd_open(part, flags, 0o600)
        try:
            try:
                for piece in (head, data):
                    written = real.fd_write(descriptor, piece)
                    if written != len(piece):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), part)
            finally:
                real.fd_close(descriptor)
            real.rename(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                real.unlink(part)
            raise

    def _make_room(self, size: int) -> None:
        """Remove the blocks that were not used for longest, where one more would be too much."""
        if self._max_bytes is not None and size > self._max_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)
        total = self._total
        if total is None:
            total = sum(found.size for found in self._blocks())
            self._set_total(total)
        room = self._free_bytes()
        over = 0 if self._max_bytes is None else total + size - self._max_bytes
        if over > 0 or room < size:
            blocks = sorted(self._blocks())
            total = sum(found.size for found in blocks)
            target = total + min(0, room - size)
            if self._max_bytes is not None:
                target = min(target, int(self._max_bytes * KEPT) - size)
            for found in blocks:
                if total <= target:
                    break
                with contextlib.suppress(OSError):
                    real.unlink(found.path)
                total -= found.size
            self._set_total(total)
            if total > max(target, 0) or self._free_bytes() < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)
        with self._count():
            if self._total is not None:
                self._total += size

    def _set_total(self, total: int | None) -> None:
        with self._count():
            self._total = total

    def _count(self) -> threading.Lock:
        """Held for arithmetic alone; another one in a forked child, where this may be held by a thread not there."""
        if self._pid != real.getpid():
            self._lock, self._pid = threading.Lock(), real.getpid()
        return self._lock

    def _free_bytes(self) -> int:
        """Bytes that may still be used on the disk."""
        for folder in (self._folder, self._folder.rpartition("/")[0]):
            with contextlib.suppress(OSError):
                found = real.statvfs(folder)
                return int((found.f_bavail - found.f_blocks * FREE) * found.f_frsize)
        return 1 << 62  # the directory is not there yet; making it will tell

    def _blocks(self) -> Iterator[_Found]:
        """All blocks of all buckets; half-written files that nobody goes on with are removed on the way."""
        now = time.time()
        for folder in _entries(self._folder):
            for entry in _entries(folder.path):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(found.st_mode):
                        continue
                    if ".part-" not in entry.name:
                        yield _Found(found.st_mtime, found.st_size, entry.path)
                    elif now - found.st_mtime > ABANDONED:
                        real.unlink(entry.path)


class CachedRanges:
    """Ranges of a store, by way of the disk: what is pinned to a version is looked for there first."""

    def __init__(self, store: GetRange, cache: DiskCache) -> None:
        self._store: Final = store
        self._cache: Final = cache

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        """No request where all of the range is on the disk; else one, for whole blocks. Raises what the store does."""
        if if_match is not None and end > start:
            found = self._from_disk(key, start, end, if_match)
            if found is not None:
                return found
        first, last = start // BLOCK, -(-end // BLOCK)
        result = self._store.get_range(key, first * BLOCK, last * BLOCK, if_match=if_match)
        meta, data = result
        if meta.etag is not None and (if_match is None or meta.etag == if_match):
            view = memoryview(data)
            for number in range(first, last):
                block = view[(number - first) * BLOCK : (number - first + 1) * BLOCK]
                if len(block) == min(BLOCK, meta.size - number * BLOCK) and len(block):
                    self._cache.keep(key, meta.etag, number, block, meta.size)
        if first * BLOCK == start and len(data) <= end - start:
            return result
        return GetResult(meta, memoryview(data)[start - first * BLOCK : end - first * BLOCK])

    def _from_disk(self, key: str, start: int, end: int, etag: str) -> GetResult | None:
        pieces: list[bytes | memoryview] = []
        size = end
        for number in range(start // BLOCK, -(-end // BLOCK)):
            if number * BLOCK >= size:
                break
            found = self._cache.block(key, etag, number)
            if found is None:
                return None
            data, size = found
            if len(data) != min(BLOCK, size - number * BLOCK):
                return None
            at = number * BLOCK
            pieces.append(memoryview(data)[max(start - at, 0) : end - at])
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return GetResult(ObjectMeta(key, size, 0, etag), content)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with real.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
