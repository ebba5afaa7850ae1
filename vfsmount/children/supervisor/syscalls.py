"""Numbers of the system calls that the supervisor looks at, for each architecture.

Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl; include/uapi/asm-generic/unistd.h (aarch64);
arch/arm/tools/syscall.tbl.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_X86_64: Final[Mapping[str, int]] = {
    "open": 2, "stat": 4, "fstat": 5, "lstat": 6, "access": 21, "execve": 59, "truncate": 76, "getcwd": 79,
    "chdir": 80, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "readlink": 89, "chmod": 90, "chown": 92, "lchown": 94, "utime": 132, "mknod": 133, "statfs": 137,
    "setxattr": 188, "lsetxattr": 189, "getxattr": 191, "lgetxattr": 192, "listxattr": 194, "llistxattr": 195,
    "removexattr": 197, "lremovexattr": 198, "utimes": 235, "inotify_add_watch": 254, "openat": 257, "mkdirat": 258,
    "mknodat": 259, "fchownat": 260, "futimesat": 261, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
    "linkat": 265, "symlinkat": 266, "readlinkat": 267, "fchmodat": 268, "faccessat": 269, "utimensat": 280,
    "name_to_handle_at": 303, "renameat2": 316, "execveat": 322, "statx": 332, "openat2": 437, "faccessat2": 439,
    "fchmodat2": 452,
    "read": 0, "close": 3, "lseek": 8, "mmap": 9, "ioctl": 16, "pread64": 17, "readv": 19, "sendfile": 40,
    "sendmsg": 46, "fsync": 74, "fdatasync": 75, "preadv": 295, "sendmmsg": 307, "preadv2": 327, "write": 1,
    "io_uring_setup": 425, "seccomp": 317, "close_range": 436, "epoll_wait": 232, "futex": 202, "writev": 20,
    "prctl": 157, "fcntl": 72, "flock": 73, "readahead": 187, "fadvise64": 221, "copy_file_range": 326,
    "io_submit": 209, "pidfd_getfd": 438, "mount": 165, "bind": 49, "open_tree": 428, "move_mount": 429,
    "open_tree_attr": 467, "fsconfig": 431, "dup": 32, "dup2": 33, "dup3": 292, "splice": 275, "tee": 276,
    "finit_module": 313, "kexec_file_load": 320, "exit_group": 231,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "file_getattr": 468,
    "file_setattr": 469,
}  # fmt: skip
_AARCH64: Final[Mapping[str, int]] = {
    "setxattr": 5, "lsetxattr": 6, "getxattr": 8, "lgetxattr": 9, "listxattr": 11, "llistxattr": 12,
    "removexattr": 14, "lremovexattr": 15, "getcwd": 17, "inotify_add_watch": 27, "mknodat": 33, "mkdirat": 34,
    "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "statfs": 43, "truncate": 45, "faccessat": 48,
    "chdir": 49, "fchmodat": 53, "fchownat": 54, "openat": 56, "readlinkat": 78, "newfstatat": 79, "fstat": 80,
    "utimensat": 88, "execve": 221, "name_to_handle_at": 264, "renameat2": 276, "execveat": 281, "statx": 291,
    "openat2": 437, "faccessat2": 439, "fchmodat2": 452,
    "fcntl": 25, "ioctl": 29, "flock": 32, "readahead": 213, "fadvise64": 223, "copy_file_range": 285,
    "close": 57, "lseek": 62, "read": 63,
    "write": 64, "readv": 65, "writev": 66, "pread64": 67,
    "preadv": 69, "sendfile": 71, "fsync": 82, "fdatasync": 83, "futex": 98, "prctl": 167, "sendmsg": 211, "mmap": 222,
    "sendmmsg": 269, "seccomp": 277, "preadv2": 286, "io_uring_setup": 425, "close_range": 436,
    "io_submit": 2, "pidfd_getfd": 438, "mount": 40, "bind": 200, "open_tree": 428, "move_mount": 429,
    "open_tree_attr": 467, "fsconfig": 431, "dup": 23, "dup3": 24, "splice": 76, "tee": 77,
    "finit_module": 273, "kexec_file_load": 294, "exit_group": 94,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "file_getattr": 468,
    "file_setattr": 469,
}  # fmt: skip

BY_PATH: Final = (
    "openat open creat openat2 newfstatat stat lstat fstat statx access faccessat faccessat2 readlink readlinkat "
    "statfs chdir getcwd execve execveat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat "
    "symlink symlinkat chmod fchmodat fchmodat2 chown lchown fchownat utime utimes futimesat utimensat truncate mknod "
    "mknodat setxattr lsetxattr getxattr lgetxattr listxattr llistxattr removexattr lremovexattr inotify_add_watch "
    "name_to_handle_at bind"
).split()
"""Calls that are answered here or let through; those that an architecture does not have are left out there."""

BY_DESCRIPTOR: Final = (
    "read readv pread64 preadv preadv2 lseek dup dup2 dup3 fcntl splice tee copy_file_range finit_module "
    "kexec_file_load"
).split()
"""Calls that show the content of the file behind their first argument, or make another descriptor for it."""
BY_OTHER_MEANS: Final = "sendmmsg io_submit fsconfig pidfd_getfd mount open_tree open_tree_attr move_mount".split()
"""Calls that name a descriptor in memory, or reach a file that is open without it."""
MISSING: Final = ("io_uring_setup setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr").split()
"""Calls that programs have to do without (ENOSYS), as on a kernel before Linux 5.1, 6.13 and 6.17."""
NEWER: Final = 470
"""Numbers from here on are of calls that nobody has looked at yet, and are not there either.

