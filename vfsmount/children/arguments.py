"""The arguments and variables of one command: what they name is staged, and they are made to name that."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vfsmount.children.commands import OTHER, READ, Kind, Use
from vfsmount.children.placing import INSIDE, Placing
from vfsmount.children.staging import text_of
from vfsmount.errors import os_error
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.children.stage import Stage
    from vfsmount.children.staging import StagingPlanner
    from vfsmount.shim.process import Command
    from vfsmount.vfs.mounts import MountTable

GLUED: Final = re.compile(r"-\w/")
"""A short option with its path: ``-f/my-mount/x``."""
_HEADED: Final = re.compile(r"((?:[\w.+-]*\+?=)?(?:file://(?:localhost)?|file:|@))(/[^%]*)")
"""What names a file, with its path: a URL, or ``@``, as in curl's options."""
_ENVIRONMENT: Final = "this environment variable is more than mounted paths, which a child program cannot be served by"
_NO_MODE: Final = "files of this mount are not executable; mount with file_mode=0o755, or pass it to its interpreter"


class Arguments:
    """Used once."""

    def __init__(self, planner: StagingPlanner, stage: Stage, table: MountTable, paths: Placing) -> None:
        self._planner = planner
        self._stage = stage
        self._table = table
        self._paths = paths

    def environment(self, env: Mapping[Any, Any] | None) -> Mapping[Any, Any] | None:
        """With variables that are a mounted path, or several between colons, replaced."""
        if env is None:
            return None
        replaced = dict(env)
        for name in self._planner.environment(env):
            key = name if name in env else os.fsencode(name)
            replaced[key] = self._value(name, str(text_of(env[key])))
        return replaced

    def _value(self, name: str, text: str) -> str:
        target = self._paths.exact(text)
        if target is not None and (":" not in text or self._paths.attr(target) is not None):
            return self._paths.placed(target, OTHER, text)
        parts = text.split(":")
        for at, part in enumerate(parts):
            target = self._paths.exact(part) if part.startswith("/") else None
            if target is not None:
                parts[at] = self._paths.placed(target, OTHER, part)
            elif self._planner.mentions(part):
                raise os_error(errno.ENOTSUP, text, hint=f"{name}: {_ENVIRONMENT}")
        return ":".join(parts)

    def program(self, given: object) -> object:
        text = text_of(given)
        target = self._planner.program(text) if text is not None and "/" in text else None
        if target is None:
            return given
        try:
            return self._stage.place(target, self._table.stat(target), content=True, depth=0)
        except OSError as error:
            raise follow_up(error, given) from error.__cause__

    def program_in_line(self, text: str) -> object:
        try:
            return self.program(text)
        except (FileNotFoundError, NotADirectoryError):  # the shell says so, if it comes to that
            return self._paths.placed(self._planner.program(text) or text, READ, text)

    def require_mode(self, command: Command, given: str, program: object) -> None:
        """Raises: EACCES, with the name that its caller knows, where ``program`` is a copy: no mount says that it can
        be executed.
        """
        text = str(text_of(program))
        if text.startswith(f"{self._stage.root}/"):
            named = given if command.executable is None else str(text_of(command.executable))
            raise os_error(errno.EACCES, named, hint=_NO_MODE)

    def argument(self, text: str, use: Use, entries: tuple[str, ...] | None = None) -> str:
        """``text`` with a mounted path in it replaced."""
        headed = _HEADED.fullmatch(text)
        if headed is None and not text.startswith("/") and "=" not in text and not GLUED.match(text):
            return self._relative(text, use)
        target = self._paths.exact(text)
        if target is not None:
            return self._paths.placed(target, use, text, entries)
        if not self._planner.mentions(text):
            return text
        option, equals, value = (text[:2], "", text[2:]) if GLUED.match(text) else text.partition("=")
        if headed is not None:
            option, equals, value = headed[1], "", headed[2]
        target = None if self._planner.mentions(option) else self._paths.exact(value)
        if target is None:
            if use.kind is Kind.IGNORING:
                return text
            raise os_error(errno.ENOTSUP, text, hint=INSIDE)
        if option == "of":
            self._paths.require_writable(target, text)
        return f"{option}{equals}{self._paths.placed(target, use, value)}"

    def _relative(self, text: str, use: Use) -> str:
        """A name relative to the directory that the program starts in; it stays as it is where that directory is
        staged."""
        target = None
        if not text.startswith("-"):
            target = self._paths.at(text)
        if target is None:
            if self._planner.mentions(text) and use.kind is not Kind.IGNORING:
                raise os_error(errno.ENOTSUP, text, hint=INSIDE)
            return text
        attr = self._paths.attr(target)
        if attr is None:  # a word that is no path, or an output, which is found afterwards
            if self._paths.start is None and use.kind is Kind.OTHER:
                return self._paths.output(target, text)
            if use.kind is Kind.OTHER and "/" in text:
                self._stage.place_parent(target)
            return text
        placed = self._paths.place(target, attr, use)
        return text if self._paths.start is not None else placed
