"""Dask: the mounts on every worker, also on those that come later.

>>> client.register_plugin(MountPlugin({"/data": "s3://bucket/path/"}))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from vfsmount.contrib.worker import Mounting

if TYPE_CHECKING:
    from distributed import Worker

    from vfsmount.config import Config


class MountPlugin(WorkerPlugin):  # type: ignore[misc]
    """Activates a configuration on each worker when it starts, and unmounts when the worker or the plugin goes.

    ``config`` and ``options`` are those of ``vfsmount.activate``. The scheduler keeps the plugin for workers to come:
    give a secret as ``Secret.from_env`` or ``Secret.from_profile`` where it must not leave a worker.
    """

    def __init__(self, config: Config = None, **options: Any) -> None:
        self._mounting = Mounting(config, options)
        self.name = f"vfsmount {' '.join(self._mounting.mounts)}"
        """A second plugin for the same mount points takes the place of the first."""

    def setup(self, worker: Worker) -> None:
        """Raises: as ``vfsmount.activate``; the worker then does not start."""
        self._mounting.open()

    def teardown(self, worker: Worker) -> None:
        """Raises: as ``Session.close``."""
        self._mounting.close()

    def __repr__(self) -> str:
        return f"MountPlugin({self._mounting!r})"
