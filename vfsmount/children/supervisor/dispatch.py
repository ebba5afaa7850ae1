"""Which function answers which system call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vfsmount.children.supervisor import attributes, changes, directories, opening, programs
from vfsmount.children.supervisor.call import Call

ANSWERS: Final[Mapping[str, Callable[[Call], int]]] = {
    "open": opening.open_,
    "creat": opening.creat,
    "openat": opening.openat,
    "openat2": opening.openat2,
    "stat": attributes.stat_,
    "lstat": attributes.lstat,
    "fstat": attributes.fstat,
    "newfstatat": attributes.newfstatat,
    "statx": attributes.statx,
    "access": attributes.access,
    "faccessat": attributes.faccessat,
    "faccessat2": attributes.faccessat2,
    "readlink": attributes.readlink,
    "readlinkat": attributes.readlinkat,
    "statfs": attributes.statfs,
    **dict.fromkeys(
        "getxattr lgetxattr listxattr llistxattr setxattr lsetxattr removexattr lremovexattr".split(),
        attributes.getxattr,
    ),
    "inotify_add_watch": attributes.inotify_add_watch,
    "name_to_handle_at": attributes.name_to_handle_at,
    "chdir": directories.chdir,
    "getcwd": directories.getcwd,
    "execve": programs.execve,
    "execveat": programs.execveat,
    "mkdir": changes.mkdir,
    "mkdirat": changes.mkdirat,
    "rmdir": changes.rmdir,
    "unlink": changes.unlink,
    "unlinkat": changes.unlinkat,
    "rename": changes.rename,
    "renameat": changes.renameat,
    "renameat2": changes.renameat2,
    "link": changes.link,
    "linkat": changes.linkat,
    "symlink": changes.symlink,
    "symlinkat": changes.symlinkat,
    "mknod": changes.mknod,
    "mknodat": changes.mknodat,
    "bind": changes.bind,
    "chmod": changes.chmod,
    "fchmodat": changes.fchmodat,
    "fchmodat2": changes.fchmodat,
    "chown": changes.chown,
    "lchown": changes.lchown,
    "fchownat": changes.fchownat,
    "truncate": changes.truncate,
    "utime": changes.utime,
    "utimes": changes.utimes,
    "futimesat": changes.futimesat,
    "utimensat": changes.utimensat,
}
