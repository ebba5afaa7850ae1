"""What exists in this process only: directories made here, files being written, files being read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from vfsmount.model import Attr
from vfsmount.vfs.namespace import ancestors_of, parent_of
from vfsmount.vfs.sharing import Sharing
from vfsmount.vfs.staged import StagedNode


class BeingWritten(Protocol):
    """A file that the bucket does not have yet: a sequential writer, or the node that staged handles share."""

    @property
    def display(self) -> str:
        """The absolute path, for messages."""

    def stat(self) -> Attr: ...

    def utime(self, mtime_ns: int) -> None: ...

    def truncate(self, length: int) -> None: ...

    def fsync(self) -> None:
        """Commit."""


class _Below:
    """How many local things lie below each directory; the caller holds the lock."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._counts

    def add(self, path: str) -> None:
        for ancestor in ancestors_of(path):
            self._counts[ancestor] = self._counts.get(ancestor, 0) + 1

    def remove(self, path: str) -> None:
        for ancestor in ancestors_of(path):
            left = self._counts[ancestor] - 1
            if left:
                self._counts[ancestor] = left
            else:
                del self._counts[ancestor]

    def names_in(self, path: str) -> list[str]:
        """Directories directly in ``path`` that something lies below."""
        return [known.rpartition("/")[2] for known in self._counts if parent_of(known) == path]


class Readers:
    """The open readers of one file."""

    __slots__ = ("count", "opening")

    def __init__(self) -> None:
        self.count = 0
        self.opening = 0
        """Opens under way; none of them is in a forked child."""


