"""chdir and getcwd: a process stands in the skeleton and is told where that is."""

from __future__ import annotations

import errno
import os

from vfsmount import real
from vfsmount.children.supervisor.call import PROCEED, Call
from vfsmount.children.supervisor.paths import Outside
from vfsmount.children.supervisor.redirect import leads_there, redirect
from vfsmount.errors import os_error


def chdir(call: Call) -> int:
    try:
        path = call.resolve(0)
    except Outside as outside:
        return redirect(call, 0, outside.path)
    if path is None:
        return PROCEED
    attr, _ = call.family.attr(path)
    if not attr.is_dir:
        raise os_error(errno.ENOTDIR, path)
    local = call.family.skeleton.local(path)
    if leads_there(call, call.text(0), local):
        return PROCEED
    return redirect(call, 0, local)


def getcwd(call: Call) -> int:
    inside = call.family.resolver.mounted(real.readlink(f"/proc/{call.pid}/cwd"))
    if inside is None:
        return PROCEED
    data = os.fsencode(inside) + b"\0"
    if len(data) > call.args[1]:
        raise os_error(errno.ERANGE)
    call.write(0, data)
    return len(data)
