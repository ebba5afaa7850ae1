"""execve of programs and scripts that lie on a mount: the kernel executes a local copy."""

from __future__ import annotations

import errno
import os
from typing import Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.call import AT_EMPTY_PATH, PROCEED, Call, not_supported
from vfsmount.children.supervisor.opening import fetch
from vfsmount.children.supervisor.paths import Outside
from vfsmount.children.supervisor.redirect import leads_there, redirect
from vfsmount.errors import os_error

_MOST: Final = 1 << 16
"""Arguments and variables that are looked at."""


def execve(call: Call) -> int:
    try:
        path = call.resolve(0)
    except Outside as outside:
        return redirect(call, 0, outside.path, guarded=_read_too(call), execs=True)
    if path is None:
        call.may_reopen()
        return PROCEED
    local = _executable(call, path)
    if leads_there(call, call.text(0), local):
        return PROCEED
    return redirect(call, 0, local, guarded=_read_too(call), execs=True)


def execveat(call: Call) -> int:
    if call.integer(4) & AT_EMPTY_PATH and not call.text(1):
        node = call.family.node_of(call.pid, call.integer(0))
        if node is not None:
            node.fill()
        return PROCEED
    if call.resolve(1, 0) is None:
        call.may_reopen()
        return PROCEED
    raise not_supported("a mounted program is executed by its path")


def _executable(call: Call, path: str) -> str:
    """The local copy. Raises: EACCES where the mount's ``file_mode`` has no x; ENOENT and the like; ENOEXEC."""
    attr, _ = call.family.attr(path)
    if attr.is_dir or not attr.mode & 0o111:
        raise os_error(errno.EACCES, path)
    node = fetch(call, path)
    number = node.reopen(os.O_RDONLY)
    try:
        start = real.pread(number, 4, 0)
    finally:
        real.fd_close(number)
    if not start.startswith((b"\x7fELF", b"#!")):
        raise os_error(errno.ENOEXEC, path)
    return node.local


def _read_too(call: Call) -> tuple[range, ...]:
    """Where the arguments and the environment are, which the kernel reads after the path."""
    found = []
    for position in (1, 2):
        at = call.args[position]
        if not at:
            continue
        pointers: list[int] = []
        while len(pointers) < _MOST and (pointer := memory.read_numbers(call.pid, at + 8 * len(pointers), 1)[0]):
            pointers.append(pointer)
        found.append(range(at, at + 8 * len(pointers) + 8))
        for pointer in pointers:
            if pointer != call.args[0]:
                found.append(range(pointer, pointer + _length(call.pid, pointer) + 1))
    return tuple(found)


def _length(pid: int, pointer: int) -> int:
    try:
        return len(memory.read_string(pid, pointer))
    except OSError:  # longer than a path may be
        return 1 << 17
