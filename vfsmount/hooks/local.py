"""Named local files, for libraries that take a path and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any, Final, TypeVar

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.hooks.hook import CHUNK, Target
from vfsmount.shim.rawfile import raw_of
from vfsmount.transfer.spool import ScratchDirectory

_Class = TypeVar("_Class", bound=type)

_IN_PLACE: Final = 'changing a file in place needs a mount with writes="staged"'


_unpublished: Final[set[Produced]] = set()
"""Kept until they are closed: the collector might take a library's object and what it writes to in the other order."""


class Fetched:
    """A copy of a file, under its own name on the local disk, from here to :meth:`close` or the end of the object.

    Raises: what opening the file raises.
    """

    __slots__ = ("_place", "local")

    def __init__(self, path: Any) -> None:
        with open(path, "rb") as source:
            self._place = ScratchDirectory()
            self.local: Final = os.path.join(self._place.path, os.path.basename(real.fsdecode(path)))
            with real.open(self.local, "wb") as target:
                shutil.copyfileobj(source, target, CHUNK)

    def close(self) -> None:
        """Remove it; a second call does nothing. A library that has it open still keeps its content."""
        self._place.__exit__()


class Produced:
    """A file that a library makes under its own name on the local disk, uploaded in one go by :meth:`close`.

    What the library puts beside it is uploaded beside it. The target is opened first, so that what the mount refuses
    is refused before anything is written. Raises: what opening the target raises.
    """

    __slots__ = ("_beside", "_pid", "_place", "_target", "local")

    def __init__(self, path: Any, mode: str) -> None:
        self._target = Target(path, mode)
        try:
            self._place = ScratchDirectory()
        except BaseException:
            self._target.discard()
            raise
        absolute = os.path.abspath(real.fsdecode(path))
        self.local: Final = os.path.join(self._place.path, os.path.basename(absolute))
        self._beside: Final = os.path.dirname(absolute)
        self._pid = real.getpid()
        _unpublished.add(self)

    @property
    def is_open(self) -> bool:
        """False once it has been uploaded or discarded."""
        return self._target.is_open

    def close(self) -> None:
        """Upload what was made; a second call does nothing. Raises: what closing a written file raises, ENOENT where
        the library made nothing.
        """
        if not self.is_open:
            return
        if self._pid != real.getpid():  # a forked child: it is the parent's
            self.discard()
            return
        try:
            with real.open(self.local, "rb") as made:
                self._replace(made)
            with real.passthrough():
                others = [name for name in sorted(os.listdir(self._place.path)) if name != os.path.basename(self.local)]
            for name in others:
                with real.open(os.path.join(self._place.path, name), "rb") as made:
                    with open(os.path.join(self._beside, name), "wb") as target:
                        shutil.copyfileobj(made, target, CHUNK)
        except BaseException:
            self.discard()
            raise
        self._forget()
        self._target.close()

    def _replace(self, made: Any) -> None:
        shutil.copyfileobj(made, self._target.file, CHUNK)

    def discard(self) -> None:
        """Upload nothing."""
        self._forget()
        self._target.discard()

    def _forget(self) -> None:
        _unpublished.discard(self)
        self._place.__exit__()


class Changed(Produced):
    """A file that a library changes in place: a local copy, uploaded by :meth:`close` if it was changed.

    Raises: what opening the file raises; EPERM where the mount's files cannot be changed.
    """

    __slots__ = ("_before",)

    def __init__(self, path: Any) -> None:
        super().__init__(path, "r+b")
        raw = raw_of(self._target.file)
        try:
            if raw is not None and not raw.can_change:
                raise os_error(errno.EPERM, path, hint=_IN_PLACE)
            with real.open(self.local, "wb") as copy:
                shutil.copyfileobj(self._target.file, copy, CHUNK)
        except BaseException:
            self.discard()
            raise
        self._before = self._state()

    def close(self) -> None:
        if self.is_open and self._state() == self._before:
            self.discard()
            return
        super().close()

    def _state(self) -> tuple[int, int]:
        found = real.stat(self.local)
        return found.st_mtime_ns, found.st_size

    def _replace(self, made: Any) -> None:
        self._target.file.seek(0)
        self._target.file.truncate()
        super()._replace(made)


def likeness(original: Any) -> Any:
    """The metaclass of a subclass that stands in the place of ``original``, a class that cannot be changed: to
    ``isinstance``, what was made of the original before is of the subclass too.
    """

    class Like(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, value: object) -> bool:
            if original in cls.__bases__:
                return isinstance(value, original)
            return bool(super().__instancecheck__(value))

    return Like


def named(ours: _Class, original: type) -> _Class:
    """``ours`` under the name and documentation of ``original``."""
    ours.__name__, ours.__qualname__ = original.__name__, original.__qualname__
    ours.__module__, ours.__doc__ = original.__module__, original.__doc__
    return ours
