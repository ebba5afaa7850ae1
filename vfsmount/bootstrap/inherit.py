"""Activation in a program that was started by a process with mounts."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfsmount import real
from vfsmount.config import CloudBucketMount
from vfsmount.config.handover import from_data
from vfsmount.shim import install
from vfsmount.store.factory import open_store
from vfsmount.store.refused import RefusedStore

if TYPE_CHECKING:
    from vfsmount.store.protocol import Store


def activate(handover: str, content: bytes, cwd: str, served: bool, ready: Callable[[], object] | None) -> None:
    """Mount what ``content``, read from the file ``handover``, describes, and stand in ``cwd`` if it is not empty.

    ``served``: the kernel shows what only the parent can serve. ``ready`` is called when all is loaded and the names
    are about to be patched.
    Sends no request. A bucket that cannot be mounted here is said on stderr, and each access to it fails.
    """
    from vfsmount.session import inherit

    document = json.loads(content)
    mounts: dict[str, tuple[CloudBucketMount, Store]] = {}
    with real.passthrough():
        for point, data in document["mounts"].items():
            mounts[point] = _mount(point, data)
    for point, reason in () if served else document["refused"].items():
        mounts[point] = (CloudBucketMount("refused"), RefusedStore(reason))
    importlib.import_module("vfsmount.children.planner")
    importlib.import_module("vfsmount.hooks.arrival")
    install.all_sources()
    inherit(mounts, handover, served, ready, **document["options"])
    if cwd:
        os.chdir(cwd)


def _mount(point: str, data: dict[str, object]) -> tuple[CloudBucketMount, Store]:
    try:
        mount = from_data(data)
        if not mount.is_fsspec and "vfsmount.bootstrap.borrow" in sys.modules:
            importlib.import_module("obstore")  # perhaps the parent's, and built for another Python
        return mount, open_store(mount.store_options())
    except (ValueError, TypeError, ImportError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"vfsmount: {point} cannot be mounted in this program: {reason}\n")
        return CloudBucketMount("refused"), RefusedStore(reason)
