"""Whether a bucket can be used, and if not, why and what to do.

    no such bucket | wrong region | bad or expired credentials | may not list | no route (name, refused, time-out, TLS)

One request where all is well; up to three more, and none that needs a permission, where it is not.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from vfsmount.errors import NotFound, PermissionDenied, StoreError, Unauthenticated, Unavailable
from vfsmount.store import region as regions
from vfsmount.store.obstore_errors import WRONG_REGION, region_in
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import Store
from vfsmount.store.reach import reach

# As in region.py: http.client (with the mail package) and ssl are imported where something is wrong.

_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")

_SECRETS: Final = {
    "InvalidAccessKeyId": "the service does not know this access key; check AWS_ACCESS_KEY_ID",
    "InvalidClientTokenId": "the service does not know this access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the temporary credentials have expired; get new ones",
    "ExpiredTokenException": "the temporary credentials have expired; get new ones",
    "TokenRefreshRequired": "the temporary credentials have expired; get new ones",
    "InvalidToken": "the session token is wrong or of another key; check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}


@dataclass(frozen=True, slots=True)
class Route:
    """Where the first connection goes."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def check(store: Store, options: StoreOptions, prefix: str) -> frozenset[str]:
    """Prove that ``prefix`` can be listed; one request where it can.

    A connection is tried first, because the clients repeat one that fails for a minute. Answers keys of which the
    request happened to show that nothing lies below them.
    Raises the StoreError of what is wrong, with a message that names the bucket, the endpoint, the cause and the cure.
    """
    route = route_of(options)
    if route is not None:
        _connect(route, options)
    try:
        return reach(store, prefix)
    except StoreError as error:
        raise diagnose(error, options, prefix, route) from error


