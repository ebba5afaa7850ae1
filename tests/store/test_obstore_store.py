"""The obstore adapter on a real server, and on answers that a real server gives seldom."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.servers import Server, s3_options
from tests.store.scripted import OBJECT, Answer, Asked, error, serve
from vfsmount.errors import AlreadyExists, Corrupt, InvalidKey, NotFound, NotSupported, PreconditionFailed, Unavailable
from vfsmount.store.obstore_store import ObstoreStore
from vfsmount.store.options import Credentials, StoreOptions
from vfsmount.store.protocol import PutAttributes, Store

VERBATIM = (
    "a%20b % 100% %2F %zz %25 %00 x#y x?y x*y ~x a\\b a\\\\ <> [a] {a} a|b a^b a`b a+b a=b&c a;b a:b a@b a,b a!b (a)"
    " a$b ... a..b .hidden ..../x x/%2e%2e/y é e\u0301 日本 \U0001f600"
).split(" ") + ["a b", " lead", "trail ", "a/ /b", " ", "'\"", "\ufeffx", "\u2028x", "\x85x", "k" * 1024]

REFUSED = (
    *("", "/", "//", "a//b", "/lead", "dir/", "./x", "x/./y", "x/.", ".", "..", "../x", "x/../y", "x/.."),
    *("a\tb", "a\nb", "a\x01b", "a\x7fb", "a\x00b", "\udcff"),
)


@pytest.fixture
def store(moto: Server, moto_bucket: str) -> ObstoreStore:
    return ObstoreStore(s3_options(moto, moto_bucket))


def scripted_options(url: str, **changes: object) -> StoreOptions:
    keys = Credentials("AK", "SK")
    fields: dict[str, object] = {"endpoint_url": url, "region": "us-east-1", "credentials": lambda: keys}
    return StoreOptions("s3", "bucket", **(fields | {"max_attempts": 2} | changes))  # type: ignore[arg-type]


def test_it_is_a_store(store: ObstoreStore) -> None:
    assert isinstance(store, Store)


@pytest.mark.parametrize("key", VERBATIM)
def test_key_goes_to_the_server_verbatim(store: ObstoreStore, moto: Server, key: str) -> None:
    store.put(key, b"data")
    assert moto.keys(store.bucket) == [key]
    assert store.head(key).key == key
    assert bytes(store.get_range(key, 0, 10).data) == b"data"
    assert [meta.key for meta in store.list_page("", delimiter=False).objects] == [key]
    assert store.copy(key, key + "2").key == key + "2" if len(key) < 1024 else True
    store.delete(key)
    assert key not in moto.keys(store.bucket)


@pytest.mark.parametrize("key", REFUSED)
def test_key_that_obstore_would_change_is_refused_before_any_request(key: str) -> None:
    with serve(lambda asked: Answer(headers=OBJECT)) as server:
        store = ObstoreStore(scripted_options(server.url))
        for verb in (
            lambda: store.head(key),
            lambda: store.get_range(key, 0, 1),
            lambda: store.get_range(key, 0, 0),
            lambda: store.put(key, b""),
            lambda: store.delete(key),
            lambda: store.delete_many(["good", key]),
            lambda: store.copy(key, "good"),
            lambda: store.copy("good", key),
        ):
            with pytest.raises(InvalidKey):
                verb()
        assert server.asked == []


@pytest.mark.parametrize(
    ("start", "end", "data"),
    [(0, 5, b"hello"), (1, 3, b"el"), (3, 99, b"lo"), (5, 9, b""), (7, 9, b""), (2, 2, b""), (9, 9, b"")],
)
def test_ranges(store: ObstoreStore, start: int, end: int, data: bytes) -> None:
    store.put("k", b"hello")
    found = store.get_range("k", start, end)
    assert (bytes(found.data), found.meta.size) == (data, 5)
    assert found.meta == store.head("k")
    assert store.get_range("k", start, end, if_match=found.meta.etag) == found
    with pytest.raises(PreconditionFailed):
        store.get_range("k", start, end, if_match='"other"')
    with pytest.raises(NotFound):
        store.get_range("missing", start, end)


def test_empty_object(store: ObstoreStore) -> None:
    store.put("empty", b"")
    found = store.get_range("empty", 0, 1 << 20)
    assert (found.data, found.meta.size) == (b"", 0)


def test_one_request_gets_metadata_and_bytes() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(206, OBJECT | {"Content-Range": "bytes 2-4/9"}, b"cde")

    with serve(answer) as server:
        found = ObstoreStore(scripted_options(server.url)).get_range("k", 2, 5, if_match='"e"')
        assert (bytes(found.data), found.meta.size, found.meta.etag) == (b"cde", 9, '"e"')
        assert found.meta.mtime_ns == 1_767_323_045_000_000_000
        (asked,) = server.asked
        assert (asked.headers["range"], asked.headers["if-match"]) == ("bytes=2-4", '"e"')


def test_body_shorter_than_its_range_is_corrupt_after_three_requests() -> None:
    with serve(lambda asked: Answer(206, OBJECT | {"Content-Range": "bytes 0-1/9"}, b"ab")) as server:
        with pytest.raises(Corrupt, match="3 times"):
            ObstoreStore(scripted_options(server.url)).get_range("k", 0, 5)
        assert server.count("GET") == 3


def test_body_that_breaks_off_is_asked_for_again() -> None:
    answers: list[str] = []

    def answer(asked: Asked) -> Answer:
        answers.append(asked.headers["range"])
        start = int(asked.headers["range"].removeprefix("bytes=").split("-")[0])
        body = b"0123456789"[start:]
        return Answer(206, OBJECT | {"Content-Range": f"bytes {start}-9/10"}, body, truncate=len(answers) == 1)

    with serve(answer) as server:
        assert bytes(ObstoreStore(scripted_options(server.url)).get_range("k", 0, 10).data) == b"0123456789"
    assert len(answers) >= 2


@pytest.mark.slow
def test_server_errors_are_repeated_and_then_unavailable() -> None:
    with serve(lambda asked: Answer(503)) as server:
        with pytest.raises(Unavailable):
            ObstoreStore(scripted_options(server.url, max_attempts=3)).head("k")
        assert len(server.asked) == 3


def test_stalled_server_times_out() -> None:
    ended = threading.Event()

    def answer(asked: Asked) -> Answer:
        ended.wait(2)
        return Answer(headers=OBJECT)

    with serve(answer) as server:
        with pytest.raises(Unavailable):
            ObstoreStore(scripted_options(server.url, max_attempts=1, read_timeout=0.1)).head("k")
        ended.set()


def test_slow_upload_is_not_a_stalled_read() -> None:
    def answer(asked: Asked) -> Answer:
        threading.Event().wait(0.2)
        return Answer(headers=OBJECT)

    with serve(answer) as server:
        ObstoreStore(scripted_options(server.url, max_attempts=1, read_timeout=0.1)).put("k", b"x")
        assert server.count("PUT") == 1


def test_ranged_get_answered_with_the_whole_object_is_not_supported() -> None:
    with serve(lambda asked: Answer(200, OBJECT, b"hello")) as server:
        with pytest.raises(NotSupported) as caught:
            ObstoreStore(scripted_options(server.url)).get_range("k", 0, 2)
    assert caught.value.code == "NotPartial"


def test_conditional_puts(store: ObstoreStore) -> None:
    first = store.put("k", b"one", if_none_match=True)
    with pytest.raises(AlreadyExists):
        store.put("k", b"two", if_none_match=True)
    second = store.put("k", b"two", if_match=first.etag)
    assert second.etag == store.head("k").etag != first.etag
    with pytest.raises(PreconditionFailed):
        store.put("k", b"three", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        store.put("missing", b"three", if_match=first.etag)
    assert bytes(store.get_range("k", 0, 9).data) == b"two"


def test_attributes(moto: Server, moto_bucket: str) -> None:
    store = ObstoreStore(s3_options(moto, moto_bucket, storage_class="STANDARD_IA", sse="AES256"))
    store.put("k", bytearray(b"x"), attributes=PutAttributes("text/csv", {"owner": "me"}))
    found = moto.attributes(moto_bucket, "k")
    assert (found["ContentType"], found["Metadata"], found["StorageClass"]) == (
        "text/csv",
        {"owner": "me"},
        "STANDARD_IA",
    )
    assert found["ServerSideEncryption"] == "AES256"


def test_views_of_other_items_are_stored_as_bytes(store: ObstoreStore) -> None:
    import array

    numbers = array.array("i", [1, 2, 3])
    assert store.put("k", memoryview(numbers)).size == 12
    assert bytes(store.get_range("k", 0, 99).data) == numbers.tobytes()


def test_delete_is_silent_on_a_missing_key(store: ObstoreStore, moto: Server) -> None:
    for key in ("a", "b", "c"):
        store.put(key, b"")
    store.delete("a")
    store.delete("a")
    store.delete_many(["b", "missing", "c"])
    store.delete_many([])
    assert moto.keys(store.bucket) == []


def test_single_delete_is_a_delete_request() -> None:
    with serve(lambda asked: Answer(204)) as server:
        ObstoreStore(scripted_options(server.url)).delete("k")
        assert [(asked.method, asked.path) for asked in server.asked] == [("DELETE", "/bucket/k")]


def test_copy_keeps_what_it_cannot_do_for_the_other_client(store: ObstoreStore) -> None:
    store.put("a", b"one", attributes=PutAttributes("text/csv"))
    assert store.copy("a", "b").size == 3
    for refused in ({"if_match": '"x"'}, {"if_none_match": True}):
        with pytest.raises(NotSupported):
            store.copy("a", "c", **refused)
    with pytest.raises(NotFound):
        store.copy("missing", "c")
    with pytest.raises(NotSupported):
        store.create_multipart("a")


def test_no_bucket(moto: Server) -> None:
    store = ObstoreStore(s3_options(moto, "no-such-bucket"))
    for verb in (lambda: store.list_page(""), lambda: store.get_range("k", 0, 1), lambda: store.put("k", b"")):
        with pytest.raises(NotFound) as caught:
            verb()
        assert caught.value.code == "NoSuchBucket"
        assert caught.value.request_id


@pytest.mark.slow
def test_opening_costs_no_request_and_no_import_of_the_other_clients() -> None:
    program = (
        "import sys\n"
        "from vfsmount.store.factory import open_store\n"
        "from vfsmount.store.options import StoreOptions\n"
        "open_store(StoreOptions('s3', 'bucket', endpoint_url='http://127.0.0.1:1'))\n"
        "print([m for m in ('botocore', 'boto3', 'fsspec', 's3fs', 'obstore.auth') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_close_twice_then_use(store: ObstoreStore) -> None:
    store.put("k", b"x")
    store.close()
    store.close()
    assert store.head("k").size == 1


@pytest.mark.parametrize("condition", [{"if_none_match": True}, {"if_match": '"before"'}])
@pytest.mark.parametrize("ours", [True, False])
def test_a_conditional_put_whose_answer_was_lost_is_found_done(condition: dict[str, Any], ours: bool) -> None:
    tag = f'"{hashlib.md5(b"new").hexdigest()}"'
    puts = 0

    def answer(asked: Asked) -> Answer:
        nonlocal puts
        if asked.method != "PUT":
            return Answer(200, OBJECT | {"ETag": tag if ours else '"theirs"', "Content-Length": "3"})
        puts += 1
        return error(500, "InternalError") if puts == 1 else error(412, "PreconditionFailed")

    with serve(answer) as server:
        store = ObstoreStore(scripted_options(server.url))
        if ours:
            assert store.put("k", b"new", **condition).etag == tag
        else:
            with pytest.raises((AlreadyExists, PreconditionFailed)):
                store.put("k", b"new", **condition)
    assert puts == 2


def test_a_condition_that_fails_at_once_is_no_lost_answer() -> None:
    with serve(lambda _: error(412, "PreconditionFailed")) as server:
        store = ObstoreStore(scripted_options(server.url))
        with pytest.raises(AlreadyExists):
            store.put("k", b"new", if_none_match=True)
        assert [asked.method for asked in server.asked] == ["PUT"]
