"""What the process that is to be supervised does itself: it gives up privileges for good, and installs the filter."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

from vfsmount import real
from vfsmount.errors import os_error

_SET_NO_NEW_PRIVILEGES: Final = 38
_SET_PTRACER: Final = 0x59616D61
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_NEW_LISTENER: Final = 8
_TELL_BY_ESRCH: Final = 16
_WAIT_KILLABLE: Final = 32


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def allow(supervisor: int) -> None:
    """Let the process ``supervisor`` read this one's memory also where Yama lets only ancestors do so."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PTRACER, ctypes.c_ulong(supervisor), 0, 0, 0)


def install(number: int, instructions: bytes) -> tuple[int, bool]:
    """Filter the calls of all threads, from here on and for ever; ``number`` is that of ``seccomp``.

    Returns the listener's descriptor, and whether only death cancels a call that is being answered.
    Raises: OSError; EBUSY: supervised already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise os_error(ctypes.get_errno(), None, hint="no_new_privs")
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(code))
    flags = _NEW_LISTENER | _ALL_THREADS | _TELL_BY_ESRCH
    for killable in (True, False):
        more = _WAIT_KILLABLE if killable else 0
        found = libc.syscall(number, _SET_MODE_FILTER, flags | more, ctypes.byref(program))
        if found >= 0:
            return int(found), killable
    raise _refused(ctypes.get_errno())


def close(listener: int) -> None:
    """Once the supervisor has its own."""
    real.fd_close(listener)


def _refused(number: int) -> OSError:
    hints = {
        errno.EBUSY: "this process is supervised already, by vfsmount in a process above it or by something else",
        errno.ESRCH: "a thread of this process has a system call filter of its own",
    }
    return os_error(number, None, hint=hints.get(number, f"the kernel refuses the filter: {os.strerror(number)}"))
