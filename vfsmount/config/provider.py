"""Whose service an endpoint is, and what a store needs to reach it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

from vfsmount import real
from vfsmount.config import checks
from vfsmount.config.mount import CloudBucketMount
from vfsmount.config.secret import SecretCredentials, SecretValues
from vfsmount.errors import Unauthenticated
from vfsmount.store.options import Credentials, StoreOptions

Provider = Literal["aws", "r2", "gcs", "other"]

R2_HOST: Final = "r2.cloudflarestorage.com"
GCS_HOST: Final = "storage.googleapis.com"
GCS_ENDPOINT: Final = f"https://{GCS_HOST}"
_AWS_HOSTS: Final = ("amazonaws.com", "amazonaws.com.cn")
DEFAULT_ATTEMPTS: Final = 10


def of_host(host: str) -> Provider:
    """Whose service answers at ``host``."""
    host = host.lower().rstrip(".")
    if _below(host, R2_HOST):
        return "r2"
    if _below(host, GCS_HOST):
        return "gcs"
    if any(_below(host, aws) for aws in _AWS_HOSTS):
        return "aws"
    return "other"


def _below(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def needs_path_style(bucket: str, endpoint_url: str | None, provider: Provider) -> bool:
    """True where ``bucket.host`` cannot be the bucket's address.

    That is where the host is a bare name or an IP address, and where a dot in the bucket's name would break the
    match of a wildcard certificate. R2 and Google take paths everywhere.
    """
    if "." in bucket or provider in ("r2", "gcs"):
        return True
    if endpoint_url is None:
        return False
    host = (urlsplit(endpoint_url).hostname or "").rstrip(".")
    if "." not in host or host.endswith(".localhost"):
        return True
    if ":" not in host and not host[-1].isdigit():
        return False
    import ipaddress  # most endpoints are names

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class WebIdentityToken:
    """The token that the environment offers, read anew at each call, because the file is rotated."""

    environ: Mapping[str, str] = field(repr=False)

    def __call__(self) -> str:
        """Raises: Unauthenticated where there is none."""
        if path := self.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            try:
                with real.open(path, encoding="utf-8") as file:
                    return file.read().strip()
            except OSError as error:
                detail = f"AWS_WEB_IDENTITY_TOKEN_FILE: {path!r}: {error.strerror}"
                raise Unauthenticated(detail, operation="WebIdentityToken") from error
        if token := self.environ.get("MODAL_IDENTITY_TOKEN"):
            return token
        raise Unauthenticated(
            "oidc_auth_role_arn: no web identity token; set AWS_WEB_IDENTITY_TOKEN_FILE or MODAL_IDENTITY_TOKEN",
            operation="WebIdentityToken",
        )


@dataclass(frozen=True, slots=True)
class _GoogleEnvironment:
    """Google's HMAC keys from the environment, for a mount of its S3 interface that has no secret."""

    environ: Mapping[str, str] = field(repr=False)

    def __call__(self) -> Credentials:
        names = ("GOOGLE_ACCESS_KEY_ID", "GOOGLE_ACCESS_KEY_SECRET")
        return SecretValues("environment", {n: self.environ.get(n, "") for n in names}).credentials(google=True)


def store_options(mount: CloudBucketMount, environ: Mapping[str, str] = os.environ) -> StoreOptions:
    """The options of the store behind ``mount``. Raises: ValueError where the secret lacks something."""
    if mount.is_fsspec:
        return _fsspec_options(mount)
    values = mount.secret.read() if mount.secret is not None and mount.secret.profile is None else None
    endpoint = mount.bucket_endpoint_url
    if endpoint is None and mount.provider in (None, "s3", "aws", "other"):
        endpoint = _ambient_endpoint(environ)
    provider = _provider(mount, endpoint)
    if provider == "r2" and endpoint is None:
        raise ValueError("bucket_endpoint_url: R2 needs https://ACCOUNT.r2.cloudflarestorage.com")
    host = urlsplit(endpoint).hostname if endpoint else None
    own_interface = mount.provider == "gcs" and host != GCS_HOST and not (values and values.has_google_keys)
    if own_interface and not (values and values.has_aws_keys):
        return _google_options(mount, endpoint or environ.get("STORAGE_EMULATOR_HOST"), values)
    if provider == "gcs" and endpoint is None:
        endpoint = GCS_ENDPOINT
    return _s3_options(mount, provider, endpoint, values, environ)


def _provider(mount: CloudBucketMount, endpoint: str | None) -> Provider:
    if mount.provider is not None:
        return "aws" if mount.provider == "s3" else mount.provider
    if endpoint is None:
        return "aws"
    return of_host(urlsplit(endpoint).hostname or "")


def _ambient_endpoint(environ: Mapping[str, str]) -> str | None:
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := environ.get(name):
            checks.endpoint(name, url)
            return url
    return None


