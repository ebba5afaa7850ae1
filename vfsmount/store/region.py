"""Where a bucket is, from the bucket's own answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.store.options import StoreOptions

if TYPE_CHECKING:
    import http.client

# http.client and ssl are imported where a request of our own is made: they take longer than the rest of opening.

DEFAULT_REGION: Final = "us-east-1"
"""Signs for servers that do not care; what S3 assumes where nobody says."""
_FIXED: Final = {"r2": "auto", "gcs": "auto", "other": DEFAULT_REGION}


def configured(options: StoreOptions) -> str | None:
    """The region that the configuration or the environment names; None where neither does."""
    if options.region:
        return options.region
    if options.provider in ("r2", "gcs"):
        return "auto"
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def resolve(options: StoreOptions) -> str:
    """The region to sign for; asks the bucket (one unsigned request) only for AWS with no region configured."""
    known = configured(options)
    if known is not None:
        return known
    if options.provider != "aws":
        return _FIXED[options.provider]
    return discover(options) or DEFAULT_REGION


def endpoint(options: StoreOptions) -> str | None:
    """The endpoint's URL with no slash at its end; for AWS the environment may name one. None: AWS's own."""
    url = options.endpoint_url
    if url is None and options.kind == "s3" and options.provider in ("aws", "other"):
        url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return url.rstrip("/") if url else None


def discover(options: StoreOptions) -> str | None:
    """The ``x-amz-bucket-region`` of an unsigned HEAD on the bucket; None where there is no such answer.

    One request; S3 says the region even when it refuses the request (301, 403). Source: S3 HeadBucket.
    """
    import http.client
    from urllib.parse import quote, urlsplit

    url = urlsplit(endpoint(options) or "https://s3.amazonaws.com")
    try:
        connection = connect(url.scheme, url.hostname or "", url.port, options)
        try:
            connection.request("HEAD", f"{url.path}/{quote(options.bucket)}", headers={"User-Agent": "vfsmount"})
            return connection.getresponse().getheader("x-amz-bucket-region")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None


def connect(scheme: str, host: str, port: int | None, options: StoreOptions) -> http.client.HTTPConnection:
    """An unconnected HTTP(S) connection that trusts what the store trusts."""
    import http.client
    import ssl

    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=options.connect_timeout)
    with real.passthrough():
        context = ssl.create_default_context()
        if options.ca_bundle is not None:
            context.load_verify_locations(options.ca_bundle)
    return http.client.HTTPSConnection(host, port, timeout=options.connect_timeout, context=context)
