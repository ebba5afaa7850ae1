"""The supervisor's process as the supervised one sees it: started, entered, asked and told."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import functools
import json
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.children.native import enter
from vfsmount.children.native.page import Page
from vfsmount.children.native.records import MountRecords, RecordFile
from vfsmount.children.supervisor import bpf
from vfsmount.children.supervisor.detect import lazy_numbers, supervision
from vfsmount.clock import RequestLock
from vfsmount.errors import os_error
from vfsmount.transfer.ownership import own
from vfsmount.transfer.spool import out_of_the_way, scratch_directory

if TYPE_CHECKING:
    from vfsmount.children.supervisor.syscalls import Architecture
    from vfsmount.vfs.mounts import MountTable

logger = logging.getLogger(__name__)

_PATIENCE: Final = 60.0
"""Seconds for an interpreter to start on a loaded machine."""
_LONG: Final = float(1 << 20)
"""Seconds: a limit so that Ctrl-C ends the wait, as ``clock.FOREVER``, which is more than poll(2) takes."""
_MAIN: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "bootstrap", "supervise.py")
SUPERVISOR: Final = "VFSMOUNT_SUPERVISOR"
"""Environment variable: where the supervisor of the process above is asked."""
_GONE: Final = (
    b"vfsmount: the supervisor's process is gone (native=True; it was killed), so this one ends with the status 1,"
    b" however it was to end: what native code and programs wrote to mounts and did not close is lost\n"
)
UNSUPPORTED: Final = "this kernel or sandbox lets no process supervise another (seccomp user notification)"


class Peer:
    """One for a process and its forks, until it ends: a filter cannot be removed.

    A program that a supervised process has started is supervised with it, and only joins: the mounts stay as they are.
    """

    def __init__(self, base: str, *, joins: bool) -> None:
        """Connect. Raises: OSError."""
        self.base: Final = base
        self.joins: Final = joins
        self._page = Page(f"{self.base}/page")
        self._records = RecordFile(f"{self.base}/records", supervises=False)
        self._lock = RequestLock()
        self._link: socket.socket | None = None
        self._links: set[socket.socket] = set()
        """All connections, the one that is free and those in use."""
        self._pid = real.getpid()
        self._seen = 0
        self._table: MountTable | None = None
        self._listener = -1
        self.failures: list[OSError] = []
        """What was written through the supervisor and could not be uploaded; who looks takes them away."""
        self.killed: set[int] = set()
        """Processes that were not let end well, because of that; who looks takes them away."""
        self.supervisor = 0
        self._link = self._connect()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._end)

    def enter(self, architecture: Architecture) -> None:
        """From here on the supervisor answers the calls of every thread. Raises: OSError, and nothing has changed."""
        enter.allow(self.supervisor)
        word = ctypes.create_string_buffer(os.urandom(16), 16)
        at = ctypes.addressof(word)
        self.ask("look", pid=real.getpid(), address=at, expected=word.raw.hex())
        lazy, number = lazy_numbers(), architecture.numbers["seccomp"]
        instructions = bpf.program(architecture, lazy)
        link = self._link = self._link or self._connect()
        # This thread alone at first, which only hands the listener over: another one could wait for its first answer
        # while it holds the interpreter's lock, and so for ever.
        with enter.undisturbed():
            self._listener, killable = enter.install(number, instructions)
            try:
                handed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, self._listener.to_bytes(4, sys.byteorder))]
                question = _question("serve", {"killable": killable, "lazy": [lazy.start, lazy.stop]})
                link.sendmsg([question], handed, bpf.HANDOVER)
            finally:
                listener, self._listener = self._listener, -1
                real.fd_close(listener)
        _heard(_answer(link))
        enter.share(number, bpf.nothing())
        os.putenv(SUPERVISOR, self.base)

    def mount(self, table: MountTable, handover: str | None) -> list[str]:
        """Serve what the file ``handover`` describes, or nothing: then every call is the kernel's own again.

        Returns the mount points that native code does not see. A forked child, and who joins, changes nothing.
        Raises: OSError; ValueError where native code sees another bucket there.
        """
        owns = self._pid == real.getpid() and not self.joins
        if not owns and not table.mounts:
            self._table = table
            table.before = None
            return []
        for mount in table.mounts:  # before native code sees the first file
            mount.fs.sharing.keep(MountRecords(self._records, mount.point, self._let_go))
        answer = self.ask("mount", path=handover) if owns else self._same(handover)
        self._table = table
        for mount in table.mounts:
            shared = mount.point in answer["points"]
            if not shared:
                mount.fs.sharing.keep(None)
            mount.fs.changes.share(functools.partial(self.tell, mount.point) if shared else None)
        table.before = self.sync if answer["points"] else None
        self._take(answer)
        for mount in table.mounts:  # made before
            if mount.point in answer["points"] and (made := mount.fs.changes.made()):
                self.tell(mount.point, "", True, made)
        return [point for point in table.points if point not in answer["points"]]

    def answers(self) -> bool:
        """Whether it answers this process's calls: a variable goes to others too. Raises: OSError."""
        seen = self.ask("seen")
        try:
            found = real.stat(seen["point"]) if seen else None
        except OSError:
            return False
        return found is None or [found.st_dev, found.st_ino] == seen["identity"]

    def check(self, handover: str | None) -> None:
        """This process mounts that for Python alone. Raises: ValueError where native code sees another bucket there."""
        with contextlib.suppress(OSError):  # the supervisor has ended, or nothing is supervised by it
            self._same(handover)

    def _same(self, handover: str | None) -> dict[str, Any]:
        answer = self.ask("join", path=handover)
        for point, names in answer["other"].items():
            raise ValueError(
                f"mount point {point!r}: native code of this process sees another mount there, which was made with "
                f"native=True above it (other {', '.join(names)}); take another mount point, or the same mount"
            )
        return answer

    def sync(self) -> None:
        """Have what the supervisor has changed until now; asks only where there is something, or may be."""
        changes, writers = self._page.read()
        if changes != self._seen or writers:
            self.settle()

    def settle(self) -> None:
        """What was written through the supervisor and closed is uploaded; see :attr:`failures`."""
        with self._lock:
            self._take(self.ask("sync", since=self._seen))

    def tell(self, point: str, path: str, below: bool, made: Mapping[str, int]) -> None:
        """This process has changed something."""
        with self._lock:
            self._take(self.ask("sync", since=self._seen, told=[point, path, below, dict(made)]))

    def _let_go(self, path: str) -> None:
        """The supervisor has ``path`` open; it may be that native code has closed it."""
        self.ask("let_go", path=path)
        self.settle()

    def writing(self) -> list[str]:
        """Paths that native code has open for writing. Raises: OSError."""
        return list(self.ask("writing")["paths"])

    def directory(self, path: str) -> str:
        """A local directory that is the mounted one to who stands in it. Raises: what looking at it raises."""
        return str(self.ask("directory", path=path)["local"])

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Raises: OSError with what the supervisor says; EIO where it is gone."""
        with self._lock:
            # A signal handler or a finalizer that asks while this waits for its answer takes a connection of its own.
            link, self._link = self._link, None
            question = _question(verb, arguments)
            try:
                link = link or self._connect()
                try:
                    link.sendall(question)
                except OSError as error:
                    if error.errno not in (errno.EBADF, errno.ENOTSOCK):
                        raise
                    link.detach()  # a program may close all descriptors that it does not know
                    self._links.discard(link)
                    link = self._connect()
                    link.sendall(question)
                answer = _answer(link)
            except BaseException as error:
                self._drop(link)  # or the next answer would be this one's
                if isinstance(error, OSError):
                    raise os_error(errno.EIO, None, hint="the supervisor's process is gone") from error
                raise
            self._drop(self._link)
            self._link = link
        return _heard(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        """What the supervisor has changed, oldest first."""
        for point, path, below, made in answer["changes"]:
            for mount in self._table.mounts if self._table is not None else ():
                if mount.point == point:
                    mount.fs.changes.take(path, below, made)
        self._seen = answer["now"]
        self.killed.update(answer["killed"])
        for number, path, text in answer["failures"]:
            logger.error("what native code wrote to %s could not be uploaded: %s", path, text)
            self.failures.append(OSError(number, text, path))

    def _connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            here = real.fd_open(self.base, os.O_PATH | os.O_CLOEXEC)
            try:
                link.connect(f"/proc/self/fd/{here}/socket")  # an address has room for 107 bytes
            finally:
                real.fd_close(here)
            self.supervisor = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            link = socket.socket(fileno=out_of_the_way(link.detach()))
            link.settimeout(_LONG)
            self._links.add(link)
            return link
        except BaseException:
            link.close()
            raise

    def leave(self) -> None:
        """Nothing was entered: the supervisor ends with the connection."""
        atexit.unregister(self._end)
        link, self._link = self._link, None
        self._drop(link)

    def _drop(self, link: socket.socket | None) -> None:
        if link is not None:
            self._links.discard(link)
            with contextlib.suppress(OSError):
                link.close()

    def _end(self) -> None:
        """Without a supervisor the kernel lets no process end with the status 0, but its threads one by one; only the
        others: so it gets another."""
        try:
            self.ask("writing")
        except OSError as error:
            if error.errno != errno.EIO:
                return
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            with contextlib.suppress(OSError):  # whatever is made of log records
                real.fd_write(2, _GONE)
            os._exit(1)

    def _after_fork(self) -> None:
        self._lock = RequestLock()
        self._records.after_fork()
        self.failures = []
        self._link = None
        for link in self._links:
            with contextlib.suppress(OSError):
                link.close()
        self._links = set()
        if self._listener >= 0:
            real.fd_close(self._listener)
        enter.allow(self.supervisor)


def _question(verb: str, arguments: Mapping[str, object]) -> bytes:
    return json.dumps({"verb": verb, **arguments}).encode() + b"\n"


def _answer(link: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"\n"):
        more = link.recv(1 << 16)
        if not more:
            raise ConnectionResetError
        answer += more
    return answer


def _heard(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer)
    if "errno" in found:
        raise os_error(found["errno"], found.get("path"), hint=found.get("hint"))
    return found


_peer: list[Peer] = []


def peer(places: Sequence[str]) -> Peer:
    """This process's, started and entered where there is none yet; ``places``: directories that it imports from.

    Raises: OSError (ENOTSUP, EBUSY, EPERM: it cannot be had here).
    """
    if above() is None:
        _peer.append(_entered(places))
    return _peer[0]


def above() -> Peer | None:
    """That of this process, or of the one above that this one is supervised with; None: there is none."""
    if not _peer and (base := os.environ.get(SUPERVISOR)):
        with contextlib.suppress(OSError):  # that process has ended
            found = Peer(base, joins=True)
            if found.answers():
                _peer.append(found)
    return _peer[0] if _peer else None


def _entered(places: Sequence[str]) -> Peer:
    architecture = supervision()
    if architecture is None:
        raise os_error(errno.ENOTSUP, None, hint=UNSUPPORTED)
    with real.passthrough():
        base = tempfile.mkdtemp(prefix="vfsmount-", dir=os.path.realpath(scratch_directory()))
        try:
            own(base)
            _start(base, places)
        except BaseException:
            shutil.rmtree(base, ignore_errors=True)
            raise
    found = Peer(base, joins=False)
    try:
        found.enter(architecture)
    except BaseException:
        found.leave()
        raise
    return found


def _start(base: str, places: Sequence[str]) -> None:
    """Start it, with no parent that could wait for it by mistake, and wait until it listens. Raises: OSError."""
    with real.open(f"{base}/places", "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump([*places, *(entry for entry in sys.path if os.path.isabs(entry))], file)
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", _MAIN, base],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    try:
        said = started.communicate(timeout=_PATIENCE)[0]
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(started.pid, signal.SIGKILL)  # the process that it has left behind, too
        started.wait()
        raise
    if said != b"ready":
        reason = said.decode(errors="replace") or f"exit code {started.returncode}"
        raise os_error(errno.EIO, None, hint=f"the supervisor's process did not start: {reason}")
