"""Listing directories: ``os.listdir``, ``os.scandir``, and mount points in the listings of the real directories above
them.
"""

from __future__ import annotations

import functools
import os
import stat as _stat
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.shim.calls import Function, by_path
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.links import WALKS, LinkEntry, led_on
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.shim.description import Description
    from vfsmount.vfs.mounts import MountTable


def replacements(context: ShimContext) -> Iterator[Replacement]:
    """``listdir`` and ``scandir``; ``walk``, ``fwalk``, ``glob`` and ``pathlib`` stand on them."""
    yield Replacement(os, "listdir", _listdir(context))
    yield Replacement(os, "scandir", _scandir(context))


class MountEntry:
    """What ``os.scandir`` yields for a name on a mount: looks like ``os.DirEntry``, and answers from the listing,
    with no request; but ``stat`` of what was changed here since then asks once.
    """

    __slots__ = ("_attr", "_listed", "name", "path")

    def __init__(
        self,
        name: str | bytes,
        path: str | bytes,
        attr: Attr | Callable[[], Attr],
        listed: _Listed | None = None,
    ) -> None:
        """``attr``: what the listing told, or who tells it when asked."""
        self.name = name
        self.path = path
        self._attr = attr
        self._listed = listed

    def _read(self) -> Attr:
        attr = self._attr
        return attr() if callable(attr) else attr

    if not TYPE_CHECKING:
        # os.DirEntry can neither be made nor subclassed; this is what isinstance() asks next.
        @property
        def __class__(self) -> type:
            return os.DirEntry

    def inode(self) -> int:
        """Return inode of the entry; cached per entry."""
        return self._read().ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return True if the entry is a directory; cached per entry."""
        return _stat.S_ISDIR(self._read().mode)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return True if the entry is a file; cached per entry."""
        return _stat.S_ISREG(self._read().mode)

    def is_symlink(self) -> bool:
        """Return True if the entry is a symbolic link; cached per entry."""
        return False

    def is_junction(self) -> bool:
        """Return True if the entry is a junction; cached per entry."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return stat_result object for the entry; cached per entry."""
        listed = self._listed
        if listed is not None:
            if listed.changed:
                self._look_again(listed)
            self._listed = None
        return self._read().stat_result()

    def _look_again(self, listed: _Listed) -> None:
        try:
            now = listed.now(real.fsdecode(self.name))
        except OSError as error:
            raise follow_up(error, self.path) from error.__cause__
        if now is not None:
            self._attr = now

    def __fspath__(self) -> str | bytes:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("cannot pickle 'posix.DirEntry' object")

    __class_getitem__: Final[Any] = classmethod(GenericAlias)


