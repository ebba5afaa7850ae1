"""TOML configuration files.

::

    [defaults]                       # fields for every mount of the file
    region = "eu-central-1"

    [mounts."/my-mount"]
    bucket = "name"                  # or bucket_name, or url = "s3://name/prefix/"
    secret = { env = "PREFIX_" }     # or profile, dotenv, or the AWS_* keys themselves
    read_only = true
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from vfsmount import real
from vfsmount.config import checks, urls
from vfsmount.config.mount import CloudBucketMount
from vfsmount.config.secret import KNOWN_KEYS, Secret
from vfsmount.config.units import closest

_TABLES: Final = ("mounts", "defaults")
_ADDRESSES: Final = ("bucket", "bucket_name", "url")
_SECRETS: Final = ("env", "profile", "dotenv")
_PATHS: Final = ("cache_dir", "ca_bundle")


def read(path: str) -> dict[str, CloudBucketMount]:
    """The mounts of a file. Raises: ValueError naming file, table and key; OSError where it cannot be read."""
    with real.open(path, encoding="utf-8") as file:
        text = file.read()
    return parse(text, path, os.path.dirname(checks.absolute(path)))


def parse(text: str, origin: str, directory: str) -> dict[str, CloudBucketMount]:
    """As :func:`read`, of a text; relative paths start at ``directory``, messages name ``origin``."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{origin}: {error}") from None
    for name in document:
        if name not in _TABLES:
            raise ValueError(f'{origin}: unknown table [{name}]{closest(name, _TABLES)}; expected [mounts."/point"]')
    mounts = document.get("mounts", {})
    defaults = document.get("defaults", {})
    if not isinstance(mounts, dict) or not isinstance(defaults, dict):
        raise ValueError(f"{origin}: [mounts] and [defaults] must be tables")
    if not mounts:
        raise ValueError(f'{origin}: no mounts; give at least one table [mounts."/point"]')
    for name in (*_ADDRESSES, "key_prefix"):
        if name in defaults:
            raise ValueError(f"{origin}: [defaults]: {name!r} belongs to one mount")
    return {point: _mount(origin, directory, point, entry, defaults) for point, entry in mounts.items()}


def _mount(origin: str, directory: str, point: str, entry: object, defaults: dict[str, object]) -> CloudBucketMount:
    table = f'[mounts."{point}"]'
    if isinstance(entry, str):
        entry = {"url": entry}
    if not isinstance(entry, dict):
        raise ValueError(f"{origin}: {table}: expected a table or a URL")
    fields = _attributed(f"{origin}: [defaults]", defaults, directory)
    fields.update(_attributed(f"{origin}: {table}", entry, directory))
    try:
        return construct(fields)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{origin}: {table}: {error}") from error


def _attributed(where: str, options: Mapping[str, object], directory: str) -> dict[str, object]:
    """Fields of one table; every complaint starts with ``where``."""
    try:
        return _table_fields(options, directory)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{where}: {error}") from error


def _table_fields(options: Mapping[str, object], directory: str) -> dict[str, object]:
    rest = dict(options)
    fields: dict[str, object] = {}
    given: list[str] = [name for name in _ADDRESSES if name in rest]
    if len(given) > 1:
        raise ValueError(f"{given[0]!r} and {given[1]!r} say the same; give one of them")
    for name in given:
        value = rest.pop(name)
        if not isinstance(value, str):
            raise TypeError(f"{name}: expected a string, not {type(value).__name__}")
        fields.update(urls.mount_fields(value) if name == "url" else {"bucket_name": value})
    if "secret" in rest:
        fields["secret"] = _secret(rest.pop("secret"), directory)
    own = urls.expand(rest)
    for name in own:
        if name in fields:
            raise ValueError(f"{name}: given twice, in the url and as a key")
    fields.update(own)
    for name in _PATHS:
        if isinstance(path := fields.get(name), str) and not path.startswith("~"):
            fields[name] = os.path.join(directory, path)
    return fields


def _secret(value: object, directory: str) -> Secret:
    if not isinstance(value, dict):
        raise TypeError('secret: expected a table such as { env = "PREFIX_" }')
    sources = [name for name in _SECRETS if name in value]
    if not sources:
        for name in value:
            if name not in KNOWN_KEYS:
                raise ValueError(f"secret: unknown key {name!r}{closest(name, (*_SECRETS, *KNOWN_KEYS))}")
        return Secret.from_dict(value)
    if len(value) > 1:
        raise ValueError(f"secret: {sources[0]!r} stands alone; drop the other keys")
    argument = value[sources[0]]
    if not isinstance(argument, str):
        raise TypeError(f"secret: {sources[0]}: expected a string, not {type(argument).__name__}")
    if sources[0] == "env":
        return Secret.from_env(argument)
    if sources[0] == "profile":
        return Secret.from_profile(argument)
    return Secret.from_dotenv(os.path.join(directory, argument))


def construct(fields: Mapping[str, object]) -> CloudBucketMount:
    """A CloudBucketMount of fields that were read from text. Raises: ValueError, TypeError."""
    if "bucket_name" not in fields:
        raise ValueError("no bucket; give bucket or url")
    return CloudBucketMount(**fields)  # type: ignore[arg-type]  # the constructor checks every type itself
