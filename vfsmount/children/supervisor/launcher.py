"""Run as a program of its own in the child: installs the filter, hands the listener over, becomes the program.

``python -I -S launcher.py DIRECTORY SIGNALS VARIABLES CWD PROGRAM ARGV0 ARG...``; DIRECTORY holds the filter's
instructions and the socket that the supervisor listens on. SIGNALS are those that Python ignores and the program is not
to; VARIABLES (``NAME=value``, separated by spaces) are set for it, those with no value removed. CWD, if not empty, is
where to go first. Imports nothing of vfsmount: all that it loads is paid for by every child.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the modules around these two cost ten milliseconds
import _socket
import ctypes
import os
import sys

_NO_NEW_PRIVILEGES = 38
_SET_MODE_FILTER = 1
_NEW_LISTENER = 8
_WAIT_KILLABLE = 32
_HANDOVER = 0x4010
"""As in ``bpf``: the filter lets this one pass."""
_SECCOMP = {"x86_64": 317, "aarch64": 277}


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _install(instructions: bytes) -> tuple[int, bytes]:
    """The listener's descriptor, and a letter: K where only death cancels a call that is being answered.

    Raises: OSError (EBUSY: the process is supervised already).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(code))
    # Without WAIT_KILLABLE (Linux 5.19) a signal cancels a call that is being answered, and it is made again.
    for flags, letter in ((_NEW_LISTENER | _WAIT_KILLABLE, b"K"), (_NEW_LISTENER, b"L")):
        listener = libc.syscall(_SECCOMP[os.uname().machine], _SET_MODE_FILTER, flags, ctypes.byref(program))
        if listener >= 0:
            return int(listener), letter
    raise OSError(ctypes.get_errno(), "seccomp")


def _environment() -> dict[bytes, bytes]:
    """As it was given: the interpreter itself may have added to it."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (pair.partition(b"=") for pair in file.read().split(b"\0") if pair)
        return {name: value for name, _, value in pairs if name}


def main() -> None:
    """Exits 127 where the program cannot be started; the supervisor is told why."""
    directory, signals, variables, cwd, program, *argv = sys.argv[1:]
    environment = _environment()
    for pair in variables.encode().split():
        variable, _, value = pair.partition(b"=")
        environment.pop(variable, None)
        if value:
            environment[variable] = value
    with open(directory + "/filter", "rb") as file:
        instructions = file.read()
    here = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.connect(f"/proc/self/fd/{here}/socket")  # an address has room for 107 bytes
    os.close(here)
    for name in filter(None, signals.split(",")):
        _signal.signal(int(name), _signal.SIG_DFL)
    try:
        if cwd:
            os.chdir(cwd)
        listener, letter = _install(instructions)
        link.sendmsg(
            [letter], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener.to_bytes(4, sys.byteorder))], _HANDOVER
        )
        os.close(listener)
        if program == "":  # a trial: one call on a path that exists only if it is answered
            os.open("/vfsmount-supervisor-trial", os.O_RDONLY)
            os._exit(3)
        if "/" in program:
            os.execve(program, argv, environment)
        else:
            os.execvpe(program, argv, environment)
    except OSError as error:
        link.sendall(b"E%d" % (error.errno or 0))
    os._exit(127)


if __name__ == "__main__":
    main()