def route_of(options: StoreOptions) -> Route | None:
    """The host that the requests go to; None where there is none, or where a proxy stands between."""
    if options.kind not in ("s3", "gs") or any(os.environ.get(name) for name in _PROXIES):
        return None
    url = regions.endpoint(options)
    if url is None and options.kind == "gs":
        url = "https://storage.googleapis.com"
    if url is None:
        place = regions.configured(options) or regions.DEFAULT_REGION
        url = f"https://s3.{place}.amazonaws.com" + (".cn" if place.startswith("cn-") else "")
    parts = urlsplit(url)
    return Route(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def diagnose(error: StoreError, options: StoreOptions, prefix: str, route: Route | None = None) -> StoreError:
    """``error`` said so that a person can act on it; asks the service at most two more things."""
    where = f"bucket {options.bucket!r}" + (f" at {route}" if route is not None else "")
    if isinstance(error, NotFound):
        cure = "check its name and the endpoint"
        if urlsplit(options.endpoint_url or "").path.strip("/") == options.bucket:
            cure = f"the endpoint must not end in /{options.bucket}: the bucket's name is put behind it"
        return _told(NotFound, error, options, f"{where}: there is no such bucket; {cure}")
    if error.code in WRONG_REGION or error.code == "400":
        return _wrong_region(error, options, where)
    if isinstance(error, Unauthenticated):
        cure = _SECRETS.get(error.code or "", "the credentials are missing, wrong or expired; check the mount's secret")
        return _told(Unauthenticated, error, options, f"{where}: {cure}")
    if isinstance(error, PermissionDenied):
        return _denied(error, options, prefix, where)
    if isinstance(error, Unavailable) and route is not None:
        _handshake(route, options, where)
        if route.scheme == "https" and options.ca_bundle is not None and options.engine != "fsspec":
            where += (
                " (Python trusts the server's certificate and obstore may not: one that is its own authority needs"
                " engine='fsspec')"
            )
    return _told(type(error), error, options, f"{where}: {error.detail or type(error).__name__}")


def _told(cls: type[StoreError], error: StoreError | None, options: StoreOptions, text: str) -> StoreError:
    code = error.code if error is not None else None
    request_id = error.request_id if error is not None else None
    return cls(text, operation="check", bucket=options.bucket, code=code, request_id=request_id)


def _wrong_region(error: StoreError, options: StoreOptions, where: str) -> StoreError:
    right = region_in(error) or regions.discover(options)
    used = options.region or regions.configured(options) or regions.DEFAULT_REGION
    if right is None:
        text = f"{where}: the service refuses the region {used!r} and tells no other; check the endpoint"
    elif right == used:
        text = f"{where}: {error.detail}"
    else:
        text = f"{where}: the region is {right!r}, not {used!r}; mount it with region={right!r}, or with none"
    return _told(type(error), error, options, text)


def _denied(error: StoreError, options: StoreOptions, prefix: str, where: str) -> StoreError:
    """403 on the listing, which some services say of a bucket that is not there; so the bucket itself is asked."""
    status = _head_bucket(options) if options.kind == "s3" else None
    if status == 404:
        return _told(NotFound, error, options, f"{where}: there is no such bucket; check its name and the endpoint")
    action = "storage.objects.list" if options.kind == "gs" else "s3:ListBucket"
    scope = f" for the prefix {prefix!r}" if prefix else ""
    if options.anonymous:
        text = f"{where}: it is not public; give the mount a secret"
    elif options.kind == "s3" and not _is_signed(options):
        text = f"{where}: it is not public, and no credentials were found; give the mount a secret, or see to the"
        text += " environment, profile or role that should have them"
    else:
        text = f"{where}: the credentials are good but may not list it; grant {action}{scope}"
        if not options.requester_pays:
            text += ", or set requester_pays if its requesters pay"
    return _told(PermissionDenied, error, options, text)


def _is_signed(options: StoreOptions) -> bool:
    from vfsmount.store import credentials

    return credentials.resolve(options) is not None or credentials.has_metadata_service(options)


def _head_bucket(options: StoreOptions) -> int | None:
    import http.client

    url = urlsplit(regions.endpoint(options) or "https://s3.amazonaws.com")
    try:
        connection = regions.connect(url.scheme, url.hostname or "", url.port, options)
        try:
            connection.request("HEAD", f"{url.path}/{options.bucket}", headers={"User-Agent": "vfsmount"})
            return connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None


def _connect(route: Route, options: StoreOptions) -> None:
    """A TCP connection and no more. Raises Unavailable that says what stands in the way."""
    where = f"bucket {options.bucket!r}: no route to {route}"
    try:
        socket.create_connection((route.host, route.port), timeout=options.connect_timeout).close()
    except socket.gaierror:
        text = (
            f"{where}: the name {route.host!r} cannot be resolved; check the endpoint's spelling and the network's DNS"
        )
        raise _told(Unavailable, None, options, text) from None
    except ConnectionRefusedError:
        text = f"{where}: the connection is refused; nothing listens on port {route.port}, check the endpoint"
        raise _told(Unavailable, None, options, text) from None
    except TimeoutError:
        text = (
            f"{where}: no answer within {options.connect_timeout:g} s; check the firewall, the proxy settings"
            " (HTTPS_PROXY) or the VPC endpoint"
        )
        raise _told(Unavailable, None, options, text) from None
    except OSError as error:
        raise _told(Unavailable, None, options, f"{where}: {error.strerror or error}") from None


def _handshake(route: Route, options: StoreOptions, where: str) -> None:
    """Connect and agree on TLS. Raises Unavailable that says why that fails."""
    _connect(route, options)
    if route.scheme != "https":
        return
    import ssl

    connection = regions.connect("https", route.host, route.port, options)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        cure = "set ca_bundle to the certificate of the authority that signed it"
        text = f"{where}: the server's TLS certificate is not trusted ({error.verify_message}); {cure}"
        raise _told(Unavailable, None, options, text) from None
    except ssl.SSLError as error:
        text = f"{where}: no TLS there ({error.reason or error}); an http:// endpoint?"
        raise _told(Unavailable, None, options, text) from None
    except OSError as error:
        raise _told(Unavailable, None, options, f"{where}: {error.strerror or error}") from None
    finally:
        connection.close()
