"""Closing what was written: a failed upload is the errno of the ``close`` that was to publish it.

``close``, ``dup2`` and ``exit_group`` come here where they may end the writing of a file. The process is parted from
the file first; if nobody else writes it, it is uploaded before the call returns, and a close fails with the errno. What
cannot be told so (a ``dup2``, by which a shell restores its output; a close that is not seen here) must not be taken
for a success: the process is killed before it starts another program, removes, replaces or cuts a file, or ends with
the status 0, because nothing else makes whoever waits for it see a failure.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.bpf import written_numbers
from vfsmount.children.supervisor.call import INSTALLED, PROCEED, Call
from vfsmount.children.supervisor.lazy import lazy
from vfsmount.children.supervisor.notify import Cancelled
from vfsmount.children.supervisor.processes import (
    Process,
    descriptors,
    duplicate,
    group,
    is_to_write,
    lineage,
    mapped_to_write,
    now,
    others,
    say,
)
from vfsmount.errors import reason

if TYPE_CHECKING:
    from vfsmount.children.supervisor.family import Family
    from vfsmount.children.supervisor.writers import Writer

logger = logging.getLogger(__name__)

CLOSES: Final = frozenset({"close", "dup2", "dup3", "exit_group"})
RELIES: Final = frozenset(
    "execve execveat unlink unlinkat rename renameat renameat2 truncate creat open openat openat2".split()
)
"""What a program does once what it wrote is safe; of opens, those that cut the file."""
_NEITHER: Final = 3
"""Access mode of a descriptor by which nothing can be read or written. Source: open(2)."""
_ATTEMPTS, _PAUSE = 25, 0.002
"""A program that this process is just starting has, until its exec, what was open here: the file that is given away."""


class Closing:
    """What one family closes. Thread-safe."""

    def __init__(self, family: Family) -> None:
        self.numbers: Final = written_numbers(family.lazy)
        """For descriptors of written files: the filter sends their ``close``."""
        self.killed: Final[set[int]] = set()
        """Processes that could not be let end well."""
        self._family: Final = family
        self._marker: Final = f"{family.skeleton.base}/closed"
        self._lock = threading.Lock()
        self.spared = 0
        """A process that asks for failures by itself."""
        self._failing: dict[Process, list[tuple[OSError, int]]] = {}
        """What processes have not been told by an errno, and from when on their children may build upon it."""
        self._interrupted: dict[tuple[Process, int], Writer] = {}
        """Closes that are being answered, and may be made again after a signal."""
        self._left: set[tuple[int, int]] = set()
        """Processes, and numbers that failed closes have left them: nothing that is under way will close these."""
        family.writers.failed = self._failed

    def answer(self, call: Call, name: str) -> int:
        """Raises: OSError where what a ``dup2`` hands on cannot be fetched; Cancelled."""
        if name in ("dup2", "dup3"):
            lazy(call, name)
        if name == "close" and self._left:
            self._left.discard((group(call.pid), call.integer(0)))
        if not (len(self._family.writers) or self._failing or self._interrupted):
            return PROCEED
        try:
            if name == "exit_group":
                return self._exit(call)
            if name == "close":
                return self._close(call, call.integer(0))
            return self._replace(call, name)
        except OSError as error:  # a process that is ending, or lets nobody look
            logger.debug("%s of a child program passes: %s", name, error)
        except Cancelled:
            raise
        except Exception:
            logger.exception("%s of a child program passes, unseen", name)
        return PROCEED

    def is_held_back(self, call: Call, name: str) -> bool:
        """For a call of :data:`RELIES`: whether it is not to be made, and its process was killed.

        So are those between it and the one above it that takes what has failed for a success.
        """
        if not (self._failing or self._family.writers.has_closed()):
            return False
        if name.startswith("open") and not _flags(call, name) & os.O_TRUNC:
            return False
        line = list(lineage(call.pid))
        self._sweep(line)
        for index, process in enumerate(line):
            failures = self._failing.get(process)
            if not failures or process.pid == self.spared:
                continue
            if index == 0 or line[index - 1].started >= min(since for _, since in failures):
                call.check()
                self._kill(*line[: index + 1])
                return True
        return False

    def is_reusable(self, pid: int, number: int) -> bool:
        """Whether a descriptor is what a failed close has left."""
        try:
            if (group(pid), number) not in self._left:
                return False
            return real.readlink(f"/proc/{pid}/fd/{number}") == self._marker
        except OSError:
            return False

    def forgive(self, pid: int) -> None:
        """The process has learnt of all failures in another way."""
        with self._lock:
            for process in [each for each in self._failing if each.pid == pid]:
                del self._failing[process]

    # -- calls --

    def _close(self, call: Call, number: int) -> int:
        writer = self.written(call, number)
        if writer is None and not self._interrupted:
            return PROCEED
        process = Process.of(call.pid)
        key = (process, number)
        if writer is None:
            writer = self._interrupted.get(key)
            if writer is None:
                return PROCEED
            failure = self._finish(call, writer, process)
        else:
            with self._locked(writer):
                writer.closes += 1
            parted = False
            try:
                parted = self._part(call, number, writer)
            finally:
                if not parted:
                    with self._locked(writer):
                        writer.closes -= 1
            if not parted:
                return PROCEED
            if not self._family.killable:
                self._interrupted[key] = writer
            failure = self._finish(call, writer, process, tells=True)
        try:
            if failure is None:
                self._family.listener.proceed(call.note.ident)
            else:
                self._left.add((process.pid, number))
                self._family.listener.refuse(call.note.ident, failure.errno or errno.EIO)
        except Cancelled:  # dead, or it calls again, or its close has ended with EINTR: then its exit tells
            self._left.discard((process.pid, number))
            if failure is not None and key in self._interrupted:
                self._remember(process, failure, 0)
            return INSTALLED
        self._interrupted.pop(key, None)
        if failure is not None:
            self._forget(process, failure)
        return INSTALLED

    def _replace(self, call: Call, name: str) -> int:
        """``dup2(old, new)``: done here, whatever becomes of the file behind ``new``."""
        old, new, since = call.integer(0), call.integer(1), now()
        flags = call.integer(2) if name == "dup3" else 0
        if old == new or flags & ~os.O_CLOEXEC:
            return PROCEED
        writer = self.written(call, new)
        if writer is None:
            return PROCEED
        source = duplicate(call.pid, old)
        try:
            if not self._part(call, new, writer, source=source, cloexec=bool(flags)):
                return PROCEED
        finally:
            real.fd_close(source)
        process = Process.of(call.pid)
        failure = self._finish(call, writer, process)
        if failure is not None:
            self._remember(process, failure, since)
        return new

    def _exit(self, call: Call) -> int:
        process = Process.of(call.pid)
        parted = []
        for number in descriptors(call.pid) if len(self._family.writers) else ():
            writer = self.written(call, number)
            if writer is not None and self._part(call, number, writer):
                parted.append(writer)
        fails = [self._finish(call, writer, process) for writer in dict.fromkeys(parted)]
        fails += [self._finish_mapped(writer, process) for writer in self._mapped(process.pid)]
        self._sweep([process])
        for key, writer in list(self._interrupted.items()):
            if key[0] == process:
                fails.append(self._finish(call, writer, process))
                self._interrupted.pop(key, None)
        with self._lock:
            untold = self._failing.pop(process, None)
        if (not untold and not any(fails)) or call.args[0] & 0xFF:
            return PROCEED
        call.check()
        self._kill(process)
        return INSTALLED

    # -- files --

    def written(self, call: Call, number: int) -> Writer | None:
        """That of the process's descriptor, if it leads to a file that is being written."""
        node = self._family.node_of(call.pid, number)
        return None if node is None or not node.writing else self._family.writers.of(node)

    def _part(self, call: Call, number: int, writer: Writer, *, source: int = -1, cloexec: bool = True) -> bool:
        """Put something else in the place of the process's descriptor; False where it was not written by.

        A duplicate is held meanwhile: where the last one is given up by the process itself, the kernel lets go of the
        file only when the call has returned. Raises: OSError, Cancelled.
        """
        held = duplicate(call.pid, number)
        try:
            found = real.fstat(held)
            if (found.st_dev, found.st_ino) != writer.node.identity or not real.fcntl(held, _F_GETFL) & os.O_ACCMODE:
                return False
            marker = source
            if source < 0:
                marker = real.fd_open(self._marker, os.O_CREAT | _NEITHER | os.O_CLOEXEC, 0o600)
            try:
                self._family.listener.place(call.note.ident, marker, number, cloexec=cloexec)
            finally:
                if source < 0:
                    real.fd_close(marker)
        finally:
            real.fd_close(held)
        return True

    def _finish(self, call: Call, writer: Writer, process: Process, *, tells: bool = False) -> OSError | None:
        """Upload it where nobody writes it any more. Returns what came of that, whoever did it.

        ``tells``: the call is one of those that the writer counts.
        """
        for attempt in range(_ATTEMPTS):
            goes_on = attempt + 1 == _ATTEMPTS or (attempt > 0 and self._is_held(call.pid, writer))
            with self._locked(writer):
                if not writer.done and writer.is_unwritten():
                    self._family.take_time()
                    self._family.writers.finish_one(writer, process)
                if writer.done or goes_on:
                    writer.closes -= tells
                    return writer.failure
            if attempt:
                self._family.take_time()
                time.sleep(_PAUSE)
        raise AssertionError

    def _mapped(self, pid: int) -> list[Writer]:
        """What the process may write through its memory, which is not given up before it has ended."""
        writers = self._family.writers.all()
        inodes = mapped_to_write(pid, self._family.skeleton.root) if writers else ()
        return [writer for writer in writers if writer.node.identity[1] in inodes]

    def _finish_mapped(self, writer: Writer, process: Process) -> OSError | None:
        """As :meth:`_finish`, for a process that is ending with the file in its memory, and nobody else to write it."""
        with self._locked(writer):
            if not writer.done:
                self._family.take_time()
                if not any(self._is_written_by(pid, writer) for pid in others(process.pid)):
                    self._family.writers.finish_one(writer, process)
            return writer.failure

    def _is_written_by(self, pid: int, writer: Writer) -> bool:
        numbers = (number for number in descriptors(pid) if self._family.node_of(pid, number) is writer.node)
        return any(is_to_write(pid, number) for number in numbers) or writer in self._mapped(pid)

    @contextlib.contextmanager
    def _locked(self, writer: Writer) -> Iterator[None]:
        """Its lock, without keeping the family's other calls from being answered."""
        if not writer.lock.acquire(blocking=False):
            self._family.take_time()
            writer.lock.acquire()
        try:
            yield
        finally:
            writer.lock.release()

    def _sweep(self, openers: Sequence[Process]) -> None:
        """Upload what these or what they have started have opened, and what was closed where nobody saw it."""
        concerned = [writer for writer in self._family.writers.all() if writer.told.concern(openers)]
        if concerned:
            self._family.take_time()
            self._family.writers.sweep(concerned.__contains__)

    def _is_held(self, pid: int, writer: Writer) -> bool:
        """Whether the process or one above it has it open, as is usual: a shell and what it starts."""
        return any(
            writer in self._mapped(process.pid)
            or any(self._family.node_of(process.pid, number) is writer.node for number in descriptors(process.pid))
            for process in lineage(pid)
        )

    # -- failures --

    def _failed(self, path: str, writer: Writer, error: OSError, process: Process | None) -> None:
        if process is None and not writer.closes:
            self._remember(writer.opener, error, 0)
        text = f"vfsmount: {path} was not uploaded: {reason(error)}"
        if process is not None:
            say(process, text, unless=self._family.skeleton.root)
        else:
            writer.told.tell(text, unless=self._family.skeleton.root)

    def _remember(self, process: Process, failure: OSError, since: int) -> None:
        """It has not been told; what it and its children do from ``since`` on may build upon a success."""
        with self._lock:
            self._failing.setdefault(process, []).append((failure, since))

    def _forget(self, process: Process, failure: OSError) -> None:
        """It has been told."""
        with self._lock:
            left = [each for each in self._failing.get(process, ()) if each[0] is not failure]
            if left:
                self._failing[process] = left
            else:
                self._failing.pop(process, None)

    def _kill(self, *processes: Process) -> None:
        for process in processes:
            self.killed.add(process.pid)
        for process in reversed(processes):  # those above first, or they would see it
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _flags(call: Call, name: str) -> int:
    if name == "openat2":
        return int.from_bytes(memory.read(call.pid, call.args[2], 8), sys.byteorder)
    return call.integer(1 if name == "open" else 2)


_F_GETFL: Final = 3
