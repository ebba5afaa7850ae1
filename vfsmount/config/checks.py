"""The rules for one field at a time; each raises a ValueError or TypeError that names the field and says what to do."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from vfsmount import real
from vfsmount.config.units import closest

MIN_PART: Final = 5 << 20
MAX_PART: Final = 5 << 30
"""Bytes. Source: S3 multipart upload limits."""
MAX_KEY: Final = 1024
"""Bytes of UTF-8 in a key. Source: S3 object key naming."""
MAX_MODE: Final = 0o777

# Wider than the rule for new S3 buckets (3 to 63 of a-z 0-9 . -): older buckets and other services allow more.
_BUCKET: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_REGION: Final = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_ZONE: Final = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d)[a-z]")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def has_scheme(text: str) -> bool:
    """True for ``scheme://...`` and for fsspec's chained ``a::b://...``."""
    return _SCHEME.match(text) is not None or ("::" in text and "://" in text)


def redact(url: str) -> str:
    """The URL without what may be secret: its password and the values of its query."""
    url = re.sub(r"(://[^/?#@\s:]*):[^/?#@\s]*@", r"\1:***@", url)
    head, mark, query = url.partition("?")
    return head + mark + re.sub(r"=[^&]*", "=***", query)


def text(field: str, value: object) -> str:
    """The non-empty string."""
    if not isinstance(value, str):
        raise TypeError(f"{field}: expected a string, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{field}: must not be empty")
    if "\0" in value:
        raise ValueError(f"{field}: must not contain a NUL character")
    return value


def instance(field: str, value: object, expected: type, *, hint: str) -> None:
    """``value`` is None or an ``expected``; ``hint`` is for whoever gave a dict."""
    if value is not None and not isinstance(value, expected):
        advice = f"; {hint}" if isinstance(value, dict) else ""
        raise TypeError(f"{field}: expected a {expected.__name__}, not {type(value).__name__}{advice}")


def boolean(field: str, value: object) -> None:
    if type(value) is not bool:
        raise TypeError(f"{field}: expected True or False, not {value!r}")


