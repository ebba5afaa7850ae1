"""One trapped system call on its way to an answer."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory, procfs
from vfsmount.children.supervisor.notify import Cancelled, Notification
from vfsmount.children.supervisor.paths import AT_FDCWD, Magic
from vfsmount.errors import os_error
from vfsmount.vfs.ending import Purpose

if TYPE_CHECKING:
    from vfsmount.children.supervisor.family import Family
    from vfsmount.children.supervisor.skeleton import Node

PROCEED: Final = -(1 << 62)
"""Answer: the kernel is to do the call as it stands."""
INSTALLED: Final = PROCEED + 1
"""Answer: it has been given, with a descriptor."""

AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_REMOVEDIR: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_EMPTY_PATH: Final = 0x1000


class Call:
    """The arguments, and what can be done about them. Argument positions count from 0."""

    __slots__ = ("args", "family", "magic", "note", "pid")

    def __init__(self, family: Family, note: Notification) -> None:
        self.family = family
        self.note = note
        self.pid = note.pid
        self.args = note.args
        self.magic: str | None = None
        """A path that led through /proc, with the number of this process in the stead of ``self``."""

    def integer(self, position: int) -> int:
        """A C ``int``."""
        return signed(self.args[position])

    def text(self, position: int) -> bytes:
        """A path. Raises: EFAULT, ENAMETOOLONG; Cancelled where the process is gone."""
        data = memory.read_string(self.pid, self.args[position])
        self.check()
        return data

    def check(self) -> None:
        """What was read from memory was the caller's own. Raises: Cancelled."""
        if not self.family.listener.is_valid(self.note.ident):
            raise Cancelled

    def resolve(
        self, position: int, dirfd: int | None = None, *, follow: bool = True, purpose: Purpose = Purpose.LOOK
    ) -> str | None:
        """The mounted path of the argument at ``position``, relative to the descriptor in the argument ``dirfd``.

        None where it is not ours. From here on other calls of the family are answered by another thread.
        """
        start = AT_FDCWD if dirfd is None else self.integer(dirfd)
        return self.resolve_text(self.text(position), start, follow=follow, purpose=purpose)

    def resolve_text(
        self, raw: bytes, start: int = AT_FDCWD, *, follow: bool, purpose: Purpose = Purpose.LOOK
    ) -> str | None:
        """The same for a path that is no argument."""
        if not raw:
            return None
        try:
            path = self.family.resolver.resolve(self.pid, start, raw, follow=follow, purpose=purpose)
        except Magic as magic:
            self.magic = magic.path
            return None
        if path is not None:
            self.family.take_time()
            self.family.settle()
        return path

    def reopened(self) -> Node | None:
        """The file of ours that :attr:`magic` leads to."""
        if self.magic is None:
            return None
        try:
            return self.family.skeleton.behind(real.readlink(self.magic), real.stat(self.magic))
        except OSError:
            return None

    def may_reopen(self) -> None:
        """Have all of the file that is being read, or of every one, if the path may lead there behind our back."""
        if self.magic is None or not procfs.may_open(self.magic):
            return
        node = None
        if procfs.link(self.magic) == (self.magic, ""):  # else it is written in a way that is not understood here
            with contextlib.suppress(OSError):
                if not real.readlink(self.magic).startswith(self.family.skeleton.root):
                    return
            node = self.reopened()
        if node is None:
            self.family.fill_all()
        elif node.is_open:
            self.family.take_time()
            node.fill()
        elif node.is_lost:
            raise os_error(errno.EIO, node.path)

    def write(self, position: int, data: bytes) -> None:
        """Into the buffer that the argument points to. Raises: EFAULT."""
        self.check()
        memory.write(self.pid, self.args[position], data)

    def install(self, descriptor: int, *, cloexec: bool, at: int | None = None) -> int:
        self.family.listener.install(self.note.ident, descriptor, cloexec=cloexec, at=at)
        return INSTALLED


def signed(value: int) -> int:
    """The C ``int`` in a register."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def signed_long(value: int) -> int:
    """The ``loff_t`` in a register."""
    return value - (1 << 64) if value >> 63 else value


def not_supported(hint: str) -> OSError:
    return os_error(errno.ENOTSUP, None, hint=hint)
