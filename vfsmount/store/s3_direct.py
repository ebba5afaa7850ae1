"""Multipart uploads and flat listings on plain connections: what comes in quantity costs next to nothing.

s3fs's client takes half a second to import, and moves every byte through one event loop; obstore does not tell the keys
of a flat listing exactly (see :mod:`.obstore_markers`). Five requests are simple to make. Each is tried once here;
whatever does not go as it should is left to s3fs's client, which repeats, renews, redirects and explains. So nothing
here raises, and nothing here need be clever.

Bodies are signed by their SHA-256, so that the service refuses what arrives otherwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from vfsmount import real
from vfsmount.errors import StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store import region as regions
from vfsmount.store.options import Credentials, StoreOptions
from vfsmount.store.protocol import PutAttributes
from vfsmount.store.s3_answers import quoted, storage_class
from vfsmount.store.s3_parameters import extra_parameters

if TYPE_CHECKING:
    import http.client

Body = bytes | bytearray | memoryview

SLICE: Final = 256 << 10
"""Bytes sent under one time-out: a socket's limits the whole of a ``sendall``, and a part may take minutes."""

IDLE_SECONDS: Final = 2.0
"""For which a connection is used again; servers close idle ones after five or more."""

MAX_IDLE: Final = 16
"""Connections kept."""

EXPIRY_MARGIN: Final = 60.0
"""Seconds before their end at which credentials are asked for again."""

MAX_ANSWER: Final = 8 << 20
"""Bytes of an answer that are read: a page of a listing, whose keys have 1,024 bytes, each of them percent-encoded."""

MAX_LIST: Final = 1000
"""Keys in one page. Source: S3, ListObjectsV2."""

_SAFE: Final = "-_.~"

_REFUSED: Final = frozenset({400, 401, 403})
"""Statuses of an answer that may be about the credentials: S3 says 400 to an expired token."""


