"""Child programs by staging: mounted paths among the arguments become local copies, made before the program starts.

What it has made, changed, renamed or removed there is done to the mounts when it has ended, before ``wait`` returns.
What cannot be served so is refused (ENOTSUP) before anything starts: paths inside larger arguments, directories too
big to copy. A program that does what cannot be carried over (links, special files) makes ``wait`` raise EROFS or EPERM,
and nothing that it did is done to the mounts.
"""

from __future__ import annotations

import enum
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vfsmount import real
from vfsmount.children.stage import Stage
from vfsmount.errors import os_error

if TYPE_CHECKING:
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.process import Command
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable

logger = logging.getLogger(__name__)

PRELUDE: Final = f"{os.path.dirname(__file__)}/prelude.py"


class Naming(enum.Enum):
    """In what a program prints, the names of copies are replaced by those of the mounted files; the values are for the
    prelude.
    """

    NOTHING = ""
    """It is told none."""
    TEXT = "t"
    """In text that goes to pipes: of other programs it is not known whether they look at where they write, or for how
    long they run."""
    ALL = "a"
    """In everything: it is known to print names, and to end soon."""


def by_prelude(
    argv: Sequence[str], executable: object, cwd: object, *, naming: Naming = Naming.NOTHING, root: str = "",
    restore_signals: bool = False,
) -> list[str]:  # fmt: skip
    """``argv`` by way of a Python that goes to ``cwd`` first, if there is one; see :mod:`vfsmount.children.prelude`."""
    directory, program = (os.fsdecode(each) if each else "" for each in (cwd, executable))  # type: ignore[arg-type]
    how = f"{naming.value}{'s' if restore_signals else ''}"
    return [sys.executable, "-I", "-S", PRELUDE, how, directory, root, program, *argv]


@dataclass(frozen=True, slots=True)
class StagedPlan:
    """A command whose mounted paths are replaced by those of a stage."""

    words: list[str]
    program: object
    """What to execute, where that is not the first word."""
    cwd: object
    env: Mapping[Any, Any] | None
    stage: Stage
    naming: Naming
    restore_signals: bool
    killed: ClassVar[bool] = False

    @property
    def argv(self) -> list[str]:
        return self.words if self.naming is Naming.NOTHING else self._by_prelude(None)

    @property
    def executable(self) -> object:
        return self.program if self.naming is Naming.NOTHING else None

    def in_place(self) -> list[str]:
        """``argv``, by way of a Python that changes the directory."""
        return self.argv if self.cwd is None else self._by_prelude(self.cwd)

    def _by_prelude(self, cwd: object) -> list[str]:
        return by_prelude(
            self.words, self.program, cwd,
            naming=self.naming, root=self.stage.root, restore_signals=self.restore_signals,
        )  # fmt: skip

    def started(self, pid: int) -> None:
        """Nothing is left to do."""

    def finish(self) -> bool:
        """Do to the mounts what the program did to its copies. Raises: OSError where that cannot be; nothing is done
        then.
        """
        found = self.stage.outputs()
        if not found.refused:
            return self.stage.carry_out(found)
        paths = sorted(found.refused)
        listed = ", ".join(paths[:5]) + (" ..." if len(paths) > 5 else "")
        number, why = found.refused[paths[0]]
        logger.error("a child program did what copies of mounted files cannot serve: %s: %s", listed, why)
        self.stage.keep(found, f"nothing that it wrote was, because of {listed}")
        raise os_error(number, paths[0], hint=f"{why} [{listed}]")

    def discard(self) -> None:
        self.stage.remove()


class StagingPlanner:
    """Serves every program that this process starts, on any platform."""

    def __init__(
        self,
        table: MountTable,
        router: Router,
        cwd: VirtualCwd,
        mounts_itself: Callable[[Sequence[str], Mapping[Any, Any] | None], bool],
    ) -> None:
        self._table = table
        self._router = router
        self._cwd = cwd
        self._mounts_itself = mounts_itself
        self._mention: tuple[tuple[str, ...], re.Pattern[str]] | None = None

    def concerns(self, command: Command) -> bool:
        """Whether the command mentions a mount or would run inside one. No request."""
        if real.in_passthrough():
            return False
        if self.directory(command) is not None:
            return True
        env = command.env
        if env is not None and env is not os.environ and self.environment(env):
            return True
        return any(self._concerns(text) for text in (*texts(command), command.executable) if text is not None)

    def plan(self, command: Command) -> StagedPlan | None:
        """Stage what the command needs. Raises: ENOTSUP; and what reading the mount raises."""
        if not self.concerns(command):
            return None
        from vfsmount.children.rewriting import Rewriting

        stage = Stage(self._table)
        try:
            plan = Rewriting(self, stage, self._table).plan(command, self.directory(command))
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
            known = self._mention = points, re.compile(rf"(?:(?<![\w.\-/])|(?<=:-)|^-\w)/*(?:{names})(?![\w.\-])")
        return known[1].search(text) is not None

    def _concerns(self, argument: object) -> bool:
        text = text_of(argument)
        if text is None or self._router.needle not in text:
            return False
        return self.mentions(text) or self.routed(text) is not None

    def routed(self, text: str) -> str | None:
        """The mounted path that ``text`` is. A relative one is not, while the process stands inside a mount: the
        program's own directory decides then.
        """
        if self._cwd.path is not None and not text.startswith("/"):
            return None
        return routed(self._router, text)

    def program(self, text: str) -> str | None:
        """The mounted path that a program's name with a slash is, relative to where this process stands."""
        return routed(self._router, text)

    def exact(self, text: str) -> str | None:
        """As :meth:`routed`, at once where ``text`` can be no mounted path."""
        if self._router.needle not in text:
            return None
        return self.routed(text) or (self.routed(text.rstrip("/")) if text.endswith("/") else None)

    def directory(self, command: Command) -> str | None:
        """The mounted directory that the program would start in."""
        if command.cwd is None:
            return self._cwd.path
        return self._router.route(command.cwd)

    def mounts_itself(self, argv: Sequence[str], env: Mapping[Any, Any] | None) -> bool:
        """Whether ``argv`` is a Python program that sees the mounts without copies."""
        return self._mounts_itself(argv, env)

    def environment(self, env: Mapping[Any, Any]) -> list[str]:
        """Names of variables that mention a mount and are not simply inherited."""
        found = []
        for name, value in env.items():
            key, text = text_of(name), text_of(value)
            if key is not None and text is not None and self._router.needle in text and self.mentions(text):
                if os.environ.get(key) != text:
                    found.append(key)
        return found


def routed(router: Router, text: str) -> str | None:
    try:
        return router.route(text)
    except OSError:  # `file/` and the like: the program is to find out by itself
        return None


def text_of(value: object) -> str | None:
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def texts(command: Command) -> list[str]:
    """The arguments as text; none where one is neither str, bytes nor PathLike, which the original will refuse."""
    argv = command.argv
    if isinstance(argv, (str, bytes, os.PathLike)):
        return [os.fsdecode(argv)]
    texts = [text_of(argument) for argument in argv]
    return [] if None in texts else [text for text in texts if text is not None]
