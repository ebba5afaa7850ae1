"""Imports that another thread was making when the process forked.

CPython makes its one global import lock anew in a forked child, and not those of single modules: a thread of the parent
that was importing one holds its lock for ever in the child, where it is not, and the child waits for ever when it wants
that module. Our own threads import clients when they are first needed, so a fork beside them must not meet that.

Source: Lib/importlib/_bootstrap.py, ``_ModuleLock`` and ``_module_locks``.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from typing import Any


def begin_anew() -> None:
    """In a forked child: forget those imports, so that whoever wants such a module imports it from the start.

    What the forking thread itself is importing stays.
    """
    bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined,unused-ignore]
    this = threading.get_ident()
    abandoned = []
    for name, reference in list(bootstrap._module_locks.items()):
        lock = reference()
        if lock is not None and lock.owner != this:  # one without an owner may be about to get a thread that is gone
            del bootstrap._module_locks[name]
            abandoned.append(name)
    with contextlib.suppress(AttributeError):  # weak since Python 3.12, and gone with the threads
        for thread in list(bootstrap._blocking_on.keys() - {this}):
            bootstrap._blocking_on.pop(thread, None)
    for name in abandoned:
        module = sys.modules.get(name)
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            del sys.modules[name]
