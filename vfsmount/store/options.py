"""What a store is built from; ``session`` fills it in from the public configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys for signing S3 requests (AWS, R2, or Google's HMAC keys for its S3 interface)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Seconds since the epoch; None: they do not expire, or nobody says when."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """One bucket and how to reach it."""

    kind: Literal["s3", "gs", "fsspec", "memory"]
    """The wire: ``s3`` is AWS, R2 and Google's S3 interface; ``gs`` Google's own; ``fsspec`` any other, in ``url``."""
    bucket: str
    provider: Literal["aws", "r2", "gcs", "other"] = "other"
    """Whose service an ``s3`` endpoint is: decides traits and defaults."""
    url: str | None = field(default=None, repr=False)
    """For ``fsspec``: the URL of the root, e.g. ``memory://x`` or ``file:///dir``."""
    storage_options: dict[str, object] = field(default_factory=dict, repr=False)
    """For ``fsspec``: passed to the file system's constructor."""
    endpoint_url: str | None = None
    region: str | None = None
    """None: the bucket's own answer decides."""
    credentials: Callable[[], Credentials] | None = field(default=None, repr=False)
    """Asked again when they expire; None: the ambient chain, or unsigned where ``anonymous``."""
    service_account: str | None = field(default=None, repr=False)
    """For ``gs``: the JSON text, or the path, of a service account's key; None: Google's ambient chain."""
    anonymous: bool = False
    profile: str | None = None
    role_arn: str | None = None
    """Assumed with the web identity token that the ambient environment offers."""
    web_identity_token: Callable[[], str] | None = field(default=None, repr=False)
    requester_pays: bool = False
    force_path_style: bool = False
    expected_bucket_owner: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    storage_class: str | None = None
    upload_checksums: str = "auto"
    max_attempts: int = 10
    connect_timeout: float = 5.0
    """Seconds."""
    read_timeout: float = 30.0
    """Seconds without a byte."""
    ca_bundle: str | None = None
    engine: Literal["auto", "obstore", "fsspec"] = "auto"
