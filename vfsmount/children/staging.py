"""Child programs by staging: mounted paths among the arguments become local copies, made before the program starts.

What it has made or changed there is uploaded when it has ended, before ``wait`` returns. What cannot be served so is
refused (ENOTSUP) before anything starts: paths inside larger arguments, directories too big to copy, programs that
remove. A program that removes something all the same makes ``wait`` raise EROFS, and nothing is uploaded then.
"""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vfsmount import real
from vfsmount.children.commands import (
    Kind,
    Use,
    archived_by,
    entries_into,
    in_background,
    is_shell,
    removed_by,
    use_of,
    uses_in,
    words,
)
from vfsmount.children.stage import Stage
from vfsmount.errors import os_error
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.process import Command
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable

logger = logging.getLogger(__name__)

_REMOVING: Final = (
    "copies serve child programs here, so they cannot remove or rename on a mount; use os.remove or os.rename"
)
_ARCHIVED: Final = (
    "copies serve child programs here, and their local names would be stored; use tar's -C, or a relative name"
)
_BACKGROUND: Final = "copies serve child programs here, so one that writes to a mount cannot go on in the background"
_INSIDE: Final = (
    "a mounted path inside a larger argument cannot be served to a child program; pass it as an argument of its own"
)

_GLUED: Final = re.compile(r"-\w/")
"""A short option with its path: ``-f/my-mount/x``."""

_FILTER: Final = (
    '{ code=$({ { shift; "$@" 3>&- 4>&-; echo $? >&3; } | LC_ALL=C sed -e "$1" >&4 3>&-; } 3>&1); } 4>&1; exit "$code"'
)
"""Runs ``$2...`` with its standard output through ``sed $1``, keeping its exit code: the stage's root is taken out of
what programs print, so that they print mounted paths."""

_CHANGING: Final = """
import os, sys
program = sys.argv[2] or sys.argv[3]
try:
    os.chdir(sys.argv[1])
    (os.execv if "/" in program else os.execvp)(program, sys.argv[3:])
except OSError as error:
    print(f"{program}: {error.strerror}", file=sys.stderr)
    sys.exit(127)
"""
"""Becomes ``argv[2]`` (``argv[3]`` where that is empty) in the directory ``argv[1]``; ends with 127 where it cannot."""


def changing(argv: list[str], executable: object, cwd: object) -> list[str]:
    """``argv`` by way of a Python that goes to ``cwd`` first, if there is one."""
    if cwd is None:
        return argv
    words = [os.fsdecode(each) if each else "" for each in (cwd, executable)]  # type: ignore[arg-type]
    return [sys.executable, "-I", "-S", "-c", _CHANGING, *words, *argv]


@dataclass(frozen=True, slots=True)
class StagedPlan:
    """A command whose mounted paths are replaced by those of a stage."""

    argv: list[str]
    executable: object
    cwd: object
    env: Mapping[Any, Any] | None
    stage: Stage
    killed: ClassVar[bool] = False

    def in_place(self) -> list[str]:
        """``argv``, by way of a Python that changes the directory."""
        return changing(self.argv, self.executable, self.cwd)

    def started(self, pid: int) -> None:
        """Nothing is left to do."""

    def finish(self) -> bool:
        """Upload what the program wrote. Raises: OSError where it did what cannot be uploaded; nothing is then."""
        found = self.stage.outputs()
        if not found.refused:
            return self.stage.upload(found)
        paths = sorted(found.refused)
        listed = ", ".join(paths[:5]) + (" ..." if len(paths) > 5 else "")
        number, why = found.refused[paths[0]]
        logger.error("a child program did what copies of mounted files cannot serve: %s: %s", listed, why)
        self.stage.keep(found, f"nothing that it wrote was, because of {listed}")
        raise os_error(number, paths[0], hint=f"{why} [{listed}]")

    def discard(self) -> None:
        self.stage.remove()


_NO_PATH: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ)
"""What looking up an argument says that is no path of something that exists: a program's text after ``-c``, say."""


