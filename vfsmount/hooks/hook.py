"""What one library's hook is, and what it does its work with."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from vfsmount import real
from vfsmount.shim.aliases import rebind
from vfsmount.shim.collected import interrupts_own_code
from vfsmount.shim.descriptors import FdTable
from vfsmount.shim.patcher import MISSING, Ledger, disguise, lookup
from vfsmount.shim.process import ChildPlanner, Command
from vfsmount.shim.rawfile import raw_of
from vfsmount.shim.route import Router
from vfsmount.transfer.spool import ScratchDirectory, scratch_directory

_log: Final = logging.getLogger(__name__)

Function = Callable[..., Any]

CHUNK: Final = 1 << 20
"""Bytes copied at a time from the local disk to the upload."""


_CLASS_METHODS: Final = (classmethod, type(vars(dict)["fromkeys"]))
"""Those of Python, and of C."""


_LINGERING: Final = 0.02
"""Seconds between two looks at whether a library has let go of a file."""
_LOOKS: Final = 10


def open_to_write(path: Any, mode: str) -> Any:
    """``open(path, mode)`` that gives a library's own threads a moment to let go of what they have read there.

    Arrow's may hold a reader's last reference when the caller has dropped his own, and need the GIL to close the file;
    a disk would not mind, a mount has one writer or many readers. Raises: what opening it raises.
    """
    for _ in range(_LOOKS):
        try:
            return open(path, mode)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
        time.sleep(_LINGERING)
    return open(path, mode)


@contextlib.contextmanager
def writing(path: Any) -> Iterator[Any]:
    """A new file for a library to write; where the block fails nothing of it is uploaded, whatever ``on_error`` says.

    The caller never had the file, and what a library leaves after a failure is of no use.
    """
    file = open_to_write(path, "wb")
    try:
        yield file
    except BaseException:
        discard(file)
        raise
    file.close()


def discard(file: Any) -> None:
    """Close a file object of ours without uploading what was written to it."""
    raw = raw_of(file)
    if raw is not None and not file.closed and file.writable():
        raw.abort()
    with contextlib.suppress(OSError):  # what is still buffered goes nowhere, and the caller's exception says more
        file.close()


@contextlib.contextmanager
def local_copy(path: Any) -> Iterator[str]:
    """A copy of a file under its own name in a directory of its own on the local disk; both go after the block.

    Raises: what opening the file raises.
    """
    with open(path, "rb") as source:
        with ScratchDirectory() as place:
            local = os.path.join(place, os.path.basename(real.fsdecode(path)))
            with real.open(local, "wb") as target:
                shutil.copyfileobj(source, target, CHUNK)
            yield local


class Target:
    """A file on a mount that is published by :meth:`close` and by nothing else.

    Not by being collected, nor by the end of the session, which would publish an empty object. Opened before anything
    is written, so that what the mount refuses is refused then. Raises: what opening it raises.
    """

    __slots__ = ("file",)

    def __init__(self, path: Any, mode: str) -> None:
        self.file: Any = open_to_write(path, mode)
        raw = raw_of(self.file)
        if raw is not None:
            raw.abort()

    @property
    def is_open(self) -> bool:
        return not self.file.closed

    def close(self) -> None:
        """Publish it. Raises: what closing a written file raises."""
        raw = raw_of(self.file)
        if raw is not None:
            raw.commit()
        self.file.close()

    def discard(self) -> None:
        """Publish nothing."""
        discard(self.file)


class Staged:
    """A new file that a library writes in any order: on the local disk first, uploaded in one go by :meth:`close`.

    Raises: what opening the target raises.
    """

    def __init__(self, path: Any, mode: str) -> None:
        self.settle: Callable[[], object] | None = None
        """Makes the library write what it still holds; before the upload of a file that nobody closed."""
        self._target = Target(path, mode)
        with real.passthrough():
            self.local = tempfile.TemporaryFile(prefix="vfsmount-", dir=scratch_directory())
        self._pid = real.getpid()

    def close(self) -> None:
        """Upload what was written; a second call does nothing. Raises: what closing a written file raises."""
        if self.local.closed:
            return
        if self._pid != real.getpid():  # a forked child: the position in the local file is the parent's too
            self.discard()
            return
        try:
            self.local.seek(0)
            shutil.copyfileobj(self.local, self._target.file, CHUNK)
        except BaseException:
            self.discard()
            raise
        self.local.close()
        self._target.close()

    def __del__(self) -> None:
        local, raw = getattr(self, "local", None), raw_of(getattr(getattr(self, "_target", None), "file", None))
        if self.settle is None or raw is None or local is None or local.closed:
            return
        if interrupts_own_code(sys._getframe(1)):
            raw.later(self._end)
        else:
            self._end()

    def _end(self) -> None:
        """The library has let go of the file without closing it, as it may."""
        try:
            assert self.settle is not None
            self.settle()
            self.close()
        except Exception as error:  # noqa: BLE001 - of the library too; nobody is there to be told otherwise
            _log.error("%s, collected while open, could not be committed: %s", self._target.file.name, error)
            self.discard()

    def discard(self) -> None:
        """Upload nothing."""
        self.local.close()
        self._target.discard()


@dataclass(frozen=True, slots=True)
class Hook:
    """Applied to ``module`` as soon as that has been imported."""

    module: str
    majors: tuple[int, int] | None
    """First and last major version of the library that the tests ran with; others are left alone. None: a module of
    the standard library."""
    apply: Callable[[Seam, ModuleType], None]

    def fits(self) -> bool:
        """True for a library of a tested version."""
        if self.majors is None:
            return True
        library = self.module.partition(".")[0]
        version = getattr(sys.modules.get(library), "__version__", None)
        if version is None:  # some set it after their submodules were imported
            import importlib.metadata  # loads half of the mail package, which most activations never need

            try:
                version = importlib.metadata.version(library)
            except importlib.metadata.PackageNotFoundError:
                return False
        major = str(version).partition(".")[0]
        return major.isdecimal() and self.majors[0] <= int(major) <= self.majors[1]


class Seam:
    """Replaces functions and methods of libraries, and puts them back."""

    __slots__ = ("_children", "_fds", "_fresh", "_pairs", "_router", "ledger")

    def __init__(self, router: Router, fds: FdTable, children: ChildPlanner) -> None:
        self._router = router
        self._fds = fds
        self._children = children
        self.ledger: Final = Ledger()
        self._fresh: list[tuple[object, object]] = []
        self._pairs: list[tuple[object, object]] = []

    def is_mounted(self, path: object) -> bool:
        """True for a path on a mount; False for file objects, descriptors and everything else."""
        try:
            return self._router.route(path) is not None
        except OSError:
            return True  # `file/` below a mount: Python's open says what is wrong with it

    def local(self, path: object) -> object:
        """What the kernel is to be given for a ``path`` that is on no mount, but may be relative to one."""
        return self._router.local(path)

    def may_concern(self, text: str) -> bool:
        """False where ``text`` holds no path on a mount, by its letters."""
        return not self._router.is_foreign(text)

    def let_escape(self, number: object) -> None:
        """Make a descriptor of ours good for native code and other processes; nothing happens to any other."""
        entry = self._fds.get(number)
        if entry is not None:
            entry.escape()

    def concerns_children(self, command: str) -> bool:
        """Whether a shell command names a mount, or would start in one."""
        return self._children.concerns(Command(command, shell=True))

    def wrap(self, owner: ModuleType | type, name: str, make: Callable[[Function], Function]) -> None:
        """Replace ``owner.name`` by ``make(original)``; :meth:`settle` does so where modules have captured it.

        The replacements are plain functions with the original's name, so that they pickle by reference.
        """
        original = lookup(owner, name)
        binding: Any = lambda function: function  # noqa: E731
        if isinstance(original, staticmethod):
            binding, original = staticmethod, original.__func__
        elif isinstance(original, _CLASS_METHODS):  # ours gets the class, too
            binding, original = classmethod, getattr(original, "__func__", original)
        if original is MISSING and isinstance(owner, type):  # inherited, from a class written in C perhaps
            original = getattr(owner, name, MISSING)
        if original is MISSING or not callable(original):
            _log.debug("%s.%s: no such function in this version; left out", owner.__name__, name)
            return
        function = make(original)
        disguise(function, original)
        self.ledger.patch(owner, name, binding(function))
        if not isinstance(owner, type):
            self._fresh.append((original, function))

    def settle(self) -> None:
        """Rebind what captured the functions replaced since the last time: one search for all of them."""
        fresh = self.take_fresh()
        if fresh:
            rebind(fresh, self.ledger)

    def take_fresh(self) -> list[tuple[object, object]]:
        """The functions replaced since the last time, for whoever rebinds what captured them."""
        fresh, self._fresh = self._fresh, []
        self._pairs += fresh
        return fresh

    def undo(self) -> list[tuple[object, object]]:
        """Put back what is still ours. What was captured meanwhile is left to who gets the pairs (original, ours)."""
        self.ledger.undo()
        pairs, self._pairs = self._pairs, []
        return pairs
