"""What exists in this process only: directories made here, files being written, files being read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfsmount.vfs.namespace import ancestors_of, parent_of

if TYPE_CHECKING:
    from vfsmount.vfs.openfile import OpenFile


class LocalState:
    """Local directories and the one-writer-or-many-readers ledger of a mount; thread-safe.

    Source: Mountpoint SEMANTICS, "Close and re-open", "Directory operations".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directories: dict[str, int] = {}
        self._writers: dict[str, OpenFile | None] = {}
        self._readers: dict[str, int] = {}

    def directory(self, path: str) -> int | None:
        """When the local directory ``path`` was made (ns); None if it is none. A parent of a writer counts as one."""
        with self._lock:
            made = self._directories.get(path)
            if made is None and any(writer.startswith(f"{path}/") for writer in self._writers):
                return 0
            return made

    def add_directory(self, path: str, made_ns: int) -> None:
        with self._lock:
            self._directories[path] = made_ns

    def remove_directory(self, path: str) -> None:
        with self._lock:
            self._directories.pop(path, None)

    def keep_ancestors(self, path: str, now_ns: int) -> None:
        """A file here was deleted by us: the directories it was in stay, as local ones, until removed."""
        with self._lock:
            for ancestor in ancestors_of(path):
                self._directories.setdefault(ancestor, now_ns)

    def committed(self, path: str) -> None:
        """A file here is in the bucket now: the directories it is in are implied by its key from here on."""
        with self._lock:
            for ancestor in ancestors_of(path):
                self._directories.pop(ancestor, None)

    def names_in(self, path: str) -> tuple[dict[str, int], dict[str, OpenFile]]:
        """Names directly in ``path``: local directories with their times, and files being written."""
        with self._lock:
            directories = {
                known.rpartition("/")[2]: made for known, made in self._directories.items() if parent_of(known) == path
            }
            writers = {
                known.rpartition("/")[2]: writer
                for known, writer in self._writers.items()
                if writer is not None and parent_of(known) == path
            }
        return directories, writers

    def anything_below(self, path: str) -> bool:
        """True where a local directory or a file being written lies below ``path``."""
        below = f"{path}/"
        with self._lock:
            return any(known.startswith(below) for known in (*self._directories, *self._writers))

    def writer(self, path: str) -> OpenFile | None:
        """The file being written at ``path``."""
        with self._lock:
            return self._writers.get(path)

    def is_being_written(self, path: str) -> bool:
        with self._lock:
            return path in self._writers

    def is_being_read(self, path: str) -> bool:
        with self._lock:
            return path in self._readers

    def begin_write(self, path: str) -> bool:
        """Claim ``path`` for a writer; False where it is being read or written."""
        with self._lock:
            if path in self._writers or path in self._readers:
                return False
            self._writers[path] = None
            return True

    def set_writer(self, path: str, writer: OpenFile) -> None:
        with self._lock:
            self._writers[path] = writer

    def end_write(self, path: str) -> None:
        with self._lock:
            self._writers.pop(path, None)

    def begin_read(self, path: str) -> bool:
        """Count a reader of ``path``; False where it is being written."""
        with self._lock:
            if path in self._writers:
                return False
            self._readers[path] = self._readers.get(path, 0) + 1
            return True

    def end_read(self, path: str) -> None:
        with self._lock:
            left = self._readers.get(path, 1) - 1
            if left:
                self._readers[path] = left
            else:
                self._readers.pop(path, None)

    def open_writers(self) -> Iterator[OpenFile]:
        """A snapshot of the files being written."""
        with self._lock:
            writers = [writer for writer in self._writers.values() if writer is not None]
        return iter(writers)

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()
