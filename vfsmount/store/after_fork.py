"""obstore's extension in this process, and a private copy of it in a forked child.

obstore's Rust runtime keeps its threads in statics of the shared object. After ``fork`` the statics are there and the
threads are not, so every call hangs. A copy of the file is another inode, so the dynamic linker maps it afresh with
statics of its own; the same goes for grandchildren. The module that the rest of the program sees as ``obstore`` stays
what it was. Cost in the child, once: about 20 ms and the file's size in memory.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
from types import ModuleType
from typing import Any, Final, NamedTuple

from vfsmount import real

_EXTENSION: Final = "obstore._obstore"


class Obstore(NamedTuple):
    """The parts of obstore that an adapter calls, from one copy of the extension."""

    pid: int
    api: Any
    """The extension module: ``get``, ``put``, ``list`` ..."""
    failures: tuple[type[BaseException], ...]
    """What its calls raise."""
    private: bool
    """True where it is a copy made for this process."""


_loaded: Final[dict[int, Obstore]] = {}
_seen: Final[dict[str, int]] = {}
_locks: Final[dict[int, threading.Lock]] = {}
# Objects of the parent's extension: dropping one here would run its destructor on a runtime that has no threads.
_inherited: Final[list[object]] = []


def keep(thing: object) -> None:
    """Never let ``thing``, made by the parent's extension, be destroyed in this process."""
    _inherited.append(thing)


def note() -> None:
    """Remember this process as the one whose copy of the extension ``sys.modules`` holds, if it holds one at all.

    Called when a store is opened, so that a fork before its first request, in a program that uses obstore itself,
    is noticed too.
    """
    _seen.setdefault("pid", real.getpid())


def load() -> Obstore:
    """obstore as it works in this process; imported on the first call."""
    note()
    pid = real.getpid()
    known = _loaded.get(pid)
    if known is not None:
        return known
    # A lock of this process's own: the parent's may have been held by a thread that the child does not have.
    with _locks.setdefault(pid, threading.Lock()), real.passthrough():
        known = _loaded.get(pid)
        if known is None:
            known = _import(pid, private=_seen["pid"] != pid and _EXTENSION in sys.modules)
            _loaded[pid] = known
        return known


def _import(pid: int, *, private: bool) -> Obstore:
    if private:
        api: Any = _private_copy(pid)
    else:
        importlib.import_module("obstore")
        api = sys.modules[_EXTENSION]
    failures = (api.exceptions.BaseError, OSError, ValueError, TypeError, OverflowError, NotImplementedError)
    return Obstore(pid, api, failures, private)


def _private_copy(pid: int) -> ModuleType:
    original = sys.modules.get(_EXTENSION) or importlib.import_module(_EXTENSION)
    source = original.__file__
    if source is None:
        raise ImportError("obstore's extension has no file to copy", name=_EXTENSION)
    # Its initialisation enters submodules in sys.modules; what the program imported is put back afterwards.
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "obstore"}
    try:
        if hasattr(os, "memfd_create"):
            return _from_memory(source, pid)
        return _from_temporary(source)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
            if name not in before:
                del sys.modules[name]
        sys.modules.update(before)


def _load_from(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader(_EXTENSION, path)
    spec = importlib.util.spec_from_file_location(_EXTENSION, path, loader=loader)
    if spec is None:
        raise ImportError("cannot load a copy of obstore's extension", name=_EXTENSION, path=path)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _from_memory(source: str, pid: int) -> ModuleType:
    copy = os.memfd_create("vfsmount-obstore")
    try:
        with real.FileIO(source) as file:
            size = real.fstat(file.fileno()).st_size
            sent = 0
            while sent < size:
                sent += os.sendfile(copy, file.fileno(), sent, size - sent)
        # The process's number is in the path because both Python and the linker know loaded files by path, and a
        # grandchild's descriptor may well have the same number.
        return _load_from(f"/proc/{pid}/fd/{copy}")
    finally:
        real.fd_close(copy)


def _from_temporary(source: str) -> ModuleType:
    descriptor, path = tempfile.mkstemp(suffix=".so", prefix="vfsmount-obstore-")
    try:
        with real.FileIO(source) as file:
            while block := file.read(1 << 20):
                view = memoryview(block)
                while view:
                    view = view[real.fd_write(descriptor, view) :]
        real.fd_close(descriptor)
        return _load_from(path)
    finally:
        real.unlink(path)
