"""Uploads in parts, and flat listings, on plain connections, and what happens where these will not do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.servers import Server, s3_options
from tests.store.scripted import Answer, Asked, error, listing, serve
from tests.store.test_obstore_store import scripted_options
from vfsmount.errors import NotFound, StoreError, Unavailable
from vfsmount.store import s3_direct
from vfsmount.store.factory import open_store
from vfsmount.store.options import Credentials, StoreOptions
from vfsmount.store.protocol import PutAttributes, Store
from vfsmount.store.s3_direct import DirectRequests, sign
from vfsmount.store.s3fs_client import S3Client

MIB = 1 << 20
KEYS = ["k", "a b/c+d", "ünï/€~", "q?x=1&y#z%41", "a//b", "'\"<>;:@$,=!*()[]{}|^`\\", "\x01\t"]


def absent(*_: object) -> None:
    raise AssertionError("the other client was asked")


@pytest.fixture
def opened() -> Iterator[Callable[[StoreOptions], Store]]:
    stores: list[Store] = []

    def open_(options: StoreOptions) -> Store:
        stores.append(open_store(options))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


# -- the signature


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, "to/ken=="])
def test_signs_as_botocore_does(key: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime
    from urllib.parse import quote

    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    target = f"/bucket/{quote(key, safe='/-_.~')}"
    query = s3_direct.canonical_query({"uploadId": "x/y+z=", "partNumber": "7"})
    digest = "ab" * 32
    headers = {"host": "example.com:8333", "content-type": "text/plain;  charset=utf-8"}
    ours = sign(Credentials("AK", "SK", token), "eu-west-1", "PUT", target, query, headers, digest, moment.timestamp())

    request = AWSRequest("PUT", f"http://example.com:8333{target}?{query}", headers={**headers})
    request.headers["X-Amz-Content-SHA256"] = digest
    request.context["payload_signing_enabled"] = True
    auth = botocore.auth.S3SigV4Auth(Theirs("AK", "SK", token), "s3", "eu-west-1")
    monkeypatch.setattr(auth, "payload", lambda _: digest)
    if hasattr(botocore.auth, "get_current_datetime"):
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment.replace(tzinfo=None))
    else:

        class Frozen(datetime.datetime):
            @classmethod
            def utcnow(cls) -> datetime.datetime:
                return moment.replace(tzinfo=None)

        monkeypatch.setattr(botocore.auth.datetime, "datetime", Frozen)
    auth.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


# -- real servers


@pytest.mark.servers
@pytest.mark.parametrize("key", ["k", "a b/c+d%41~", "ünï/€.bin"])
def test_a_server_that_checks_signatures_takes_it(
    weed: Server, weed_bucket: str, opened: Callable[[StoreOptions], Store], key: str
) -> None:
    store = opened(s3_options(weed, weed_bucket))
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"end"]
    upload = store.create_multipart(key, attributes=PutAttributes(content_type="text/x-test"))
    for number, data in reversed(list(enumerate(parts, 1))):
        upload.put_part(number, memoryview(data))
    meta = upload.complete()
    assert weed.get(weed_bucket, key) == b"".join(parts)
    told = weed.attributes(weed_bucket, key)
    assert (told["ETag"], told["ContentLength"], told["ContentType"]) == (meta.etag, meta.size, "text/x-test")


@pytest.mark.slow
def test_a_large_write_loads_no_other_client(moto: Server, moto_bucket: str) -> None:
    """The point of it: half a second and fifty megabytes."""
    code = (
        "import sys, vfsmount\n"
        "secret = vfsmount.Secret.from_dict({'AWS_ACCESS_KEY_ID': 'AK', 'AWS_SECRET_ACCESS_KEY': 'SK'})\n"
        "mount = vfsmount.CloudBucketMount(sys.argv[2], sys.argv[1], secret=secret, force_path_style=True)\n"
        "with vfsmount.activate({sys.argv[3] + '/m': mount}):\n"
        "    with open(sys.argv[3] + '/m/large', 'wb') as file:\n"
        "        file.write(bytes(20 << 20))\n"
        "print([name for name in ('s3fs', 'aiohttp', 'botocore') if name in sys.modules])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, moto.endpoint_url, moto_bucket, os.getcwd() + "/absent"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stdout.strip() == "[]", finished.stderr
    assert moto.attributes(moto_bucket, "large")["ContentLength"] == 20 * MIB


def test_an_abort_leaves_no_parts(moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store]) -> None:
    upload = opened(s3_options(moto, moto_bucket)).create_multipart("k")
    upload.put_part(1, b"x")
    assert moto.uploads(moto_bucket) == ["k"]
    upload.abort()
    assert moto.uploads(moto_bucket) == []
    upload.abort()
    with pytest.raises(NotFound):
        upload.put_part(2, b"y")


# -- a scripted server: what one attempt does not achieve is left to the other client


class Service:
    """An S3 service with one upload; ``trouble`` says what to answer instead, to the nth request of a kind."""

    def __init__(self, trouble: dict[tuple[str, int], Answer]) -> None:
        self.trouble = trouble
        self.counts: dict[str, int] = {}
        self.parts: dict[int, bytes] = {}
        self.done = False

    def __call__(self, asked: Asked) -> Answer:
        kind = self.kind(asked)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        instead = self.trouble.get((kind, self.counts[kind]))
        if instead is not None and not instead.truncate:
            return instead
        told = self.answer(kind, asked)
        return replace(told, truncate=True) if instead is not None else told

    @staticmethod
    def kind(asked: Asked) -> str:
        if "uploads" in asked.path:
            return "create"
        if "partNumber" in asked.path:
            return "part"
        return {"POST": "complete", "DELETE": "abort"}.get(asked.method, asked.method)

    def answer(self, kind: str, asked: Asked) -> Answer:
        xml = {"Content-Type": "application/xml"}
        if kind == "create":
            told = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return Answer(200, xml, told.encode())
        if kind == "part":
            number = re.search(r"partNumber=(\d+)", asked.path)
            assert number is not None
            self.parts[int(number[1])] = asked.body
            return Answer(200, {"ETag": f'"{number[1] * 32}"'})
        if kind == "complete":
            if self.done:
                return error(404, "NoSuchUpload")
            self.done = True
            told = "<CompleteMultipartUploadResult><ETag>&quot;tag-2&quot;</ETag></CompleteMultipartUploadResult>"
            return Answer(200, xml, told.encode())
        if kind == "HEAD":
            from vfsmount.store.s3fs_multipart import multipart_etag

            parts = [{"ETag": f'"{str(number) * 32}"'} for number in sorted(self.parts)]
            modified = "Fri, 02 Jan 2026 03:04:05 GMT"
            return Answer(200, {"ETag": multipart_etag(parts), "Last-Modified": modified, "Content-Length": "0"})
        return Answer(204)


def upload_through(service: Service, opened: Callable[[StoreOptions], Store], **changes: object) -> str | None:
    """Two parts; returns the ETag of what was published."""
    with serve(service) as server:
        store = opened(scripted_options(server.url, **changes))
        upload = store.create_multipart("k")
        upload.put_part(1, b"one")
        upload.put_part(2, b"two")
        etag = upload.complete().etag
        store.close()
    assert service.parts == {1: b"one", 2: b"two"}
    assert service.done
    return etag


def test_four_requests_where_nothing_is_wrong(opened: Callable[[StoreOptions], Store]) -> None:
    service = Service({})
    assert upload_through(service, opened) == '"tag-2"'
    assert service.counts == {"create": 1, "part": 2, "complete": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("create", error(503, "SlowDown")),
        ("part", error(500, "InternalError")),
        ("part", error(403, "ExpiredToken")),
        ("complete", error(503, "SlowDown")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.status,
)
def test_what_fails_once_is_repeated_by_the_other_client(
    opened: Callable[[StoreOptions], Store], kind: str, answer: Answer
) -> None:
    service = Service({(kind, 1): answer})
    assert upload_through(service, opened) == '"tag-2"'
    assert service.counts == {"create": 1, "part": 2, "complete": 1} | {kind: 3 if kind == "part" else 2}


@pytest.mark.slow
def test_a_complete_that_says_200_and_an_error_is_no_success(opened: Callable[[StoreOptions], Store]) -> None:
    service = Service({("complete", 1): replace(error(200, "InternalError"))})
    assert upload_through(service, opened) == '"tag-2"'
    assert service.counts["complete"] == 2


@pytest.mark.slow
def test_a_complete_whose_answer_is_lost_is_found_done(opened: Callable[[StoreOptions], Store]) -> None:
    """The repetition hears NoSuchUpload; the object that is there has the ETag of our parts."""
    service = Service({("complete", 1): Answer(truncate=True)})
    etag = upload_through(service, opened)
    assert etag is not None
    assert etag.endswith('-2"')
    assert service.counts["complete"] == 2
    assert service.counts["HEAD"] == 1


def test_a_lost_answer_to_a_part_is_asked_for_again(opened: Callable[[StoreOptions], Store]) -> None:
    service = Service({("part", 1): Answer(truncate=True)})
    assert upload_through(service, opened) == '"tag-2"'
    assert service.counts["part"] in (2, 3)  # the headers, with the tag, may be all there


@pytest.mark.slow
def test_what_stays_wrong_is_told_by_the_other_client(opened: Callable[[StoreOptions], Store]) -> None:
    service = Service({("part", number): error(403, "AccessDenied") for number in range(1, 9)})
    with serve(service) as server:
        store = opened(scripted_options(server.url))
        upload = store.create_multipart("k")
        with pytest.raises(StoreError) as caught:
            upload.put_part(1, b"one")
        assert (caught.value.code, caught.value.operation, caught.value.key) == ("AccessDenied", "upload_part", "k")


# -- flat listings

LISTING = b"<ListBucketResult xmlns='x'><EncodingType>url</EncodingType>%s</ListBucketResult>"
HOSTILE = [
    "d/full/",
    "d/empty/",
    "d/plain",
    "d/a+b %41&c",
    "d/ünï€",
    "d/tab\t\x01",
    "d//x",
    "d/ lead",
    "/root",
    "d/<&>'",
]


@pytest.mark.slow
def test_a_flat_listing_is_exact_and_loads_no_other_client(
    moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in HOSTILE:
        moto.put(moto_bucket, key, b"" if "empty" in key else b"bytes")
    store = opened(s3_options(moto, moto_bucket))
    monkeypatch.setattr(S3Client, "run", absent)
    assert store.traits.flat_list
    listed = store.list_page("", delimiter=False)
    assert [meta.key for meta in listed.objects] == sorted(HOSTILE, key=str.encode)
    monkeypatch.undo()
    theirs = opened(s3_options(moto, moto_bucket, engine="fsspec")).list_page("", delimiter=False)
    assert listed == theirs
    below = store.list_page("d/", delimiter=False, start_after="d/empty/")
    assert [meta.key for meta in below.objects] == [meta.key for meta in theirs.objects if meta.key > "d/empty/"]


@pytest.mark.slow
def test_pages_follow_each_other(moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store]) -> None:
    keys = [f"d/{number:04}" for number in range(1003)]
    for key in keys:
        moto.put(moto_bucket, key, b"")
    store = opened(s3_options(moto, moto_bucket))
    first = store.list_page("d/", delimiter=False)
    second = store.list_page("d/", delimiter=False, token=first.token)
    assert (len(first.objects), second.token) == (1000, None)
    assert [meta.key for meta in first.objects + second.objects] == keys


@pytest.mark.servers
@pytest.mark.parametrize("changes", [{}, {"requester_pays": True}, {"sse": "AES256"}])
def test_a_server_that_checks_signatures_lists(
    weed: Server, weed_bucket: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    weed.put(weed_bucket, "a b/c+d%41~ü", b"12345")
    monkeypatch.setattr(S3Client, "run", absent)
    store = open_store(s3_options(weed, weed_bucket, **changes))
    (found,) = store.list_page("a b/", delimiter=False).objects
    assert (found.key, found.size, found.etag) == ("a b/c+d%41~ü", 5, weed.attributes(weed_bucket, found.key)["ETag"])
    store.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<html>",
        LISTING % b"<Contents><Key>k</Key></Contents>",
        LISTING % b"<IsTruncated>true</IsTruncated>",
        LISTING
        % b"<Contents><Key>%ff</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
    ],
)
def test_an_answer_that_is_not_plain_says_nothing(body: bytes) -> None:
    assert s3_direct.listed(s3_direct.Answer(200, {}, body)) is None


def test_what_a_listing_refuses_is_told_by_the_other_client(opened: Callable[[StoreOptions], Store]) -> None:
    with serve(lambda asked: error(403, "AccessDenied")) as server:
        with pytest.raises(StoreError) as caught:
            opened(scripted_options(server.url)).list_page("d/", delimiter=False)
    assert (caught.value.code, caught.value.operation) == ("AccessDenied", "list_objects_v2")
    assert server.asked[0].headers["authorization"]
    assert "prefix=d%2F" in server.asked[0].path


def test_an_anonymous_listing_is_not_signed(opened: Callable[[StoreOptions], Store]) -> None:
    with serve(lambda asked: Answer(200, {}, LISTING % b"")) as server:
        store = opened(scripted_options(server.url, anonymous=True, credentials=None))
        assert store.list_page("d/", delimiter=False).objects == ()
    (asked,) = server.asked
    assert "authorization" not in asked.headers


# -- when it is not used


@pytest.mark.parametrize(
    "changes",
    [
        {"sse": "aws:kms"},
        {"storage_class": "STANDARD_IA"},
        {"requester_pays": True},
        {"expected_bucket_owner": "1"},
        {"upload_checksums": "sha256"},
        {"anonymous": True},
        {"credentials": None},
        {"endpoint_url": "https://s3.dualstack.eu-west-1.amazonaws.com"},
        {"endpoint_url": None, "provider": "aws", "bucket": "with.dot", "region": "eu-west-1"},
        {"endpoint_url": None, "provider": "aws", "region": None},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_more_than_plain_requests_goes_by_the_other_client(changes: dict[str, object]) -> None:
    options = scripted_options("http://127.0.0.1:1")
    assert s3_direct.fits(options)
    assert not s3_direct.fits(replace(options, **changes))


def test_who_lists_need_not_be_able_to_upload() -> None:
    options = scripted_options("http://127.0.0.1:1", sse="aws:kms", requester_pays=True)
    assert s3_direct.can_list(options)
    assert not s3_direct.fits(options)
    assert not s3_direct.can_list(replace(options, credentials=None))


def test_a_proxy_is_left_to_the_other_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert not s3_direct.fits(scripted_options("http://store.example:1"))
    monkeypatch.setenv("no_proxy", "store.example")
    assert s3_direct.fits(scripted_options("http://store.example:1"))


def test_amazon_is_asked_at_the_bucket_s_own_host() -> None:
    options = replace(scripted_options("http://x"), endpoint_url=None, provider="aws", region="eu-west-1")
    direct = DirectRequests(options)
    assert direct._host == f"{options.bucket}.s3.eu-west-1.amazonaws.com"
    assert direct._root == ""


def test_credentials_are_asked_for_again_before_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([Credentials("A1", "s", expires_at=1000.0), Credentials("A2", "s", expires_at=2000.0)])
    direct = DirectRequests(replace(scripted_options("http://127.0.0.1:1"), credentials=lambda: next(given)))
    now = [900.0]
    monkeypatch.setattr(s3_direct.time, "time", lambda: now[0])
    assert [direct._current_credentials().access_key_id for _ in range(2)] == ["A1", "A1"]
    now[0] = 941.0
    assert direct._current_credentials().access_key_id == "A2"


def test_ctrl_c_in_a_request_leaves_its_connection_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(asked: Asked) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(200)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with serve(interrupted) as server:
            direct = DirectRequests(scripted_options(server.url))
            with pytest.raises(KeyboardInterrupt):
                direct.put_part("k", "u", 1, b"x" * MIB)
            assert direct._idle == []
    finally:
        signal.signal(signal.SIGINT, before)


def test_amazon_behind_a_proxy_or_in_china_is_left_to_the_other_client(monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(scripted_options("http://x"), endpoint_url=None, provider="aws", region="eu-west-1")
    assert s3_direct.fits(options)
    assert not s3_direct.fits(replace(options, region="cn-north-1"))  # another top domain
    for name in ("https_proxy", "all_proxy"):
        with monkeypatch.context() as proxied:
            proxied.setenv(name, "http://127.0.0.1:9")
            assert not s3_direct.fits(options)
            proxied.setenv("no_proxy", ".amazonaws.com")
            assert s3_direct.fits(options)


@pytest.mark.parametrize("key", ["\udc80", "d\udcff/"])
def test_what_is_no_text_is_left_to_the_other_client(key: str) -> None:
    direct = DirectRequests(scripted_options("http://127.0.0.1:1"))
    assert direct.list_page(key, token=None, start_after=None, limit=1) is None
    assert direct.create(key, None) is None


def test_credentials_that_nobody_gives_are_left_to_the_other_client() -> None:
    def refused() -> Credentials:
        raise Unavailable("no answer from STS", operation="assume role")

    direct = DirectRequests(replace(scripted_options("http://127.0.0.1:1"), credentials=refused))
    assert direct.list_page("", token=None, start_after=None, limit=1) is None


@pytest.mark.parametrize("status", [400, 401, 403])
def test_credentials_that_the_service_refuses_are_asked_for_again(status: int) -> None:
    given = iter(["OLD", "NEW"])

    def answer(asked: Asked) -> Answer:
        return error(status, "ExpiredToken") if "OLD/" in str(asked.headers) else listing("a")

    with serve(answer) as server:
        source = replace(scripted_options(server.url), credentials=lambda: Credentials(next(given), "s"))
        direct = DirectRequests(source)
        pages = [direct.list_page("", token=None, start_after=None, limit=1) for _ in range(3)]
        direct.close()
    assert [page and [meta.key for meta in page.objects] for page in pages] == [None, ["a"], ["a"]]
