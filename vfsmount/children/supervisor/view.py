"""What a child sees of the mounts: the mount table's answers, and the directories above mount points."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vfsmount.model import Entry

if TYPE_CHECKING:
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable


class View:
    """Stat and listing of every path that a :class:`Resolver` may answer with. Raises: OSError."""

    def __init__(self, table: MountTable) -> None:
        self.table = table

    def stat(self, path: str) -> Attr:
        return self.table.stat(path) if self.table.covers(path) else self.table.synthetic_attr(path)

    def scandir(self, path: str) -> list[Entry]:
        if self.table.covers(path):
            return self.table.scandir(path)
        return [Entry(name, self.stat(f"{path.rstrip('/')}/{name}")) for name in self.table.names_below(path)]

    def access(self, path: str, mode: int) -> bool:
        return self.table.access(path, mode) if self.table.covers(path) else not mode & os.W_OK
