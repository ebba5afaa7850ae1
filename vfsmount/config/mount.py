"""CloudBucketMount: one bucket, and how it behaves as a directory."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from vfsmount.config import checks
from vfsmount.config.secret import Secret
from vfsmount.config.units import Ttl, closest, ttl_seconds

if TYPE_CHECKING:
    from vfsmount.store.options import StoreOptions

_T = TypeVar("_T")

_FLAGS: Final = (
    "read_only",
    "requester_pays",
    "force_path_style",
    "allow_delete",
    "allow_overwrite",
    "allow_rename",
    "keep_dirs",
    "anonymous",
)
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "writes": ("sequential", "staged"),
    "metadata_ops": ("error", "ignore"),
    "on_error": ("commit", "abort"),
    "lookup": ("strict", "cheap"),
    "upload_checksums": ("auto", "crc32c", "sha256", "off"),
    "engine": ("auto", "obstore", "fsspec"),
}
_OPTIONAL_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "provider": ("s3", "aws", "r2", "gcs", "other"),
    "sse": ("AES256", "aws:kms", "aws:kms:dsse"),
}

_NOT_FOR_URLS: Final = (
    "bucket_endpoint_url",
    "secret",
    "oidc_auth_role_arn",
    "requester_pays",
    "force_path_style",
    "region",
    "sse",
    "sse_kms_key_id",
    "storage_class",
    "expected_bucket_owner",
    "profile",
    "provider",
)
"""What a file system of fsspec's takes from its own options, in the URL's query, if at all."""


def _suggesting(cls: type[_T]) -> type[_T]:
    """Tell of an unknown parameter which one may be meant, as Python itself does from 3.13 on."""
    original: Any = cls.__init__
    names = tuple(field.name for field in fields(cls))  # type: ignore[arg-type]

    @functools.wraps(original)
    def __init__(self: _T, *args: Any, **given: Any) -> None:
        for name in given:
            if name not in names:
                raise TypeError(f"{cls.__name__}: unknown parameter {name!r}{closest(name, names)}")
        original(self, *args, **given)

    cls.__init__ = __init__  # type: ignore[assignment]
    return cls


@_suggesting
@dataclass(frozen=True, slots=True, repr=False)
class CloudBucketMount:
    """A bucket to mount; the first eight parameters are those of Modal's class of the same name.

    Raises: ValueError or TypeError naming the field, when constructed.
    """

    bucket_name: str
    """The bucket's name (not its ARN), or an fsspec URL such as ``memory://x``, ``sftp://host/dir``."""
    bucket_endpoint_url: str | None = None
    """``https://HOST`` of a service other than AWS; None: ``$AWS_ENDPOINT_URL_S3``, ``$AWS_ENDPOINT_URL``, else AWS."""
    key_prefix: str | None = None
    """The directory of the bucket to mount; ends in ``/``. None: the whole bucket."""
    secret: Secret | None = None
    """None: the ambient credentials, else unsigned requests."""
    oidc_auth_role_arn: str | None = None
    """A role to assume with the web identity token of the environment."""
    read_only: bool = False
    requester_pays: bool = False
    force_path_style: bool = False
    _: KW_ONLY
    region: str | None = None
    """None: the secret's AWS_REGION, else the bucket's own answer."""
    allow_delete: bool = True
    allow_overwrite: bool = True
    allow_rename: bool = False
    writes: Literal["sequential", "staged"] = "sequential"
    metadata_ops: Literal["error", "ignore"] = "error"
    """What chmod, chown and utime on a committed file do: fail, as Mountpoint's, or nothing."""
    on_error: Literal["commit", "abort"] = "commit"
    """What becomes of a file whose ``with`` block is left by an exception."""
    keep_dirs: bool = False
    """mkdir writes a ``key/`` marker, so that empty directories persist."""
    lookup: Literal["strict", "cheap"] = "strict"
    """``cheap``: opening to read is one GET, with no check for a directory of the same name."""
    file_mode: int = 0o644
    dir_mode: int = 0o755
    uid: int | None = None
    gid: int | None = None
    metadata_ttl: Ttl = 1.0
    """Seconds that attributes may be stale, or ``minimal`` (1 s), or ``indefinite``."""
    negative_ttl: Ttl = 0.0
    """Seconds that "no such file" is remembered."""
    cache_dir: str | os.PathLike[str] | None = None
    cache_max_bytes: int | None = None
    part_size: int = 8 << 20
    """Bytes of one upload part, 5 MiB to 5 GiB."""
    max_attempts: int = 10
    """Requests for one operation, the first included; at 10, ``$AWS_MAX_ATTEMPTS`` may say otherwise."""
    connect_timeout: float = 5
    read_timeout: float = 30
    """Seconds."""
    ca_bundle: str | os.PathLike[str] | None = None
    """None: ``$AWS_CA_BUNDLE``, else the system's certificates."""
    sse: str | None = None
    sse_kms_key_id: str | None = None
    storage_class: str | None = None
    upload_checksums: Literal["auto", "crc32c", "sha256", "off"] = "auto"
    expected_bucket_owner: str | None = None
    anonymous: bool = False
    """Send unsigned requests, whatever credentials there are."""
    profile: str | None = None
    provider: Literal["s3", "aws", "r2", "gcs", "other"] | None = None
    """Overrides what the endpoint's host says. ``gcs`` without HMAC keys is Google's own interface."""
    engine: Literal["auto", "obstore", "fsspec"] = "auto"

    def __post_init__(self) -> None:
        self._check_address()
        self._check_credentials()
        self._check_behaviour()
        self._check_upload()

    def _check_address(self) -> None:
        checks.bucket_name(self.bucket_name)
        if self.is_fsspec:
            for name in _NOT_FOR_URLS:
                if getattr(self, name) not in (None, False):
                    raise ValueError(f"{name}: has no meaning for {checks.redact(self.bucket_name)!r}")
        if self.bucket_endpoint_url is not None:
            checks.endpoint("bucket_endpoint_url", self.bucket_endpoint_url)
        if self.key_prefix is not None and self.key_prefix != "":
            checks.key_prefix(self.key_prefix)
        elif self.key_prefix is not None:
            object.__setattr__(self, "key_prefix", None)
        if self.region is not None:
            checks.region(self.region)
        for name in _FLAGS:
            checks.boolean(name, getattr(self, name))
        for name, allowed in _CHOICES.items():
            checks.choice(name, getattr(self, name), allowed)
        for name, allowed in _OPTIONAL_CHOICES.items():
            if getattr(self, name) is not None:
                checks.choice(name, getattr(self, name), allowed)

    def _check_credentials(self) -> None:
        checks.instance("secret", self.secret, Secret, hint="use Secret.from_dict({...})")
        given = [name for name in ("secret", "oidc_auth_role_arn", "profile") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: excludes {given[0]}; give one of them")
        if self.anonymous and given:
            raise ValueError(f"anonymous: excludes {given[0]}; unsigned requests need no credentials")
        if self.requester_pays and not given:
            raise ValueError("requester_pays: credentials are required in order to pay; give a secret")
        if self.oidc_auth_role_arn is not None:
            checks.role_arn(self.oidc_auth_role_arn)
        if self.profile is not None:
            checks.text("profile", self.profile)

    def _check_behaviour(self) -> None:
        checks.mode("file_mode", self.file_mode)
        checks.mode("dir_mode", self.dir_mode)
        if self.uid is not None:
            checks.integer("uid", self.uid, 0)
        if self.gid is not None:
            checks.integer("gid", self.gid, 0)
        checks.ttl("metadata_ttl", self.metadata_ttl)
        checks.ttl("negative_ttl", self.negative_ttl)
        if self.cache_dir is not None:
            object.__setattr__(self, "cache_dir", checks.path("cache_dir", self.cache_dir))
        if self.cache_max_bytes is not None:
            checks.integer("cache_max_bytes", self.cache_max_bytes, 1, unit=" bytes")
            if self.cache_dir is None:
                raise ValueError("cache_max_bytes: bounds the cache in cache_dir; give cache_dir too")
        checks.integer("max_attempts", self.max_attempts, 1)
        checks.timeout("connect_timeout", self.connect_timeout)
        checks.timeout("read_timeout", self.read_timeout)
        if self.ca_bundle is not None:
            object.__setattr__(self, "ca_bundle", checks.existing_path("ca_bundle", self.ca_bundle))

    def _check_upload(self) -> None:
        checks.integer("part_size", self.part_size, checks.MIN_PART, checks.MAX_PART, unit=" bytes (5 MiB to 5 GiB)")
        if self.sse_kms_key_id is not None:
            checks.text("sse_kms_key_id", self.sse_kms_key_id)
            if self.sse not in ("aws:kms", "aws:kms:dsse"):
                raise ValueError("sse_kms_key_id: needs sse='aws:kms' or sse='aws:kms:dsse'")
        if self.storage_class is not None:
            checks.text("storage_class", self.storage_class)
            if not re.fullmatch(r"[A-Z0-9_]+", self.storage_class):
                raise ValueError(f"storage_class: {self.storage_class!r} is not a storage class such as 'STANDARD_IA'")
        if self.expected_bucket_owner is not None:
            checks.text("expected_bucket_owner", self.expected_bucket_owner)
            if not re.fullmatch(r"\d{12}", self.expected_bucket_owner):
                raise ValueError("expected_bucket_owner: expected the 12 digits of an AWS account")

    @property
    def is_fsspec(self) -> bool:
        """True where ``bucket_name`` is a URL for fsspec."""
        return checks.has_scheme(self.bucket_name)

    @property
    def prefix(self) -> str:
        """``key_prefix``, or an empty text for the whole bucket."""
        return self.key_prefix or ""

    @property
    def metadata_ttl_seconds(self) -> float:
        """``metadata_ttl`` in seconds; infinite for ``indefinite``."""
        return ttl_seconds(self.metadata_ttl)

    @property
    def negative_ttl_seconds(self) -> float:
        """``negative_ttl`` in seconds; infinite for ``indefinite``."""
        return ttl_seconds(self.negative_ttl)

    def store_options(self) -> StoreOptions:
        """What the store is opened with; reads the secret and the environment as they are now.

        Raises: ValueError where the secret lacks something.
        """
        from vfsmount.config.provider import store_options

        return store_options(self)

    def __repr__(self) -> str:
        shown = [repr(checks.redact(self.bucket_name))]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={oct(value) if field.name.endswith('_mode') else repr(value)}")
        return f"CloudBucketMount({', '.join(shown)})"
