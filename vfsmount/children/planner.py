"""Which way of serving child programs is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from vfsmount import real
from vfsmount.children.staging import StagingPlanner, texts

if TYPE_CHECKING:
    from vfsmount.children.supervisor.planner import Supervisor
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.process import Command, Plan
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable


class Planner:
    """Plans by the way of serving that the innermost session asks for. Nothing starts before a child does.

    ``auto``: a program is supervised if a mount point shows in its arguments, environment or directory; staged where
    the kernel cannot supervise. ``always``: every program is supervised. ``staging``: none is.
    """

    def __init__(self, table: MountTable, router: Router, cwd: VirtualCwd, fds: FdTable) -> None:
        self.mode: Literal["auto", "always", "staging", "never"] = "auto"
        self._table = table
        self._router = router
        self._staging = StagingPlanner(table, router, cwd)
        self._supervisor: Supervisor | None = None
        fds.before_close_all.append(self._release)

    def concerns(self, command: Command) -> bool:
        """Whether :meth:`plan` would have anything to do. No request."""
        if self.mode == "never" or real.in_passthrough() or not self._table.points:
            return False
        if self._staging.concerns(command):
            return True
        if self.mode == "staging" or not texts(command):
            return False
        return (self.mode == "always" or self._environment(command)) and self._can_supervise()

    def plan(self, command: Command) -> Plan | None:
        """None where the command does not concern a mount, or children are not to be served.

        Raises: OSError (ENOTSUP) where it does and cannot be served.
        """
        if not self.concerns(command):
            return None
        if self.mode == "staging" or not texts(command) or not self._can_supervise():
            return self._staging.plan(command)
        assert self._supervisor is not None
        argv = texts(command)
        executable = None if command.executable is None else os.fsdecode(command.executable)  # type: ignore[arg-type]
        if command.shell:
            argv, executable = [executable or "/bin/sh", "-c", *argv], None
        return self._supervisor.launch(
            argv,
            executable=executable,
            name=command.executable or (argv[0] if command.shell else _first(command)),
            directory=self._staging.directory(command),
            cwd=command.cwd,
            env=command.env,
            restore_signals=command.restore_signals,
        )

    def close(self) -> None:
        """The mounts go: programs that still run are on their own."""
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


def _first(command: Command) -> object:
    argv = command.argv
    return argv if isinstance(argv, (str, bytes, os.PathLike)) else argv[0]
