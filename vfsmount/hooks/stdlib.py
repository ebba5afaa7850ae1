"""Modules of the standard library that would not get along with a mount as they are.

``zipfile`` goes back to complete the header of each member, unless it believes that the file cannot seek: then it
writes data descriptors, which every reader knows. ``wave`` goes back to complete its one header, so it writes to the
local disk first. ``socket.send_fds`` hands a number to another process, which has to find the content there, and a
socket's address may be a path. The
dynamic loader and OpenSSL open files by path in C, so they get copies. asyncio learns of a child's end without
``Popen.wait``, where what the child wrote is taken over. ``dbm``, and so ``shelve``, makes a new database by a C
library wherever there is one; on a mount it is the one kind that is written in Python. ``tarfile`` and ``compileall``
walk trees by themselves, and announce that. ``readline`` reads and writes its history in C, so it gets copies too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.hooks.hook import Function, Hook, Seam, Staged, local_copy
from vfsmount.shim.process import ended
from vfsmount.shim.rawfile import number_of, raw_of
from vfsmount.shim.traversals import announced
from vfsmount.transfer.spool import ScratchDirectory

_INT: Final = memoryview(b"").cast("i").itemsize
"""Bytes of a descriptor number in a message."""

_FILES: Final = ("cafile", "certfile", "keyfile")
"""Arguments of an SSL context's methods that are paths of files; they come first where they have no name."""


