"""execve of programs that lie on a mount."""

from __future__ import annotations

import errno
import os

from vfsmount.children.supervisor.call import PROCEED, Call
from vfsmount.children.supervisor.opening import fetch
from vfsmount.errors import os_error


def execve(call: Call) -> int:
    path = call.resolve(0)
    if path is None:
        return PROCEED
    if os.fsdecode(call.text(0)).startswith(call.family.skeleton.root):
        fetch(call, path)
        return PROCEED
    raise os_error(errno.ENOTSUP, path)


def execveat(call: Call) -> int:
    path = call.resolve(1, 0)
    if path is None:
        return PROCEED
    raise os_error(errno.ENOTSUP, path)
