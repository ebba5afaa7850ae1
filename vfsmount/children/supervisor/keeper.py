"""Run as a program of its own when its starter ends before programs that it supervises: lets these end.

``python -I -S keeper.py PASSING STARTER LISTENER...``; PASSING are the numbers of system calls that are let through,
separated by commas, STARTER is the reading end of a pipe that ends with the starter, LISTENER are the listeners'
descriptors. All other calls that come fail with ENOSYS, as they do where nobody listens. But so would ``exit_group``: a
thread that cannot end its process ends alone, and leaves the others waiting for what it holds. Imports nothing of
vfsmount; ends with the last of those programs.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys

_RECV = 0xC0502100
"""As in ``notify``, as are the formats."""
_SEND = 0xC0182101
_CONTINUE = 1
_NATIVE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ENOSYS = 38


def _answer(listener: int, passing: set[int]) -> None:
    call = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECV, call)
        ident, _, _, number, audit = struct.unpack_from("QIIiI", call)
        passes = number in passing and audit == _NATIVE.get(os.uname().machine)
        reply = struct.pack("QqiI", ident, 0, 0, _CONTINUE) if passes else struct.pack("QqiI", ident, 0, -_ENOSYS, 0)
        fcntl.ioctl(listener, _SEND, reply)
    except OSError:  # it was interrupted, or has died
        pass


def main() -> None:
    passing = set(map(int, sys.argv[1].split(",")))
    starter, *listeners = map(int, sys.argv[2:])
    while os.read(starter, 1):
        pass
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    while listeners:
        for listener, event in poll.poll():
            if event & select.POLLIN:
                _answer(listener, passing)
            else:
                poll.unregister(listener)
                listeners.remove(listener)


if __name__ == "__main__":
    main()
