"""Calls of 32-bit programs: mounted paths are refused, and what a descriptor leads to is whole before they see it.

Their structures differ, so nothing is answered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfsmount.children.supervisor.call import PROCEED, not_supported
from vfsmount.children.supervisor.lazy import WITHOUT_NUMBER

if TYPE_CHECKING:
    from vfsmount.children.supervisor.call import Call

_AT: Final = frozenset(
    "openat openat2 mkdirat mknodat fchownat futimesat fstatat64 unlinkat readlinkat fchmodat fchmodat2 faccessat "
    "faccessat2 utimensat utimensat_time64 name_to_handle_at execveat statx".split()
)
_TWO: Final = frozenset("link rename".split())
_TWO_AT: Final = frozenset("renameat renameat2 linkat".split())
_FOLLOWING: Final = frozenset(
    "open openat openat2 creat execve execveat chdir chmod chown chown32 access faccessat faccessat2 truncate "
    "truncate64 statfs statfs64 stat stat64 oldstat utime utimes setxattr getxattr listxattr removexattr".split()
)
_OTHERS: Final = frozenset(
    "mmap mmap2 sendfile sendfile64 socketcall sendmmsg sendmsg io_submit mount pidfd_getfd open_tree open_tree_attr "
    "move_mount fsconfig".split()
)
"""These have no path that is looked at here; they may reach a file that is open."""


def compat(call: Call, name: str | None) -> int:
    """Raises: ENOTSUP for a mounted path."""
    if name is None or name in _OTHERS:
        if name in WITHOUT_NUMBER:
            call.family.fill_all()
        else:
            call.family.fill_open(call)
        return PROCEED
    for position, start in _places(name):
        path = call.resolve(position, start, follow=name in _FOLLOWING)
        call.may_reopen()
        if path is not None and call.family.view.table.covers(path):
            raise not_supported("32-bit programs do not see mounts")
    return PROCEED


def _places(name: str) -> tuple[tuple[int, int | None], ...]:
    """Where paths are among the arguments, and the descriptors of the directories that they start in."""
    if name in _TWO:
        return ((0, None), (1, None))
    if name in _TWO_AT:
        return ((1, 0), (3, 2))
    if name in _AT:
        return ((1, 0),)
    return {"symlink": ((1, None),), "symlinkat": ((2, 1),), "inotify_add_watch": ((1, None),)}.get(name, ((0, None),))
