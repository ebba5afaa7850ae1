"""obstore's clients, built from the store's options; one pair for each process.

Explicit keys always go in through a credential provider: obstore's constructors read the environment too, and would
join an ``AWS_SESSION_TOKEN`` found there to a configured key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from vfsmount import real
from vfsmount.errors import Unavailable
from vfsmount.store import after_fork, credentials, region
from vfsmount.store.options import StoreOptions

WRITE_TIMEOUT: Final = timedelta(minutes=15)
"""For a whole request that sends a body: the read timeout would count from the first byte sent."""
READ_CEILING: Final = timedelta(hours=1)
"""For a whole request that receives one; a stall is the read timeout's business."""
_CHECKSUMS: Final = {"auto": None, "off": None, "none": None, "sha256": "SHA256", "crc64nvme": "CRC64NVME"}


class Client:
    """What one process talks through: ``reader`` for answers with a body, ``writer`` for requests with one."""

    __slots__ = ("api", "failures", "pid", "reader", "region", "signed", "writer")

    def __init__(self, loaded: after_fork.Obstore, reader: Any, writer: Any, place: str, *, signed: bool) -> None:
        self.pid = loaded.pid
        self.api = loaded.api
        self.failures = loaded.failures
        self.reader = reader
        self.writer = writer
        self.region = place
        self.signed = signed


def unsupported(options: StoreOptions) -> str | None:
    """The option that obstore cannot honour, so that this mount must go by fsspec; None where it can all."""
    if options.kind not in ("s3", "gs"):
        return f"kind={options.kind}"
    if options.kind == "s3":
        if options.upload_checksums.lower() not in _CHECKSUMS:
            return f"upload_checksums={options.upload_checksums}"
        return None
    if options.requester_pays:
        return "requester_pays on gs"  # needs userProject
    if options.sse is not None or options.sse_kms_key_id is not None:
        return "sse on gs"
    return None


def build(options: StoreOptions, place: str | None = None) -> Client:
    """A client for this process; costs a request only where the region must be discovered."""
    loaded = after_fork.load()
    with real.passthrough():
        if options.kind == "gs":
            return _gs(loaded, options)
        return _s3(loaded, options, place or region.resolve(options))


def _retry(options: StoreOptions) -> dict[str, Any]:
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2}
    return {"max_retries": max(options.max_attempts - 1, 0), "backoff": backoff}


def _http(options: StoreOptions, *, writes: bool) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=options.connect_timeout),
        "timeout": WRITE_TIMEOUT if writes else READ_CEILING,
        "user_agent": "vfsmount",
    }
    if not writes:
        chosen["read_timeout"] = timedelta(seconds=options.read_timeout)
    url = region.endpoint(options)
    if url is not None and url.startswith("http:"):
        chosen["allow_http"] = True
    if options.expected_bucket_owner is not None:
        chosen["default_headers"] = {"x-amz-expected-bucket-owner": options.expected_bucket_owner}
    if options.ca_bundle is not None:
        try:
            with real.FileIO(options.ca_bundle) as file:
                chosen["root_certificate"] = file.readall()
        except OSError as error:
            raise Unavailable(f"ca_bundle: {error}", operation="open", bucket=options.bucket) from None
    return chosen


def _provider(ask: credentials.Source) -> Callable[[], dict[str, Any]]:
    def provide() -> dict[str, Any]:
        keys = ask()
        expires = None if keys.expires_at is None else datetime.fromtimestamp(keys.expires_at, timezone.utc)
        return {
            "access_key_id": keys.access_key_id,
            "secret_access_key": keys.secret_access_key,
            "token": keys.session_token,
            "expires_at": expires,
        }

    return provide


def _s3(loaded: after_fork.Obstore, options: StoreOptions, place: str) -> Client:
    config: dict[str, Any] = {"region": place, "conditional_put": "etag"}
    url = region.endpoint(options)
    # A dot in the bucket's name breaks the wildcard of AWS's certificate.
    virtual = url is None and not options.force_path_style and "." not in options.bucket
    if url is None and place.startswith("cn-"):
        host = f"s3.{place}.amazonaws.com.cn"
        url = f"https://{options.bucket}.{host}" if virtual else f"https://{host}"
    config["virtual_hosted_style_request"] = virtual
    if url is not None:
        config["endpoint"] = url
    if options.requester_pays:
        config["request_payer"] = True
    if options.sse is not None or options.sse_kms_key_id is not None:
        config["server_side_encryption"] = options.sse or "aws:kms"
    if options.sse_kms_key_id is not None:
        config["sse_kms_key_id"] = options.sse_kms_key_id
    checksum = _CHECKSUMS.get(options.upload_checksums.lower())
    if checksum is not None:
        config["checksum_algorithm"] = checksum
    if options.provider == "gcs":
        config["disable_bulk_delete"] = True  # Google's S3 interface has no DeleteObjects
    if options.provider == "r2":
        config["copy_if_not_exists"] = "header:cf-copy-destination-if-none-match:*"
    keys = credentials.resolve(options)
    signed = not options.anonymous and (keys is not None or credentials.has_metadata_service(options))
    config["skip_signature"] = not signed
    provider = _provider(keys) if keys is not None else None
    make = loaded.api._store.S3Store

    def store(*, writes: bool) -> Any:
        # DeleteObjects is a POST that some servers lack; a single DELETE all have.
        bulk = {"disable_bulk_delete": True} if writes else {}
        return make(
            options.bucket,
            config={**config, **bulk},
            client_options=_http(options, writes=writes),
            retry_config=_retry(options),
            credential_provider=provider,
        )

    return Client(loaded, store(writes=False), store(writes=True), place, signed=signed)


def _gs(loaded: after_fork.Obstore, options: StoreOptions) -> Client:
    config: dict[str, Any] = {}
    if options.endpoint_url is not None:
        config["base_url"] = options.endpoint_url.rstrip("/")
    provider: Callable[[], dict[str, Any]] | None = None
    if options.anonymous:
        # skip_signature alone still asks for a token before a put; an empty one is never sent with skip_signature.
        config["skip_signature"] = True
        provider = _no_token
    elif options.service_account is not None:
        text = options.service_account.lstrip()
        config["service_account_key" if text.startswith("{") else "service_account"] = options.service_account
    elif os.environ.get("STORAGE_EMULATOR_HOST") and options.endpoint_url is not None:
        provider = _no_token
    make = loaded.api._store.GCSStore

    def store(*, writes: bool) -> Any:
        return make(
            options.bucket,
            config=config,
            client_options=_http(options, writes=writes),
            retry_config=_retry(options),
            credential_provider=provider,
        )

    return Client(loaded, store(writes=False), store(writes=True), "auto", signed=not options.anonymous)


def _no_token() -> dict[str, Any]:
    return {"token": "", "expires_at": None}
