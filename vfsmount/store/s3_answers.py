"""What the answers of S3 say, as our nouns. Pure."""

from __future__ import annotations

import datetime
import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from vfsmount.errors import Corrupt
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.protocol import GetResult

_SECOND: Final = 1_000_000_000

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def whole_second_ns(moment: datetime.datetime | None) -> int:
    """Nanoseconds since the epoch, cut to the second, or 0 for None.

    A HEAD tells whole seconds and some servers list milliseconds; one object must not have two times.
    """
    return 0 if moment is None else int(moment.timestamp()) * _SECOND


def server_time_ns(answer: Mapping[str, Any]) -> int:
    """When the service answered, by its own clock: the answer to a put has no modification time."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is not None:
        try:
            return whole_second_ns(email.utils.parsedate_to_datetime(date))
        except ValueError:
            pass  # a server that cannot spell a date
    return int(time.time()) * _SECOND


def meta_from(key: str, fields: Mapping[str, Any], size_field: str = "", *, size: int | None = None) -> ObjectMeta:
    """An object's metadata from an answer or from one item of a listing."""
    length = fields.get(size_field, 0) if size is None else size
    modified = whole_second_ns(fields.get("LastModified"))
    return ObjectMeta(key, int(length), modified, quoted(fields.get("ETag")), storage_class(fields.get("StorageClass")))


def page_from(answer: Mapping[str, Any]) -> ListPage:
    """A page from the answer to ListObjectsV2."""
    return ListPage(
        tuple(meta_from(item["Key"], item, "Size") for item in answer.get("Contents", ())),
        tuple(item["Prefix"] for item in answer.get("CommonPrefixes", ())),
        answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
    )


def storage_class(told: str | None) -> str | None:
    """None for the standard class: a HEAD of S3 leaves it out, a listing spells it."""
    return None if told in ("", "STANDARD") else told


def quoted(etag: str | None) -> str | None:
    """The tag as a HEAD spells it; SeaweedFS answers a copy without the quotes."""
    return etag if etag is None or etag.endswith('"') else f'"{etag}"'


def ranged(key: str, answer: Mapping[str, Any], body: bytes, start: int, end: int, *, bucket: str) -> GetResult:
    """The bytes of ``[start, end)`` and the whole object's metadata, from the answer to a ranged GET.

    Takes servers that ignore the range (200 and everything) and servers that answer it with 200 (rclone).
    Raises Corrupt: the body is not as long as the answer says.
    """

    def corrupt(detail: str) -> Corrupt:
        return Corrupt(detail, operation="get", bucket=bucket, key=key)

    length = answer.get("ContentLength")
    if length is not None and int(length) != len(body):
        raise corrupt(f"{len(body)} bytes came of {length}")
    match = _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or "")
    if match is None:
        return GetResult(meta_from(key, answer, size=len(body)), body[start:end])
    if match[1] is None or match[3] == "*":
        raise corrupt(f"the answer's Content-Range is {answer['ContentRange']!r}")
    first, last, size = int(match[1]), int(match[2]), int(match[3])
    if first != start or last != min(end, size) - 1 or len(body) != last - first + 1:
        raise corrupt(f"asked for bytes {start} to {end - 1}, got {len(body)} as {answer['ContentRange']!r}")
    return GetResult(meta_from(key, answer, size=size), body)
