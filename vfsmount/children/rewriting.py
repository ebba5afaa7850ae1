"""One command on its way to a :class:`~vfsmount.children.staging.StagedPlan`: what it names is staged, and renamed."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.children.arguments import GLUED, Arguments
from vfsmount.children.commands import (
    OTHER,
    READ,
    Kind,
    Use,
    archived_by,
    entries_into,
    program_at,
    removed_by,
    script_at,
    use_of,
    uses_in,
)
from vfsmount.children.placing import INSIDE, Placing
from vfsmount.children.shell import Line, NotUnderstoodError, Simple, Word, parsed
from vfsmount.children.staging import Naming, StagedPlan, text_of, texts
from vfsmount.errors import os_error

if TYPE_CHECKING:
    from vfsmount.children.stage import Stage
    from vfsmount.children.staging import StagingPlanner
    from vfsmount.shim.process import Command
    from vfsmount.vfs.mounts import MountTable

_ARCHIVED: Final = (
    "copies serve child programs here, and their local names would be stored; use tar's -C, or a relative name"
)
_BACKGROUND: Final = "copies serve child programs here, so one that writes to a mount cannot go on in the background"
_PLACES: Final = 8
"""Directories that a line goes to, from which ``..`` is looked for at most."""
_PLAIN: Final = re.compile(r"[\w.+-]*\+?=")
"""What an assignment, or an option with its value, begins with."""


class Rewriting:
    """Used once."""

    def __init__(self, planner: StagingPlanner, stage: Stage, table: MountTable) -> None:
        self._planner = planner
        self._stage = stage
        self._table = table
        self._paths = Placing(planner, stage, table)
        self._words = Arguments(planner, stage, table, self._paths)

    def plan(self, command: Command, directory: str | None) -> StagedPlan:
        """Raises: ENOTSUP, and what the mount would refuse (EROFS, EPERM, ENOSYS); and what reading it raises."""
        env = self._words.environment(command.env)
        argv = texts(command)
        if command.shell:
            argv = ["/bin/sh" if command.executable is None else str(text_of(command.executable)), "-c", *argv]
        executable = None if command.shell or command.executable is None else self._words.program(command.executable)
        at = script_at(argv)
        line = None if at is None else self._parsed(argv[at])
        uses = [use_of(argv)] if line is None else uses_in(line)
        cwd = command.cwd
        if directory is not None:
            self._paths.start = directory
            cwd = self._start_in(argv, line, uses)
        if line is None or at is None:
            words = self._command(argv)
        else:
            self._paths.alone = line.is_static and len(line.commands) == 1
            text = self._line(argv[at], line, uses, command.env)
            words = [
                *self._before_script(argv[:at]),
                text,
                *(self._words.argument(each, OTHER) for each in argv[at + 1 :]),
            ]
        naming = self._paths.naming
        if not _is_there(executable or words[0], env, cwd):
            self._words.require_mode(command, argv[0], executable or words[0])
            naming = Naming.NOTHING
        return StagedPlan(words, executable, cwd, env, self._stage, naming, command.restore_signals)

    def _before_script(self, argv: Sequence[str]) -> list[str]:
        """The shell with its options, and what starts it; names without a slash are none of files."""
        words = (self._words.argument(text, OTHER) if "/" in text else text for text in argv[1:])
        return [str(self._words.program(argv[0])), *words]

    def _start_in(self, argv: Sequence[str], line: Line | None, uses: list[Use] | None) -> str:
        assert self._paths.start is not None
        attr = self._table.stat(self._paths.start)
        if not attr.is_dir:
            raise os_error(errno.ENOTDIR, self._paths.start)
        self._paths.tell(Naming.TEXT)
        if line is not None and uses is not None:  # what only filters opens nothing
            uses = [use for use, each in zip(uses, line.commands, strict=True) if not each.piped or use != OTHER]
        if uses is None or any(use.kind is Kind.OTHER for use in uses):
            if line is not None and line.background:
                raise os_error(errno.ENOTSUP, argv[2], hint=_BACKGROUND)
            return self._stage.place(self._paths.start, attr, content=True, depth=None)
        removing = line is None and bool(removed_by(argv))
        depths = [use.depth for use in uses if use.kind is Kind.LISTING and not removing]
        depth = None if None in depths else max((each for each in depths if each is not None), default=0)
        return self._stage.place(self._paths.start, attr, content=not depths, depth=depth)

    # -- a program with its arguments

    def _command(self, argv: list[str]) -> list[str]:
        use = use_of(argv)
        self._paths.require_allowed(argv)
        for text in archived_by(argv):
            if text.startswith("/") and self._paths.exact(text) is not None:
                raise os_error(errno.ENOTSUP, text, hint=_ARCHIVED)
        last = [self._words.argument(argv[-1], use, entries_into(argv))] if len(argv) > 1 else []
        words = [
            str(self._words.program(argv[0])),
            *(self._words.argument(text, use) for text in argv[1:-1]),
            *last,
        ]
        at = program_at(argv)
        if at < len(argv) and argv[at].rpartition("/")[2] == "du" and use.kind is Kind.LISTING:
            words.insert(at + 1, "--apparent-size")  # the stand-ins hold no blocks
        return words

    # -- a shell's command line

    def _parsed(self, text: str) -> Line:
        try:
            return parsed(text)
        except NotUnderstoodError:
            if self._planner.mentions(text):
                raise os_error(errno.ENOTSUP, text, hint=INSIDE) from None
            return Line(nested=True, background=re.search(r"(?<![&>|<])&(?![&>])", text) is not None)

    def _line(
        self, text: str, line: Line, uses: list[Use] | None, env: Mapping[Any, Any] | None, *, inner: bool = False
    ) -> str:
        """``text`` with the mounted paths in it replaced; ``inner``: it is within another line."""
        edits: list[tuple[int, int, str]] = []
        alone = [] if inner else self._left_alone(text, line, env)
        known = uses if uses is not None else [_unknown(command, line) for command in line.commands]
        self._place_above(line)
        for command, use in zip(line.commands, known, strict=True):
            if command not in alone:
                edits += self._simple(command, use, line, trusted=uses is not None)
            for each in command.redirections:
                if each.writes and each.word.is_literal and (target := self._paths.at(each.word.text)) is not None:
                    self._paths.require_writable(target, each.word.text)
                how = READ if each.operator == "<" else OTHER
                edits += self._word(each.word, how, line, trusted=uses is not None)
        if not alone and any(self._planner.mentions(text[start:stop]) for start, stop in line.documents):
            raise os_error(errno.ENOTSUP, text, hint=INSIDE)
        for start, stop, new in sorted(edits, reverse=True):
            text = f"{text[:start]}{new}{text[stop:]}"
        return text

    def _place_above(self, line: Line) -> None:
        """Stage what lines find by way of ``..`` from where they go to: nothing else names it."""
        entered = [self._paths.start] if self._paths.start is not None else []
        last = line.commands[-1] if line.commands else None
        for command in line.commands:
            goes = command.argv[:1] in (["cd"], ["pushd"])
            for word in () if goes and command is last else command.all_words():
                text = word.text if word.is_literal else word.prefix.rpartition("/")[0]
                if goes and text.startswith("/") and self._planner.routed(text) is not None:
                    entered.append(posixpath.normpath(text))
                for base in [] if text.startswith("/") else entered[:_PLACES]:
                    target = posixpath.normpath(posixpath.join(base, text))
                    above = ".." in text.split("/") and self._table.covers(target)
                    attr = self._paths.attr(target) if above else None
                    if attr is not None:
                        self._paths.place(target, attr, OTHER)
                    entered += [target] if goes and word is not command.words[0] else []

    def _left_alone(self, text: str, line: Line, env: Mapping[Any, Any] | None) -> list[Simple]:
        """Python programs, which see the mounts as they are, where nothing else would see what they do there."""
        if self._paths.start is not None or "PYTHONPATH" in text:
            return []
        pythons = [each for each in line.commands if each.words and self._planner.mounts_itself(each.argv, env)]
        others = [each for each in line.commands if each not in pythons]
        mentioned = (word.text for each in others for word in each.all_words())
        return [] if any(map(self._planner.mentions, mentioned)) else pythons

    def _simple(self, command: Simple, use: Use, line: Line, *, trusted: bool) -> list[tuple[int, int, str]]:
        argv = command.argv
        edits: list[tuple[int, int, str]] = []
        for word in command.assignments:
            edits += self._word(word, OTHER, line, trusted=trusted)
        if not argv:
            return edits
        first, *others = command.words
        if first.is_literal and not command.compound:
            placed = self._words.program_in_line(first.text)
            if placed != first.text:
                self._paths.tell(Naming.TEXT)
                edits.append((first.start, first.stop, shlex.quote(str(placed))))
            about = command.words[min(program_at(argv), len(argv) - 1)]
            if about.text.rpartition("/")[2] == "du" and use.kind is Kind.LISTING:
                edits.append((about.stop, about.stop, " --apparent-size"))
            self._paths.require_allowed([word.text if word.is_literal else "" for word in command.words])
        archived = set(archived_by(argv))
        entries = entries_into(argv) if all(word.is_literal for word in others) else None
        script = self._script(command)
        for word in others:
            if word is script:
                edits += self._inner(word, line)
                continue
            if word.text in archived and word.text.startswith("/") and self._planner.mentions(word.text):
                raise os_error(errno.ENOTSUP, word.text, hint=_ARCHIVED)
            edits += self._word(word, use, line, trusted=trusted, entries=entries if word is others[-1] else None)
        return edits

    def _script(self, command: Simple) -> Word | None:
        """The word that is a command line itself: of another shell, of ``trap`` or of ``eval``."""
        argv = command.argv
        at = 1 if argv[0] in ("trap", "eval") and len(argv) == 2 + (argv[0] == "trap") else script_at(argv)
        known = at is not None and all(word.is_literal for word in command.words[: at + 1])
        return command.words[at] if at is not None and known and self._planner.mentions(argv[at]) else None

    def _inner(self, word: Word, outer: Line) -> list[tuple[int, int, str]]:
        line = self._parsed(word.text)
        new = self._line(word.text, line, None, None, inner=True)
        if new == word.text:
            return []
        if outer.background or line.background:
            raise os_error(errno.ENOTSUP, word.text, hint=_BACKGROUND)
        return [(word.start, word.stop, shlex.quote(new))]

    def _word(
        self, word: Word, use: Use, line: Line, *, trusted: bool, entries: tuple[str, ...] | None = None
    ) -> list[tuple[int, int, str]]:
        """What is to be replaced in the line: from, to, by."""
        if self._paths.start is not None and not trusted and not self._planner.mentions(word.text):
            return []  # it may be relative to the directory, which is there as a whole
        if not word.is_literal:
            return self._expanded(word, use, line)
        new = self._words.argument(word.text, use, entries)
        if new == word.text:
            return []
        if line.background and use.kind is Kind.OTHER:
            raise os_error(errno.ENOTSUP, word.text, hint=_BACKGROUND)
        head = _PLAIN.match(word.text)
        at = head.end() if head is not None and new.startswith(head.group()) else 0
        return [(word.start, word.stop, f"{word.text[:at]}{shlex.quote(new[at:])}")]

    def _expanded(self, word: Word, use: Use, line: Line) -> list[tuple[int, int, str]]:
        """A word with something in it that the shell replaces: what it can become is staged."""
        text = word.text
        at = 0
        if not text.startswith("/"):
            head = _PLAIN.match(word.prefix) or GLUED.match(word.prefix)
            at = (head.end() - (text[head.end() - 1] == "/")) if head is not None else 0
        value = word.prefix[at:]
        point = next((each for each in self._table.points if value.startswith(f"{each}/")), None)
        if point is None or ".." in value.split("/"):
            if self._planner.mentions(text):
                raise os_error(errno.ENOTSUP, text, hint=INSIDE)
            if self._paths.start is not None and not word.dynamic and not text.startswith(("/", "-")):
                self._paths.match(posixpath.join(self._paths.start, "".join(word.patterns)), use)
            return []
        if self._planner.mentions(text[:at]) or self._planner.mentions(text[at + len(point) :]):
            raise os_error(errno.ENOTSUP, text, hint=INSIDE)
        if use.kind is Kind.IGNORING:
            use = Use(Kind.LISTING, 0, True)
        if line.background and use.kind is Kind.OTHER:
            raise os_error(errno.ENOTSUP, text, hint=_BACKGROUND)
        if word.dynamic or "**" in text:
            base = value.rpartition("/")[0]
            attr = self._paths.attr(base)
            if attr is not None:
                self._paths.placed(base, OTHER, base)
        else:
            self._paths.match("".join(word.patterns[at:]), use)
        self._stage.place_parent(value)
        self._paths.tell(Naming.ALL if use.names else Naming.TEXT)
        start, root = word.inserted(at, shlex.quote(self._stage.root))
        return [(start, start, root)]


def _unknown(command: Simple, line: Line) -> Use:
    """What ``command`` does, of whose line anything must be expected.

    What only prints, into a file, is told the names of the mounted files where nothing that it prints is read as names.
    """
    use = use_of(command.argv) if command.argv else OTHER
    reads_names = not line.is_static or any(each.piped for each in line.commands)
    into_file = any(each.writes for each in command.redirections)
    return use if use.kind is Kind.IGNORING and into_file and not reads_names else OTHER


def _is_there(program: object, env: Mapping[Any, Any] | None, cwd: object) -> bool:
    """Whether there is such a program: else its caller is to be told so by the system."""
    name = str(text_of(program))
    with real.passthrough():
        if "/" not in name:
            path = os.pathsep.join(os.fsdecode(each) for each in os.get_exec_path(env))
            return shutil.which(name, path=path) is not None
        name = os.path.join(os.fsdecode(cwd), name) if cwd is not None else name  # type: ignore[arg-type]
        return os.path.isfile(name) and os.access(name, os.X_OK)
