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
from vfsmount.vfs.staged import StagedFile, time_of_no_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfsmount.children.supervisor.processes import Listeners, Process
    from vfsmount.children.supervisor.skeleton import Node, Skeleton
    from vfsmount.vfs.openfile import OpenFile

logger = logging.getLogger(__name__)

_BLOCK: Final = 1 << 20
"""Bytes handed to an upload at a time."""


class Writer:
    """One file being written, by however many descriptors."""

    def __init__(self, handle: OpenFile, node: Node, opener: Process, told: Listeners, *, changed: bool) -> None:
        self.handles = [handle]
        self.node = node
        self.lock = RequestLock()
        self.done = False
        self.opener: Final = opener
        """The process that has to be told what goes wrong later than in a call that closes it."""
        self.told: Final = told
        """Who hears of it, in words."""
        self.closes = 0
        """Calls that wait for what becomes of it, and tell that."""
        self.failure: OSError | None = None
        self._above: Final = self._point_of(handle)
        self._back = real.fd_open(node.local, os.O_RDONLY | os.O_CLOEXEC)
        self._changed = changed
        self._stamp = self._mark()

    @property
    def where(self) -> str | None:
        """The path that it is to be uploaded to; None where it was removed or replaced meanwhile."""
        handle = self.handles[0]
        if self._above is None or not isinstance(handle, StagedFile):
            return self.node.path
        return None if handle.node.is_detached else f"{self._above}{handle.node.path}"

    @staticmethod
    def _point_of(handle: OpenFile) -> str | None:
        """What its path on a staged mount is preceded by; None: it keeps the path that it has."""
        if isinstance(handle, StagedFile) and handle.path.endswith(handle.node.path):
            return handle.path.removesuffix(handle.node.path)
        return None

    def is_unwritten(self) -> bool:
        """True where no process has it open for writing."""
        return is_unwritten(self._back)

    def commit(self) -> None:
        """Upload it. Raises: OSError."""
        handle = self.handles[0]
        failure: OSError | None = None
        try:
            if self._is_changed():
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

    def hand_over(self) -> None:
        """What is here so far, to a staged file that is about to be published. Raises: OSError."""
        if isinstance(self.handles[0], StagedFile) and not self.done and self._is_changed():
            self._changed = True
            self._stamp = self._mark()  # before it is read: what is written meanwhile shows
            self._copy(self.handles[0])
            self._changed = False

    def publish(self) -> bool:
        """Upload what a staged file holds so far; False where it is none. Raises: OSError."""
        handle = self.handles[0]
        if self.done or not isinstance(handle, StagedFile):
            return False
        self.hand_over()
        try:
            handle.fsync()
        except OSError:
            self._changed = True  # its close tries again
            raise
        return True

    def join(self, handle: OpenFile, *, emptied: bool) -> None:
        """One more open of it."""
        self.handles.append(handle)
        self._changed = self._changed or emptied

    def abort(self) -> None:
        for handle in self.handles:
            handle.close(abort=True)
        real.fd_close(self._back)

    def _copy(self, handle: OpenFile) -> None:
        if isinstance(handle, StagedFile):
            handle.truncate(0)
            handle.seek(0, os.SEEK_SET)
        offset = 0
        while data := real.pread(self._back, _BLOCK, offset):
            handle.write(data)
            offset += len(data)

    def _is_changed(self) -> bool:
        return self._changed or self._look() != self._stamp

    def _mark(self) -> tuple[int, int]:
        """Any write from now on shows by :meth:`_look`."""
        time = time_of_no_clock(real.fstat(self._back).st_mtime_ns)
        real.utime(self._back, ns=(time, time))
        return self._look()

    def _look(self) -> tuple[int, int]:
        found = real.fstat(self._back)
        return found.st_size, found.st_mtime_ns


class Writers:
    """All of one family. What could not be uploaded is kept in :attr:`failures`."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self._lock = threading.Lock()
        self._open: dict[str, Writer] = {}
        self._nameless: list[Writer] = []
        """Whose files were removed or replaced since."""
        self.failures: list[OSError] = []
        self.watch: Callable[[], None] | None = None
        """Called when their number has changed."""
        self.failed: Callable[[str, Writer, OSError, Process | None], None] | None = None
        """Called with what could not be uploaded, and the process whose call was to see to that, if any."""

    def __len__(self) -> int:
        return len(self._open) + len(self._nameless)

    def paths(self) -> list[str]:
        return sorted(self._open)

    def get(self, path: str) -> Writer | None:
        return self._open.get(path)

    def all(self) -> list[Writer]:
        return [*self._open.values(), *self._nameless]

    def follow(self) -> None:
        """Files on staged mounts that were renamed, removed or replaced: what is found at a path is not what was."""
        if all(writer.where == path for path, writer in list(self._open.items())):
            return
        with self._lock:
            moved = [(path, writer, writer.where) for path, writer in self._open.items() if writer.where != path]
            for path, _, _ in moved:
                del self._open[path]
            for _, writer, where in moved:
                if where is None:
                    self._nameless.append(writer)
                else:
                    self._open[where] = writer
            self._skeleton.move([(writer.node, where) for _, writer, where in moved])
        self._count()

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
        for writer in self.all():
            if which is not None and not which(writer):
                continue
            with writer.lock:  # who comes second waits: it may have seen the close, and wants to see the object
                if not writer.done and writer.is_unwritten():
                    self._finish(writer)

    def finish(self) -> None:
        """Commit all, for no process is left."""
        for writer in self.all():
            with writer.lock:
                if not writer.done:
                    self._finish(writer)

    def finish_one(self, writer: Writer, process: Process) -> None:
        """Commit it, under its lock, for ``process``, which gave it up. Raises nothing."""
        self._finish(writer, process)

    def drop(self, goes: Callable[[str], bool]) -> list[str]:
        """Upload nothing of what is being written at these paths; returns them."""
        dropped = []
        for writer in self.all():
            if goes(writer.node.path):
                if writer not in self._nameless:
                    dropped.append(writer.node.path)
                self.abort(writer)
        return sorted(dropped)

    def abort(self, writer: Writer) -> None:
        """The process died before it got its descriptor."""
        with writer.lock:
            if not writer.done:
                self._forget(writer)
                writer.abort()

    def _finish(self, writer: Writer, process: Process | None = None) -> None:
        path = writer.where or writer.node.path
        try:
            writer.commit()
        except OSError as error:
            logger.error("what a child program wrote to %s could not be uploaded: %s", path, error)
            self.failures.append(error)
            writer.failure = error
        else:  # whoever has tried again has got it there
            self.failures = [error for error in self.failures if error.filename != path]
        finally:
            self._forget(writer)
        if writer.failure is not None and self.failed is not None:
            self.failed(path, writer, writer.failure, process)

    def _forget(self, writer: Writer) -> None:
        writer.done = True
        node = writer.node
        with self._lock:
            for path in [path for path, each in self._open.items() if each is writer]:
                del self._open[path]
            if writer in self._nameless:
                self._nameless.remove(writer)
        if self._skeleton.node(node.path) is node:
            with contextlib.suppress(OSError):  # who has it open for reading still sees what it became
                found = real.lstat(node.local)
                node.attr = node.attr._replace(size=found.st_size, mtime_ns=found.st_mtime_ns, etag=None)
        node.writing = False
        if self._skeleton.node(node.path) in (node, None):
            self._skeleton.drop(node.path)
        self._count()

    def _count(self) -> None:
        if self.watch is not None:
            self.watch()