class Answer(NamedTuple):
    """What a service said."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes


def fits(options: StoreOptions) -> bool:
    """True where nothing about ``options`` asks for more than plain signed requests, for uploads too."""
    return can_list(options) and not options.anonymous and not extra_parameters(options)


def can_list(options: StoreOptions) -> bool:
    """True where a listing needs no more than a plain request, signed or not."""
    if options.kind != "s3" or (options.credentials is None and not options.anonymous):
        return False
    url, region = regions.endpoint(options), options.region
    if url is not None:
        return not (urlsplit(url).hostname or "").endswith("amazonaws.com") and not _has_proxy(url)
    if options.provider != "aws" or "." in options.bucket or region is None or region.startswith("cn-"):
        return False  # China's endpoints are in another domain
    return not _has_proxy(_amazon(options.bucket, region))


def _amazon(bucket: str, region: str) -> str:
    return f"https://{bucket}.s3.{region}.amazonaws.com"


def _has_proxy(url: str) -> bool:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    return not {parts.scheme, "all"}.isdisjoint(getproxies()) and not proxy_bypass(parts.hostname or "")


def open_direct(options: StoreOptions) -> DirectRequests | None:
    """None where not even a listing would do; costs no request."""
    return DirectRequests(options) if can_list(options) else None


class DirectRequests:
    """Requests to the objects of one bucket. Thread-safe; a forked child makes its own connections."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._region = regions.resolve(options)
        url = regions.endpoint(options)
        style = ""
        if url is None:
            url = _amazon(options.bucket, self._region)
        else:
            style = f"/{quote(options.bucket, safe=_SAFE)}"
        parts = urlsplit(url)
        self._scheme, self._name, self._port = parts.scheme, parts.hostname or "", parts.port
        self._host = parts.netloc.rpartition("@")[2]
        self._root = f"{parts.path.rstrip('/')}{style}"
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._pid = real.getpid()

    # -- the verbs; None or False where it did not work out

    def create(self, key: str, attributes: PutAttributes | None) -> str | None:
        """Begin an upload and return its id."""
        headers: dict[str, str] = {}
        if attributes is not None:
            if attributes.metadata:
                return None
            if attributes.content_type is not None:
                headers["content-type"] = attributes.content_type
        answer = self._ask("POST", key, {"uploads": ""}, headers=headers)
        return _text(answer, "InitiateMultipartUploadResult", "UploadId")

    def put_part(self, key: str, upload: str, number: int, data: Body) -> str | None:
        """Send a part and return its ETag; a second time where the first connection was of no use."""
        digest = hashlib.sha256(data).hexdigest()
        for _ in range(2):
            query = {"partNumber": str(number), "uploadId": upload}
            answer = self._ask("PUT", key, query, data, digest=digest)
            if answer is not None:
                return answer.headers.get("etag") if answer.status == 200 else None
        return None

    def complete(self, key: str, upload: str, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Publish; the answer as botocore gives it. None leaves open whether it is done."""
        from xml.sax.saxutils import escape

        told = "".join(
            f"<Part><PartNumber>{part['PartNumber']}</PartNumber><ETag>{escape(part['ETag'])}</ETag></Part>"
            for part in parts
        )
        body = (
            f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{told}</CompleteMultipartUpload>'
        )
        answer = self._ask(
            "POST", key, {"uploadId": upload}, body.encode(), headers={"content-type": "application/xml"}
        )
        etag = _text(answer, "CompleteMultipartUploadResult", "ETag")
        if answer is None or etag is None:
            return None
        return {"ETag": etag, "ResponseMetadata": {"HTTPHeaders": {"date": answer.headers.get("date")}}}

    def abort(self, key: str, upload: str) -> bool:
        """Drop the parts."""
        answer = self._ask("DELETE", key, {"uploadId": upload})
        return answer is not None and answer.status == 204

    def list_page(self, prefix: str, *, token: str | None, start_after: str | None, limit: int) -> ListPage | None:
        """A page of all keys that start with ``prefix``, exactly as they are."""
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "max-keys": str(max(1, min(limit, MAX_LIST))),
            "prefix": prefix,
        }
        if token is not None:
            query["continuation-token"] = token
        elif start_after is not None:
            query["start-after"] = start_after
        headers = {}
        if self._options.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if self._options.expected_bucket_owner is not None:
            headers["x-amz-expected-bucket-owner"] = self._options.expected_bucket_owner
        return listed(self._ask("GET", "", query, headers=headers))

    def close(self) -> None:
        """Close the connections that nobody uses. May be called again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    # -- one request

    def _ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: Body = b"",
        *,
        headers: Mapping[str, str] | None = None,
        digest: str | None = None,
    ) -> Answer | None:
        import http.client

        sent = {"host": self._host, **(headers or {})}
        credentials = None
        try:
            target = f"{self._root}/{quote(key, safe='/' + _SAFE)}" if key else self._root or "/"
            path_query = canonical_query(query)
            if not self._options.anonymous:
                credentials = self._current_credentials()
                sent = sign(
                    credentials,
                    self._region,
                    method,
                    target,
                    path_query,
                    sent,
                    digest or hashlib.sha256(body).hexdigest(),
                    time.time(),
                )
            connection = self._connection()
        except (StoreError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError):
            return None  # whoever tries again will tell
        usable = False
        try:
            connection.putrequest(method, f"{target}?{path_query}", skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            view = memoryview(body)
            for start in range(0, len(body), SLICE):
                connection.send(view[start : start + SLICE])
            response = connection.getresponse()
            said = response.read(MAX_ANSWER)
            usable = response.isclosed() and not response.will_close
            if response.status in _REFUSED and self._credentials is credentials:
                self._credentials = None  # others may have been given since
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, said)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            if usable:
                self._keep(connection)
            else:  # after Ctrl-C too: an answer may still be coming
                connection.close()

    def _current_credentials(self) -> Credentials:
        current = self._credentials
        if current is None or (current.expires_at is not None and current.expires_at - EXPIRY_MARGIN <= time.time()):
            assert self._options.credentials is not None
            current = self._credentials = self._options.credentials()
        return current

    def _connection(self) -> http.client.HTTPConnection:
        if self._pid != real.getpid():  # the parent's connections are the parent's
            self._lock, self._idle, self._pid = threading.Lock(), [], real.getpid()
        now = time.monotonic()
        stale: list[http.client.HTTPConnection] = []
        found = None
        with self._lock:
            while self._idle and found is None:
                since, connection = self._idle.pop()
                if now - since <= IDLE_SECONDS:
                    found = connection
                else:
                    stale.append(connection)
        for connection in stale:
            connection.close()
        if found is None:
            with real.passthrough():
                found = regions.connect(self._scheme, self._name, self._port, self._options)
                found.connect()
            found.sock.settimeout(self._options.read_timeout)
        return found

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted and percent-encoded, as it is signed and as it is sent."""
    pairs = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def sign(
    credentials: Credentials,
    region: str,
    method: str,
    target: str,
    query: str,
    headers: Mapping[str, str],
    digest: str,
    now: float,
) -> dict[str, str]:
    """``headers`` and those that Signature Version 4 adds.

    ``target``: the path, percent-encoded; ``digest``: SHA-256 of the body in hexadecimal; ``now``: seconds since the
    epoch. Source: S3 API reference, "Authenticating Requests: Using the Authorization Header".
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    day = moment[:8]
    every = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    every |= {"x-amz-content-sha256": digest, "x-amz-date": moment}
    if credentials.session_token is not None:
        every["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(every))
    listed = "".join(f"{name}:{every[name]}\n" for name in sorted(every))
    request = f"{method}\n{target}\n{query}\n{listed}\n{names}\n{digest}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    secret = f"AWS4{credentials.secret_access_key}".encode()
    for word in (day, region, "s3", "aws4_request"):
        secret = hmac.digest(secret, word.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    every["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return every


def listed(answer: Answer | None) -> ListPage | None:
    """What a listing's answer says; None where it does not say it plainly."""
    if answer is None or answer.status != 200:
        return None
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(answer.body)
        space = root.tag.removesuffix("ListBucketResult")
        if space == root.tag:
            return None
        encoded = root.findtext(f"{space}EncodingType") == "url"
        names = ("Key", "Size", "LastModified", "ETag", "StorageClass")
        key_tag, size_tag, time_tag, etag_tag, class_tag = (space + name for name in names)
        times: dict[str, int] = {}
        objects = []
        for element in root.iterfind(f"{space}Contents"):
            told = {child.tag: child.text or "" for child in element}
            key, size, when = told[key_tag], told[size_tag], told[time_tag]
            if encoded and ("%" in key or "+" in key):
                key = unquote_plus(key, errors="strict")
            if when not in times:  # a second has many
                times[when] = _whole_second_ns(when)
            etag, kind = quoted(told.get(etag_tag)), storage_class(told.get(class_tag))
            objects.append(ObjectMeta(key, int(size), times[when], etag, kind))
        token = None
        if root.findtext(f"{space}IsTruncated") == "true":
            token = root.findtext(f"{space}NextContinuationToken")
            if not token:
                return None
    except (ElementTree.ParseError, LookupError, ValueError):
        return None
    return ListPage(tuple(objects), (), token)


def _whole_second_ns(text: str) -> int:
    """Nanoseconds since the epoch, cut to the second as a HEAD tells it."""
    return int(datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()) * 1_000_000_000


def _text(answer: Answer | None, root: str, name: str) -> str | None:
    """What the element ``name`` of a successful answer says. A failed complete may come with status 200."""
    if answer is None or answer.status != 200:
        return None
    from xml.etree import ElementTree

    with contextlib.suppress(ElementTree.ParseError):
        found = ElementTree.fromstring(answer.body)
        if found.tag.rpartition("}")[2] == root:
            for element in found:
                if element.tag.rpartition("}")[2] == name:
                    return element.text
    return None
