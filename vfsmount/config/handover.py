"""Mounts as plain data and back, for a program in another interpreter that is to mount the same."""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from vfsmount.config import checks
from vfsmount.config.mount import CloudBucketMount
from vfsmount.config.secret import CallableResult, Secret

LOCAL_SCHEMES: Final = ("memory",)
"""fsspec's file systems whose content is in this process alone: the same URL is another bucket elsewhere."""
_EARLY: Final = 60.0
"""Seconds before its end that a reading of a secret counts as expired."""


def is_local(mount: CloudBucketMount) -> bool:
    """True where another process would see another bucket by the same URL."""
    return mount.is_fsspec and mount.bucket_name.partition("://")[0].lower() in LOCAL_SCHEMES


def to_data(mount: CloudBucketMount) -> dict[str, object]:
    """``mount`` as numbers, texts, lists and dictionaries. Reads a secret that another process could not.

    Raises: what the function of ``Secret.from_callable`` raises.
    """
    data: dict[str, object] = {}
    for each in fields(mount):
        value = getattr(mount, each.name)
        if value == each.default:
            continue
        if isinstance(value, Secret):
            value = _secret_data(value)
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        data[each.name] = checks.absolute(value) if each.name in ("cache_dir", "ca_bundle") else value
    return data


def from_data(data: Mapping[str, Any]) -> CloudBucketMount:
    """The mount that :func:`to_data` took apart. Raises: ValueError, TypeError."""
    given = dict(data)
    if "secret" in given:
        given["secret"] = _secret(given["secret"])
    return CloudBucketMount(**given)


def _secret_data(secret: Secret) -> dict[str, object]:
    kind, argument = secret.source
    if kind in ("from_dotenv", "from_profile"):
        return {"kind": kind, "argument": argument}
    values = secret.read()
    if kind == "from_env" and not values.items:
        return {"kind": kind, "argument": argument}
    data: dict[str, object] = {"kind": "from_dict", "items": dict(values.items)}
    if kind == "from_callable":
        data.update(kind=kind, expires_at=values.expires_at, function=_reference(argument))
    return data


def _secret(data: Mapping[str, Any]) -> Secret:
    kind = data["kind"]
    if kind == "from_dotenv":
        return Secret.from_dotenv(data["argument"])
    if kind == "from_profile":
        return Secret.from_profile(data["argument"])
    if kind == "from_env":
        return Secret.from_env(data["argument"])
    if kind == "from_dict":
        return Secret.from_dict(data["items"])
    function = data["function"]
    return Secret.from_callable(HandedValues(data["items"], data["expires_at"], tuple(function) if function else None))


def _reference(function: object) -> list[str] | None:
    """Module and name by which another process finds the same function; None for one of the main program, a lambda, a
    method of an object, a closure."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    try:
        found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return None
    return [module, name] if found is function else None


@dataclass(frozen=True, slots=True)
class HandedValues:
    """The function of a secret in another process: what it returned there, until that expires; then its own answer."""

    items: Mapping[str, str] = field(repr=False)
    expires_at: float | None
    function: tuple[str, str] | None

    def __call__(self) -> CallableResult:
        """Raises: ValueError where the function cannot be found from here."""
        if self.expires_at is None or time.time() < self.expires_at - _EARLY:
            return {**self.items, "expires_at": self.expires_at}
        if self.function is None:
            raise ValueError(
                "the credentials that were handed to this process have expired, and their function is known to the "
                "parent alone; define it in a module that can be imported"
            )
        module, name = self.function
        own: Callable[[], CallableResult] = functools.reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[assignment]
        return own()
