"""What one mounted file system may do; ``session`` fills it in from the public configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FsOptions:
    """Rules and appearance of one mount. Meanings: DESIGN of ``CloudBucketMount``, whose defaults these are."""

    bucket: str
    key_prefix: str = ""
    read_only: bool = False
    allow_delete: bool = True
    allow_overwrite: bool = True
    allow_rename: bool = False
    writes: Literal["sequential", "staged"] = "sequential"
    metadata_ops: Literal["error", "ignore"] = "error"
    on_error: Literal["commit", "abort"] = "commit"
    keep_dirs: bool = False
    lookup: Literal["strict", "cheap"] = "strict"
    file_mode: int = 0o644
    dir_mode: int = 0o755
    uid: int = 0
    gid: int = 0
    metadata_ttl: float = 1.0
    """Seconds; ``inf`` for ever."""
    negative_ttl: float = 0.0
    """Seconds."""
    part_size: int = 8 << 20
    """Bytes."""
    cache_dir: str | None = None
    """Local directory for what was read."""
    cache_max_bytes: int | None = None
    endpoint: str = ""
    """Which service; with the bucket's name it tells one bucket from another in a shared ``cache_dir``."""
    point: str = ""
    """Where it is mounted; ``st_dev`` is made of it too, as two mounts of one file system differ in it."""
