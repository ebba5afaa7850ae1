"""Starting a program under supervision: the command that is run instead, and what it tells when it runs."""

from __future__ import annotations

import array
import errno
import functools
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vfsmount import real
from vfsmount.children.supervisor import bpf
from vfsmount.children.supervisor.family import Family
from vfsmount.children.supervisor.outliving import watch
from vfsmount.errors import os_error

LAUNCHER: Final = f"{os.path.dirname(__file__)}/launcher.py"
_PATIENCE: Final = 60.0
"""Seconds for an interpreter to start on a loaded machine."""
_SIGPIPE, _SIGXFSZ = 13, 25
_NO_VARIABLES: Final[Mapping[str, str]] = {}


class Rendezvous:
    """Where a launcher finds the filter, and hands over its listener."""

    def __init__(self, base: str, instructions: bytes) -> None:
        self._base: Final = base
        with real.open(f"{base}/filter", "wb") as file:
            file.write(instructions)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = real.fd_open(base, os.O_PATH | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{here}/socket")  # an address has room for 107 bytes
            self._socket.listen(8)
        except BaseException:
            self._socket.close()
            raise
        finally:
            real.fd_close(here)

    def command(
        self,
        program: str,
        argv: Sequence[str],
        *,
        restore_signals: bool,
        variables: Mapping[str, str] = _NO_VARIABLES,
        directory: str | None = None,
    ) -> list[str]:
        """What to run; an empty ``program`` makes the launcher try one call and end. ``variables``: set in the
        environment that it inherits, those with no value removed. ``directory``: it is to go there first.
        """
        signals = f"{_SIGPIPE},{_SIGXFSZ}" if restore_signals else ""
        pairs = " ".join(f"{name}={value}" for name, value in variables.items())
        return [sys.executable, "-I", "-S", LAUNCHER, self._base, signals, pairs, directory or "", program, *argv]

    def meet(self, pid: int, start: Callable[[int, bool], None]) -> None:
        """The launcher runs as ``pid``: ``start`` gets the listener, and whether calls
        can be cancelled only by death; wait until it has become the program.

        Raises: OSError where it has not, as the exec failed.
        """
        try:
            link = self._accept(pid)
            try:
                link.settimeout(_PATIENCE)
                data, ancillary, _, _ = link.recvmsg(16, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
                if ancillary:
                    start(array.array("i", ancillary[0][2][:4])[0], data == b"K")
                    data = link.recv(16)
                if data.startswith(b"E"):
                    raise os_error(int(data[1:]))
                if not ancillary:
                    raise EOFError
            finally:
                link.close()
        except (TimeoutError, EOFError):
            raise os_error(errno.EIO, None, hint="the launcher of a child program did not start") from None
        finally:
            self.close()

    def close(self) -> None:
        self._socket.close()

    def _accept(self, pid: int) -> socket.socket:
        """The launcher's connection. Raises: EOFError where it has ended, TimeoutError."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        try:
            watch = os.pidfd_open(pid)
        except OSError:
            watch = -1
        else:
            poll.register(watch, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll(_PATIENCE * 1000))
                if not ready:
                    raise TimeoutError
                if self._socket.fileno() not in ready:
                    raise EOFError
                link, _ = self._socket.accept()
                if struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] == pid:
                    return link
                link.close()
        finally:
            if watch >= 0:
                real.fd_close(watch)


class Launch:
    """A plan: the launcher in the stead of the program. One family for each."""

    executable: object = None
    killed = False

    def __init__(self, family: Family, program: str, argv: Sequence[str], *, cwd: object, env: Mapping[Any, Any] | None,
                 variables: Mapping[str, str], restore_signals: bool, name: object) -> None:  # fmt: skip
        self.family: Final = family
        self.cwd: Final = cwd
        self.env: Final = env
        self._name = name
        self._pid = 0
        self._rendezvous = Rendezvous(
            family.skeleton.base, bpf.program(family.architecture, family.lazy, stdin=family.stdin)
        )
        self._command: Final = functools.partial(
            self._rendezvous.command, program, argv, restore_signals=restore_signals, variables=variables
        )
        self.argv: Final = self._command()

    def in_place(self) -> list[str]:
        """The launcher goes to ``cwd``."""
        return self._command(directory=None if self.cwd is None else os.fsdecode(self.cwd))  # type: ignore[arg-type]

    def started(self, pid: int) -> None:
        """It runs as ``pid``, or is about to. Raises: OSError where the program could not be executed."""
        try:
            self._rendezvous.meet(pid, self.family.start)
            self._pid = pid
            watch(self.family)
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, os.strerror(error.errno), self._name) from None

    def finish(self) -> bool:
        """The program has ended: what it wrote is uploaded. False where something could not be."""
        self.family.ended()
        self.killed = self._pid in self.family.closing.killed
        return not self.family.failures

    def discard(self) -> None:
        """It never started."""
        self._rendezvous.close()
        self.family.close()
