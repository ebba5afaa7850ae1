"""The unpatched functions, captured once at import.

Own code calls these and never a patched name: while a session is active, ``os.stat`` and its like are ours, and
calling them from below the shim would route a path twice. Only functions written in C are captured here; those that
the standard library writes in Python (``os.walk``, ``os.makedirs``, ``shutil`` ...) look their helpers up in patched
namespaces, so own code runs them inside :func:`passthrough`.
"""

from __future__ import annotations

import _imp
import builtins
import contextlib
import fcntl as _fcntl
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

open = builtins.open
FileIO: Final = io.FileIO
open_code: Final = io.open_code

fspath: Final = os.fspath
fsencode: Final = os.fsencode
fsdecode: Final = os.fsdecode
getcwd: Final = os.getcwd
getcwdb: Final = os.getcwdb
chdir: Final = os.chdir
stat: Final = os.stat
lstat: Final = os.lstat
statvfs: Final = os.statvfs
fstat: Final = os.fstat
access: Final = os.access
listdir: Final = os.listdir
scandir: Final = os.scandir
readlink: Final = os.readlink
mkdir: Final = os.mkdir
rmdir: Final = os.rmdir
unlink: Final = os.unlink
rename: Final = os.rename
replace: Final = os.replace
symlink: Final = os.symlink
utime: Final = os.utime
chmod: Final = os.chmod
truncate: Final = os.truncate
ftruncate: Final = os.ftruncate
fd_open: Final = os.open
fd_close: Final = os.close
fd_read: Final = os.read
fd_write: Final = os.write
pread: Final = os.pread
pwrite: Final = os.pwrite
lseek: Final = os.lseek
fsync: Final = os.fsync
dup: Final = os.dup
dup2: Final = os.dup2
set_inheritable: Final = os.set_inheritable
get_inheritable: Final = os.get_inheritable
isatty: Final = os.isatty
fcntl: Final = _fcntl.fcntl
ioctl: Final = _fcntl.ioctl
getpid: Final = os.getpid

import_locked: Final = _imp.lock_held
"""True while some thread looks for a module (and runs finders with the interpreter's one import lock): if that is the
caller, it must not wait for another thread, which might have to import something."""


class _Depth:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class _Guard(threading.local):
    def __init__(self) -> None:
        self.depth = _Depth()


_guard: Final = _Guard()


@contextlib.contextmanager
def passthrough() -> Iterator[None]:
    """No path is rewritten in this thread inside the ``with`` block; other threads are unaffected. Nests."""
    depth = _guard.depth  # of the thread that enters, whichever closes the generator that it is entered in
    depth.value += 1
    finders = len(sys.path_importer_cache)
    try:
        yield
    finally:
        depth.value -= 1
        if len(sys.path_importer_cache) != finders:
            _forget_absent()


def _forget_absent() -> None:
    """Let imports look again at entries of ``sys.path`` that are not on the disk: they may be on a mount."""
    for entry, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            sys.path_importer_cache.pop(entry, None)


def in_passthrough() -> bool:
    """True where this thread is inside :func:`passthrough`."""
    return _guard.depth.value > 0
