"""Which way of serving child programs is used."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from vfsmount import real
from vfsmount.children.handover import Handover
from vfsmount.errors import os_error
from vfsmount.transfer.ownership import remove_abandoned
from vfsmount.transfer.spool import scratch_directory
from vfsmount.vfs.mounts import MountTable

if TYPE_CHECKING:
    from vfsmount.children.native.peer import Peer
    from vfsmount.children.python import PythonCommand
    from vfsmount.children.staging import StagingPlanner
    from vfsmount.children.supervisor.planner import Supervisor
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.process import Command, Plan
    from vfsmount.shim.route import Router


logger = logging.getLogger(__name__)

_PEER: Final = "vfsmount.children.native.peer"
_SUPERVISOR: Final = "VFSMOUNT_SUPERVISOR"
"""As there."""
_RUN: Final = "from vfsmount.bootstrap.script import run; run()"


@dataclass(frozen=True, slots=True)
class PythonPlan:
    """A Python command that mounts the same by itself, with what its interpreter could not find replaced."""

    argv: list[str]
    executable: object
    cwd: object
    env: Mapping[Any, Any] | None
    killed: ClassVar[bool] = False

    def in_place(self) -> list[str]:
        """``argv``: what it starts in is in its environment."""
        return self.argv

    def started(self, pid: int) -> None:
        """Nothing is left to do."""

    def finish(self) -> bool:
        """The program committed what it wrote, or failed."""
        return True

    def discard(self) -> None:
        """Nothing was made for it."""


class Planner:
    """Plans by the way of serving that the innermost session asks for. Nothing starts before a child does.

    ``auto``: a program is supervised if a mount point shows in its arguments, environment or directory; staged where
    the kernel cannot supervise. ``always``: every program is supervised. ``staging``: none is. But under
    ``always`` a Python program is neither: it mounts the same itself, see :mod:`vfsmount.bootstrap`.
    """

    def __init__(
        self, table: MountTable, router: Router, cwd: VirtualCwd, fds: FdTable, libraries: Sequence[str] = ()
    ) -> None:
        with contextlib.suppress(OSError):  # there is none
            remove_abandoned(scratch_directory())
        self.handover: Final = Handover(cwd, libraries)
        self.mode: Literal["auto", "always", "staging", "never"] = "auto"
        self._table = table
        self._router = router
        self._cwd = cwd
        self._stages: StagingPlanner | None = None
        self._supervisor: Supervisor | None = None
        self._native: Peer | None = None
        """Supervises this process, and so all that it starts."""
        fds.before_close_all.append(self._release)

    @property
    def _staging(self) -> StagingPlanner:
        # Loaded when the first program starts: activation is not to pay for what most processes never do.
        if self._stages is None:
            from vfsmount.children.staging import StagingPlanner

            self._stages = StagingPlanner(self._table, self._router, self._cwd, self._mounts_itself)
        return self._stages

    def concerns(self, command: Command) -> bool:
        """Whether :meth:`plan` would have anything to do. No request."""
        if self._native is not None:
            return bool(self._table.points) and not real.in_passthrough()
        if not self._concerns(command):
            return False
        python = self._python(command)
        if python is None or python.lost is not None or self._is_refused(command):
            return True
        return self._needs_plan(command, python)

    def _concerns(self, command: Command) -> bool:
        if self.mode == "never" or real.in_passthrough() or not self._table.points:
            return False
        if self._staging.concerns(command):
            return True
        if self.mode == "staging" or not _texts(command):
            return False
        return (self.mode == "always" or self._environment(command)) and self._can_supervise()

    def plan(self, command: Command) -> Plan | None:
        """None where the command does not concern a mount, or children are not to be served.

        Raises: OSError (ENOTSUP) where it does and cannot be served.
        """
        if self._native is not None:
            return self._plan_native(self._native, command) if self.concerns(command) else None
        if not self._concerns(command) or not _texts(command):
            return None  # no words, or one that is no text: the original's to judge
        python = self._python(command)
        refused = python is not None and self._is_refused(command)
        if python is not None and python.lost is None and not refused:
            return self._plan_python(command, python) if self._needs_plan(command, python) else None
        lost = python is not None and python.lost is not None
        if python is not None and lost and not refused:
            logger.warning(
                "%s: %s, so the program does not mount %s itself; it is served as one that is not Python",
                python.words[0],
                python.lost,
                ", ".join(self._table.points),
            )
        if self.mode == "staging" or not self._can_supervise():
            return self._staging.plan(command)
        assert self._supervisor is not None
        variables = self.handover.none() if lost or self.mode == "always" else self.handover.served()
        env = command.env
        if env is not None:  # else it is what the process has when it starts, which putenv may have changed
            env, variables = {**env, **variables}, {}
        argv = _texts(command)
        executable = None if command.executable is None else os.fsdecode(command.executable)  # type: ignore[arg-type]
        if command.shell:
            argv, executable = [executable or "/bin/sh", "-c", *argv], None
        return self._supervisor.launch(
            argv,
            executable=executable,
            name=command.executable or (argv[0] if command.shell else _first(command)),
            directory=self._staging.directory(command),
            cwd=command.cwd,
            env=env,
            variables=variables,
            restore_signals=command.restore_signals,
        )

    @contextlib.contextmanager
    def replacing(self, command: Command) -> Iterator[None]:
        """As ``shim.process.ChildPlanner`` has it."""
        if self._native is None:
            path = _first(command)
            hint = "nobody would serve the program; use subprocess and exit with its code, or activate(native=True)"
            raise os_error(errno.ENOTSUP, path if isinstance(path, (str, bytes)) else str(path), hint=hint)
        directory = self._staging.directory(command)
        here = real.getcwd()
        if directory is not None:
            real.chdir(self._native.directory(directory))
        try:
            yield
        finally:
            if directory is not None:
                real.chdir(here)

    def environment(self, env: Mapping[Any, Any] | None, *, inside: bool = True) -> Mapping[Any, Any] | None:
        """``env`` (None: the inherited one) with what a Python program needs in order to mount the same."""
        return (
            env if self.mode == "never" or self._native is not None else self.handover.environment(env, inside=inside)
        )

    def go_native(self) -> bool:
        """Have this process's own system calls answered, of native code as of Python. True where they were before, as
        those of the process above. Raises: OSError; ValueError where those mount another bucket at the same point.
        """
        from vfsmount.children.handover import places
        from vfsmount.children.native.peer import peer

        described = self.handover.described
        if described is not None and described.refused:
            refused = ", ".join(sorted(described.refused))
            raise os_error(errno.ENOTSUP, refused, hint="native=True: only the process that mounted it has this bucket")
        native = peer(places())
        with self.handover.handed() as file:
            missing = native.mount(self._table, file)
        if missing:
            hint = "the process above, which this one is supervised with, does not mount it; activate it there"
            raise os_error(errno.ENOTSUP, ", ".join(missing), hint=hint)
        self._native = native
        self.handover.withdraw()
        return native.joins

    def show(self) -> None:
        """The mounts are others now. Raises: OSError; ValueError where native code sees another bucket there."""
        if self._native is not None:
            with self.handover.handed() as file:
                self._native.mount(self._table, file)
        elif (peer := _supervised()) is not None and self._table.points:
            with self.handover.handed() as file:
                peer.check(file)

    def end(self, goes: Callable[[str], bool]) -> list[OSError]:
        """The mounts of these paths are about to go: what native code has closed is uploaded. What could not be, or is
        still open, is logged and returned.
        """
        if self._native is None:
            return []
        try:
            self._native.settle()
            still = self._native.writing()
        except OSError as error:
            return [error]
        failures, self._native.failures = self._native.failures, []
        for path in filter(goes, still):
            logger.error("native code still writes %s, which is not uploaded: its mount is gone", path)
            failures.append(os_error(errno.EBUSY, path, hint="native code still writes it; it is not uploaded"))
        return failures

    def _plan_native(self, native: Peer, command: Command) -> Plan | None:
        from vfsmount.children.native.peer import SUPERVISOR
        from vfsmount.children.native.plan import NativePlan

        argv = _texts(command)
        if not argv:
            return None
        executable, directory = command.executable, self._staging.directory(command)
        if command.shell:
            shell = "/bin/sh" if executable is None else os.fsdecode(executable)  # type: ignore[arg-type]
            argv, executable = [shell, "-c", *argv], None
        cwd = command.cwd if directory is None else native.directory(directory)
        env = None if command.env is None else {**command.env, SUPERVISOR: native.base}
        return NativePlan(argv, executable, cwd, env, native, restore_signals=command.restore_signals)

    def _mounts_itself(self, argv: Sequence[str], env: Mapping[Any, Any] | None) -> bool:
        from vfsmount.shim.process import Command

        command = Command(argv, env=env)
        python = self._python(command)
        return python is not None and python.lost is None and not self._is_refused(command)

    def _python(self, command: Command) -> PythonCommand | None:
        """The command as a Python program; None where it is another, or nothing is handed to children."""
        from vfsmount.children.python import python_command, simple_line

        words: list[str] | None = _texts(command)
        if command.shell and command.executable is None and words and len(words) == 1:
            words = simple_line(words[0])
        elif command.shell:
            words = None
        if not words or self.handover.described is None or self.mode == "always":
            return None
        if command.executable is not None:
            words = [os.fsdecode(command.executable), *words[1:]]  # type: ignore[arg-type]
        if "/" in words[0] and self._router.route(words[0]) is not None:
            return None  # a program on a mount
        return python_command(words, command.env)

    def _is_refused(self, command: Command) -> bool:
        """Whether it mentions a mount that a Python program cannot make for itself."""
        refused = self.handover.described.refused if self.handover.described is not None else ()
        if not refused:
            return False
        mentioned = (*_texts(command), self._staging.directory(command) or "")
        return any(point in text for point in refused for text in mentioned)

    def _needs_plan(self, command: Command, python: PythonCommand) -> bool:
        directory = self._staging.directory(command)
        if directory is not None and (command.cwd is not None or python.target is not None):
            return True
        return python.script is not None and self._staging.routed(python.script) is not None

    def _plan_python(self, command: Command, python: PythonCommand) -> PythonPlan:
        directory = self._staging.directory(command)
        env, cwd = command.env, command.cwd
        if directory is not None:
            if not self._table.stat(directory).is_dir:
                raise os_error(errno.ENOTDIR, directory)
            env, cwd = self.handover.at(env, directory), None
        words = list(python.words)
        script = python.script
        found = script is not None and (directory is None or script.startswith("/"))
        mounted = script is not None and self._staging.routed(script) is not None if found else directory is not None
        if python.target is not None and mounted:
            words[python.target : python.target] = ["-c", _RUN]
        elif command.shell:
            words = ["/bin/sh", "-c", *_texts(command)]
        return PythonPlan(words, command.executable, cwd, env)

    def close(self) -> None:
        """The mounts go: programs that still run are on their own, and later ones get nothing."""
        if self._native is not None:
            with contextlib.suppress(OSError):  # it is gone, which end() has told
                self._native.mount(MountTable(()), None)
            self._native = None
        self.handover.close()
        if self._supervisor is not None:
            self._supervisor.close()

    def _release(self, goes: Callable[[str], bool] | None) -> None:
        """The mounts of these paths go; what programs have written there and closed is uploaded."""
        if self._supervisor is not None:
            self._supervisor.release(goes or (lambda _: True))

    def _can_supervise(self) -> bool:
        if self._supervisor is None:
            from vfsmount.children.supervisor.detect import supervision
            from vfsmount.children.supervisor.planner import Supervisor

            architecture = supervision()
            if architecture is None:
                return False
            self._supervisor = Supervisor(self._table, architecture)
        return True

    def _environment(self, command: Command) -> bool:
        """Whether a variable, inherited or not, mentions a mount."""
        env = os.environ if command.env is None else command.env
        needle = self._router.needle
        for value in env.values():
            text = value if isinstance(value, str) else os.fsdecode(value)
            if needle in text and self._staging.mentions(text):
                return True
        return False


def _supervised() -> Peer | None:
    """Who answers this process's system calls, for the one above it or for what it mounted before."""
    if _SUPERVISOR not in os.environ and _PEER not in sys.modules:
        return None
    from vfsmount.children.native.peer import above

    return above()


def _texts(command: Command) -> list[str]:
    from vfsmount.children.staging import texts

    return texts(command)


def _first(command: Command) -> object:
    argv = command.argv
    return argv if isinstance(argv, (str, bytes, os.PathLike)) else argv[0]
