"""``shutil.copytree`` with many files on their way at once.

The tree is walked, and every error put in its place, by shutil's own code. It runs with three names replaced: where it
copies a file, a thread does; where it copies a directory's metadata, that waits until all below is done; and where it
calls itself, the part of the result that is still to come is given a place.
"""

from __future__ import annotations

import contextvars
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vfsmount import real
from vfsmount.clock import FOREVER
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.traversal import one_of_several

if TYPE_CHECKING:
    from vfsmount.vfs.mounts import MountTable

_Function = Callable[..., Any]

THREADS: Final = 16
"""Files on their way at once at most; fewer large ones, where the memory limit is low."""

_MOST_UNDONE: Final = 2 * THREADS
"""Files handed over and not done, so that the walk is never far ahead of the copies."""

_PARTS: Final = 4
"""Of a large file, in memory though nothing is left of the budget: one collected, one sent and the client's copy of
it, one read."""

_LEAST_CLAIM: Final = 64 << 10
_GROWTH: Final = 8
"""Times a small file's size at most, see ``Uploader``."""

_LONG: Final = 1e9
"""Seconds. Each request has a time-out of its own."""

_ORIGINALS: Final = {
    name: vars(shutil)[name] for name in ("copy", "copy2", "copyfile", "copymode", "copystat", "copyfileobj")
}
_COPY_FUNCTIONS: Final = tuple(_ORIGINALS[name] for name in ("copy", "copy2", "copyfile"))


