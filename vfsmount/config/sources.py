"""Whatever a user gives as configuration, to checked mounts by mount point."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Any, Final, Union

from vfsmount import real
from vfsmount.config import checks, files, urls
from vfsmount.config.mount import CloudBucketMount

VARIABLE: Final = "VFSMOUNT_CONFIG"

MountPoint = Union[str, "os.PathLike[str]"]
Config = Union[
    "Mapping[str, CloudBucketMount | str]",
    "Mapping[os.PathLike[str], CloudBucketMount | str]",
    "Mapping[MountPoint, CloudBucketMount | str]",
    str,
    "os.PathLike[str]",
    None,
]
"""A mapping mount point -> CloudBucketMount or URL; a TOML file's path; None: ``$VFSMOUNT_CONFIG``."""


def load(config: Config = None) -> dict[str, CloudBucketMount]:
    """Mounts by normalised mount point, in the order given.

    ``$VFSMOUNT_CONFIG`` is a file's path, or TOML itself where it has a line break or begins with ``[``.
    Raises: ValueError, TypeError naming the mount point and the field; OSError where a file cannot be read.
    """
    if config is None:
        return _from_environment()
    if isinstance(config, Mapping):
        if not config:
            raise ValueError("config: no mounts; give at least one {'/mount-point': CloudBucketMount(...)}")
        return _checked({point: _mount(point, value) for point, value in config.items()})
    if isinstance(config, (str, os.PathLike)):
        path = os.fspath(config)
        if isinstance(path, str):
            if checks.has_scheme(path):
                raise ValueError(f"config: a URL needs a mount point; give {{'/mount-point': {checks.redact(path)!r}}}")
            return _attributed(files.read(path), path)
    raise TypeError(f"config: expected a mapping, the path of a TOML file or None, not {type(config).__name__}")


def mount_point(point: object) -> str:
    """The normalised mount point. Raises: TypeError, ValueError saying what is wrong."""
    path = os.fspath(point) if isinstance(point, os.PathLike) else point
    if not isinstance(path, str):
        raise TypeError(f"mount point {point!r}: expected a string or os.PathLike[str], not {type(path).__name__}")
    if path.startswith("~"):
        raise ValueError(f"mount point {path!r}: '~' is not expanded; use os.path.expanduser")
    if not path.startswith("/"):
        raise ValueError(f"mount point {path!r}: must be absolute, beginning with '/'; use os.path.abspath")
    if "\0" in path:
        raise ValueError(f"mount point {path!r}: must not contain a NUL character")
    # normpath keeps a leading double slash, which POSIX leaves to the implementation; Linux and macOS read it as one.
    normal = posixpath.normpath("/" + path.lstrip("/"))
    if normal == "/":
        raise ValueError(f"mount point {path!r}: the root of the file system cannot be a mount")
    return normal


def _mount(point: object, value: object) -> CloudBucketMount:
    if isinstance(value, CloudBucketMount):
        return value
    if isinstance(value, str):
        try:
            return files.construct(urls.mount_fields(value))
        except (ValueError, TypeError) as error:
            raise type(error)(f"mount point {point!r}: {error}") from error
    raise TypeError(f"mount point {point!r}: expected a CloudBucketMount or a URL string, not {type(value).__name__}")


def _checked(mounts: Mapping[Any, CloudBucketMount]) -> dict[str, CloudBucketMount]:
    found: dict[str, CloudBucketMount] = {}
    for point, mount in mounts.items():
        normal = mount_point(point)
        if normal in found:
            raise ValueError(f"mount point {point!r}: {normal!r} is taken twice")
        found[normal] = mount
    return found


def _attributed(mounts: Mapping[str, CloudBucketMount], origin: str) -> dict[str, CloudBucketMount]:
    try:
        return _checked(mounts)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from error


def _from_environment() -> dict[str, CloudBucketMount]:
    value = os.environ.get(VARIABLE)
    if not value:
        raise ValueError(
            f"config: nothing is given and ${VARIABLE} is not set; give {{'/mount-point': CloudBucketMount(...)}}, "
            f"the path of a TOML file, or set {VARIABLE} to one"
        )
    if "\n" in value or value.lstrip().startswith("["):
        return _attributed(files.parse(value, f"${VARIABLE}", real.getcwd()), f"${VARIABLE}")
    try:
        return _attributed(files.read(value), value)
    except OSError as error:
        raise ValueError(f"${VARIABLE}: cannot read {value!r}: {error.strerror}") from error
