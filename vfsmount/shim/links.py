"""What ``os.scandir`` tells the standard library of symbolic links on the local disk that lead into a mount.

``os.DirEntry`` follows links in C, where they lead to nothing. Whoever asks an entry gets the kernel's error; but the
standard library's own walks take that for "no directory" and go on without a word. So they are given wrapped entries
for links; those of files and directories, of which the kernel has told the type, stay what they are.
"""

from __future__ import annotations

import os
import stat as _stat
from collections.abc import Iterator
from itertools import chain, islice
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Final

from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfsmount.model import Attr

WALKS: Final = frozenset({"os", "glob", "shutil", "pathlib", "pathlib._abc", "pathlib._local", "sitecustomize"})
"""Modules that ask the entries of a directory what they lead to, and believe that an error means nothing; and the one
that calls for them when their walk is what activates in a child program.
"""

_BATCH: Final = 64
"""Entries read at a time, so that what is asked of all of them is asked in C. The kernel gives more at a time."""

_is_link: Final = os.DirEntry.is_symlink


class LinkEntry:
    """The entry of a symbolic link: the real one's answers, but where the link leads into a mount."""

    __slots__ = ("_behind", "_entry", "_found")

    def __init__(self, entry: os.DirEntry[Any], behind: Callable[[Any], Attr | None]) -> None:
        """``behind`` tells what the link leads to on a mount, None where it leads to none; asked only where the kernel
        does not follow it."""
        self._entry = entry
        self._behind = behind
        self._found: tuple[Attr | None] | None = None

    @property
    def name(self) -> Any:
        return self._entry.name

    @property
    def path(self) -> Any:
        return self._entry.path

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type:
            return os.DirEntry

    def _mounted(self) -> Attr | None:
        """Raises: OSError where it leads to nothing on a mount."""
        if self._found is None:
            try:
                followed = self._entry.is_dir() or self._entry.is_file()  # one stat, which the entry keeps
            except OSError:
                followed = False
            try:
                self._found = (None if followed else self._behind(self._entry.path),)
            except OSError as error:
                raise follow_up(error, self._entry.path) from error.__cause__
        return self._found[0]

    def _is(self, kind: Callable[[int], bool]) -> bool | None:
        """None where the real entry knows better."""
        try:
            found = self._mounted()
        except FileNotFoundError:
            return False
        return None if found is None else kind(found.mode)

    def inode(self) -> int:
        """Return inode of the entry; cached per entry."""
        return self._entry.inode()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return True if the entry is a directory; cached per entry."""
        found = self._is(_stat.S_ISDIR) if follow_symlinks else None
        return self._entry.is_dir(follow_symlinks=follow_symlinks) if found is None else found

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return True if the entry is a file; cached per entry."""
        found = self._is(_stat.S_ISREG) if follow_symlinks else None
        return self._entry.is_file(follow_symlinks=follow_symlinks) if found is None else found

    def is_symlink(self) -> bool:
        """Return True if the entry is a symbolic link; cached per entry."""
        return True

    def is_junction(self) -> bool:
        """Return True if the entry is a junction; cached per entry."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return stat_result object for the entry; cached per entry."""
        found = self._mounted() if follow_symlinks else None
        return self._entry.stat(follow_symlinks=follow_symlinks) if found is None else found.stat_result()

    def __fspath__(self) -> Any:
        return self._entry.path

    def __repr__(self) -> str:
        return repr(self._entry)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("cannot pickle 'posix.DirEntry' object")

    __class_getitem__: Final[Any] = classmethod(GenericAlias)


class LinkedEntries(chain):  # type: ignore[type-arg]
    """What a walk gets for a directory on the local disk: iterates in C."""

    __slots__ = ("_actual",)

    _actual: Any

    def close(self) -> None:
        """Nothing more is read; the real iterator says so itself where nobody calls this."""
        self._actual.close()

    def __enter__(self) -> LinkedEntries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._actual.close()

    def __repr__(self) -> str:
        return f"<posix.ScandirIterator object at {id(self):#x}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("cannot pickle 'posix.ScandirIterator' object")


def led_on(actual: Any, behind: Callable[[Any], Attr | None]) -> LinkedEntries:
    """The entries of the real iterator ``actual``, those of links wrapped; ``behind`` as in :class:`LinkEntry`."""
    first = list(islice(actual, _BATCH))
    if any(map(_is_link, first)):
        first = _wrapped(first, behind)
    if len(first) < _BATCH:
        found = LinkedEntries(first)
    else:
        found = LinkedEntries(first, chain.from_iterable(_batches(actual, behind)))
    found._actual = actual
    return found


def _batches(actual: Any, behind: Callable[[Any], Attr | None]) -> Iterator[list[Any]]:
    while batch := list(islice(actual, _BATCH)):
        yield _wrapped(batch, behind) if any(map(_is_link, batch)) else batch


def _wrapped(batch: list[Any], behind: Callable[[Any], Attr | None]) -> list[Any]:
    return [LinkEntry(entry, behind) if entry.is_symlink() else entry for entry in batch]
