"""What every replacement needs to know, and the shape in which a module offers its replacements.

How the parts meet. A replacement for a call on a path does, in this order::

    target = context.router.route(path, dir_fd=dir_fd, follow=True)   # follow=False for lstat, unlink, O_NOFOLLOW ...
    if target is None:
        try:
            return original(context.router.local(path, dir_fd), ...)   # `local` is the identity but under a virtual cwd
        except OSError as error:
            target = context.router.retry(error, path, dir_fd=dir_fd)  # a symlink into a mount, a synthetic parent
            if target is None:
                raise
    try:
        return table.something(target)
    except OSError as error:
        raise follow_up(error, path) from error.__cause__              # filename as the caller gave it
        (route.follow_up)

``route`` answers with an absolute normalised path that the mount table covers, or that is a synthetic parent of a
mount point (``table.is_ancestor``); never with a path on the local disk. It raises ``NotADirectoryError`` for
``file/``. ``router.needle not in path`` with ``type(path) is str`` and no ``dir_fd`` is the sound and cheapest test
for "not ours": it holds for a virtual cwd and for every spelling of a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.process import ChildPlanner
    from vfsmount.shim.route import Router
    from vfsmount.vfs.mounts import MountTable


@dataclass(frozen=True, slots=True)
class ShimContext:
    """One activation's parts, as every shim module's ``replacements(context)`` gets them."""

    table: MountTable
    router: Router
    cwd: VirtualCwd
    fds: FdTable
    """Needed of it here: ``get(fd: int) -> OpenFile | None``, the open file description behind one of our
    descriptors.
    """
    children: ChildPlanner | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """One name to patch.

    The installer reads the original from ``namespace.__dict__``, gives ``function`` (when it is a plain function) the
    original's ``__name__``, ``__qualname__``, ``__module__``, ``__doc__`` and signature, patches every twin
    (``posix`` for ``os``, ``_io`` for ``io``) and rebinds what captured the original. Twins need no Replacement of
    their own. Where the original is written in C, ``function`` takes one parameter before the caller's, called ``_``:
    see ``patcher.stand_in``.
    """

    namespace: ModuleType | type
    name: str
    function: object
