"""What the process that is to be supervised does itself: it gives up privileges for good, and installs the filter."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import signal
from collections.abc import Iterator
from typing import Final

from vfsmount.errors import os_error

_SET_NO_NEW_PRIVILEGES: Final = 38
_SET_PTRACER: Final = 0x59616D61
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_NEW_LISTENER: Final = 8
_WAIT_KILLABLE: Final = 32


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def allow(supervisor: int) -> None:
    """Let the process ``supervisor`` read this one's memory also where Yama lets only ancestors do so."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PTRACER, ctypes.c_ulong(supervisor), 0, 0, 0)


def install(number: int, instructions: bytes) -> tuple[int, bool]:
    """Filter this thread's calls, from here on and for ever; ``number`` is that of ``seccomp``.

    Returns the listener's descriptor, and whether only death cancels a call that is being answered. Until somebody
    answers, the thread must make no call that the filter sends there.
    Raises: OSError; EBUSY: supervised already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise os_error(ctypes.get_errno(), None, hint="no_new_privs")
    for killable in (True, False):
        more = _WAIT_KILLABLE if killable else 0
        found = _install(libc, number, _NEW_LISTENER | more, instructions)
        if found >= 0:
            return found, killable
    raise _refused(ctypes.get_errno())


def share(number: int, instructions: bytes) -> None:
    """Give this thread's filters, and one more, to all threads of the process. Raises: OSError (ESRCH)."""
    found = _install(ctypes.CDLL(None, use_errno=True), number, _ALL_THREADS, instructions)
    if found:
        raise _refused(ctypes.get_errno() if found < 0 else errno.ESRCH)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No finalizer and no signal handler runs in this thread meanwhile."""
    collecting = gc.isenabled()
    gc.disable()
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if collecting:
            gc.enable()


def _install(libc: ctypes.CDLL, number: int, flags: int, instructions: bytes) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(code))
    return int(libc.syscall(number, _SET_MODE_FILTER, flags, ctypes.byref(program)))


def _refused(number: int) -> OSError:
    hints = {
        errno.EBUSY: "this process is supervised already, by vfsmount in a process above it or by something else",
        errno.ESRCH: "a thread of this process has a system call filter of its own",
    }
    return os_error(number, None, hint=hints.get(number, f"the kernel refuses the filter: {os.strerror(number)}"))
