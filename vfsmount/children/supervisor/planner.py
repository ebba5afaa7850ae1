"""Plans of supervised programs, and which families there are."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vfsmount.children.supervisor.detect import lazy_numbers
from vfsmount.children.supervisor.family import Family
from vfsmount.children.supervisor.launch import Launch
from vfsmount.children.supervisor.stdin import reads_lazily

if TYPE_CHECKING:
    from vfsmount.children.supervisor.syscalls import Architecture
    from vfsmount.vfs.mounts import MountTable


class Supervisor:
    """Starts families for one mount table."""

    def __init__(self, table: MountTable, architecture: Architecture) -> None:
        self._table = table
        self._architecture = architecture
        self._families: weakref.WeakSet[Family] = weakref.WeakSet()
        _supervisors.add(self)

    def launch(
        self,
        argv: Sequence[str],
        *,
        executable: str | None,
        name: object,
        directory: str | None,
        cwd: object,
        env: Mapping[Any, Any] | None,
        variables: Mapping[str, str],
        restore_signals: bool,
    ) -> Launch:
        """A plan for the program ``executable`` (default: ``argv[0]``), started in the mounted ``directory``, if any,
        with ``variables`` set in ``env``, or removed.

        Raises: what looking at the directory raises.
        """
        program = argv[0] if executable is None else executable
        stdin = reads_lazily([program, *argv[1:]], self._table.points, inside=directory is not None)
        family = Family(self._table, self._architecture, lazy_numbers(), stdin=stdin)
        try:
            if directory is not None:
                attr, _ = family.attr(directory)
                if not attr.is_dir:
                    raise NotADirectoryError(20, os.strerror(20), directory)
                cwd = family.skeleton.local(directory)
            launch = Launch(
                family,
                program,
                argv,
                cwd=cwd,
                env=env,
                variables=variables,
                restore_signals=restore_signals,
                name=name,
            )
        except BaseException:
            family.close()
            raise
        self._families.add(family)
        return launch

    def release(self, goes: Callable[[str], bool]) -> None:
        """The mounts of these paths go. Raises nothing."""
        for family in list(self._families):
            family.release(goes)

    def close(self) -> None:
        """The mounts go. Raises nothing."""
        for family in list(self._families):
            family.close()

    def after_fork(self) -> None:
        for family in list(self._families):
            family.after_fork()
        self._families = weakref.WeakSet()


_supervisors: weakref.WeakSet[Supervisor] = weakref.WeakSet()


def _after_fork() -> None:
    for supervisor in list(_supervisors):
        supervisor.after_fork()


os.register_at_fork(after_in_child=_after_fork)
