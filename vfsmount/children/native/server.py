"""The supervisor's own process: one family, the process that started it and all that it starts; and what they ask."""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from vfsmount import real
from vfsmount.children.native.page import Page
from vfsmount.children.native.records import MountRecords, RecordFile
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.family import Family
from vfsmount.children.supervisor.syscalls import this_architecture
from vfsmount.errors import os_error
from vfsmount.vfs.mounts import Mount, MountTable

logger = logging.getLogger(__name__)

_PATIENCE: Final = 60.0
"""Seconds for who started this process to connect."""
_ATTEMPTS: Final = 8
_KEPT: Final = 10_000
"""Changes that are told one by one; who has missed more is told that anything may have changed."""


class Loader(Protocol):
    """Mounts what handover files describe."""

    def load(self, path: str | None) -> tuple[list[Mount], Callable[[], None]]:
        """All mounts from now on, those that stay as they are, and a function that lets go of the others.

        Raises: OSError, ValueError.
        """

    def other(self, path: str | None) -> dict[str, list[str]]:
        """The mount points at which the file describes another mount than the one that is there, and the names of the
        options that differ, but for the secret. Raises: OSError.
        """


class Server:
    """Answers one request a line, on any number of connections, and the calls of the family."""

    def __init__(self, base: str, loader: Loader) -> None:
        self._base = base
        self._loader = loader
        self._table = MountTable(())
        self._family: Family | None = None
        self._lock = threading.RLock()
        self._now = 0
        self._changes: deque[tuple[str, str, bool, Mapping[str, int]]] = deque(maxlen=_KEPT)
        self._page = Page(f"{base}/page", create=True)
        self._records = RecordFile(f"{base}/records", supervises=True, create=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = real.fd_open(base, os.O_PATH | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{here}/socket")
        finally:
            real.fd_close(here)
        self._socket.listen(64)
        self._listener = -1
        self._met = threading.Event()
        """Somebody has connected."""
        self._over = threading.Event()
        """There is a family to wait for, or there will be none."""

    def run(self) -> None:
        """Until the last process of the family has ended, or the one that never entered has."""
        threading.Thread(target=self._accept, daemon=True).start()
        if self._met.wait(_PATIENCE):  # else who started this one is gone already
            self._over.wait()
        if self._family is not None:
            self._family.wait()
        self._loader.load(None)[1]()

    def _accept(self) -> None:
        while True:
            link, _ = self._socket.accept()
            self._met.set()
            threading.Thread(target=self._converse, args=(link,), daemon=True).start()

    def _converse(self, link: socket.socket) -> None:
        lines = b""
        try:
            with link:
                while True:
                    data, ancillary, _, _ = link.recvmsg(1 << 16, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
                    if not data:
                        break
                    for _, _, descriptors in ancillary:
                        self._listener = int.from_bytes(descriptors[:4], sys.byteorder)
                    *whole, lines = (lines + data).split(b"\n")
                    for line in filter(None, whole):
                        link.sendall(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
        except OSError as error:
            logger.debug("a connection ended: %s", error)
        if self._family is None:
            self._over.set()  # who was to be supervised is gone before it was

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = getattr(self, f"_on_{question.pop('verb')}")(**question)
        except OSError as error:
            notes = [note.removeprefix("vfsmount: ") for note in getattr(error, "__notes__", ())]
            hint = "; ".join(notes) or getattr(error, "hint", None)
            return {"errno": error.errno or errno.EIO, "path": error.filename, "hint": hint}
        except Exception as error:
            logger.exception("a request failed")
            return {"errno": errno.EIO, "path": None, "hint": f"{type(error).__name__}: {error}"}
        return found

    # -- entering --

    def _on_look(self, pid: int, address: int, expected: str) -> dict[str, Any]:
        """Whether memory can be read from here. Raises: EPERM."""
        try:
            seen = memory.read(pid, address, len(expected) // 2)
        except OSError as error:
            raise os_error(errno.EPERM, None, hint=f"the supervisor may not read memory here: {error}") from error
        self._supervised = pid
        if seen.hex() != expected:
            raise os_error(errno.EPERM, None, hint="the supervisor sees other processes here: a PID namespace")
        return {}

    def _on_serve(self, killable: bool, lazy: list[int]) -> dict[str, Any]:
        """The filter is there, and its listener has come with this message."""
        architecture = this_architecture()
        if architecture is None or self._listener < 0:
            raise os_error(errno.EIO, None, hint="the supervisor has no listener")
        family = Family(self._table, architecture, range(*lazy))
        family.writers.watch = self._publish
        family.lets_unreadable_pass = True  # Yama lets us into the process that asked for it, not into its children
        family.closing.spared = self._supervised
        self._family = family
        family.start(self._listener, killable)
        self._over.set()
        return {}

    # -- serving --

    def _on_mount(self, path: str | None) -> dict[str, Any]:
        """Show what the file describes in the stead of what was shown."""
        mounts, let_go = self._loader.load(path)
        points = [mount.point for mount in mounts]
        if self._family is not None:
            gone = [point for point in self._table.points if point not in points]
            table = MountTable([mount for mount in self._table.mounts if mount.point in gone])
            self._family.release(table.covers)
        for mount in mounts:
            mount.fs.changes.share(functools.partial(self._tell, mount.point))
            mount.fs.sharing.keep(MountRecords(self._records, mount.point))
        self._table.set_mounts(mounts)
        let_go()
        return {"points": points, "other": {}, **self._on_sync(self._now)}

    def _on_join(self, path: str | None) -> dict[str, Any]:
        """Show nothing else; tell whether it is what the file describes."""
        other = self._loader.other(path)
        return {"points": list(self._table.points), "other": other, **self._on_sync(self._now)}

    def _on_seen(self) -> dict[str, Any]:
        """What the family sees at a mount point, device and inode, for who wants to know whether it belongs to it."""
        if self._family is None or not self._table.points:
            return {}
        point = self._table.points[0]
        found = self._family.attr(point)[1]
        return {"point": point, "identity": [found.st_dev, found.st_ino]}

    def _on_writing(self) -> dict[str, Any]:
        return {"paths": self._family.writers.paths() if self._family is not None else []}

    def _on_sync(self, since: int, told: Sequence[Any] | None = None) -> dict[str, Any]:
        """Upload what was closed, take what the other has changed, tell what was changed since its last call."""
        failures: list[OSError] = []
        killed: list[int] = []
        if self._family is not None:
            self._family.settle()
            failures, self._family.writers.failures = self._family.writers.failures, []
            self._family.closing.forgive(self._supervised)  # it raises them itself
            killed = sorted(self._family.closing.killed)
            self._family.closing.killed.difference_update(killed)
        if told is not None:
            point, path, below, made = told
            for mount in self._table.mounts:
                if mount.point == point:
                    mount.fs.changes.take(path, below, made)
        with self._lock:
            missed = self._now - since
            if missed > len(self._changes):
                changes: list[Any] = [(mount.point, "", True, mount.fs.changes.made()) for mount in self._table.mounts]
            else:
                changes = list(self._changes)[len(self._changes) - missed :]
            return {
                "now": self._now,
                "changes": changes,
                "killed": killed,
                "failures": [[error.errno or errno.EIO, error.filename, _words(error)] for error in failures],
            }

    def _on_let_go(self, path: str) -> dict[str, Any]:
        """Have done with what native code has closed of ``path``: whoever asks wants to open it.

        A thread that is starting a program holds, until its exec, a copy of what was open.
        """
        family = self._family
        for _ in range(_ATTEMPTS if family is not None else 0):
            assert family is not None
            family.settle()
            family.skeleton.release_unused()
            if family.writers.get(path) is None and all(node.path != path for node in family.skeleton.open_nodes()):
                break
            time.sleep(0.005)
        return {}

    def _on_directory(self, path: str) -> dict[str, Any]:
        assert self._family is not None
        attr, _ = self._family.attr(path)
        if not attr.is_dir:
            raise os_error(errno.ENOTDIR, path)
        return {"local": self._family.skeleton.local(path)}

    def _tell(self, point: str, path: str, below: bool, made: Mapping[str, int]) -> None:
        with self._lock:
            self._now += 1
            self._changes.append((point, path, below, dict(made)))
            self._publish()

    def _publish(self) -> None:
        with self._lock:
            self._page.write(self._now, len(self._family.writers) if self._family is not None else 0)


def _words(error: OSError) -> str:
    notes = [note.removeprefix("vfsmount: ") for note in getattr(error, "__notes__", ())]
    return ": ".join([error.strerror or str(error), *notes])
