"""Which way of serving child programs is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vfsmount.children.staging import StagingPlanner

if TYPE_CHECKING:
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.process import ChildPlanner
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable


def planner_for(
    children: Literal["auto", "always", "never"], table: MountTable, router: Router, cwd: VirtualCwd, fds: FdTable
) -> ChildPlanner | None:
    """The planner for one activation; None where children are not to be served. Nothing starts before a child does."""
    if children == "never":
        return None
    return StagingPlanner(table, router, cwd)
