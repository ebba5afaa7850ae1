"""``open``, ``io.FileIO`` and ``io.open_code``: CPython's own file objects over
:class:`~vfsmount.shim.rawfile.VfsFileIO`.

Arguments are judged by the original: whatever looks wrong is passed on to it, and it raises before it touches the path.
Source: Lib/_pyio.py, open.
"""

from __future__ import annotations

import builtins
import errno
import functools
import io
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.model import PREFERRED_IO
from vfsmount.shim.aborting import AbortingBufferedRandom, AbortingBufferedWriter, AbortingTextIOWrapper
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.fileio import file_io_class
from vfsmount.shim.rawfile import VfsFileIO
from vfsmount.shim.route import follow_up
from vfsmount.vfs.ending import Purpose, opening

if TYPE_CHECKING:
    from vfsmount.shim.description import Description

Opener = Callable[[Any, int], int]

_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_NEWLINES: Final = (None, "", "\n", "\r", "\r\n")


@dataclass(frozen=True, slots=True)
class Mode:
    """What a mode string asks for."""

    flags: int
    raw: str
    """The mode of the raw object: without ``b`` and ``t``."""
    reading: bool
    writing: bool
    updating: bool
    binary: bool


def parse_mode(mode: str, *, raw: bool = False) -> Mode | None:
    """None if the original has to judge it. ``raw``: for FileIO, which knows no ``t`` and is always binary."""
    letters = set(mode)
    if len(letters) != len(mode) or letters - set("rwxab+" if raw else "rwxabt+") or {"b", "t"} <= letters:
        return None
    kinds = letters & set("rwxa")
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    updating = "+" in letters
    reading = kind == "r" or updating
    writing = kind != "r" or updating
    flags = os.O_RDWR if reading and writing else os.O_WRONLY if writing else os.O_RDONLY
    flags |= {
        "r": 0,
        "w": os.O_CREAT | os.O_TRUNC,
        "x": os.O_CREAT | os.O_EXCL,
        "a": os.O_CREAT | os.O_APPEND,
    }[kind]
    return Mode(
        flags | _CLOEXEC, kind + ("+" if updating else ""), kind == "r", kind != "r", updating, raw or "b" in letters
    )


class _Ours(BaseException):
    """An opener returned a descriptor of ours: leads out of the original's call of it."""

    def __init__(self, number: int, entry: Any) -> None:
        super().__init__(number)
        self.number = number
        self.entry = entry


