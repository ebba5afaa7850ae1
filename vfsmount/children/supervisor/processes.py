"""What a child's processes are, and saying something on the standard error of one."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from vfsmount import real

_LINE: Final = 4000
"""Bytes of a line: a pipe takes so many whole or not at all."""
_GETFD: Final = 438
"""pidfd_getfd, on every architecture."""


class Process(NamedTuple):
    """A process, told from the next one with its number."""

    pid: int
    started: int
    """Clock ticks since boot."""

    @classmethod
    def of(cls, thread: int) -> Process:
        """That of a thread. Raises: OSError."""
        pid = group(thread)
        with real.open(f"/proc/{pid}/stat", "rb") as file:
            return cls(pid, int(file.read().rpartition(b")")[2].split()[19]))


def group(thread: int) -> int:
    """The number of its process. Raises: OSError."""
    return _status(thread, b"Tgid:")


def lineage(thread: int) -> Iterator[Process]:
    """Its process, the one that has started that one, and so on, below this one."""
    with contextlib.suppress(OSError):
        pid = group(thread)
        while pid > 1 and pid != real.getpid():
            yield Process.of(pid)
            pid = _status(pid, b"PPid:")


def now() -> int:
    """In the unit of :attr:`Process.started`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def descriptors(pid: int) -> list[int]:
    """Numbers that are open; none where nobody may look."""
    try:
        return sorted(map(int, real.listdir(f"/proc/{pid}/fd")))
    except OSError:
        return []


def mapped_to_write(pid: int, below: str) -> set[int]:
    """Inodes of files below ``below`` that the process may write through its memory; none where nobody may look.

    Source: proc(5), maps.
    """
    try:
        with real.open(f"/proc/{pid}/maps", "rb") as file:
            lines = [line.split(maxsplit=5) for line in file]
    except OSError:
        return set()
    prefix = os.fsencode(f"{below}/")
    return {
        int(fields[4])
        for fields in lines
        if len(fields) == 6 and fields[1][1::2] == b"ws" and fields[5].startswith(prefix)
    }


def is_to_write(pid: int, number: int) -> bool:
    """Whether a descriptor is open for writing. Source: proc(5), fdinfo."""
    try:
        with real.open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            flags = next(line for line in file if line.startswith(b"flags:"))
        return bool(int(flags.split()[1], 8) & os.O_ACCMODE)
    except (OSError, StopIteration):
        return False


def others(pid: int) -> list[int]:
    """All processes but that one and this one."""
    return [int(name) for name in real.listdir("/proc") if name.isdigit() and int(name) not in (pid, real.getpid())]


def duplicate(thread: int, number: int) -> int:
    """A descriptor of ours for the open file description of a process's. Raises: OSError."""
    try:
        process = os.pidfd_open(thread)
    except OSError:  # not the first one of its process
        process = os.pidfd_open(group(thread))
    try:
        found = int(_libc().syscall(_GETFD, process, number, 0))
    finally:
        real.fd_close(process)
    if found < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return found


class Listeners(NamedTuple):
    """Who is told what concerns a process: itself, or, once it has ended, who started it and has its standard error."""

    line: tuple[Process, ...]
    """As :func:`lineage` has it."""
    output: str
    """What the standard error is, as /proc tells it."""

    @classmethod
    def of(cls, thread: int) -> Listeners:
        line = tuple(lineage(thread))
        return cls(line, _standard_error(line[0]) if line else "")

    def concern(self, processes: Sequence[Process]) -> bool:
        """Whether one of these is the process, or above it."""
        return not set(processes).isdisjoint(self.line)

    def tell(self, text: str, *, unless: str) -> None:
        """As :func:`say`."""
        for process in self.line:
            if _standard_error(process) == self.output:
                return say(process, text, unless=unless)


def _standard_error(process: Process) -> str:
    """Nothing where it has none, or is not there any more."""
    try:
        found = real.readlink(f"/proc/{process.pid}/fd/2")
        return found if Process.of(process.pid) == process else ""
    except OSError:
        return ""


def say(process: Process, text: str, *, unless: str) -> None:
    """One line on its standard error, if that takes it at once and does not lead below ``unless``. Raises nothing.

    Nothing is kept open: others wait for that file's end.
    """
    line = " ".join(text.split("\n")).encode(errors="surrogateescape")[:_LINE] + b"\n"
    link = f"/proc/{process.pid}/fd/2"
    with contextlib.suppress(OSError), _broken_pipes_are_errors():
        if Process.of(process.pid) != process or real.readlink(link).startswith(f"{unless}/"):
            return
        kind = stat.S_IFMT(real.stat(link).st_mode)
        if kind == stat.S_IFSOCK:  # which cannot be opened
            with socket.socket(fileno=duplicate(process.pid, 2)) as shared:
                shared.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return
        if kind == stat.S_IFREG:  # which has a position that others go on from
            number = duplicate(process.pid, 2)
        else:
            number = real.fd_open(link, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            real.fd_write(number, line)
        finally:
            real.fd_close(number)


@contextlib.contextmanager
def _broken_pipes_are_errors() -> Iterator[None]:
    """Whatever this process does about SIGPIPE."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        yield
    except BrokenPipeError:
        signal.sigtimedwait({signal.SIGPIPE}, 0)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _status(pid: int, field: bytes) -> int:
    with real.open(f"/proc/{pid}/status", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))
