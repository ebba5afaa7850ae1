"""File objects for mounts with ``on_error="abort"``: leaving ``with`` by an exception drops the upload.

The C classes' ``__exit__`` only closes, so these are subclasses that look at the exception first. Mounts with the
default, ``"commit"``, get the classes of ``io`` themselves, and ``type(f) is io.TextIOWrapper`` holds there.
"""

from __future__ import annotations

import contextlib
import io
from types import TracebackType

from vfsmount.shim.rawfile import raw_of


def _leave(file: io.IOBase, kind: type[BaseException] | None) -> None:
    if kind is None:
        file.close()
        return
    raw = raw_of(file)
    if raw is not None:
        raw.abort()
    with contextlib.suppress(OSError):  # what is still buffered goes nowhere, and the exception on its way says more
        file.close()


class AbortingTextIOWrapper(io.TextIOWrapper):
    """See the module."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _leave(self, kind)


class AbortingBufferedWriter(io.BufferedWriter):
    """See the module."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _leave(self, kind)


class AbortingBufferedRandom(io.BufferedRandom):
    """See the module."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _leave(self, kind)


for _class in (AbortingTextIOWrapper, AbortingBufferedWriter, AbortingBufferedRandom):
    _class.__module__ = "_io"
    _class.__name__ = _class.__qualname__ = _class.__name__.removeprefix("Aborting")
del _class