class Files:
    """Opens file objects for one activation."""

    def __init__(self, context: ShimContext, original: Callable[..., IO[Any]]) -> None:
        self._context = context
        self._original = original

    def open(
        self,
        file: Any,
        mode: Any,
        buffering: Any,
        encoding: Any,
        errors: Any,
        newline: Any,
        closefd: Any,
        opener: Opener | None,
        target: str | None,
    ) -> IO[Any]:
        """``open`` where ``target``, a descriptor of ours or an opener is involved; else the original."""
        given = file

        def original(path: object = file, with_opener: Opener | None = opener) -> IO[Any]:
            return self._original(path, mode, buffering, encoding, errors, newline, closefd, with_opener)

        parsed = _judge(mode, buffering, encoding, errors, newline)
        if parsed is None:
            return original()
        if isinstance(file, int):
            entry = self._context.fds.get(file)
            if entry is None:
                return original()
            sys.audit("open", file, mode, 0)
            number: int | None = int(file)
        else:
            if target is None and opener is None:
                return original()
            given = real.fspath(file)
            if opener is not None:
                opened: IO[Any] | _Ours = self._by_opener(opener, lambda observed: original(given, observed))
                if not isinstance(opened, _Ours):
                    return opened
                entry, number = opened.entry, opened.number
            else:
                assert target is not None
                sys.audit("open", given, mode, parsed.flags)
                if not closefd:
                    raise ValueError("Cannot use closefd=False with file name")
                entry, number = self._describe(target, given, parsed), None
        if encoding is None and not parsed.binary:
            encoding = io.text_encoding(None, 3)  # type: ignore[attr-defined,unused-ignore]
        raw = self._raw(entry, parsed, given, number, closefd)
        try:
            return _wrap(raw, mode, parsed, buffering, encoding, errors, newline)
        except BaseException:
            if number is None:  # else what was written by the number before is there, as on a disk
                raw.abort()
            raw.close()
            raise

    def raw(self, file: Any, mode: Any, closefd: Any, opener: Opener | None, original: Callable[..., Any]) -> Any:
        """``io.FileIO(...)``: ours, or ``original``'s."""
        parsed = parse_mode(mode, raw=True) if isinstance(mode, str) else None
        if parsed is None:
            return original(file, mode, closefd, opener)
        if opener is not None and not isinstance(file, int):
            opened = self._by_opener(opener, lambda observed: original(file, mode, closefd, observed))
            if not isinstance(opened, _Ours):
                return opened
            return self._raw(opened.entry, parsed, file, opened.number, True)
        if isinstance(file, int):
            entry = self._context.fds.get(file)
            if entry is None:
                return original(file, mode, closefd, opener)
            return self._raw(entry, parsed, file, int(file), closefd)
        try:
            target = self._context.router.route(file, purpose=opening(parsed.flags))
        except OSError as error:
            raise follow_up(error, file) from error.__cause__
        if target is None:
            local = self._context.router.local(file)
            try:
                if local is file:
                    return original(file, mode, closefd)
                return original(file, mode, closefd, _opener_of(local))
            except OSError as error:
                target = self._context.router.retry(error, file, purpose=opening(parsed.flags))
                if target is None:
                    raise follow_up(error, file) from error.__cause__
        raw = self._raw(self._admit(target, file, parsed, closefd), parsed, file, None, True)
        raw.description.owner = weakref.ref(raw)
        return raw

    def _by_opener(self, opener: Opener, original: Callable[[Opener], Any]) -> Any:
        """What ``original`` makes with ``opener``, which it calls after its checks and its audit event; :class:`_Ours`
        where that returned a descriptor of ours."""

        def observed(path: Any, flags: int) -> int:
            number = opener(path, flags)
            entry = self._context.fds.get(number)
            if entry is None:
                return number
            raise _Ours(number, entry)

        try:
            return original(observed)
        except _Ours as ours:
            return ours.with_traceback(None)

    def local_opener(self, file: Any, opener: Opener | None) -> Opener | None:
        """For a path on the local disk that is relative to the virtual cwd."""
        if opener is not None or isinstance(file, int):
            return None
        local = self._context.router.local(file)
        return None if local is file else _opener_of(local)

    def number(
        self, file: Any, mode: Any, closefd: Any, opener: Opener | None, error: OSError | None = None
    ) -> tuple[int, Description] | None:
        """A descriptor good for C code, for ``FileIO`` objects whose methods are C; None where the file is not ours.

        ``error``: what the original has answered.
        """
        parsed = parse_mode(mode, raw=True) if isinstance(mode, str) else None
        if parsed is None or opener is not None:
            return None
        fds = self._context.fds
        if isinstance(file, int):
            entry = fds.get(file)
            if entry is None:
                return None
            entry.escape()
            return int(file), entry
        router, purpose = self._context.router, opening(parsed.flags)
        try:
            target = (
                router.route(file, purpose=purpose) if error is None else router.retry(error, file, purpose=purpose)
            )
        except OSError as failed:
            raise follow_up(failed, file) from failed.__cause__
        if target is None:
            return None
        entry = self._admit(target, file, parsed, closefd)
        try:
            number = fds.number_for(entry)
            entry.escape()
        finally:
            fds.release(entry)
        return number, entry

    def by_opener(
        self, file: Any, mode: Any, closefd: Any, opener: Opener | None
    ) -> tuple[Opener | None, tuple[int, Description] | None]:
        """What :meth:`number` gives, where the caller's opener has opened a file of ours; else an opener that gives the
        number of another one, and is not to be called twice."""
        parsed = parse_mode(mode, raw=True) if isinstance(mode, str) else None
        if parsed is None or opener is None or isinstance(file, int) or not closefd:
            return None, None
        number = opener(real.fspath(file), parsed.flags)
        entry = self._context.fds.get(number)
        if entry is None:
            return (lambda path, flags: number), None
        try:
            if entry.is_dir:
                raise os_error(errno.EISDIR)
            entry.escape()
        except OSError as error:
            self._context.fds.close_logged(number, entry)
            raise follow_up(error, file) from error.__cause__
        return None, (number, entry)

    def close_number(self, number: int, entry: Description, *, late: bool = False) -> None:
        """Close what :meth:`number` gave; ``late``, from a finalizer, by another thread. Raises: OSError where the
        upload failed."""
        fds = self._context.fds
        if late:
            fds.later.put(functools.partial(fds.close_logged, number, entry))
        else:
            fds.close(number, entry)

    def _admit(self, target: str, file: Any, parsed: Mode, closefd: Any) -> Description:
        if not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        sys.audit("open", file, parsed.raw, parsed.flags)
        return self._describe(target, file, parsed)

    def _describe(self, target: str, given: object, parsed: Mode) -> Description:
        try:
            opened = self._context.table.open(target, parsed.flags, 0o666)
        except OSError as error:
            raise follow_up(error, given) from error.__cause__
        if opened.is_dir:
            opened.close()
            raise follow_up(os_error(errno.EISDIR), given)
        return self._context.fds.describe(opened)

    def _raw(self, entry: Description, parsed: Mode, name: object, number: int | None, closefd: bool) -> VfsFileIO:
        if entry.is_dir:
            raise follow_up(os_error(errno.EISDIR), name)
        raw = VfsFileIO(self._context.fds, entry, parsed.raw, name, number=number, closefd=closefd)
        raw.aborts = self._aborts(entry)
        if parsed.raw[0] == "a":
            raw.seek(0, os.SEEK_END)
        return raw

    def _aborts(self, entry: Description) -> bool:
        found = self._context.table.find(entry.path) if entry.writable else None
        return found is not None and found[0].fs.options.on_error == "abort"


