"""What a cluster's worker is sent: the configuration, and how to activate it there once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from vfsmount import config as configuration
from vfsmount.session import Session, activate


class Mounting:
    """A configuration that can be sent to another process, and activated and closed there any number of times.

    Files and ``$VFSMOUNT_CONFIG`` are read where it is made. What a secret is made of is pickled with it, and shown in
    no repr.
    """

    def __init__(self, config: configuration.Config, options: Mapping[str, Any]) -> None:
        self.mounts: Final = configuration.load(config)
        self.options: Final = dict(options)

    def open(self) -> None:
        """Activate, unless these mounts are active in this process by another worker of it. Raises: as ``activate``."""
        with _lock:
            session, users = _active.get(self._key, (None, 0))
            if session is None:
                session = activate(self.mounts, **self.options)
            _active[self._key] = (session, users + 1)

    def close(self) -> None:
        """Undo one :meth:`open`; the last one commits and unmounts. Raises: as ``Session.close``."""
        with _lock:
            session, users = _active.pop(self._key, (None, 0))
            if users > 1:
                _active[self._key] = (session, users - 1)
            elif session is not None:
                session.close()

    @property
    def _key(self) -> tuple[str, ...]:
        return tuple(sorted(self.mounts))

    def __repr__(self) -> str:
        return f"<mounts at {', '.join(self.mounts)}>"


_lock: Final = threading.RLock()
_active: Final[dict[tuple[str, ...], tuple[Session | None, int]]] = {}
"""The sessions of this process by their mount points, and how many workers use each."""
