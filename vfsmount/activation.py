"""What activation makes of the configuration: the file systems' options, the proof of each bucket, and what child
processes are told."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from vfsmount import config as configuration
from vfsmount.children.handover import Described
from vfsmount.clock import FOREVER
from vfsmount.config import CloudBucketMount
from vfsmount.config.handover import is_local, to_data
from vfsmount.errors import StoreError, from_store
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.options import FsOptions

if TYPE_CHECKING:
    from vfsmount.store.options import StoreOptions
    from vfsmount.store.protocol import Store

log = logging.getLogger(__name__)

_HERE_ALONE: Final = "the bucket is in the memory of the process that mounted it, and of no other"


class Active(Protocol):
    """What is asked of a session."""

    @property
    def id(self) -> str: ...
    @property
    def mount_points(self) -> tuple[str, ...]: ...
    @property
    def configured(self) -> Mapping[str, CloudBucketMount] | None: ...
    @property
    def options(self) -> Mapping[str, object]: ...


def describe(sessions: Sequence[Active]) -> Described | None:
    """The mounts of ``sessions``, innermost last, for child processes; None where there are none."""
    found: dict[str, CloudBucketMount | None] = {}
    for session in sessions:
        for point in session.mount_points:
            found[point] = None if session.configured is None else session.configured[point]
    if not found:
        return None
    local = {point for point, mount in found.items() if mount is None or is_local(mount)}
    for point in local:
        log.debug("%s: child processes cannot have it: %s", point, _HERE_ALONE)
    portable = {point: mount for point, mount in found.items() if mount is not None and point not in local}
    options = dict(sessions[-1].options)
    return Described(
        tuple(session.id for session in sessions),
        tuple(found),
        frozenset(local),
        functools.partial(_document, portable, frozenset(local), options),
    )


def _document(
    mounts: Mapping[str, CloudBucketMount], local: frozenset[str], options: Mapping[str, object]
) -> tuple[dict[str, Any], float | None]:
    described: dict[str, object] = {}
    refused = dict.fromkeys(sorted(local), _HERE_ALONE)
    ends: list[float] = []
    for point, mount in mounts.items():
        try:
            described[point] = data = to_data(mount)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            refused[point] = f"the secret could not be read for child processes: {type(error).__name__}"
            log.warning("%s: %s", point, refused[point])
            continue
        secret = data.get("secret")
        if isinstance(secret, dict) and secret.get("expires_at") is not None:
            ends.append(secret["expires_at"])
    return {"mounts": described, "refused": refused, "options": options}, min(ends, default=None)


def check_buckets(
    mounts: Mapping[str, CloudBucketMount], stores: Mapping[str, Store], options: Mapping[str, StoreOptions]
) -> dict[str, frozenset[str]]:
    """One request for each bucket, side by side; answers what they happened to tell, see ``probe.check``.

    Raises OSError that names the mount point and says what to do.
    """
    from vfsmount.store.probe import check

    pool = ThreadPool(min(len(mounts), 16))
    try:
        waiting = {
            point: pool.submit(functools.partial(check, stores[point], options[point], mounts[point].prefix))
            for point in mounts
        }
        proofs: dict[str, frozenset[str]] = {}
        for point, outcome in waiting.items():
            try:
                proofs[point] = outcome.result(FOREVER)
            except StoreError as error:
                raise from_store(error, point, hint=f"cannot mount {mounts[point].bucket_name!r}") from error
        pool.close()
        return proofs
    except BaseException as error:
        pool.close(timeout=5.0 if isinstance(error, Exception) else 0.0)  # Ctrl-C waits for nobody
        raise


def fs_options(point: str, mount: CloudBucketMount) -> FsOptions:
    return FsOptions(
        bucket=configuration.checks.redact(mount.bucket_name),
        point=point,
        key_prefix=mount.prefix,
        read_only=mount.read_only,
        allow_delete=mount.allow_delete,
        allow_overwrite=mount.allow_overwrite,
        allow_rename=mount.allow_rename,
        writes=mount.writes,
        metadata_ops=mount.metadata_ops,
        on_error=mount.on_error,
        keep_dirs=mount.keep_dirs,
        lookup=mount.lookup,
        file_mode=mount.file_mode,
        dir_mode=mount.dir_mode,
        uid=os.geteuid() if mount.uid is None else mount.uid,
        gid=os.getegid() if mount.gid is None else mount.gid,
        metadata_ttl=mount.metadata_ttl_seconds,
        negative_ttl=mount.negative_ttl_seconds,
        part_size=mount.part_size,
        cache_dir=None if mount.cache_dir is None else os.fspath(mount.cache_dir),
        cache_max_bytes=mount.cache_max_bytes,
        endpoint=configuration.checks.redact(mount.bucket_endpoint_url or mount.provider or ""),
    )


def check_options(children: object, on_leak: object, memory_limit: object) -> None:
    """Raises: ValueError, TypeError naming the argument."""
    configuration.checks.choice("children", children, ("auto", "always", "staging", "never"))
    configuration.checks.choice("on_leak", on_leak, ("error", "warn", "ignore"))
    if memory_limit is not None:
        configuration.checks.integer("memory_limit", memory_limit, 1, unit=" bytes")