def _judge(mode: object, buffering: object, encoding: object, errors: object, newline: object) -> Mode | None:
    """The parsed mode, or None where some argument is wrong and the original has to say so."""
    if not isinstance(mode, str) or not isinstance(buffering, int):
        return None
    if not all(value is None or isinstance(value, str) for value in (encoding, errors, newline)):
        return None
    if sys.version_info < (3, 11) and mode.count("U") == 1 and not set(mode) & set("wax+"):
        warnings.warn("'U' mode is deprecated", DeprecationWarning, 4)
        mode = mode.replace("U", "" if "r" in mode else "r")
    parsed = parse_mode(mode)
    if parsed is None:
        return None
    if parsed.binary and not (encoding is None and errors is None and newline is None):
        return None
    if not parsed.binary and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    if newline not in _NEWLINES:
        raise ValueError(f"illegal newline value: {newline}")
    return parsed


def _wrap(
    raw: VfsFileIO,
    mode: str,
    parsed: Mode,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    """The buffered and text objects above ``raw``."""
    line_buffering = buffering == 1
    if buffering == 1 and parsed.binary:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used",
            RuntimeWarning,
            4,
        )
    if buffering == 0:
        raw.description.owner = weakref.ref(raw)
        return raw
    size = PREFERRED_IO if buffering < 0 or buffering == 1 else buffering
    buffered: io.BufferedReader | io.BufferedWriter | io.BufferedRandom
    if parsed.updating:
        buffered = (AbortingBufferedRandom if raw.aborts else io.BufferedRandom)(raw, size)
    elif parsed.writing:
        buffered = (AbortingBufferedWriter if raw.aborts else io.BufferedWriter)(raw, size)
    else:
        if buffering < 0:  # no more than the file can fill
            size = min(size, max(raw.description.stat().size + 1, io.DEFAULT_BUFFER_SIZE))
        buffered = io.BufferedReader(raw, size)
    if parsed.binary:
        raw.description.owner = weakref.ref(buffered)
        return buffered
    wrapper = AbortingTextIOWrapper if raw.aborts else io.TextIOWrapper
    text = wrapper(buffered, encoding, errors, newline, line_buffering)
    text.mode = mode  # type: ignore[misc,unused-ignore]
    raw.description.owner = weakref.ref(text)
    return text


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """``open``, ``io.FileIO`` and ``io.open_code``."""
    original: Callable[..., IO[Any]] = builtins.open
    original_code = io.open_code
    files = Files(context, original)
    router = context.router
    special = files.open

    warns = sys.flags.warn_default_encoding

    def open(
        _: object,
        /,
        file: Any,
        mode: Any = "r",
        buffering: Any = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: Any = True,
        opener: Any = None,
    ) -> IO[Any]:
        if warns and encoding is None and isinstance(mode, str) and "b" not in mode:
            encoding = io.text_encoding(None)  # type: ignore[attr-defined]  # names the caller's line, not ours
        if (
            type(file) is str
            and opener is None
            and "/fd/" not in file
            and (router.needle not in file or router.is_foreign(file))
        ):
            target = None
        elif type(file) is int and file not in context.fds and opener is None:
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        else:
            try:
                target = router.route(file, purpose=_purpose(mode))
            except OSError as error:
                raise follow_up(error, file) from error.__cause__
            if target is not None or opener is not None or isinstance(file, int):
                return special(file, mode, buffering, encoding, errors, newline, closefd, opener, target)
            local = router.local(file)
            if local is not file:
                return _opened_as(original, file, local, mode, buffering, encoding, errors, newline, closefd)
        try:
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        except OSError as error:
            target = router.retry(error, file, purpose=_purpose(mode))
            if target is None:
                raise
        return special(file, mode, buffering, encoding, errors, newline, closefd, opener, target)

    def open_code(_: object, /, path: Any) -> IO[bytes]:
        if isinstance(path, str) and router.needle in path and router.route(path) is not None:
            return open(None, path, "rb")
        return original_code(path)

    yield Replacement(builtins, "open", open)
    yield Replacement(io, "open", open)
    yield Replacement(io, "open_code", open_code)
    yield Replacement(io, "FileIO", file_io_class(files))


def _purpose(mode: Any) -> Purpose:
    creates = isinstance(mode, str) and ("w" in mode or "a" in mode or "x" in mode)
    return Purpose.CREATE if creates else Purpose.LOOK


def _opened_as(original: Callable[..., IO[Any]], file: Any, local: object, *arguments: Any) -> IO[Any]:
    """A local file that is relative to the virtual cwd, under the name that the caller gave."""
    try:
        opened = original(file, *arguments, _opener_of(local))
    except OSError as error:
        raise follow_up(error, file) from error.__cause__
    return opened


def _opener_of(local: object) -> Opener:
    """Opens ``local`` in the stead of what it is given."""
    return lambda _, flags: real.fd_open(local, flags, 0o666)  # type: ignore[arg-type]