def _zip(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def __init__(self: Any, *args: Any, **more: Any) -> None:
            original(self, *args, **more)
            raw = raw_of(self.fp)
            if raw is not None and raw.is_sequential and self.mode != "r":
                self._seekable = False

        return __init__

    seam.wrap(module.ZipFile, "__init__", make)


def _wave(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def __init__(self: Any, f: Any) -> None:
            if not isinstance(f, str) or not seam.is_mounted(f):
                original(self, f)
                return
            self._file = self._i_opened_the_file = None  # __del__ looks at them if the mount refuses the file
            staged = Staged(f, "wb")
            try:
                original(self, staged.local)
            except BaseException:
                staged.discard()
                raise
            self._i_opened_the_file = staged  # Wave_write.close() closes it last

        return __init__

    seam.wrap(module.Wave_write, "__init__", make)


def _descriptors(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def send_fds(sock: Any, buffers: Any, fds: Any, flags: int = 0, address: Any = None) -> Any:
            fds = list(fds)
            for each in fds:
                seam.let_escape(number_of(each))
            return original(sock, buffers, fds, flags, address)

        return send_fds

    seam.wrap(module, "send_fds", make)
    _addresses(seam, module)


def _addresses(seam: Seam, module: ModuleType) -> None:
    """A bucket has no sockets; the kernel would make one named relative to a mounted current directory wherever the
    process was before it went there.
    """
    unix = getattr(module, "AF_UNIX", None)
    if unix is None:
        return

    def address(sock: Any, given: Any, refusal: Callable[[str], OSError]) -> Any:
        if not isinstance(given, (str, bytes)) or sock.family != unix or not given or given[0] in ("\0", 0):
            return given
        if not seam.is_mounted(given):
            return seam.local(given)
        raise refusal(real.fsdecode(given))

    def make_bind(original: Function) -> Function:
        def bind(self: Any, address_: Any, /) -> Any:
            return original(self, address(self, address_, _no_socket))

        return bind

    def make_connect(original: Function) -> Function:
        def connect(self: Any, address_: Any, /) -> Any:
            return original(self, address(self, address_, _no_listener))

        return connect

    def make_connect_ex(original: Function) -> Function:
        def connect_ex(self: Any, address_: Any, /) -> Any:
            try:
                found = address(self, address_, _no_listener)
            except OSError as error:
                return error.errno
            return original(self, found)

        return connect_ex

    def make_sendto(original: Function) -> Function:
        def sendto(self: Any, /, data: Any = None, *rest: Any) -> Any:
            if len(rest) in (1, 2) and not isinstance(data, str):
                rest = (*rest[:-1], address(self, rest[-1], _no_listener))
            return original(self, data, *rest)

        return sendto

    def make_sendmsg(original: Function) -> Function:
        def sendmsg(self: Any, buffers: Any, ancdata: Any = (), flags: Any = 0, address_: Any = None, /) -> Any:
            if ancdata:
                ancdata = list(ancdata)
                for number in _passed(module, ancdata):
                    seam.let_escape(number)
            if address_ is None:
                return original(self, buffers, ancdata, flags)
            return original(self, buffers, ancdata, flags, address(self, address_, _no_listener))

        return sendmsg

    for name, make in (
        ("bind", make_bind),
        ("connect", make_connect),
        ("connect_ex", make_connect_ex),
        ("sendto", make_sendto),
        ("sendmsg", make_sendmsg),
    ):
        seam.wrap(module.socket, name, make)


def _passed(module: ModuleType, ancdata: list[Any]) -> list[int]:
    """The descriptors among a message's ancillary data; of what is malformed none, which is the original's to judge."""
    found: list[int] = []
    for item in ancdata:
        if isinstance(item, tuple) and item[:2] == (module.SOL_SOCKET, module.SCM_RIGHTS) and len(item) == 3:
            with contextlib.suppress(TypeError, ValueError):
                raw = memoryview(item[2]).tobytes()
                found += memoryview(raw[: len(raw) // _INT * _INT]).cast("i").tolist()
    return found


def _no_socket(path: str) -> OSError:
    try:
        os.mkfifo(path)  # as little as a socket
    except OSError as error:
        number = errno.EADDRINUSE if error.errno == errno.EEXIST else error.errno or errno.EPERM
    else:
        raise AssertionError(path)
    return os_error(number, path, hint="a bucket has no sockets; bind it in a local directory")


def _no_listener(path: str) -> OSError:
    return os_error(errno.ECONNREFUSED if os.path.lexists(path) else errno.ENOENT, path)


def _libraries(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def dlopen(name: Any, *args: Any) -> Any:
            if name is None or not seam.is_mounted(name):
                return original(name, *args)
            with local_copy(name) as local:  # the loader keeps it mapped; its name may go
                return original(local, *args)

        return dlopen

    seam.wrap(module, "_dlopen", make)


def _certificates(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def load(self: Any, *args: Any, **more: Any) -> Any:
            with contextlib.ExitStack() as copies:

                def served(value: Any) -> Any:
                    if isinstance(value, (str, bytes, os.PathLike)) and seam.is_mounted(value):
                        return copies.enter_context(local_copy(value))
                    return value

                return original(
                    self,
                    *(served(value) for value in args[:2]),
                    *args[2:],
                    **{name: served(value) if name in _FILES else value for name, value in more.items()},
                )

        return load

    for name in ("load_verify_locations", "load_cert_chain", "load_dh_params"):
        seam.wrap(module.SSLContext, name, make)


def _history(seam: Seam, module: ModuleType) -> None:
    def make_read(original: Function) -> Function:
        def read(filename: Any = None, /) -> Any:
            if filename is None or not seam.is_mounted(filename):
                return original(filename)
            with local_copy(filename) as local:
                return original(local)

        return read

    def make_write(original: Function) -> Function:
        def write(filename: Any = None, /) -> Any:
            if filename is None or not seam.is_mounted(filename):
                return original(filename)
            with ScratchDirectory() as place:
                local = os.path.join(place, "history")
                original(local)
                _send(local, filename, "wb")

        return write

    def make_append(original: Function) -> Function:
        def append(nelements: Any, filename: Any = None, /) -> Any:
            if filename is None or not seam.is_mounted(filename):
                return original(nelements, filename)
            os.stat(filename)  # it has to be there
            with ScratchDirectory() as place:
                local = os.path.join(place, "history")
                with real.open(local, "wb"):
                    pass
                original(nelements, local)
                _send(local, filename, "ab")

        return append

    for name, make in (
        ("read_history_file", make_read),
        ("read_init_file", make_read),
        ("write_history_file", make_write),
        ("append_history_file", make_append),
    ):
        if hasattr(module, name):  # libedit has not all of them
            seam.wrap(module, name, make)


def _send(local: str, path: Any, mode: str) -> None:
    with real.open(local, "rb") as source, open(path, mode) as target:
        shutil.copyfileobj(source, target)


def _children(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def _process_exited(self: Any, returncode: Any) -> Any:
            if self._proc is not None:
                ended(self._proc)
            return original(self, returncode)

        return _process_exited

    seam.wrap(module.BaseSubprocessTransport, "_process_exited", make)


def _databases(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def open(file: Any, flag: str = "r", mode: int = 0o666) -> Any:
            if flag[:1] in ("c", "n") and seam.is_mounted(file) and module.whichdb(file) in (None, "dbm.dumb"):
                from dbm import dumb

                return dumb.open(file, flag, mode)
            return original(file, flag, mode)

        return open

    seam.wrap(module, "open", make)


def _announces(owner: str | None, name: str, position: int, keyword: str) -> Callable[[Seam, ModuleType], None]:
    """That a function, or a method of the class ``owner``, is one traversal if it is given a mounted path there."""

    def apply(seam: Seam, module: ModuleType) -> None:
        def reaches(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
            given = args[position] if len(args) > position else kwargs.get(keyword)
            return isinstance(given, (str, bytes, os.PathLike)) and seam.is_mounted(given)

        place = module if owner is None else getattr(module, owner)
        seam.wrap(place, name, lambda original: announced(original, reaches))

    return apply


HOOKS: Final = (
    Hook("asyncio.base_subprocess", None, _children),
    Hook("compileall", None, _announces(None, "compile_dir", 0, "dir")),
    Hook("ctypes", None, _libraries),
    Hook("dbm", None, _databases),
    Hook("readline", None, _history),
    Hook("ssl", None, _certificates),
    Hook("tarfile", None, _announces("TarFile", "add", 1, "name")),
    Hook("zipfile", None, _zip),
    Hook("wave", None, _wave),
    Hook("socket", None, _descriptors),
)
