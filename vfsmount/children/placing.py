"""Mounted paths of one command, and their copies in its stage."""

from __future__ import annotations

import errno
import fnmatch
import posixpath
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vfsmount.children.commands import READ, Kind, Use, program_at, removed_by
from vfsmount.children.staging import Naming
from vfsmount.errors import os_error

if TYPE_CHECKING:
    from vfsmount.children.stage import Stage
    from vfsmount.children.staging import StagingPlanner
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable

INSIDE: Final = (
    "a mounted path inside a larger argument cannot be served to a child program; pass it as an argument of its own"
)
_RENAMED: Final = "mounted without allow_rename; mount with allow_rename=True, or copy and delete"
_NUMBER: Final = re.compile(r"%0?\d*d")
_NO_PATH: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ)
"""What looking up an argument says that is no path of something that exists: a program's text after ``-c``, say."""


class Placing:
    """Used once."""

    def __init__(self, planner: StagingPlanner, stage: Stage, table: MountTable) -> None:
        self._planner = planner
        self._stage = stage
        self._table = table
        self.naming = Naming.NOTHING
        self.start: str | None = None
        """The mounted directory that the program starts in."""
        self.alone = True
        """Whether only one program opens what is staged."""

    def _below_start(self, text: str) -> str | None:
        target = posixpath.normpath(posixpath.join(self.start or "/", text))
        return target if self._table.covers(target) else None

    def exact(self, text: str) -> str | None:
        return self._planner.exact(text)

    def at(self, text: str) -> str | None:
        """The mounted path that the program would take ``text`` for."""
        if self.start is None or text.startswith("/"):
            return self.exact(text)
        return self._below_start(text)

    def attr(self, target: str) -> Attr | None:
        try:
            return self._table.stat(target)
        except OSError as error:
            if error.errno in _NO_PATH:
                return None
            raise

    def tell(self, naming: Naming) -> None:
        if self.naming is not Naming.ALL and naming is not Naming.NOTHING:
            self.naming = naming

    def placed(self, target: str, use: Use, given: str, entries: tuple[str, ...] | None = None) -> str:
        if use.kind is Kind.IGNORING:
            return given
        attr = self.attr(target)
        # The name is not told of what is there, but where the program fails on it.
        plain = attr is not None and use.kind is not Kind.OTHER
        if attr is not None and (attr.is_dir if use.kind is Kind.READING else given.endswith("/") and not attr.is_dir):
            plain = False
        self.tell(Naming.ALL if use.names else Naming.NOTHING if plain else Naming.TEXT)
        if attr is None:
            if use.kind is Kind.OTHER:
                self._place_numbered(target)
                return self.output(target, given)
            self._stage.place_parent(target)
            return self._spelled(target, given)
        if entries is not None and self.alone and not attr.is_dir:
            self._stage.place(target, attr, content=False, depth=0, replaced=True)
            return self._spelled(target, given)
        if entries is None or not attr.is_dir:
            self.place(target, attr, use)
            return self._spelled(target, given)
        for name in entries:
            inner = f"{target.rstrip('/')}/{name}"
            there = self.attr(inner)
            if there is not None and self.alone:
                self._stage.place(inner, there, content=False, depth=None, replaced=True)
            elif there is not None:
                self.place(inner, there, use)
        self._stage.place(target, attr, content=True, depth=0)
        return self._spelled(target, given)

    def _place_numbered(self, target: str) -> None:
        """``frame_%03d.png`` is files of which each has a number, for ffmpeg and its like, to read or to replace."""
        if _NUMBER.search(target.rpartition("/")[2]):
            parts = _NUMBER.split(target)
            self.match("*".join(re.sub(r"[*?[]", r"[\g<0>]", part) for part in parts), READ)

    def _spelled(self, target: str, given: str) -> str:
        """The copy of ``target``, as its caller spells it: programs print what they were given."""
        if given.startswith("/") and ".." not in given.split("/"):
            return f"{self._stage.root}{given}"
        return f"{self._stage.root}{target}{'/' if given.endswith('/') else ''}"

    def output(self, target: str, given: str) -> str:
        """What does not exist, so the program may make it. Raises: EROFS; ENOTSUP where it may be several paths."""
        if self._planner.mentions(given.lstrip("/")):
            raise os_error(errno.ENOTSUP, given, hint=INSIDE)
        found = self._table.find(target)
        if found is not None and found[0].fs.options.read_only:
            raise os_error(errno.EROFS, given, hint="mounted with read_only")
        self.tell(Naming.TEXT)
        self._stage.place_parent(target)
        return self._spelled(target, given)

    def require_writable(self, target: str, given: str) -> None:
        """The program will replace or change it. Raises: EROFS, EPERM."""
        found = self._table.find(target)
        options = found[0].fs.options if found is not None else None
        if options is not None and options.read_only:
            raise os_error(errno.EROFS, given, hint="mounted with read_only")
        if options is not None and not options.allow_overwrite and self.attr(target) is not None:
            raise os_error(errno.EPERM, given, hint="mounted with allow_overwrite=False")

    def place(self, target: str, attr: Attr, use: Use) -> str:
        if use.kind is Kind.LISTING:
            return self._stage.place(target, attr, content=False, depth=use.depth)
        return self._stage.place(target, attr, content=True, depth=None if use.kind is Kind.OTHER else 0)

    def require_allowed(self, argv: Sequence[str]) -> None:
        """Raises: EROFS, EPERM, ENOSYS where ``argv`` removes or renames on a mount that forbids it; EBUSY."""
        operands = removed_by(argv)
        goal = self.at(argv[-1]) if operands and argv[program_at(argv)].rpartition("/")[2] == "mv" else None
        for text in filter(None, operands):
            target = self.at(text)
            found = self._table.find(target) if target is not None else None
            if target is None or found is None or self.attr(target) is None:
                continue
            options = found[0].fs.options
            if self._table.is_point(target):
                raise os_error(errno.EBUSY, text, hint="it is a mount point")
            if options.read_only:
                raise os_error(errno.EROFS, text, hint="mounted with read_only")
            if not options.allow_delete:
                raise os_error(errno.EPERM, text, hint="mounted with allow_delete=False")
            other = self._table.find(goal) if goal is not None else None
            if other is not None and other[0] is found[0] and not options.allow_rename:
                raise os_error(errno.ENOSYS, text, hint=_RENAMED)

    def match(self, pattern: str, use: Use) -> None:
        """Stage what matches ``pattern``; the shell finds it there by itself, so more than that does no harm.

        Costs the listing of each directory that a part of the pattern is looked for in.
        """
        found = ["/"]
        for part in pattern.strip("/").split("/"):
            if not any(character in part for character in "*?["):
                found = [posixpath.join(at, part) for at in found]
                continue
            # fnmatch knows no classes, and "^" as a shell's "!" only.
            sloppy = "*" if "[:" in part or "[=" in part or "[." in part else part.replace("[^", "[!")
            matches = re.compile(fnmatch.translate(sloppy)).match
            hidden = part.startswith((".", "[")) or (sloppy == "*" and part != "*")
            found = [
                posixpath.join(at, name)
                for at in found
                if (attr := self.attr(posixpath.normpath(at))) is not None and attr.is_dir
                for name, _ in self._table.scandir(posixpath.normpath(at))
                if matches(name) and (hidden or not name.startswith("."))
            ]
        for each in found:
            target = posixpath.normpath(each)
            attr = self.attr(target) if self._table.covers(target) else None
            if attr is not None:
                self.place(target, attr, use)
