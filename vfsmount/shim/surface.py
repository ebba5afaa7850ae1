"""The declared surface: every public name of the patched modules that takes a path or a descriptor, and what becomes
of it.

A name is *routed* (replaced: a mounted path or one of our descriptors reaches the mount), *refused* (replaced, and
fails with an errno on a mount) or *left* alone, with the reason why it cannot reach the local disk for a mounted
path. Whatever takes neither path nor descriptor stands in :data:`NEITHER`. A test fails on a name that is in no
table, on every Python.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of one name."""

    kind: Literal["routed", "refused", "left"]
    errno: int | None = None
    reason: str = ""


def _routed(names: str) -> dict[str, Treatment]:
    return dict.fromkeys(names.split(), Treatment("routed"))


def _refused(number: int, names: str) -> dict[str, Treatment]:
    return dict.fromkeys(names.split(), Treatment("refused", number))


def _left(reason: str, names: str) -> dict[str, Treatment]:
    return dict.fromkeys(names.split(), Treatment("left", reason=reason))


_ON_ROUTED: Final = "written in Python on routed functions"
_BY_ITSELF: Final = "the kernel's descriptor behind our number answers by itself"
_SPECIAL: Final = "takes descriptors that no mounted file can have (terminals, timers, events, processes, namespaces)"
_CLASS: Final = "works on file objects or text, opens nothing"

_OS: Final[Mapping[str, Treatment]] = {
    **_routed(
        "stat lstat access listdir scandir mkdir rmdir unlink remove rename replace readlink chmod lchmod chown lchown "
        "utime truncate statvfs pathconf chdir fchdir getcwd getcwdb"
    ),
    **_refused(errno.EPERM, "link symlink mkfifo mknod chroot chflags lchflags"),
    **_refused(errno.ENOTSUP, "getxattr setxattr listxattr removexattr lockf posix_fallocate"),
    **_routed(
        "open close closerange dup dup2 read readv pread preadv write writev pwrite pwritev lseek fstat fstatvfs fsync "
        "fdatasync ftruncate fchmod fchown sendfile copy_file_range splice posix_fadvise set_blocking set_inheritable "
        "tcgetpgrp tcsetpgrp ttyname"
    ),
    **_routed(
        "execv execve posix_spawn posix_spawnp spawnv spawnve spawnvp spawnvpe system wait wait3 wait4 waitid waitpid"
    ),
    **_left(_BY_ITSELF, "isatty get_blocking get_inheritable fpathconf get_terminal_size device_encoding"),
    **_routed("walk fwalk"),
    **_left(_ON_ROUTED, "makedirs removedirs renames fdopen popen get_exec_path"),
    **_left(_ON_ROUTED, "execl execle execlp execlpe execvp execvpe spawnl spawnle spawnlp spawnlpe"),
    **_left("turns a path into text, looks nothing up", "fspath fsdecode fsencode PathLike DirEntry"),
    **_left(
        _SPECIAL,
        "eventfd_read eventfd_write timerfd_gettime timerfd_gettime_ns timerfd_settime timerfd_settime_ns login_tty "
        "grantpt unlockpt ptsname setns",
    ),
}

_BUFFERS: Final = (
    "IOBase RawIOBase BufferedIOBase TextIOBase BufferedReader BufferedWriter BufferedRWPair BufferedRandom BytesIO "
    "StringIO TextIOWrapper IncrementalNewlineDecoder text_encoding"
)
_IO: Final[Mapping[str, Treatment]] = {**_routed("open open_code FileIO"), **_left(_CLASS, _BUFFERS)}

