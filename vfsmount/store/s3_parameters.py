"""From our options and nouns to the parameters of S3 requests. Pure, but for :func:`pause`."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import PutAttributes, StoreTraits

CHECKSUMS: Final = frozenset({"crc32", "crc32c", "crc64nvme", "sha1", "sha256"})
"""Values of ``upload_checksums`` that name an algorithm."""

BACKOFF_SECONDS: Final = 0.1
"""The longest first wait; doubles. botocore itself repeats requests, but not the reading of a body."""


def traits_of(options: StoreOptions) -> StoreTraits:
    """What is known of the provider's S3 interface."""
    traits = StoreTraits()
    if options.provider == "r2":
        # Source: R2, multipart: all parts but the last have the same size.
        return replace(traits, equal_parts=True)
    if options.provider == "gcs":
        # Google's XML interface takes generations as write conditions, no ETags. Source: Cloud Storage, preconditions.
        return replace(traits, conditional_put=False)
    if options.provider == "other":
        # SeaweedFS lists as its directories are sorted: "a/b" before "a b".
        return replace(traits, ordered_list=False)
    return traits


def fits_delete_objects(key: str) -> bool:
    """True where the body of DeleteObjects names ``key`` as a path does.

    XML has no control characters, parsers turn carriage returns into newlines, some servers trim the text, and
    SeaweedFS takes a backslash for a slash in a path only.
    """
    return key == key.strip() and all(
        character >= " " and character != "\\" and not "\x7f" <= character <= "\x9f" and character not in "\ufffe\uffff"
        for character in key
    )


def attribute_parameters(attributes: PutAttributes | None) -> dict[str, Any]:
    """PutAttributes as parameters of PutObject and CreateMultipartUpload."""
    if attributes is None:
        return {}
    found: dict[str, Any] = {}
    if attributes.content_type is not None:
        found["ContentType"] = attributes.content_type
    if attributes.metadata:
        found["Metadata"] = dict(attributes.metadata)
    return found


async def pause(attempt: int) -> None:
    """Wait before attempt ``attempt + 1``: exponential, with full jitter, ten seconds at most."""
    await asyncio.sleep(random.uniform(0, min(10.0, BACKOFF_SECONDS * 2.0**attempt)))


def crc32c_parameters(verb: str, asked: Mapping[str, Any], body: bytes | None) -> dict[str, Any]:
    """A CRC32C for ``verb`` where one is ``asked`` for: botocore would need an extra library to compute it."""
    if asked.get("ChecksumAlgorithm") != "CRC32C":
        return {}
    if verb == "delete_objects":  # some checksum must be sent of what botocore writes there
        return {"ChecksumAlgorithm": "CRC32"}
    if body is None:  # the service computes it
        return {}
    import google_crc32c

    return {"ChecksumCRC32C": base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()}


def extra_parameters(options: StoreOptions) -> dict[str, Any]:
    """Parameters for every request whose operation knows them."""
    found: dict[str, Any] = {}
    if options.requester_pays:
        found["RequestPayer"] = "requester"
    if options.expected_bucket_owner is not None:
        found["ExpectedBucketOwner"] = options.expected_bucket_owner
        found["ExpectedSourceBucketOwner"] = options.expected_bucket_owner
    if options.sse is not None:
        found["ServerSideEncryption"] = options.sse
    if options.sse_kms_key_id is not None:
        found["SSEKMSKeyId"] = options.sse_kms_key_id
    if options.storage_class is not None:
        found["StorageClass"] = options.storage_class
    if options.upload_checksums in CHECKSUMS:
        found["ChecksumAlgorithm"] = options.upload_checksums.upper()
    return found
