"""What fsspec's ``info`` dictionaries say; every file system spells them its own way. Pure."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final

_TIMES: Final = (
    "mtime",
    "LastModified",
    "last_modified",
    "modified",
    "updated",
    "timeModified",
    "created",
    "date_time",
)
"""Names of the modification time, the best first; ``created`` is all that the memory file system has."""

_TAGS: Final = ("ETag", "etag", "e_tag", "md5", "md5Hash", "content_md5", "sha256", "sha", "checksum", "blob_id", "oid")
"""Names of something that changes with the content."""

_IDENTITIES: Final = ("ino", "generation", "version_id")
"""Names of what tells two files of one name, size and time apart."""


def modified_ns(info: Mapping[str, Any]) -> int:
    """Nanoseconds since the epoch; 0 where it is not told."""
    for name in _TIMES:
        found = _nanoseconds(info.get(name))
        if found is not None:
            return found
    return 0


def tag_of(info: Mapping[str, Any]) -> str | None:
    """A tag that changes when the file does; None where nothing is told that would change."""
    for name in _TAGS:
        if info.get(name):
            return f'"{str(info[name]).strip(chr(34))}"'
    # Only what a listing and the file's own info both tell, and tell alike.
    when = modified_ns(info)
    known = [str(info[name]) for name in _IDENTITIES if info.get(name) is not None]
    if not when and not known:
        return None
    seed = "|".join([str(info.get("size")), str(when), *known])
    return f'"{hashlib.md5(seed.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()}"'


def _nanoseconds(value: object) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return round(value * 1_000_000) * 1000
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, datetime.datetime):
        # A time without a zone is UTC in every fsspec file system that gives one.
        aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
        return round(aware.timestamp() * 1_000_000) * 1000
    return None
