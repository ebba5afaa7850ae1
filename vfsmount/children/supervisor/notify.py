"""The listener: receiving a child's system calls and answering them. Source: seccomp_unotify(2)."""

from __future__ import annotations

import errno
import os
import select
import struct
import threading
from typing import Final, NamedTuple

from vfsmount import real

_RECV: Final = 0xC0502100
_SEND: Final = 0xC0182101
_ID_VALID: Final = 0x40082102
_ADDFD: Final = 0x40182103
_CONTINUE: Final = 1
_SETFD: Final = 1
_ADDFD_SEND: Final = 2
_GONE: Final = frozenset({errno.ENOENT, errno.EINPROGRESS})
"""The call was cancelled by a signal, or its process is dead."""


class Notification(NamedTuple):
    """One system call that waits for its answer."""

    ident: int
    pid: int
    """The thread's."""
    number: int
    args: tuple[int, ...]
    """Six, unsigned 64 bits each."""
    audit: int
    """The architecture that the number is of."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Listener:
    """One family's listener descriptor. Any thread may answer what one thread received."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._waker, self._wake = os.pipe()
        self._ending = threading.Lock()  # a descriptor that was closed may be a stranger's by now
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll_both = select.poll()
        self._poll_both.register(descriptor, select.POLLIN)
        self._poll_both.register(self._waker, select.POLLIN)

    def receive(self, timeout: float | None) -> Notification | None:
        """The next call; None after ``timeout`` seconds, after :meth:`wake`, or where it was cancelled meanwhile.

        Raises: EOFError when no process of the family is left.
        """
        for number, event in self._poll_both.poll(None if timeout is None else timeout * 1000):
            if number == self._waker:
                return None
            if event & select.POLLIN:
                buffer = bytearray(80)
                try:
                    _ioctl(self.descriptor, _RECV, buffer)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR):
                        return None
                    raise
                ident, pid, _, number, audit, _, *args = struct.unpack("QIIiIQ6Q", buffer)
                return Notification(ident, pid, number, tuple(args), audit)
            raise EOFError
        return None

    def is_over(self) -> bool:
        """True when no process of the family is left."""
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in self._poll.poll(0))

    def is_valid(self, ident: int) -> bool:
        """Whether the process that made the call is still there: what was read from its memory was its own."""
        try:
            _ioctl(self.descriptor, _ID_VALID, struct.pack("Q", ident))
        except OSError:
            return False
        return True

    def proceed(self, ident: int) -> None:
        """Let the kernel do the call as it stands."""
        self._send(struct.pack("QqiI", ident, 0, 0, _CONTINUE))

    def answer(self, ident: int, value: int) -> None:
        """The call returns ``value``."""
        self._send(struct.pack("QqiI", ident, value, 0, 0))

    def refuse(self, ident: int, number: int) -> None:
        """The call fails with the errno ``number``."""
        self._send(struct.pack("QqiI", ident, 0, -number, 0))

    def install(self, ident: int, descriptor: int, *, cloexec: bool, at: int | None = None) -> None:
        """Give the process a duplicate of ``descriptor`` and let its call return the new number (``at``, if given).

        Raises: Cancelled; OSError (EMFILE, EBADF: ``at`` is beyond the process's limit).
        """
        self._add(ident, _ADDFD_SEND | (_SETFD if at is not None else 0), descriptor, at or 0, cloexec=cloexec)

    def place(self, ident: int, descriptor: int, at: int, *, cloexec: bool) -> None:
        """Make ``at`` a duplicate of ``descriptor`` in the process, whose call is still to be answered.

        Raises: Cancelled; OSError, as above.
        """
        self._add(ident, _SETFD, descriptor, at, cloexec=cloexec)

    def wake(self) -> None:
        """Let :meth:`receive` return, now and from now on; nothing where it is closed."""
        with self._ending:
            if self.descriptor >= 0:
                real.fd_write(self._wake, b"w")

    def after_fork(self) -> None:
        """In a forked child: closed, whatever the parent's threads were at."""
        self._ending = threading.Lock()
        self.close()

    def close(self) -> None:
        """No thread may be in :meth:`receive`. Twice is once."""
        with self._ending:
            descriptors = (self.descriptor, self._waker, self._wake)
            if self.descriptor >= 0:
                self.descriptor = -1
                for descriptor in descriptors:
                    real.fd_close(descriptor)

    def _add(self, ident: int, flags: int, descriptor: int, at: int, *, cloexec: bool) -> None:
        try:
            wanted = struct.pack("QIIII", ident, flags, descriptor, at, os.O_CLOEXEC if cloexec else 0)
            _ioctl(self.descriptor, _ADDFD, wanted)
        except OSError as error:
            if error.errno in _GONE:
                raise Cancelled from error
            raise

    def _send(self, answer: bytes) -> None:
        try:
            _ioctl(self.descriptor, _SEND, answer)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            raise Cancelled from error


_ioctl: Final = real.ioctl