class StagingPlanner:
    """Serves every program that this process starts, on any platform."""

    def __init__(self, table: MountTable, router: Router, cwd: VirtualCwd) -> None:
        self._table = table
        self._router = router
        self._cwd = cwd
        self._mention: tuple[tuple[str, ...], re.Pattern[str]] | None = None

    def concerns(self, command: Command) -> bool:
        """Whether the command mentions a mount or would run inside one. No request."""
        if real.in_passthrough():
            return False
        if self.directory(command) is not None:
            return True
        env = command.env
        if env is not None and env is not os.environ and self._environment(env):
            return True
        return any(self._concerns(text) for text in (*texts(command), command.executable) if text is not None)

    def plan(self, command: Command) -> StagedPlan | None:
        """Stage what the command needs. Raises: ENOTSUP; and what reading the mount raises."""
        if not self.concerns(command):
            return None
        stage = Stage(self._table)
        try:
            plan = _Planning(self, stage, self._table, self._router).plan(command, self.directory(command))
            stage.seal()
        except BaseException:
            stage.remove()
            raise
        return plan

    def mentions(self, text: str) -> bool:
        """Whether a mount point shows in ``text``."""
        points, known = self._table.points, self._mention
        if known is None or known[0] != points:  # another session has come, or gone
            names = "|".join(re.escape(point) for point in points)
            known = self._mention = points, re.compile(rf"(?:(?<![\w.\-/])|^-\w)/*(?:{names})(?![\w.\-])")
        return known[1].search(text) is not None

    def _concerns(self, argument: object) -> bool:
        text = _text(argument)
        if text is None or self._router.needle not in text:
            return False
        return self.mentions(text) or self.routed(text) is not None

    def routed(self, text: str) -> str | None:
        """The mounted path that ``text`` is. A relative one is not, while the process stands inside a mount: the
        program's own directory decides then.
        """
        if self._cwd.path is not None and not text.startswith("/"):
            return None
        return _routed(self._router, text)

    def directory(self, command: Command) -> str | None:
        """The mounted directory that the program would start in."""
        if command.cwd is None:
            return self._cwd.path
        return self._router.route(command.cwd)

    def _environment(self, env: Mapping[Any, Any]) -> list[str]:
        """Names of variables that mention a mount and are not simply inherited."""
        found = []
        for name, value in env.items():
            key, text = _text(name), _text(value)
            if key is not None and text is not None and self._router.needle in text and self.mentions(text):
                if os.environ.get(key) != text:
                    found.append(key)
        return found


