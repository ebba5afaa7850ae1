"""What the s3fs store sends for its options, and what it makes of servers that misbehave."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.loaders import JSONFileLoader

from tests.servers import Server, s3_options
from tests.store.scripted import OBJECT, Answer, Asked, Scripted, error, serve
from vfsmount.errors import AlreadyExists, Corrupt, PermissionDenied, StoreError, Unauthenticated, Unavailable
from vfsmount.store.options import Credentials, StoreOptions
from vfsmount.store.protocol import PutAttributes
from vfsmount.store.s3fs_multipart import copy_in_parts
from vfsmount.store.s3fs_store import S3fsStore
from vfsmount.testing.keys import KEYS

KEYS_GIVEN = Credentials("AKID", "SECRET")


def opened(server: Scripted, **changes: object) -> S3fsStore:
    fields: dict[str, object] = {
        "kind": "s3",
        "bucket": "bucket",
        "endpoint_url": server.url,
        "region": "eu-north-1",
        "credentials": lambda: KEYS_GIVEN,
        "force_path_style": True,
        "max_attempts": 3,
        "read_timeout": 5.0,
    }
    return S3fsStore(StoreOptions(**(fields | changes)))  # type: ignore[arg-type]


@pytest.fixture
def asking() -> Iterator[Callable[..., tuple[Scripted, S3fsStore]]]:
    """Starts a scripted server and a store on it; both end with the test."""
    open_now: list[tuple[object, S3fsStore]] = []

    def start(answer: Callable[[Asked], Answer], **changes: object) -> tuple[Scripted, S3fsStore]:
        context = serve(answer)
        server = context.__enter__()
        store = opened(server, **changes)
        open_now.append((context, store))
        return server, store

    yield start
    for context, store in open_now:
        store.close()
        context.__exit__(None, None, None)  # type: ignore[attr-defined]


Start = Callable[..., tuple[Scripted, S3fsStore]]


def ok(asked: Asked) -> Answer:
    return Answer(200, dict(OBJECT))


def test_options_are_sent(asking: Start) -> None:
    server, store = asking(
        ok,
        requester_pays=True,
        expected_bucket_owner="123456789012",
        sse="aws:kms",
        sse_kms_key_id="key-id",
        storage_class="STANDARD_IA",
    )
    store.put("k", b"body", attributes=PutAttributes("text/css", {"colour": "blue"}))
    store.head("k")
    put, head = server.asked
    for asked in (put, head):
        assert asked.headers["x-amz-request-payer"] == "requester"
        assert asked.headers["x-amz-expected-bucket-owner"] == "123456789012"
        assert "/eu-north-1/s3/" in asked.headers["authorization"]
        assert "Credential=AKID/" in asked.headers["authorization"]
        assert asked.path.startswith("/bucket/k")
    assert put.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert put.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-id"
    assert put.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert put.headers["content-type"] == "text/css"
    assert put.headers["x-amz-meta-colour"] == "blue"
    assert "x-amz-server-side-encryption" not in head.headers


@pytest.mark.parametrize(
    ("provider", "upload_checksums", "expected"),
    [
        ("other", "auto", set()),
        ("r2", "auto", set()),
        ("aws", "off", set()),
        ("aws", "auto", {"x-amz-checksum-crc32"}),
        ("other", "sha256", {"x-amz-checksum-sha256"}),
        ("other", "crc32c", {"x-amz-checksum-crc32c"}),
    ],
)
def test_upload_checksums(asking: Start, provider: str, upload_checksums: str, expected: set[str]) -> None:
    server, store = asking(ok, provider=provider, upload_checksums=upload_checksums)
    store.put("k", b"body")
    sent = {name for name in server.asked[0].headers if name.startswith("x-amz-checksum-")}
    # With the extra library for CRC64 installed botocore takes that one unasked.
    assert sent == expected or (upload_checksums == "auto" and provider == "aws" and len(sent) == 1)


def test_anonymous_requests_are_not_signed(asking: Start) -> None:
    server, store = asking(ok, credentials=None, anonymous=True)
    store.head("k")
    assert "authorization" not in server.asked[0].headers


def test_no_credentials_anywhere_means_unsigned(asking: Start) -> None:
    server, store = asking(ok, credentials=None)
    store.head("k")
    assert "authorization" not in server.asked[0].headers


def test_session_token_is_sent(asking: Start) -> None:
    server, store = asking(ok, credentials=lambda: Credentials("A", "S", "TOKEN"))
    store.head("k")
    assert server.asked[0].headers["x-amz-security-token"] == "TOKEN"


def test_credentials_are_asked_once_while_they_live(asking: Start) -> None:
    asked: list[float] = []

    def ask() -> Credentials:
        asked.append(time.time())
        return Credentials("A", "S", "T", expires_at=time.time() + 3600)

    _, store = asking(ok, credentials=ask)
    store.head("k")
    store.head("k")
    assert len(asked) == 1


def test_dying_credentials_are_asked_for_again(asking: Start) -> None:
    serial = iter("123456")
    server, store = asking(
        ok, credentials=lambda: Credentials("A", "S", f"T{next(serial)}", expires_at=time.time() + 10)
    )
    store.head("k")
    store.head("k")
    assert [asked.headers["x-amz-security-token"] for asked in server.asked] == ["T1", "T2"]


def test_an_expired_token_is_renewed_once(asking: Start) -> None:
    tokens = iter(["OLD", "NEW"])

    def answer(asked: Asked) -> Answer:
        if asked.headers["x-amz-security-token"] == "OLD":
            return error(400, "ExpiredToken")
        return Answer(206, {**OBJECT, "Content-Range": "bytes 0-3/4"}, b"data")

    server, store = asking(answer, credentials=lambda: Credentials("A", "S", next(tokens)))
    assert store.get_range("k", 0, 4).data == b"data"
    assert server.count("GET") == 2


def test_a_token_that_stays_expired_is_unauthenticated(asking: Start) -> None:
    def answer(asked: Asked) -> Answer:
        # A HEAD has no body that says why.
        if asked.method == "HEAD":
            return Answer(400)
        told = error(400, "ExpiredToken")
        return Answer(400, {**told.headers, "x-amz-request-id": "REQ1"}, told.body)

    _, store = asking(answer, credentials=lambda: Credentials("A", "S", "T"))
    with pytest.raises(Unauthenticated) as caught:
        store.head("k")
    assert caught.value.code == "ExpiredToken"
    assert caught.value.request_id == "REQ1"


def test_a_failing_source_of_credentials(asking: Start) -> None:
    def ask() -> Credentials:
        raise OSError("the token file is gone")

    server, store = asking(ok, credentials=ask)
    with pytest.raises(Unauthenticated, match="the token file is gone"):
        store.head("k")
    assert server.asked == []


def test_a_refusal_is_no_missing_key(asking: Start) -> None:
    _, store = asking(lambda asked: Answer(403))
    with pytest.raises(PermissionDenied):
        store.head("k")


@pytest.mark.slow
def test_server_errors_are_repeated(asking: Start) -> None:
    answers = iter([error(503, "SlowDown"), error(500, "InternalError"), Answer(200, dict(OBJECT))])
    server, store = asking(lambda asked: next(answers))
    assert store.put("k", b"x").etag == '"e"'
    assert server.count("PUT") == 3


@pytest.mark.slow
def test_server_errors_end(asking: Start) -> None:
    server, store = asking(lambda asked: error(503, "SlowDown"))
    with pytest.raises(Unavailable) as caught:
        store.put("k", b"x")
    assert (caught.value.code, server.count("PUT")) == ("SlowDown", 3)


def test_nobody_listens() -> None:
    with serve(ok) as server:
        store = opened(server, max_attempts=1)
    with pytest.raises(Unavailable):
        store.head("k")
    store.close()


PART = {**OBJECT, "Content-Range": "bytes 0-7/100"}


def test_a_body_cut_short_is_read_again_pinned(asking: Start) -> None:
    answers = iter([Answer(206, PART, b"12345678", truncate=True), Answer(206, PART, b"12345678")])
    server, store = asking(lambda asked: next(answers))
    result = store.get_range("k", 0, 8)
    assert (result.data, result.meta.size) == (b"12345678", 100)
    assert server.asked[1].headers["if-match"] == '"e"'


def test_a_body_always_cut_short(asking: Start) -> None:
    _, store = asking(lambda asked: Answer(206, PART, b"12345678", truncate=True))
    with pytest.raises((Corrupt, Unavailable)):
        store.get_range("k", 0, 8)


def test_a_body_of_another_range(asking: Start) -> None:
    _, store = asking(lambda asked: Answer(206, {**OBJECT, "Content-Range": "bytes 8-15/100"}, b"12345678"))
    with pytest.raises(Corrupt):
        store.get_range("k", 0, 8)


@pytest.mark.parametrize("content_range", [{}, {"Content-Range": "bytes 2-4/10"}])
def test_servers_that_answer_a_range_with_200(asking: Start, content_range: dict[str, str]) -> None:
    body = b"234" if content_range else b"0123456789"
    _, store = asking(lambda asked: Answer(200, {**OBJECT, **content_range}, body))
    result = store.get_range("k", 2, 5)
    assert (result.data, result.meta.size) == (b"234", 10)


@pytest.mark.slow
def test_a_lost_answer_does_not_look_like_a_conflict(asking: Start) -> None:
    tag = f'"{hashlib.md5(b"mine").hexdigest()}"'
    answers = iter(
        [error(500, "InternalError"), error(412, "PreconditionFailed"), Answer(200, {**OBJECT, "ETag": tag})]
    )
    server, store = asking(lambda asked: next(answers))
    assert store.put("k", b"mine", if_none_match=True).etag == tag
    assert [asked.method for asked in server.asked] == ["PUT", "PUT", "HEAD"]


@pytest.mark.slow
def test_a_real_conflict_after_a_repetition(asking: Start) -> None:
    answers = iter([error(500, "InternalError"), error(412, "PreconditionFailed"), Answer(200, dict(OBJECT))])
    _, store = asking(lambda asked: next(answers))
    with pytest.raises(AlreadyExists):
        store.put("k", b"mine", if_none_match=True)


@pytest.mark.parametrize("refusal", [error(501, "NotImplemented"), error(400, "MalformedXML")])
def test_a_server_without_delete_objects(asking: Start, refusal: Answer) -> None:
    server, store = asking(lambda asked: refusal if asked.method == "POST" else Answer(204))
    store.delete_many(["a", "b", "c"])
    assert sorted(asked.path for asked in server.asked if asked.method == "DELETE") == [
        "/bucket/a",
        "/bucket/b",
        "/bucket/c",
    ]


def test_a_key_that_cannot_be_deleted(asking: Start) -> None:
    body = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    _, store = asking(lambda asked: Answer(200, {"Content-Type": "application/xml"}, body))
    with pytest.raises(PermissionDenied) as caught:
        store.delete_many(["a", "b"])
    assert caught.value.key == "b"


def test_google_deletes_one_by_one(asking: Start) -> None:
    server, store = asking(lambda asked: Answer(204), provider="gcs")
    store.delete_many(["a", "b"])
    assert {asked.method for asked in server.asked} == {"DELETE"}


def test_the_wire_carries_every_key_verbatim(asking: Start) -> None:
    from urllib.parse import unquote

    server, store = asking(ok)
    for case in KEYS:
        store.head(case.key)
        assert unquote(server.asked[-1].path) == f"/bucket/{case.key}"


@pytest.mark.slow
def test_an_error_inside_a_200(asking: Start) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "POST" and "uploads" in asked.path:
            return Answer(
                200, {}, b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            )
        if asked.method == "POST":
            return Answer(200, {}, b"<Error><Code>InternalError</Code><Message>late</Message></Error>")
        return Answer(200, dict(OBJECT))

    _, store = asking(answer)
    upload = store.create_multipart("k")
    upload.put_part(1, b"x")
    with pytest.raises(StoreError):
        upload.complete()


@pytest.mark.servers
@pytest.mark.slow
def test_copy_in_parts(moto: Server, moto_bucket: str) -> None:
    store = S3fsStore(s3_options(moto, moto_bucket))
    content = bytes(range(256)) * 4096 * 11
    store.put("from", content, attributes=PutAttributes("image/png", {"colour": "blue"}))
    source = store.head("from")
    meta = store.request("copy", "from", lambda client: copy_in_parts(store, client, source, "to", part_size=5 << 20))
    assert moto.get(moto_bucket, "to") == content
    assert (meta.size, meta.etag) == (len(content), store.head("to").etag)
    told = moto.attributes(moto_bucket, "to")
    assert (told["ContentType"], told["Metadata"]) == ("image/png", {"colour": "blue"})
    store.close()


@pytest.mark.slow
def test_what_s3_is_is_read_once_for_all_clients(
    asking: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []
    original = JSONFileLoader.load_file

    def reading(self: JSONFileLoader, path: str) -> object:
        read.append(path)
        return original(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", reading)
    asking(ok)[1].head("key")
    read.clear()
    asking(ok)[1].head("key")
    assert read == []
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))  # there, somebody may describe services differently
    asking(ok)[1].head("key")
    assert any("s3" in path for path in read)
