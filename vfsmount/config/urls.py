"""URL strings to the fields of a CloudBucketMount."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from vfsmount.config import checks, units
from vfsmount.config.provider import R2_HOST

S3_SCHEMES: Final = ("s3", "s3a", "s3n")
GCS_SCHEMES: Final = ("gs", "gcs")

_text: Final[Callable[[str], object]] = str

CONVERT: Final[dict[str, Callable[[str], object]]] = {
    "bucket_endpoint_url": _text,
    "key_prefix": _text,
    "oidc_auth_role_arn": _text,
    "read_only": units.boolean,
    "requester_pays": units.boolean,
    "force_path_style": units.boolean,
    "region": _text,
    "allow_delete": units.boolean,
    "allow_overwrite": units.boolean,
    "allow_rename": units.boolean,
    "writes": _text,
    "metadata_ops": _text,
    "on_error": _text,
    "keep_dirs": units.boolean,
    "lookup": _text,
    "file_mode": units.mode,
    "dir_mode": units.mode,
    "uid": units.integer,
    "gid": units.integer,
    "metadata_ttl": units.ttl,
    "negative_ttl": units.ttl,
    "cache_dir": _text,
    "cache_max_bytes": units.size,
    "part_size": units.size,
    "max_attempts": units.integer,
    "connect_timeout": units.seconds,
    "read_timeout": units.seconds,
    "ca_bundle": _text,
    "sse": _text,
    "sse_kms_key_id": _text,
    "storage_class": _text,
    "upload_checksums": _text,
    "expected_bucket_owner": _text,
    "anonymous": units.boolean,
    "profile": _text,
    "provider": _text,
    "engine": _text,
}
"""How each field is read from text; ``bucket_name`` and ``secret`` have spellings of their own."""

ALIASES: Final = {"endpoint_url": "bucket_endpoint_url"}
"""What users of other tools write."""


def convert(name: str, text: str) -> object:
    """The value of field ``name`` spelled as ``text``. Raises: ValueError naming the field."""
    try:
        return CONVERT[name](text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def mount_fields(url: str) -> dict[str, object]:
    """The fields that ``url`` gives, for the constructor. Raises: ValueError naming what is wrong."""
    if not checks.has_scheme(url):
        raise ValueError(f"{url!r} is not a URL; write s3://{url.strip('/') or 'bucket'}/ or use a CloudBucketMount")
    scheme = url.partition("://")[0].lower()
    address, _, query = url.partition("?")
    if scheme not in (*S3_SCHEMES, *GCS_SCHEMES, "r2") or "::" in address:
        given, rest = _split_query(query)
        own = urlencode(rest, quote_via=quote)
        return {"bucket_name": address + (f"?{own}" if own else ""), **given}
    if "#" in url:
        raise ValueError(f"{checks.redact(url)!r}: write '#' as %23 in a URL")
    given, rest = _split_query(query)
    if rest:
        name = rest[0][0]
        raise ValueError(f"{checks.redact(url)!r}: unknown option {name!r}{_closest_option(name)}")
    found = _address_fields(scheme, address)
    for name in found:
        if name in given:
            raise ValueError(f"{name}: given twice, in the path and in the query of {checks.redact(url)!r}")
    return {**found, **given}


def _address_fields(scheme: str, address: str) -> dict[str, object]:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ValueError(f"cannot parse {checks.redact(address)!r}: {error}") from None
    if "@" in parts.netloc:
        raise ValueError("credentials do not belong in a URL, where logs and process lists show them; give a secret")
    bucket, path = parts.netloc, unquote(parts.path.removeprefix("/"))
    found: dict[str, object] = {}
    if scheme == "r2":
        account, (bucket, _, path) = bucket, path.partition("/")
        if not account or not bucket:
            raise ValueError(f"{address!r}: expected r2://ACCOUNT/BUCKET/")
        found["bucket_endpoint_url"] = f"https://{account}.{R2_HOST}"
    elif scheme in GCS_SCHEMES:
        found["provider"] = "gcs"
    if not bucket:
        raise ValueError(f"{address!r}: expected {scheme}://BUCKET/PREFIX/")
    if path and not path.endswith("/"):
        raise ValueError(
            f"key_prefix: {address!r} must end in '/', because it names a directory; write {address + '/'!r}"
        )
    found["bucket_name"] = bucket
    if path:
        found["key_prefix"] = path
    return found


def _split_query(query: str) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """The fields of ours, converted, and the rest as it stands."""
    given: dict[str, object] = {}
    rest: list[tuple[str, str]] = []
    for written, text in parse_qsl(query, keep_blank_values=True):
        if written.lower() in ("secret", "bucket_name") or written.lower().startswith(("aws_", "google_access")):
            raise ValueError(
                f"{written!r} does not belong in the query of a URL; use CloudBucketMount(..., secret=...)"
            )
        name = ALIASES.get(written, written)
        if name not in CONVERT:
            rest.append((written, text))
        elif name in given:
            raise ValueError(f"{name}: given twice in the query")
        else:
            given[name] = convert(name, text)
    return given, rest


def _closest_option(name: str) -> str:
    return units.closest(name, (*CONVERT, *ALIASES))


def expand(options: Mapping[str, object]) -> dict[str, object]:
    """Fields by their full names, text converted to the field's type. Raises: ValueError for an unknown name."""
    found: dict[str, object] = {}
    for written, value in options.items():
        name = ALIASES.get(written, written)
        if name not in CONVERT:
            known = (*CONVERT, *ALIASES, "bucket", "bucket_name", "url", "secret")
            raise ValueError(f"unknown key {written!r}{units.closest(written, known)}")
        if name in found:
            raise ValueError(f"{name}: given twice (as {written!r} too)")
        found[name] = convert(name, value) if isinstance(value, str) else value
    return found