SURFACE: Final[Mapping[str, Mapping[str, Treatment]]] = {
    "os": _OS,
    "posix": _OS,
    "io": _IO,
    "_io": _IO,
    "builtins": {
        **_routed("open"),
        **_left("takes the file's name for messages alone", "compile"),
        **_left("writes to a file object", "print input"),
    },
    "mmap": _routed("mmap"),
    "fcntl": {**_routed("fcntl ioctl"), **_refused(errno.ENOTSUP, "flock lockf")},
    "shutil": {
        **_routed("copytree make_archive rmtree"),
        **_left(
            _ON_ROUTED,
            "chown copy copy2 copyfile copyfileobj copymode copystat disk_usage move unpack_archive which "
            "get_terminal_size",
        ),
    },
    "glob": {**_routed("iglob"), **_left(_ON_ROUTED, "glob glob0 glob1")},
    "pathlib": {
        **_left(_ON_ROUTED + ", but for its recursive methods, which announce themselves", "Path PosixPath"),
        **_left("turns a path into text, looks nothing up", "PurePath PurePosixPath PureWindowsPath WindowsPath"),
    },
    "tempfile": _left(
        _ON_ROUTED,
        "NamedTemporaryFile SpooledTemporaryFile TemporaryDirectory TemporaryFile mkdtemp mkstemp mktemp gettempdir "
        "gettempdirb",
    ),
    "subprocess": _left(
        "starts its child through Popen.__init__, which is routed",
        "Popen run call check_call check_output getoutput getstatusoutput",
    ),
    "importlib": _left(_ON_ROUTED, "import_module reload find_loader invalidate_caches"),
    "importlib.machinery": {
        **_left(
            _ON_ROUTED,
            "FileFinder PathFinder SourceFileLoader SourcelessFileLoader NamespaceLoader WindowsRegistryFinder",
        ),
        **_left("loads through _imp.create_dynamic, which is routed", "ExtensionFileLoader AppleFrameworkLoader"),
    },
    "importlib.util": _left(_ON_ROUTED, "find_spec spec_from_file_location spec_from_loader"),
    "importlib.resources": _left(
        _ON_ROUTED, "as_file contents files is_resource open_binary open_text path read_binary read_text"
    ),
}
"""Module -> public name -> treatment."""

NEITHER: Final[Mapping[str, frozenset[str]]] = {
    "os": frozenset(
        "WCOREDUMP WEXITSTATUS WIFCONTINUED WIFEXITED WIFSIGNALED WIFSTOPPED WSTOPSIG WTERMSIG abort confstr "
        "cpu_count ctermid eventfd fork forkpty getegid geteuid getgid getgrouplist getgroups getloadavg getlogin "
        "getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getsid getuid initgroups kill "
        "killpg major makedev memfd_create minor nice openpty pidfd_open pipe pipe2 posix_openpt putenv "
        "register_at_fork sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam "
        "sched_getscheduler sched_param sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler "
        "sched_yield setegid seteuid setgid setgroups setpgid setpgrp setpriority setregid setresgid setresuid "
        "setreuid setsid setuid stat_result statvfs_result strerror sync sysconf terminal_size timerfd_create "
        "times times_result umask uname uname_result unsetenv unshare urandom waitid_result "
        "waitstatus_to_exitcode getenv getenvb process_cpu_count".split()
    ),
    "builtins": frozenset(
        "abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod complex "
        "copyright credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr "
        "globals hasattr hash help hex id int isinstance issubclass iter len license list locals map max "
        "memoryview min next object oct ord pow property quit range repr reversed round set setattr slice sorted "
        "staticmethod str sum super tuple type vars zip".split()
    ),
    "shutil": frozenset(
        "get_archive_formats get_unpack_formats ignore_patterns register_archive_format register_unpack_format "
        "unregister_archive_format unregister_unpack_format".split()
    ),
    "glob": frozenset("escape has_magic translate".split()),
    "tempfile": frozenset("gettempprefix gettempprefixb".split()),
    "subprocess": frozenset("CompletedProcess list2cmdline".split()),
    "importlib.machinery": frozenset("BuiltinImporter FrozenImporter ModuleSpec all_suffixes".split()),
    "importlib.util": frozenset(
        "LazyLoader Loader cache_from_source decode_source module_for_loader module_from_spec resolve_name "
        "set_loader set_package source_from_cache source_hash".split()
    ),
    "importlib.resources": frozenset("ResourceReader".split()),
}
"""Public callables that take neither a path nor a descriptor; ``posix`` shares the set of ``os``."""


def treatment(module: str, name: str) -> Treatment | None:
    """What is declared for ``module.name``; None where nothing is, or where it takes neither path nor descriptor."""
    return SURFACE.get(module, {}).get(name)


def is_declared(module: str, name: str) -> bool:
    """True where ``module.name`` is in one of the tables."""
    twin = "os" if module == "posix" else module
    return name in SURFACE.get(module, {}) or name in NEITHER.get(twin, frozenset())
