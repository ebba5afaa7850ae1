"""Files that a family writes: local files, uploaded when the last descriptor for writing is closed."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor.skeleton import is_unwritten
from vfsmount.clock import RequestLock
from vfsmount.vfs.staged import StagedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfsmount.children.supervisor.processes import Process
    from vfsmount.children.supervisor.skeleton import Node, Skeleton
    from vfsmount.vfs.openfile import OpenFile

logger = logging.getLogger(__name__)

_BLOCK: Final = 1 << 20
"""Bytes handed to an upload at a time."""


class Writer:
    """One file being written, by however many descriptors."""

    def __init__(self, handle: OpenFile, node: Node, opener: Process, *, changed: bool) -> None:
        self.handles = [handle]
        self.node = node
        self.lock = RequestLock()
        self.done = False
        self.opener: Final = opener
        """The process that has to be told what goes wrong later than in a call that closes it."""
        self.closes = 0
        """Calls that wait for what becomes of it, and tell that."""
        self.failure: OSError | None = None
        self._back = real.fd_open(node.local, os.O_RDONLY | os.O_CLOEXEC)
        self._changed = changed
        self._stamp = self._look()

    def is_unwritten(self) -> bool:
        """True where no process has it open for writing."""
        return is_unwritten(self._back)

    def commit(self) -> None:
        """Upload it. Raises: OSError."""
        handle = self.handles[0]
        failure: OSError | None = None
        try:
            if self._changed or self._look() != self._stamp or len(self.handles) > 1:
                self._copy(handle)
        except OSError as error:
            failure = error
        for each in self.handles:
            try:
                each.close(abort=failure is not None)
            except OSError as error:
                failure = failure or error
        real.fd_close(self._back)
        if failure is not None:
            raise failure

    def abort(self) -> None:
        for handle in self.handles:
            handle.close(abort=True)
        real.fd_close(self._back)

    def _copy(self, handle: OpenFile) -> None:
        if isinstance(handle, StagedFile):
            handle.truncate(0)
        offset = 0
        while data := real.pread(self._back, _BLOCK, offset):
            handle.write(data)
            offset += len(data)

    def _look(self) -> tuple[int, int]:
        found = real.fstat(self._back)
        return found.st_size, found.st_mtime_ns


class Writers:
    """All of one family. What could not be uploaded is kept in :attr:`failures`."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self._lock = threading.Lock()
        self._open: dict[str, Writer] = {}
        self.failures: list[OSError] = []
        self.watch: Callable[[], None] | None = None
        """Called when their number has changed."""
        self.failed: Callable[[str, Writer, OSError, Process | None], None] | None = None
        """Called with what could not be uploaded, and the process whose call was to see to that, if any."""

    def __len__(self) -> int:
        return len(self._open)

    def paths(self) -> list[str]:
        return sorted(self._open)

    def get(self, path: str) -> Writer | None:
        return self._open.get(path)

    def all(self) -> list[Writer]:
        return list(self._open.values())

    def of(self, node: Node) -> Writer | None:
        """That of what a descriptor leads to."""
        return next((writer for writer in self.all() if writer.node is node), None)

    def add(self, path: str, writer: Writer) -> None:
        with self._lock:
            self._open[path] = writer
        self._count()

    def has_closed(self) -> bool:
        """Whether there may be one that nobody writes any more: one fcntl for each file."""
        for writer in self.all():
            if not writer.lock.acquire(blocking=False):  # just looked at, or on its way
                return True
            try:
                if not writer.done and writer.is_unwritten():
                    return True
            finally:
                writer.lock.release()
        return False

    def sweep(self, which: Callable[[Writer], bool] | None = None) -> None:
        """Commit what nobody writes any more: one fcntl for each file, and the upload. Raises nothing."""
        for path, writer in list(self._open.items()):
            if which is not None and not which(writer):
                continue
            with writer.lock:  # who comes second waits: it may have seen the close, and wants to see the object
                if not writer.done and writer.is_unwritten():
                    self._finish(path, writer)

    def finish(self) -> None:
        """Commit all, for no process is left."""
        for path, writer in list(self._open.items()):
            with writer.lock:
                if not writer.done:
                    self._finish(path, writer)

    def finish_one(self, writer: Writer, process: Process) -> None:
        """Commit it, under its lock, for ``process``, which gave it up. Raises nothing."""
        path = next((path for path, each in list(self._open.items()) if each is writer), writer.node.path)
        self._finish(path, writer, process)

    def drop(self, goes: Callable[[str], bool]) -> list[str]:
        """Upload nothing of what is being written at these paths; returns them."""
        dropped = []
        for path, writer in sorted(self._open.items()):
            if goes(path):
                self.abort(path, writer)
                dropped.append(path)
        return dropped

    def abort(self, path: str, writer: Writer) -> None:
        """The process died before it got its descriptor."""
        with writer.lock:
            if not writer.done:
                self._forget(path, writer)
                writer.abort()

    def _finish(self, path: str, writer: Writer, process: Process | None = None) -> None:
        try:
            writer.commit()
        except OSError as error:
            logger.error("what a child program wrote to %s could not be uploaded: %s", path, error)
            self.failures.append(error)
            writer.failure = error
        finally:
            self._forget(path, writer)
        if writer.failure is not None and self.failed is not None:
            self.failed(path, writer, writer.failure, process)

    def _forget(self, path: str, writer: Writer) -> None:
        writer.done = True
        with contextlib.suppress(OSError):  # who has it open for reading still sees what it became
            found = real.lstat(writer.node.local)
            writer.node.attr = writer.node.attr._replace(size=found.st_size, mtime_ns=found.st_mtime_ns, etag=None)
        writer.node.writing = False
        with self._lock:
            self._open.pop(path, None)
        self._skeleton.drop(path)
        self._count()

    def _count(self) -> None:
        if self.watch is not None:
            self.watch()
