"""The public configuration: what to mount, where, and with which credentials."""

from __future__ import annotations

from vfsmount.config.mount import CloudBucketMount
from vfsmount.config.secret import Secret
from vfsmount.config.sources import Config, load, mount_point

__all__ = ["CloudBucketMount", "Config", "Secret", "load", "mount_point"]