def _s3_options(
    mount: CloudBucketMount,
    provider: Provider,
    endpoint: str | None,
    values: SecretValues | None,
    environ: Mapping[str, str],
) -> StoreOptions:
    credentials: SecretCredentials | _GoogleEnvironment | None = None
    google = provider == "gcs"
    if values is not None and mount.secret is not None:
        values.credentials(google=google)
        credentials = SecretCredentials(mount.secret, values, google=google)
    elif google and not mount.anonymous and not mount.profile and environ.get("GOOGLE_ACCESS_KEY_ID"):
        credentials = _GoogleEnvironment(environ)
        credentials()
    token: WebIdentityToken | None = None
    if mount.oidc_auth_role_arn is not None:
        token = WebIdentityToken(environ)
        try:
            token()
        except Unauthenticated as error:
            raise ValueError(error.detail) from error
    secret_profile = mount.secret.profile if mount.secret is not None else None
    default_region = "auto" if provider in ("r2", "gcs") else None
    return StoreOptions(
        kind="s3",
        bucket=mount.bucket_name,
        provider=provider,
        endpoint_url=endpoint,
        region=mount.region or (values.region if values else None) or default_region,
        credentials=credentials,
        anonymous=mount.anonymous,
        profile=mount.profile or secret_profile,
        role_arn=mount.oidc_auth_role_arn,
        web_identity_token=token,
        requester_pays=mount.requester_pays,
        force_path_style=mount.force_path_style or needs_path_style(mount.bucket_name, endpoint, provider),
        expected_bucket_owner=mount.expected_bucket_owner,
        sse=mount.sse,
        sse_kms_key_id=mount.sse_kms_key_id,
        storage_class=mount.storage_class,
        upload_checksums=mount.upload_checksums,
        max_attempts=_attempts(mount, environ),
        connect_timeout=float(mount.connect_timeout),
        read_timeout=float(mount.read_timeout),
        ca_bundle=_ca_bundle(mount, environ),
        engine=mount.engine,
    )


def _google_options(mount: CloudBucketMount, endpoint: str | None, values: SecretValues | None) -> StoreOptions:
    if mount.secret is not None and (values is None or values.service_account is None):
        keys = "GOOGLE_ACCESS_KEY_ID and GOOGLE_ACCESS_KEY_SECRET, or SERVICE_ACCOUNT_JSON,"
        raise ValueError(f"secret: {keys} are missing in {mount.secret!r}")
    for name in ("profile", "oidc_auth_role_arn", "sse", "expected_bucket_owner"):
        if getattr(mount, name) is not None:
            raise ValueError(f"{name}: has no meaning for Google's own interface; give HMAC keys for its S3 interface")
    return StoreOptions(
        kind="gs",
        bucket=mount.bucket_name,
        provider="gcs",
        endpoint_url=endpoint if endpoint is None or "://" in endpoint else f"http://{endpoint}",
        service_account=values.service_account if values else None,
        anonymous=mount.anonymous,
        requester_pays=mount.requester_pays,
        storage_class=mount.storage_class,
        upload_checksums=mount.upload_checksums,
        max_attempts=_attempts(mount, os.environ),
        connect_timeout=float(mount.connect_timeout),
        read_timeout=float(mount.read_timeout),
        ca_bundle=_ca_bundle(mount, os.environ),
        engine=mount.engine,
    )


def _fsspec_options(mount: CloudBucketMount) -> StoreOptions:
    url, _, query = mount.bucket_name.partition("?")
    if mount.engine == "obstore":
        raise ValueError(f"engine: obstore cannot open {checks.redact(url)!r}; leave it at 'auto'")
    return StoreOptions(
        kind="fsspec",
        bucket=checks.redact(url),
        url=url,
        storage_options={name: _option(value) for name, value in parse_qsl(query, keep_blank_values=True)},
        anonymous=mount.anonymous,
        max_attempts=_attempts(mount, os.environ),
        connect_timeout=float(mount.connect_timeout),
        read_timeout=float(mount.read_timeout),
        engine="fsspec",
    )


def _option(value: str) -> object:
    """``true``, ``false`` and whole numbers as what they say; anything else, and anything in double quotes, as text."""
    if value in ("true", "True", "false", "False"):
        return value.lower() == "true"
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return int(value) if value.isascii() and value.isdigit() else value


def _attempts(mount: CloudBucketMount, environ: Mapping[str, str]) -> int:
    ambient = environ.get("AWS_MAX_ATTEMPTS")
    if mount.max_attempts != DEFAULT_ATTEMPTS or not ambient:
        return mount.max_attempts
    try:
        attempts = int(ambient)
    except ValueError:
        raise ValueError(f"AWS_MAX_ATTEMPTS: expected a whole number, not {ambient!r}") from None
    checks.integer("AWS_MAX_ATTEMPTS", attempts, 1)
    return attempts


def _ca_bundle(mount: CloudBucketMount, environ: Mapping[str, str]) -> str | None:
    if mount.ca_bundle is not None:
        return str(mount.ca_bundle)
    ambient = environ.get("AWS_CA_BUNDLE")
    return checks.existing_path("AWS_CA_BUNDLE", ambient) if ambient else None