def copytree(table: MountTable, original: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """``original(*args, **kwargs)``; in parallel where only shutil's own code copies files."""
    walk = vars(shutil).get("_copytree")
    if not _is_as_known(original, walk):
        return original(*args, **kwargs)
    position = _parameters(original).index("copy_function")
    default = (original.__defaults__ or ())[position - original.__code__.co_argcount]
    function = args[position] if len(args) > position else kwargs.get("copy_function", default)
    if not any(function is own for own in _COPY_FUNCTIONS):
        return original(*args, **kwargs)
    return _Copying(table, original, walk, function).run(args, kwargs, position)


def _is_as_known(original: Any, walk: Any) -> bool:
    """False for another Python's shutil, or one that somebody has changed: its functions may not be for threads."""
    names = vars(shutil)
    return (
        all(names.get(name) is function for name, function in _ORIGINALS.items())
        and all(type(one) is FunctionType and one.__globals__ is names for one in (original, walk))
        and not original.__closure__
        and not walk.__closure__
        and {"copy", "copy2", "copystat", "copytree", "Error"} <= set(walk.__code__.co_names)
        and {"copy_function"} <= set(_parameters(original))
        and {"entries"} <= set(_parameters(walk))
        and "_copytree" in original.__code__.co_names
    )


def _parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames
    return names[: code.co_argcount]


class _File:
    """Stands in shutil's list of errors for what copying one file will bring."""

    __slots__ = ("errors", "source", "target")

    def __init__(self, source: Any, target: Any) -> None:
        self.source = source
        self.target = target
        self.errors: Iterable[object] = ()

    def failed(self, error: OSError) -> None:
        """Note ``error`` as shutil does. An Error's argument is not always a list: of a SameFileError it is text."""
        if isinstance(error, shutil.Error):
            self.errors = error.args[0]
        else:
            self.errors = ((os.fspath(self.source), self.target, str(error)),)


class _Directory:
    """Stands there for what is still to come of one directory."""

    __slots__ = ("above", "errors", "metadata")

    def __init__(self, above: _Directory | None) -> None:
        self.above = above
        self.errors: Iterable[object] = ()
        self.metadata: tuple[Any, Any] | None = None
        """Source and target of the metadata that is copied last; None while shutil has not come to it."""

    def settle(self, notes: dict[str, None]) -> list[object]:
        """The errors at and below it, in shutil's order; all below is done. ``notes`` of metadata refused are added."""
        found: list[object] = []
        for error in self.errors:
            if isinstance(error, _File):
                found.extend(error.errors)
            elif isinstance(error, _Directory):
                found.extend(error.settle(notes))
            else:
                found.append(error)
        assert self.metadata is not None
        try:
            shutil.copystat(*self.metadata)
        except OSError as error:
            notes.update(dict.fromkeys(getattr(error, "__notes__", ())))
            found.append((*self.metadata, str(error)))
        return found


class _Entries(list[Any]):
    """A directory's entries, which tell which one shutil is at."""

    def __init__(self, entries: list[Any], at: Callable[[Any], None]) -> None:
        super().__init__(entries)
        self._at = at

    def __iter__(self) -> Iterator[Any]:
        for entry in super().__iter__():
            self._at(entry)
            yield entry


class _Undone(NamedTuple):
    """A file handed over."""

    directory: _Directory | None
    claim: int
    """Bytes of the budget that it may take, whatever is left."""


class _Copying:
    """One call of ``copytree``."""

    def __init__(self, table: MountTable, original: Any, walk: Any, function: _Function) -> None:
        systems = [mount.fs for mount in table.mounts]
        self._most_claim: Final = _PARTS * max((fs.options.part_size for fs in systems), default=0)
        self._limit: Final = min((fs.budget.limit for fs in systems), default=0)
        self._function: Final = function
        self._pool: Final = ThreadPool(THREADS, "vfsmount-copy")
        self._pid: Final = real.getpid()
        self._undone: dict[Future[None], _Undone] = {}
        self._entry: Any = None
        self._notes: Final[dict[str, None]] = {}
        """Of errors that shutil keeps the text of alone; each once, in order."""
        self._failures: list[tuple[int, BaseException]] = []
        """What shutil lets through, each with the number of its file."""
        self._handed_over = 0
        self._stopped = False
        self._current: _Directory | None = None
        self._names: Final = dict(vars(shutil))
        names = self._names
        self._stand_in: Final = self._copy  # one object, because shutil compares
        names.update({name: self._stand_in for name in ("copy", "copy2", "copyfile") if names[name] is function})
        names.update(copytree=self._directory, copystat=self._metadata, _copytree=self._walk)
        self._walk_original: Final = _with_globals(walk, names)
        self._original: Final = _with_globals(original, names)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], position: int) -> object:
        if len(args) > position:
            args = (*args[:position], self._stand_in, *args[position + 1 :])
        else:
            kwargs = {**kwargs, "copy_function": self._stand_in}
        try:
            return self._directory(*args, **kwargs)
        finally:
            self._stop()
            self._failures = []
            # A cycle with ourselves: until it is collected, whoever looks for captured references finds some here.
            for name in [name for name in self._names if not name.startswith("__")]:
                del self._names[name]

    def _stop(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self._stopped = True
        self._pool.close(_LONG)

    # -- what shutil's code calls

    def _directory(self, *args: Any, **kwargs: Any) -> object:
        self._check()
        directory = _Directory(self._current)
        self._current = directory
        try:
            self._original(*args, **kwargs)
        except shutil.Error as error:
            if directory.metadata is None:
                raise  # by a callback
            directory.errors = error.args[0]
        finally:
            self._current = directory.above
        assert directory.metadata is not None
        if directory.above is None:
            wait(self._still_undone(), FOREVER)
            self._check()
        elif any(_is_below(directory, one.directory) for one in self._still_undone().values()):
            raise shutil.Error([directory])
        errors = directory.settle(self._notes)
        if errors:
            failed = shutil.Error(errors)
            if hasattr(failed, "add_note"):
                for note in self._notes:
                    failed.add_note(note)
            try:
                raise failed
            finally:
                del failed  # with its traceback, this frame would keep itself
        return directory.metadata[1]

    def _walk(self, *args: Any, entries: list[Any], **kwargs: Any) -> object:
        return self._walk_original(*args, entries=_Entries(entries, self._at), **kwargs)

    def _at(self, entry: Any) -> None:
        self._entry = entry

    def _copy(self, source: Any, target: Any) -> object:
        if self._pid != real.getpid():  # a callback has forked; the threads are the parent's
            return self._function(source, target)
        claim = self._claim()
        while undone := self._still_undone():
            if len(undone) < _MOST_UNDONE and sum(one.claim for one in undone.values()) + claim <= self._limit:
                break
            wait(undone, FOREVER, FIRST_COMPLETED)
        self._check()
        file = _File(source, target)
        self._handed_over += 1
        task = functools.partial(contextvars.copy_context().run, self._run, file, self._handed_over)
        self._undone[self._pool.submit(task)] = _Undone(self._current, claim)
        raise shutil.Error([file])

    def _claim(self) -> int:
        entry = self._entry
        try:
            # The system's entries remember what they were asked first, and shutil asks when it begins to copy.
            size: int = (real.stat(entry.path) if type(entry) is os.DirEntry else entry.stat()).st_size
        except (OSError, ValueError):
            size = 0  # shutil will meet it too
        return min(self._most_claim, max(_LEAST_CLAIM, _GROWTH * size))

    def _metadata(self, source: Any, target: Any, **kwargs: Any) -> None:
        if kwargs:  # of a symlink
            shutil.copystat(source, target, **kwargs)
            return
        assert self._current is not None
        self._current.metadata = source, target

    # -- in the threads

    def _run(self, file: _File, number: int) -> None:
        try:
            with one_of_several():
                if not self._stopped:
                    self._function(file.source, file.target)
        except OSError as error:
            self._notes.update(dict.fromkeys(getattr(error, "__notes__", ())))
            file.failed(error)
        except BaseException as error:  # noqa: BLE001 - surfaces in the calling thread
            self._failures.append((number, error))

    # -- what is done

    def _still_undone(self) -> dict[Future[None], _Undone]:
        if self._pid != real.getpid():
            self._undone = {}  # the parent does them
        self._undone = {future: one for future, one in self._undone.items() if not future.done()}
        return self._undone

    def _check(self) -> None:
        """Raise what a file failed with that shutil lets through: of several, the first file's."""
        if self._failures:
            self._stop()
            raise min(self._failures, key=lambda failure: failure[0])[1]


def _is_below(directory: _Directory, one: _Directory | None) -> bool:
    while one is not None and one is not directory:
        one = one.above
    return one is directory


def _with_globals(function: Any, names: dict[str, Any]) -> _Function:
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made
