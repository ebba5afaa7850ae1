"""Ray: the mounts in every worker process.

>>> ray.init(runtime_env={"worker_process_setup_hook": worker_hook({"/data": "s3://bucket/path/"})})  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vfsmount.contrib.worker import Mounting

if TYPE_CHECKING:
    from vfsmount.config import Config


def worker_hook(config: Config = None, **options: Any) -> Callable[[], None]:
    """A ``worker_process_setup_hook``: each worker process activates the mounts before its first task.

    ``config`` and ``options`` are those of ``vfsmount.activate``. Ray keeps the hook in its control store: give a
    secret as ``Secret.from_env`` or ``Secret.from_profile`` where it must not leave a worker.
    """
    mounting = Mounting(config, options)

    def mount() -> None:
        mounting.open()

    return mount
