"""Making a call of a child go to another path, where it has to be the kernel that does it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfsmount.errors import os_error

if TYPE_CHECKING:
    from vfsmount.children.supervisor.call import Call


def redirect(call: Call, position: int, path: str, watch: Callable[[], object]) -> int:
    raise os_error(errno.ENOTSUP, path)
