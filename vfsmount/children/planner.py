"""Which way of serving child programs is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vfsmount.children.staging import StagingPlanner

if TYPE_CHECKING:
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.process import Command, Plan
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable


class Planner:
    """Plans by the way of serving that the innermost session asks for. Nothing starts before a child does."""

    def __init__(self, table: MountTable, router: Router, cwd: VirtualCwd, fds: FdTable) -> None:
        self.mode: Literal["auto", "always", "never"] = "auto"
        self._staging = StagingPlanner(table, router, cwd)

    def concerns(self, command: Command) -> bool:
        """Whether :meth:`plan` would have anything to do. No request."""
        return self.mode != "never" and self._staging.concerns(command)

    def plan(self, command: Command) -> Plan | None:
        """None where the command does not concern a mount, or children are not to be served.

        Raises: OSError (ENOTSUP) where it does and cannot be served.
        """
        return None if self.mode == "never" else self._staging.plan(command)