class LocalState:
    """Local directories and the one-writer-or-many-readers ledger of a mount; thread-safe.

    Source: Mountpoint SEMANTICS, "Close and re-open", "Directory operations".
    """

    def __init__(self, sharing: Sharing | None = None) -> None:
        self.sharing: Final = sharing or Sharing(staged=False)
        self._lock = threading.Lock()
        self._directories: dict[str, int] = {}
        self._writers: dict[str, BeingWritten | None] = {}
        self._readers: dict[str, Readers] = {}
        self._below = _Below()
        self._openers = 0
        self._departures = 0
        self._departed: dict[str, int] = {}

    def directory(self, path: str) -> int | None:
        """When the local directory ``path`` was made (ns); None if it is none.

        What something local lies below is one too, of no known time (0): other clients' deletions do not hide it.
        """
        with self._lock:
            made = self._directories.get(path)
            return 0 if made is None and path in self._below else made

    def add_directory(self, path: str, made_ns: int) -> bool:
        """False where it is there already: of two threads that make it, one succeeds."""
        with self._lock:
            if path in self._directories:
                return False
            self._make(path, made_ns)
            return True

    def remove_directory(self, path: str) -> None:
        with self._lock:
            self._forget(path)

    def made(self, path: str, *, below: bool) -> dict[str, int]:
        """Of ``path`` and the directories above it (and ``below`` it), those made here, with their times."""
        with self._lock:
            found = {one: self._directories[one] for one in (path, *ancestors_of(path)) if one in self._directories}
            if below:
                inner = f"{path}/" if path else ""
                found |= {one: made for one, made in self._directories.items() if one.startswith(inner)}
            return found

    def set_made(self, path: str, made: Mapping[str, int], *, below: bool) -> None:
        """As :meth:`made` found it in another process."""
        before = self.made(path, below=below)
        with self._lock:
            for one in before.keys() - made.keys():
                self._forget(one)
            for one, time_ns in made.items():
                self._make(one, time_ns)

    def keep_ancestors(self, path: str, now_ns: int) -> None:
        """A file here was deleted by us: the directories it was in stay, as local ones, until removed."""
        with self._lock:
            for ancestor in ancestors_of(path):
                self._make(ancestor, now_ns)

    def committed(self, path: str) -> None:
        """A file here is in the bucket now: the directories it is in are implied by its key from here on."""
        with self._lock:
            for ancestor in ancestors_of(path):
                self._forget(ancestor)

    def names_in(self, path: str) -> tuple[dict[str, int], dict[str, BeingWritten]]:
        """Names directly in ``path``: local directories with their times, and files being written."""
        with self._lock:
            directories = dict.fromkeys(self._below.names_in(path), 0)
            directories |= {
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
        with self._lock:
            return path in self._below

    def files_below(self, path: str) -> bool:
        """True where a file is being written below ``path``."""
        below = f"{path}/"
        with self._lock:
            return any(known.startswith(below) for known in self._writers)

    def move_directories(self, source: str, target: str, made_ns: int | None) -> None:
        """Local directories at and below ``source`` are at ``target`` now; ``target`` itself from ``made_ns`` on."""
        below = f"{source}/"
        with self._lock:
            moved = {
                target + known[len(source) :]: made
                for known, made in self._directories.items()
                if known.startswith(below)
            }
            for known in [known for known in self._directories if known == source or known.startswith(below)]:
                self._forget(known)
            for known, made in moved.items():
                self._make(known, made)
            if made_ns is not None:
                self._make(target, made_ns)

    def writer(self, path: str) -> BeingWritten | None:
        """The file being written at ``path``."""
        with self._lock:
            return self._writers.get(path)

    def is_being_written(self, path: str) -> bool:
        with self._lock:
            return path in self._writers

    def begin_write(self, path: str) -> bool:
        """Claim ``path`` for a writer; False where it is being read or written.

        An open for reading that is under way is told by :meth:`opened_read`, if it finds a file at all: somebody who
        waits for a file to appear does not keep it from being made.
        """
        with self._lock:
            readers = self._readers.get(path)
            if path in self._writers or (readers is not None and readers.count):
                return False
            self._writers[path] = None
            self._below.add(path)
            return True

    def set_writer(self, path: str, writer: BeingWritten) -> None:
        with self._lock:
            self._writers[path] = writer

    def join_staged(self, path: str) -> StagedNode | None:
        """One more handle of the node at ``path``; None where there is none."""
        with self._lock:
            node = self._writers.get(path)
            if not isinstance(node, StagedNode):
                return None
            node.handles += 1
            return node

    @contextlib.contextmanager
    def looking(self) -> Iterator[int]:
        """Around a look-up whose answer is to become a staged node: when it began, for :meth:`add_staged`."""
        with self._lock:
            self._openers += 1
            began = self._departures
        try:
            yield began
        finally:
            with self._lock:
                self._openers -= 1
                if not self._openers:
                    self._departed.clear()

    def add_staged(self, path: str, node: StagedNode, began: int) -> StagedNode | None:
        """The node at ``path`` with one more handle: ``node``, or another thread's that was faster.

        None where what the look-up found may have been replaced since it ``began``, by a handle of this process.
        """
        with self._lock:
            found = self._writers.get(path)
            if not isinstance(found, StagedNode):
                if self._departed.get(path, 0) > began:
                    return None
                self._put_writer(path, node)
                found = node
            found.handles += 1
            return found

    def leave_staged(self, node: StagedNode) -> bool:
        """One handle less; True where it was the last one and the node is gone."""
        with self._lock:
            node.handles -= 1
            if node.handles:
                return False
            if self._writers.get(node.path) is node:
                self._drop_writer(node.path)
                self._depart(node.path)
            return True

    def staged(self, path: str) -> StagedNode | None:
        """The node at ``path``."""
        with self._lock:
            node = self._writers.get(path)
            return node if isinstance(node, StagedNode) else None

    def drop_staged(self, path: str, node: StagedNode) -> None:
        """``path`` no longer leads to ``node``, whose handles go on."""
        with self._lock:
            if self._writers.get(path) is node:
                self._drop_writer(path)

    def move_staged(self, source: str, target: str, node: StagedNode) -> None:
        """``target`` leads to ``node`` now."""
        with self._lock:
            if self._writers.get(source) is node:
                self._drop_writer(source)
            self._put_writer(target, node)

    def end_write(self, path: str, writer: BeingWritten | None) -> None:
        """``writer`` (None: the claim without one) is done; whoever claimed ``path`` since keeps it."""
        with self._lock:
            if path in self._writers and self._writers[path] is writer:
                self._drop_writer(path)

    def begin_read(self, path: str) -> Readers | None:
        """Count a reader of ``path``, whose open is under way; None where it is being written."""
        with self._lock:
            if path in self._writers:
                return None
            readers = self._readers.setdefault(path, Readers())
            readers.opening += 1
            return readers

    def opened_read(self, path: str, readers: Readers, *, reads: bool) -> bool:
        """The open that ``begin_read`` gave ``readers`` to has ended; with ``reads`` in a file, until ``end_read``.

        False where a writer has claimed the path meanwhile: what was opened has to be closed.
        """
        with self._lock:
            readers.opening -= 1
            readers.count += reads
            claimed = path in self._writers and not isinstance(self._writers[path], StagedNode)
            claimed = claimed and self._readers.get(path) is readers
            self._drop_readers(path, readers)
            return not (reads and claimed)

    def end_read(self, path: str, readers: Readers) -> None:
        """``readers``: what ``begin_read`` gave."""
        with self._lock:
            readers.count -= 1
            self._drop_readers(path, readers)

    def forget_readers(self, path: str) -> None:
        """What was at ``path``, or below it, was removed or moved by us: whoever reads that does not read what comes
        there.
        """
        below = f"{path}/"
        with self._lock:
            for known in [known for known in self._readers if known == path or known.startswith(below)]:
                del self._readers[known]
            self._depart(path)
        self.sharing.forget(path)

    def open_writers(self) -> Iterator[BeingWritten]:
        """A snapshot of the files being written."""
        with self._lock:
            writers = [writer for writer in self._writers.values() if writer is not None]
        return iter(writers)

    def after_fork(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here, and what the parent writes is the
        parent's alone: the child could neither write nor commit it, and would find it open for ever.
        """
        self._lock = threading.Lock()
        self.sharing.after_fork()
        self._openers = 0
        self._departed = {}
        self._writers = {}
        for path, readers in list(self._readers.items()):
            readers.opening = 0
            self._drop_readers(path, readers)
        self._below = _Below()
        for path in self._directories:
            self._below.add(path)

    # -- under the lock --

    def _drop_readers(self, path: str, readers: Readers) -> None:
        if readers.count + readers.opening == 0 and self._readers.get(path) is readers:
            del self._readers[path]

    def _depart(self, path: str) -> None:
        if self._openers:
            self._departures += 1
            self._departed[path] = self._departures

    def _make(self, path: str, made_ns: int) -> None:
        if path not in self._directories:
            self._directories[path] = made_ns
            self._below.add(path)

    def _forget(self, path: str) -> None:
        if self._directories.pop(path, None) is not None:
            self._below.remove(path)

    def _put_writer(self, path: str, writer: BeingWritten) -> None:
        if path not in self._writers:
            self._below.add(path)
        self._writers[path] = writer

    def _drop_writer(self, path: str) -> None:
        del self._writers[path]
        self._below.remove(path)
