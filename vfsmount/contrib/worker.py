"""What a cluster's worker is sent: the configuration, and how to activate it there once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from vfsmount import config as configuration
from vfsmount.clock import RequestLock
from vfsmount.config import CloudBucketMount, Secret
from vfsmount.session import Session, activate


class Mounting:
    """A configuration that can be sent to another process, and activated and closed there any number of times.

    Files and ``$VFSMOUNT_CONFIG`` are read where it is made. What a secret is made of is pickled with it, and shown in
    no repr.
    """

    def __init__(self, config: configuration.Config, options: Mapping[str, Any]) -> None:
        self.mounts: Final = configuration.load(config)
        self.options: Final = dict(options)
        self._opened = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Mounting, (self.mounts, self.options)

    def open(self) -> None:
        """Activate, unless these mounts are active in this process by another worker of it.

        Raises: as ``activate``; ValueError too where that worker has other mounts or options at the same mount points.
        """
        with _lock:
            session, first, users = _active.get(self._key, (None, self, 0))
            if session is None:
                session = activate(self.mounts, **self.options)
            elif other := first._other(self):
                raise ValueError(
                    f"{other}: another worker of this process has it otherwise; start workers as processes of their "
                    "own, or unregister that mount from all of them first"
                )
            _active[self._key] = (session, first, users + 1)
            self._opened += 1

    def close(self) -> None:
        """Undo one :meth:`open` that was done; the last one commits and unmounts. Raises: as ``Session.close``."""
        with _lock:
            if not self._opened:
                return
            self._opened -= 1
            session, first, users = _active.pop(self._key, (None, self, 0))
            if users > 1:
                _active[self._key] = (session, first, users - 1)
            elif session is not None:
                session.close()

    def _other(self, one: Mounting) -> str:
        """What ``one`` has at the same mount points that is not the same; empty: nothing."""
        for point, mount in self.mounts.items():
            for each in fields(CloudBucketMount):
                here, there = getattr(mount, each.name), getattr(one.mounts[point], each.name)
                if here != there and not (_is_function(here) and _is_function(there)):
                    return f"mount point {point!r}: {each.name}"
        return "" if self.options == one.options else "the options of activation"

    @property
    def _key(self) -> tuple[str, ...]:
        return tuple(sorted(self.mounts))

    def __repr__(self) -> str:
        return f"<mounts at {', '.join(self.mounts)}>"


def _is_function(secret: object) -> bool:
    """A function that was sent to each worker by itself is no longer the same one."""
    return isinstance(secret, Secret) and secret.source[0] == "from_callable"


_lock: Final = RequestLock()
_active: Final[dict[tuple[str, ...], tuple[Session | None, Mounting, int]]] = {}
"""The sessions of this process by their mount points, what opened them, and how many workers use each."""