class _Planning:
    """One command on its way to a plan."""

    def __init__(self, planner: StagingPlanner, stage: Stage, table: MountTable, router: Router) -> None:
        self._planner = planner
        self._stage = stage
        self._table = table
        self._router = router
        self._names = False
        self._start: str | None = None

    def plan(self, command: Command, directory: str | None) -> StagedPlan:
        for name in self._planner._environment(command.env) if command.env is not None else ():
            hint = f"the environment variable {name} names a mounted path, which a child program cannot be served by"
            raise os_error(errno.ENOTSUP, _text(command.env[name]) if command.env else None, hint=hint)
        argv = texts(command)
        if command.shell:
            argv = ["/bin/sh" if command.executable is None else str(_text(command.executable)), "-c", *argv]
        executable = None if command.shell or command.executable is None else self._program(command.executable)
        cwd = command.cwd
        if directory is not None:
            self._start = directory
            cwd = self._start_in(directory, argv)
        if is_shell(argv):
            staged = [*argv[:2], self._line(argv[2]), *(self._argument(text, Use(Kind.OTHER)) for text in argv[3:])]
        else:
            use = use_of(argv)
            self._refuse_removal(argv)
            last = [self._argument(argv[-1], use, entries_into(argv))] if len(argv) > 1 else []
            staged = [str(self._program(argv[0])), *(self._argument(text, use) for text in argv[1:-1]), *last]
            if argv[0].rpartition("/")[2] == "du":
                staged.insert(1, "--apparent-size")  # the stand-ins hold no blocks
        if self._names and executable is None:
            expression = f"s|{re.escape(self._stage.root)}||g"
            staged = ["/bin/sh", "-c", _FILTER, "sh", expression, *staged]
        return StagedPlan(staged, executable, cwd, command.env, self._stage)

    def _program(self, given: object) -> object:
        text = _text(given)
        target = _routed(self._router, text) if text is not None and "/" in text else None
        if target is None:
            return given
        try:
            return self._stage.place(target, self._table.stat(target), content=True, depth=0)
        except OSError as error:
            raise follow_up(error, given) from error.__cause__

    def _start_in(self, directory: str, argv: Sequence[str]) -> str:
        attr = self._table.stat(directory)
        if not attr.is_dir:
            raise os_error(errno.ENOTDIR, directory)
        use = use_of(argv)
        if is_shell(argv):
            (use, *_) = set(uses_in(argv[2], ())) or {_use_of_line(argv[2])}
        if use.kind is Kind.READING:  # it opens what it is told to, so nothing else has to be there
            return self._stage.place(directory, attr, content=True, depth=0)
        listing = use.kind in (Kind.LISTING, Kind.IGNORING)
        return self._stage.place(directory, attr, content=not listing, depth=use.depth if listing else None)

    def _argument(self, text: str, use: Use, entries: tuple[str, ...] | None = None) -> str:
        """``text`` with a mounted path in it replaced."""
        if not text.startswith("/") and "=" not in text and not _GLUED.match(text):
            return self._relative(text, use)
        target = self._exact(text)
        if target is not None:
            return self._placed(target, use, text, entries)
        if not self._planner.mentions(text):
            return text
        option, equals, value = (text[:2], "", text[2:]) if _GLUED.match(text) else text.partition("=")
        target = None if self._planner.mentions(option) else self._exact(value)
        if target is None:
            if use.kind is Kind.IGNORING:
                return text
            raise os_error(errno.ENOTSUP, text, hint=_INSIDE)
        if option == "of":
            self._written(target, text)
        return f"{option}{equals}{self._placed(target, use, value)}"

    def _relative(self, text: str, use: Use) -> str:
        """A name relative to the directory that the program starts in; it stays as it is where that directory is
        staged."""
        target = None
        if not text.startswith("-"):
            target = self._exact(text) if self._start is None else self._below_start(text)
        if target is None:
            if self._planner.mentions(text) and use.kind is not Kind.IGNORING:
                raise os_error(errno.ENOTSUP, text, hint=_INSIDE)
            return text
        attr = self._attr(target)
        if attr is None:  # a word that is no path, or an output, which is found afterwards
            if self._start is None and use.kind is Kind.OTHER:
                return self._output(target, text)
            if use.kind is Kind.OTHER and "/" in text:
                self._stage.place_parent(target)
            return text
        placed = self._place(target, attr, use)
        return text if self._start is not None else placed

    def _below_start(self, text: str) -> str | None:
        target = posixpath.normpath(posixpath.join(self._start or "/", text))
        return target if self._table.covers(target) else None

    def _exact(self, text: str) -> str | None:
        return self._planner.routed(text) if self._router.needle in text else None

    def _attr(self, target: str) -> Attr | None:
        try:
            return self._table.stat(target)
        except OSError as error:
            if error.errno in _NO_PATH:
                return None
            raise

    def _placed(self, target: str, use: Use, given: str, entries: tuple[str, ...] | None = None) -> str:
        if use.kind is Kind.IGNORING:
            return given
        self._names |= use.names
        attr = self._attr(target)
        if attr is None:
            return self._output(target, given) if use.kind is Kind.OTHER else self._stage.place_parent(target)
        slash = "/" if given.endswith("/") else ""
        if entries is None or not attr.is_dir:
            return self._place(target, attr, use) + slash
        for name in entries:
            inner = f"{target.rstrip('/')}/{name}"
            there = self._attr(inner)
            if there is not None:
                self._place(inner, there, use)
        return self._stage.place(target, attr, content=True, depth=0) + slash

    def _output(self, target: str, given: str) -> str:
        """What does not exist, so the program may make it. Raises: EROFS; ENOTSUP where it may be several paths."""
        if self._planner.mentions(given.lstrip("/")):
            raise os_error(errno.ENOTSUP, given, hint=_INSIDE)
        found = self._table.find(target)
        if found is not None and found[0].fs.options.read_only:
            raise os_error(errno.EROFS, given, hint="mounted with read_only")
        return self._stage.place_parent(target) + ("/" if given.endswith("/") else "")

    def _written(self, target: str, given: str) -> None:
        """The program will replace or change it. Raises: EROFS, EPERM."""
        found = self._table.find(target)
        options = found[0].fs.options if found is not None else None
        if options is not None and options.read_only:
            raise os_error(errno.EROFS, given, hint="mounted with read_only")
        if options is not None and not options.allow_overwrite and self._attr(target) is not None:
            raise os_error(errno.EPERM, given, hint="mounted with allow_overwrite=False")

    def _refuse_removal(self, argv: Sequence[str]) -> None:
        """Raises: ENOTSUP where ``argv`` removes something that is on a mount, or stores its name."""
        for text in removed_by(argv):
            target = self._exact(text) if self._start is None or text.startswith("/") else self._below_start(text)
            if target is not None and self._attr(target) is not None:
                raise os_error(errno.ENOTSUP, text, hint=_REMOVING)
        for text in archived_by(argv):
            if text.startswith("/") and self._exact(text) is not None:
                raise os_error(errno.ENOTSUP, text, hint=_ARCHIVED)

    def _place(self, target: str, attr: Attr, use: Use) -> str:
        if use.kind is Kind.LISTING:
            return self._stage.place(target, attr, content=False, depth=use.depth)
        return self._stage.place(target, attr, content=True, depth=None if use.kind is Kind.OTHER else 0)

    def _line(self, line: str) -> str:
        """A shell command with the mounted paths in it replaced."""
        found = words(line, self._table.points)
        if found is None:
            raise os_error(errno.ENOTSUP, line, hint=_INSIDE)
        if self._start is not None and in_background(line):
            raise os_error(errno.ENOTSUP, line, hint=_BACKGROUND)
        pieces, at = [], 0
        for word, use in zip(found, uses_in(line, found), strict=False):
            target = _routed(self._router, word.path)
            if word.removed and target is not None and self._attr(target) is not None:
                raise os_error(errno.ENOTSUP, word.path, hint=_REMOVING)
            if word.archived and target is not None:
                raise os_error(errno.ENOTSUP, word.path, hint=_ARCHIVED)
            if target is not None and use.kind is Kind.OTHER and in_background(line):
                raise os_error(errno.ENOTSUP, word.path, hint=_BACKGROUND)
            if word.output and target is not None:
                self._written(target, word.path)
            placed = word.path if target is None else self._placed(target, use, word.path, word.entries)
            pieces += [line[at : word.start], shlex.quote(placed)]
            at = word.stop
        return "".join([*pieces, line[at:]])


def _use_of_line(line: str) -> Use:
    """What a shell command without mounted paths in it may do in its directory."""
    plain = not any(character in line for character in "'\"$`\\{}<>*?[]~|&;()\n")
    return use_of(line.split()) if plain else Use(Kind.OTHER)


def _routed(router: Router, text: str) -> str | None:
    try:
        return router.route(text)
    except OSError:  # `file/` and the like: the program is to find out by itself
        return None


def _text(value: object) -> str | None:
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def texts(command: Command) -> list[str]:
    """The arguments as text; none where one is neither str, bytes nor PathLike, which the original will refuse."""
    argv = command.argv
    if isinstance(argv, (str, bytes, os.PathLike)):
        return [os.fsdecode(argv)]
    texts = [_text(argument) for argument in argv]
    return [] if None in texts else [text for text in texts if text is not None]
