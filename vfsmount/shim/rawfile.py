"""The raw file object over a file on a mount; CPython's own buffered and text objects stand on top of it."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import logging
import operator
import os
import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.model import PREFERRED_IO
from vfsmount.shim.collected import interrupts_own_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

    from vfsmount.shim.description import Description
    from vfsmount.shim.descriptors import FdTable

logger = logging.getLogger(__name__)

SERVED: Final = frozenset(
    {
        "asyncio.base_events",
        "asyncio.unix_events",
        "fileinput",
        "http.server",
        "logging.handlers",
        "requests.utils",
        "shutil",
        "socket",
    }
)
"""Modules that give what ``fileno()`` returns to functions of ``os`` only (fstat, sendfile), which know our numbers:
for these the content need not be fetched. Everybody else may hand the number to C."""

_WRAPPERS: Final = frozenset({"bz2", "gzip", "lzma"})
"""Modules whose files pass ``fileno()`` on, and which make text files of these."""


class VfsFileIO(io.FileIO):
    """``io.FileIO`` in all but the descriptor, which is made when somebody asks for it.

    A subclass so that ``isinstance(f.raw, io.FileIO)`` holds; nothing of the base but its methods from ``io.IOBase``
    is used.
    """

    _blksize = PREFERRED_IO

    _closed = True  # until __init__ is through
    _collected = False
    _broken = False
    _late: list[tuple[int, bytes]] | None = None
    """What the objects above still had buffered, by its offset, where it is collected in the middle of own code."""
    _number: int | None

    def __init__(
        self,
        fds: FdTable,
        entry: Description,
        mode: str,
        name: object,
        *,
        number: int | None = None,
        closefd: bool = True,
    ) -> None:
        """``number``: the descriptor that this was opened on; without it the object owns one reference to ``entry``."""
        self._fds = fds
        self._entry = entry
        self._mode = mode
        self._number = number
        self._given = number is not None
        self._closefd = closefd
        self._reads = "r" in mode or "+" in mode
        self._writes = mode[0] in "wax" or "+" in mode
        self._abort = False
        self.aborts = False
        """Leaving ``with`` by an exception drops what was written (``on_error="abort"``)."""
        self.name = name
        self._closed = False

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def closefd(self) -> bool:
        return self._closefd

    @property
    def mode(self) -> str:  # type: ignore[override]
        # "wb" reads "wb", but an update is "rb+" whatever it was opened with. Source: Modules/_io/fileio.c,
        # mode_string.
        if "+" not in self._mode:
            return self._mode[0] + "b"
        return {"x": "xb+", "a": "ab+"}.get(self._mode[0], "rb+")

    def __repr__(self) -> str:
        if self._closed:
            return "<_io.FileIO [closed]>"
        name = getattr(self, "name", None)
        what = f"fd={self.number()}" if name is None else f"name={name!r}"
        return f"<_io.FileIO {what} mode={self.mode!r} closefd={self._closefd}>"

    def __getstate__(self) -> NoReturn:
        raise TypeError("cannot pickle '_io.FileIO' instances")

    def readable(self) -> bool:
        self._check_open()
        return self._reads

    def writable(self) -> bool:
        self._check_open()
        return self._writes

    def seekable(self) -> bool:
        self._check_open()
        return True

    def isatty(self) -> bool:
        self._check_open()
        return False

    def _isatty_open_only(self) -> bool:
        return False

    @property
    def description(self) -> Description:
        return self._entry

    @property
    def is_sequential(self) -> bool:
        """True for a writer that may write at its end only."""
        return self._entry.is_sequential

    @property
    def can_change(self) -> bool:
        """True for a writer that may write anywhere."""
        return self._entry.writable and not self._entry.is_sequential

    def fileno(self) -> int:
        """A real descriptor number; a reader's content is fetched first unless the caller is one of :data:`SERVED`."""
        is_handed_on, number = _is_handed_on(sys._getframe(1)), self.number()
        if is_handed_on and not self._is_lost():
            self._entry.escape()
        return number

    def number(self) -> int:
        """The descriptor number, for calls that know it to be ours: nothing is fetched."""
        self._check_open()
        if self._number is None:
            with self._entry.lock:  # of two threads that ask at once, the other's number would stay open for ever
                if self._number is None:
                    self._number = self._fds.number_for(self._entry)
        return self._number

    # Reading ----------------------------------------------------------------------------------------------------------

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        entry = self._for_reading()
        try:
            return entry.readinto(memoryview(buffer).cast("B"))
        except OSError as error:
            raise _unsupported(error, "not readable", entry.path) from error.__cause__

    def read(self, size: int | None = -1, /) -> bytes:
        entry = self._for_reading()
        size = -1 if size is None else operator.index(size)
        try:
            return entry.read(max(size, -1))
        except OSError as error:
            raise _unsupported(error, "not readable", entry.path) from error.__cause__

    def readall(self) -> bytes:
        return self.read(-1)

    # Writing ----------------------------------------------------------------------------------------------------------

    def write(self, data: ReadableBuffer, /) -> int:
        view = _bytes_view(data)
        entry = self._for_writing()
        if self._late is not None:
            at = entry.file.tell()
            self._late.append((at, bytes(view)))
            return entry.file.seek(at + len(view)) - at
        try:
            count = entry.write(view)
        except OSError as error:
            if self._collected and error.errno == errno.EBADF:  # nothing is there that close could fail to commit
                self._collected = False  # Python tries twice
                logger.error("%s, collected while open, could not be written: %s", entry.path, error)
            raise _unsupported(error, "not writable", entry.path) from error.__cause__
        except BaseException:
            self._broken = True  # nobody knows how much of it the stream took
            raise
        return count

    def truncate(self, size: int | None = None, /) -> int:
        entry = self._for_writing()
        length = entry.tell() if size is None else operator.index(size)
        entry.truncate(length)
        return length

    def flush(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file.")

    # Position ---------------------------------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._live().seek(operator.index(offset), operator.index(whence))

    def tell(self) -> int:
        return self._live().tell()

    # Closing ----------------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Let :meth:`close` drop what was written instead of committing it."""
        self._abort = True

    def commit(self) -> None:
        """Let :meth:`close` commit after all."""
        self._abort = False

    @property
    def is_held_back(self) -> bool:
        """True where :meth:`close` would drop what was written."""
        return self._abort

    def later(self, task: Callable[[], None]) -> None:
        """For a finalizer that interrupts own code."""
        self._fds.later.put(task)

    def close(self) -> None:
        """Commits a writer if nothing else refers to the open file. Raises: OSError where the upload failed."""
        if self._closed:
            return
        try:
            self.flush()  # which a caller may have put something of its own in place of
        finally:
            self._close()

    def _close(self) -> None:
        self._closed = True
        if self._late is None:
            self._let_go()
        else:
            self._fds.later.put(functools.partial(_close_late, self))

    def _let_go(self) -> None:
        try:
            if self._broken and not self._abort:
                self._release(abort=True)
                raise os_error(errno.EIO, self._entry.path, hint="a write was interrupted; nothing was uploaded")
            self._release(abort=self._abort)
        except OSError as error:
            if self._collected:
                logger.error("%s, collected while open, could not be committed: %s", self._entry.path, error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or not self.aborts:
            self.close()
            return
        self.abort()
        with contextlib.suppress(OSError):  # the exception on its way says more
            self.close()

    def _release(self, *, abort: bool) -> None:
        number, fds, entry = self._number, self._fds, self._entry
        if self._given:
            if not self._closefd or number is None:
                return
            if self._is_lost():
                _close_other(fds, number)
            else:
                fds.close(number, entry, abort=abort)
            return
        lost = self._is_lost()
        try:
            if number is not None and not lost:
                fds.close(number, entry, abort=abort)
        finally:
            fds.release(entry, abort=abort)  # also where the number is lost: what was written is committed
        if lost:
            _close_other(fds, number)

    def _dealloc_warn(self, source: object) -> None:
        """Called by the objects above when they are collected unclosed. Source: Modules/_io/bufferedio.c."""
        if self._closed:
            return
        if interrupts_own_code(sys._getframe(1)):
            self._late = []
        if not self._closefd:
            return
        self._collected = True
        warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=2, source=source)

    def __del__(self) -> None:
        if not self._closed:
            self._dealloc_warn(self)
            try:
                self.close()
            except OSError:
                return  # logged by close

    # How --------------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file")

    def _live(self) -> Description:
        self._check_open()
        if self._is_lost():
            raise os_error(errno.EBADF)
        return self._entry

    def _is_lost(self) -> bool:
        """True where somebody closed the number that this object stands on, or gave out."""
        return self._number is not None and self._fds.get(self._number) is not self._entry

    def _for_reading(self) -> Description:
        entry = self._live()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        return entry

    def _for_writing(self) -> Description:
        entry = self._live()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        return entry


def _is_handed_on(caller: FrameType) -> bool:
    """Whether a number for ``caller`` may reach C.

    Raises: UnsupportedOperation where a text file is being made that looks for its encoding: Python 3.10 asks whether
    it is a terminal.
    """
    module = caller.f_globals.get("__name__")
    if sys.version_info < (3, 11):
        above = caller.f_back if module in _WRAPPERS and caller.f_code.co_name == "fileno" else None
        if module == "vfsmount.shim.fileobjects" or (above is not None and above.f_globals.get("__name__") == module):
            raise io.UnsupportedOperation("this is no terminal")
    return module not in SERVED


def _unsupported(error: OSError, what: str, path: str) -> OSError:
    """A read on a file that the mount opened for writing (``w+``), or the reverse (``r+``), is unsupported."""
    if error.errno != errno.EBADF:
        return error
    found = io.UnsupportedOperation(errno.EBADF, what, path)
    for note in getattr(error, "__notes__", ()):
        found.add_note(note)  # type: ignore[attr-defined,unused-ignore]
    return found


def _close_late(raw: VfsFileIO) -> None:
    """Write what a collected file had buffered, and close it."""
    entry = raw._entry
    try:
        for at, data in raw._late or ():
            entry.seek(at, os.SEEK_SET)
            done = 0
            while done < len(data):
                done += entry.write(data[done:])
    except OSError:
        raw._broken = True
    with contextlib.suppress(OSError):  # logged
        raw._let_go()


def _close_other(fds: FdTable, number: int | None) -> None:
    """Close what ``number`` leads to by now, as the original would: ``dup2`` put it there. Raises: EBADF."""
    assert number is not None
    other = fds.get(number)
    if other is None:
        real.fd_close(number)
    else:
        fds.close(number, other)


def _bytes_view(data: ReadableBuffer) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None


def raw_of(thing: object) -> VfsFileIO | None:
    """The raw file below ``thing`` (a raw, buffered or text object, or a wrapper such as tempfile's) if it is one of
    ours."""
    for _ in range(4):
        if isinstance(thing, VfsFileIO):
            return thing
        if isinstance(thing, int) or thing is None:
            return None
        try:
            thing = _below(thing)
        except (ValueError, AttributeError):  # detached
            return None
    return None


def _below(thing: object) -> object:
    if isinstance(thing, io.TextIOWrapper):
        return thing.buffer
    if isinstance(thing, (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)):
        return thing.raw
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None and isinstance(thing, tempfile._TemporaryFileWrapper):
        return thing.file
    return None


def number_of(thing: object) -> object:
    """The number of ``thing`` if it is a file object of ours (nothing is fetched), else ``thing`` itself."""
    if isinstance(thing, int):
        return thing
    raw = raw_of(thing)
    return thing if raw is None else raw.number()