Source: include/uapi/asm-generic/unistd.h.
"""


_I386: Final[Mapping[str, int]] = {
    "open": 5, "creat": 8, "link": 9, "unlink": 10, "execve": 11, "chdir": 12, "mknod": 14, "chmod": 15, "lchown": 16,
    "oldstat": 18, "utime": 30, "access": 33, "rename": 38, "mkdir": 39, "rmdir": 40, "symlink": 83, "oldlstat": 84,
    "readlink": 85, "truncate": 92, "statfs": 99, "stat": 106, "lstat": 107, "chown": 182, "truncate64": 193,
    "stat64": 195, "lstat64": 196, "lchown32": 198, "chown32": 212, "setxattr": 226, "lsetxattr": 227, "getxattr": 229,
    "lgetxattr": 230, "listxattr": 232, "llistxattr": 233, "removexattr": 235, "lremovexattr": 236, "statfs64": 268,
    "utimes": 271, "inotify_add_watch": 292, "openat": 295, "mkdirat": 296, "mknodat": 297, "fchownat": 298,
    "futimesat": 299, "fstatat64": 300, "unlinkat": 301, "renameat": 302, "linkat": 303, "symlinkat": 304,
    "readlinkat": 305, "fchmodat": 306, "faccessat": 307, "utimensat": 320, "name_to_handle_at": 341, "renameat2": 353,
    "execveat": 358, "statx": 383, "utimensat_time64": 412, "openat2": 437, "faccessat2": 439, "fchmodat2": 452,
    "mmap": 90, "mmap2": 192, "sendfile": 187, "sendfile64": 239, "socketcall": 102, "sendmmsg": 345, "sendmsg": 370,
    "io_submit": 248, "mount": 21, "pidfd_getfd": 438, "open_tree": 428, "open_tree_attr": 467, "move_mount": 429,
    "fsconfig": 431, "io_uring_setup": 425,
}  # fmt: skip
_ARM: Final[Mapping[str, int]] = {
    "open": 5, "creat": 8, "link": 9, "unlink": 10, "execve": 11, "chdir": 12, "mknod": 14, "chmod": 15, "lchown": 16,
    "access": 33, "rename": 38, "mkdir": 39, "rmdir": 40, "symlink": 83, "readlink": 85, "truncate": 92, "statfs": 99,
    "stat": 106, "lstat": 107, "chown": 182, "truncate64": 193, "stat64": 195, "lstat64": 196, "lchown32": 198,
    "chown32": 212, "setxattr": 226, "lsetxattr": 227, "getxattr": 229, "lgetxattr": 230, "listxattr": 232,
    "llistxattr": 233, "removexattr": 235, "lremovexattr": 236, "statfs64": 266, "utimes": 269,
    "inotify_add_watch": 317, "openat": 322, "mkdirat": 323, "mknodat": 324, "fchownat": 325, "futimesat": 326,
    "fstatat64": 327, "unlinkat": 328, "renameat": 329, "linkat": 330, "symlinkat": 331, "readlinkat": 332,
    "fchmodat": 333, "faccessat": 334, "utimensat": 348, "name_to_handle_at": 370, "renameat2": 382, "execveat": 387,
    "statx": 397, "utimensat_time64": 412, "openat2": 437, "faccessat2": 439, "fchmodat2": 452,
    "mmap2": 192, "sendfile": 187, "sendfile64": 239, "sendmsg": 296, "sendmmsg": 374, "io_submit": 246, "mount": 21,
    "pidfd_getfd": 438, "open_tree": 428, "open_tree_attr": 467, "move_mount": 429, "fsconfig": 431,
    "io_uring_setup": 425,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between processors."""

    name: str
    audit: int
    """AUDIT_ARCH value that a filter sees. Source: linux/audit.h."""
    numbers: Mapping[str, int]
    compat: int
    """The same for 32-bit programs."""
    compat_numbers: Mapping[str, int]


ARCHITECTURES: Final = {
    "x86_64": Architecture("x86_64", 0xC000003E, _X86_64, 0x40000003, _I386),
    "aarch64": Architecture("aarch64", 0xC00000B7, _AARCH64, 0x40000028, _ARM),
}


def this_architecture() -> Architecture | None:
    """None where the numbers are not known."""
    return ARCHITECTURES.get(platform.machine())