def choice(field: str, value: object, allowed: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{field}: expected one of {', '.join(map(repr, allowed))}, not {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{field}: {value!r} is not one of {', '.join(map(repr, allowed))}{closest(value, allowed)}")


def integer(field: str, value: object, low: int, high: int | None = None, *, unit: str = "") -> None:
    if type(value) is not int:
        raise TypeError(f"{field}: expected a whole number, not {value!r}")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{field}: must be {bounds}{unit}, not {value}")


def mode(field: str, value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{field}: expected permission bits such as 0o644, not {value!r}")
    if not 0 <= value <= MAX_MODE:
        hint = f"; octal is meant? Write 0o{value}" if re.fullmatch("[0-7]{3}", str(value)) else ""
        raise ValueError(f"{field}: permission bits must be between 0 and 0o777, not {value}{hint}")


def ttl(field: str, value: object) -> None:
    words = ("minimal", "indefinite")
    if isinstance(value, str):
        if value not in words:
            raise ValueError(
                f"{field}: expected seconds, 'minimal' or 'indefinite', not {value!r}{closest(value, words)}"
            )
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field}: expected seconds, 'minimal' or 'indefinite', not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{field}: must be 0 seconds or more, not {value}")


def timeout(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field}: expected seconds, not {value!r}")
    if not (0 < value < math.inf):
        raise ValueError(f"{field}: must be more than 0 seconds and finite, not {value}")


def path(field: str, value: object) -> str:
    """The path as a string."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{field}: expected a path, not {type(value).__name__}")
    name = text(field, os.fspath(value))
    if name.startswith("~"):
        raise ValueError(f"{field}: '~' is not expanded; use os.path.expanduser({name!r})")
    return name


def absolute(name: str) -> str:
    """The path from the process's real current directory, normalised."""
    return os.path.normpath(os.path.join(real.getcwd(), name))


def existing_path(field: str, value: object) -> str:
    """The path as a string; something is there."""
    name = path(field, value)
    try:
        real.stat(name)
    except OSError as error:
        raise ValueError(f"{field}: {name!r}: {error.strerror}") from error
    return name


def bucket_name(value: object) -> None:
    """A bucket's plain name, or the URL of any file system of fsspec's."""
    value = text("bucket_name", value)
    if value.startswith("arn:"):
        plain = value.rpartition(":")[2].partition("/")[0]
        hint = f": give {plain!r}" if value.split(":")[2:3] == ["s3"] and plain and "/" not in plain else ""
        raise ValueError(f"bucket_name: bucket name, not ARN{hint} (got {value!r})")
    scheme = value.partition("://")[0].lower()
    if has_scheme(value):
        if "::" not in value and scheme in ("s3", "s3a", "s3n", "r2", "gs", "gcs"):
            raise ValueError(
                f"bucket_name: expected a plain bucket name, not the URL {redact(value)!r}; give the name here "
                "and the rest as key_prefix='.../', or use the URL string in place of the CloudBucketMount"
            )
        if scheme in ("http", "https") and "amazonaws.com" in value:
            raise ValueError("bucket_name: expected a plain bucket name, not a web address of the bucket")
        return
    if "/" in value:
        name, _, rest = value.strip("/").partition("/")
        prefix = f" and key_prefix={rest.rstrip('/') + '/'!r}" if rest else ""
        raise ValueError(f"bucket_name: {value!r} contains '/'; give bucket_name={name!r}{prefix}")
    if not _BUCKET.fullmatch(value):
        raise ValueError(
            f"bucket_name: {value!r} is not a bucket name (at most 255 letters, digits, '.', '-' and '_', "
            "beginning and ending with a letter or digit)"
        )
    if ".." in value:
        raise ValueError(f"bucket_name: {value!r} is not a bucket name (two dots in a row)")


def key_prefix(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"key_prefix: expected a string, not {type(value).__name__}")
    if value.startswith("/"):
        fixed = value.strip("/") + "/"
        hint = f"; give {fixed!r}" if fixed != "/" else "; leave it out to mount the whole bucket"
        raise ValueError(f"key_prefix: must not start with '/'{hint} (got {value!r})")
    if not value.endswith("/"):
        raise ValueError(f"key_prefix: names a directory, so it must end in '/'; give {value + '/'!r}")
    if "\0" in value:
        raise ValueError("key_prefix: must not contain a NUL character")
    try:
        length = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("key_prefix: cannot be encoded as UTF-8") from None
    if length >= MAX_KEY:
        raise ValueError(f"key_prefix: must be shorter than {MAX_KEY} bytes, not {length}")


def endpoint(field: str, value: object) -> SplitResult:
    """The parts of an ``http(s)://host[:port]`` URL."""
    value = text(field, value)
    shown = redact(value)
    example = "give it as https://host or http://host:port"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{field}: cannot parse {shown!r} ({error}); {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in value):
        raise ValueError(f"{field}: cannot parse {shown!r}; {example}")
    if port == 0:
        raise ValueError(f"{field}: port 0 in {shown!r}; {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{field}: credentials do not belong in the URL {shown!r}; use secret=")
    if parts.query or parts.fragment:
        raise ValueError(f"{field}: {shown!r} must not have a query or fragment; {example}")
    return parts


def region(value: object) -> None:
    value = text("region", value)
    if zone := _ZONE.fullmatch(value):
        raise ValueError(f"region: {value!r} is an availability zone; the region is {zone[1]!r}")
    if not _REGION.fullmatch(value) or len(value) > 63:
        raise ValueError(f"region: {value!r} is not a region such as 'us-east-1' or 'auto'")


def role_arn(value: object) -> None:
    value = text("oidc_auth_role_arn", value)
    if not _ROLE.fullmatch(value):
        raise ValueError(
            f"oidc_auth_role_arn: {value!r} is not the ARN of a role (arn:aws:iam::123456789012:role/NAME)"
        )
