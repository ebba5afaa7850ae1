"""Programs that outlive the process that supervises them."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Final

from vfsmount import real

if TYPE_CHECKING:
    from vfsmount.children.supervisor.family import Family

_KEEPER: Final = f"{os.path.dirname(__file__)}/keeper.py"
_families: Final[weakref.WeakSet[Family]] = weakref.WeakSet()


def watch(family: Family) -> None:
    """Should programs of ``family`` be left when this process ends, they are let end by another one.

    Not where this process is killed, or ends without its exit functions.
    """
    if not _families:
        atexit.unregister(_leave)
        atexit.register(_leave)
    _families.add(family)


def _leave() -> None:
    left = [family for family in list(_families) if family.has_processes()]
    if not left:
        return
    passing = ",".join(str(left[0].architecture.numbers[name]) for name in ("exit_group", "close"))
    listeners = [family.listener.descriptor for family in left]
    with contextlib.suppress(OSError, RuntimeError), real.passthrough():
        reading, _ = os.pipe()  # the other end goes with this process
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", _KEEPER, passing, str(reading), *map(str, listeners)],
            pass_fds=(reading, *listeners),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        keeper.returncode = 0  # nobody waits for it
