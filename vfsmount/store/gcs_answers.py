"""What Google's JSON interface says, as our nouns. Pure."""

from __future__ import annotations

import base64
import binascii
import datetime
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import PutAttributes
from vfsmount.store.s3_answers import quoted, storage_class, whole_second_ns


def content_type_of(attributes: PutAttributes | None) -> str:
    """What Google stores where nobody says."""
    return (attributes and attributes.content_type) or "application/octet-stream"


def encoded_name(key: str) -> str:
    """A key as one segment of a URL's path."""
    # A whole segment of dots would be resolved by proxies and servers even though it stands for itself.
    return key.replace(".", "%2E") if key in (".", "..") else quote(key, safe="")


def tag(etag: str | None, md5: str | None) -> str | None:
    """The tag in the XML interface's spelling: the MD5 in hexadecimal; for a composed object ``-`` and the JSON tag.

    fake-gcs-server has the MD5 in base 64 in both interfaces, which stays as it is.
    """
    bare = etag.strip('"') if etag else None
    if md5 is not None and bare != md5:
        try:
            return f'"{base64.b64decode(md5).hex()}"'
        except binascii.Error:
            return quoted(bare)
    if bare is None or bare == md5:
        return quoted(bare)
    return f'"-{bare}"'


def meta_of(item: Mapping[str, Any]) -> ObjectMeta:
    """An object resource as our noun."""
    text = item.get("updated")
    when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")[:19] + "+00:00") if text else None
    mtime = int(time.time()) * 10**9 if when is None else whole_second_ns(when)
    return ObjectMeta(
        item["name"],
        int(item.get("size", 0)),
        mtime,
        tag(item.get("etag"), item.get("md5Hash")),
        storage_class(item.get("storageClass")),
    )