class ScandirIterator:
    """The iterator and context manager that ``os.scandir`` returns; owns the real one, if there is one."""

    __slots__ = ("_done", "_entries", "_real")

    def __init__(self, entries: Iterator[object], actual: Any = None) -> None:
        self._entries = entries
        self._real = actual
        self._done = False

    def __iter__(self) -> ScandirIterator:
        return self

    def __next__(self) -> object:
        try:
            return next(self._entries)
        except BaseException:
            self._done = True
            raise

    def __del__(self) -> None:
        if not self._done and self._real is None:  # the real one says so itself
            warnings.warn(f"unclosed scandir iterator {self!r}", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<posix.ScandirIterator object at {id(self):#x}>"

    def close(self) -> None:
        """Further iteration finds nothing."""
        self._done = True
        self._entries = iter(())
        if self._real is not None:
            self._real.close()

    def __enter__(self) -> ScandirIterator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class _Listed:
    """When a directory was listed."""

    __slots__ = ("_before", "_fs", "_inner", "_seen", "_table", "_target")

    def __init__(self, table: MountTable, target: str) -> None:
        """To be made before the directory is listed."""
        self._table = table
        self._target = target
        found = table.find(target)
        assert found is not None
        self._fs, self._inner = found[0].fs, found[1]
        self._before = self._seen = self._fs.moment

    @property
    def changed(self) -> bool:
        """Whether something in it, or below, was changed here since then."""
        moment = self._fs.moment
        if moment == self._seen:
            return False
        if self._fs.changed_since(self._inner, self._before):
            return True
        self._seen = moment
        return False

    def now(self, name: str) -> Attr | None:
        """What ``name`` looks like if it was changed here since then, else None. Costs what stat costs.

        Raises: ENOENT where it was removed.
        """
        if not self._fs.changed_since(_below(self._inner, name) if self._inner else name, self._before):
            return None
        return self._table.stat(_below(self._target, name))


def _names_and_attrs(table: MountTable, target: str) -> Iterable[tuple[str, Attr | Callable[[], Attr]]]:
    """The names in a covered or synthetic directory. Raises: ENOENT, ENOTDIR, EACCES."""
    if not table.covers(target):
        return [(name, _reader(table, _below(target, name))) for name in table.names_below(target)]
    return table.scandir(target)


def _reader(table: MountTable, path: str) -> Callable[[], Attr]:
    kept: list[Attr] = []

    def read() -> Attr:
        if not kept:
            kept.append(table.stat(path) if table.covers(path) else table.synthetic_attr(path))
        return kept[0]

    return read


def _below(directory: str, name: str) -> str:
    return f"{directory}{name}" if directory.endswith("/") else f"{directory}/{name}"


def _listdir(context: ShimContext) -> Function:
    table, router = context.table, context.router
    original: Function = os.listdir

    def local(given: object) -> object:
        names = original(given)
        above = None if real.in_passthrough() else router.is_ancestor("." if given is None else given)
        if above is not None:
            have = set(names)
            as_bytes = _is_bytes(given)
            for name in table.names_below(above):
                added = real.fsencode(name) if as_bytes else name
                if added not in have:
                    names.append(added)
        return names

    def act(target: str, given: object) -> object:
        names = [name for name, _ in _names_and_attrs(table, target)]
        return [real.fsencode(name) for name in names] if _is_bytes(given) else names

    return _listing(context, local, act, original)


def _scandir(context: ShimContext) -> Function:
    table, router = context.table, context.router
    original: Function = os.scandir

    def local(given: object) -> object:
        actual = original(given)
        above = None if real.in_passthrough() else router.is_ancestor("." if given is None else given)
        if above is None:
            return actual
        return ScandirIterator(_merged(table, actual, above, given, behind), actual)

    def act(target: str, given: object) -> object:
        listed = _Listed(table, target) if table.covers(target) else None
        return ScandirIterator(_entries(_names_and_attrs(table, target), given, listed))

    def behind(path: Any, dir_fd: int | None = None) -> Attr | None:
        target = router.route(path, dir_fd=dir_fd)
        if target is None:
            try:
                real.stat(path, dir_fd=dir_fd)
            except OSError as error:
                target = router.retry(error, path, dir_fd=dir_fd)
        if target is None:
            return None
        return table.stat(target) if table.covers(target) else table.synthetic_attr(target)

    return _listing(context, local, act, original, behind)


def _listing(
    context: ShimContext,
    local: Callable[[object], object],
    act: Callable[[str, object], object],
    original: Function,
    behind: Function | None = None,
) -> Function:
    """Both take one optional path or descriptor, and ``None`` for the current directory. ``behind``: what links in
    the entries of a local directory lead to, for the standard library's walks."""
    cwd, router = context.cwd, context.router

    # The caller's own spelling goes along as a second argument: the results repeat it.
    def straight(path: object, *_: object) -> object:
        return local(path)

    def on_file(entry: Description, given: object) -> object:
        return act(entry.path, given)

    routed = by_path(context, straight, act, on_file=on_file)

    def call(_: object, /, *args: object, **kwargs: object) -> object:
        if len(args) == 1 and not kwargs and type(given := args[0]) is str and router.needle not in given:
            try:
                found = local(given)  # as by_path, in fewer calls
            except OSError:
                found = routed(None, given, given)
        elif len(args) + len(kwargs) > 1 or (kwargs and "path" not in kwargs):
            return original(*args, **kwargs)
        else:
            given = args[0] if args else kwargs.get("path")
            if given is not None:
                found = routed(None, given, given)
            else:
                found = local(None) if cwd.path is None or real.in_passthrough() else act(cwd.path, None)
        if (
            behind is not None
            and type(found) is not ScandirIterator
            and sys._getframe(1).f_globals.get("__name__") in WALKS
        ):
            return led_on(found, functools.partial(behind, dir_fd=given) if isinstance(given, int) else behind)
        return found

    return call


def _merged(
    table: MountTable,
    actual: Iterator[os.DirEntry[Any]],
    above: str,
    given: object,
    behind: Callable[[Any], Attr | None],
) -> Iterator[object]:
    """A real directory's entries; mount points take the place of what the disk has under their names."""
    pending = dict.fromkeys(table.names_below(above))
    for entry in actual:
        name = os.fsdecode(entry.name)
        if name in pending:
            del pending[name]
            if table.is_point(_below(above, name)):
                yield from _entries([(name, _reader(table, _below(above, name)))], given)
                continue
        yield LinkEntry(entry, behind) if entry.is_symlink() and not isinstance(given, int) else entry
    yield from _entries([(name, _reader(table, _below(above, name))) for name in pending], given)


def _entries(
    found: Iterable[tuple[str, Attr | Callable[[], Attr]]], given: object, listed: _Listed | None = None
) -> Iterator[MountEntry]:
    """Entries whose ``path`` starts with what ``scandir`` was given: ``.`` if nothing, only the name for a
    descriptor.
    """
    if isinstance(given, int):
        return (MountEntry(name, name, attr, listed) for name, attr in found)
    start = "." if given is None else _fspath(given)
    if isinstance(start, bytes):
        above = start if start.endswith(b"/") else start + b"/"
        return (MountEntry(raw := real.fsencode(name), above + raw, attr, listed) for name, attr in found)
    before = _below(start, "")
    return (MountEntry(name, before + name, attr, listed) for name, attr in found)


def _fspath(given: object) -> str | bytes:
    """As ``os.fspath``, and bytes for a buffer, which the functions of ``os`` take for a path too."""
    found: str | bytes
    if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
        found = real.fspath(given)
    else:
        found = bytes(given)  # type: ignore[call-overload]
    return found


def _is_bytes(given: object) -> bool:
    return given is not None and not isinstance(given, (str, int)) and isinstance(_fspath(given), bytes)
