"""Two clients for one bucket: who answers what, and what is never sent twice."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import Server, s3_options
from tests.store.scripted import OBJECT, Answer, Asked, error, serve
from tests.store.test_obstore_store import scripted_options
from vfsmount.errors import (
    AlreadyExists,
    InvalidKey,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.factory import MARKER_CHECKS, open_store
from vfsmount.store.fallback import FallbackStore
from vfsmount.store.memory import MemoryStore
from vfsmount.store.obstore_store import ObstoreStore
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import GetResult, Store

HOSTILE = ["/lead", "a//b", "d/", "d/./x", "d/../y", "d/a\tb", "d/plain", "d/zero", "only/", "p%20q", "z"]


class Refusing(MemoryStore):
    """A memory store that refuses what a test says, and counts."""

    def __init__(self, refusal: StoreError | None = None) -> None:
        super().__init__("bucket")
        self.refusal = refusal
        self.calls = 0

    def _called(self) -> None:
        self.calls += 1
        if self.refusal is not None:
            raise self.refusal

    def head(self, key: str) -> ObjectMeta:
        self._called()
        return super().head(key)

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        self._called()
        return super().get_range(key, start, end, if_match=if_match)

    def list_page(self, prefix: str, **options: Any) -> ListPage:
        self._called()
        return super().list_page(prefix, **options)

    def put(self, key: str, data: bytes | bytearray | memoryview, **options: Any) -> ObjectMeta:
        self._called()
        return super().put(key, data, **options)

    def delete(self, key: str) -> None:
        self._called()
        super().delete(key)


@pytest.mark.parametrize("refusal", [InvalidKey("no"), NotSupported("no")])
def test_refusals_go_to_the_second(refusal: StoreError) -> None:
    first, second = Refusing(refusal), Refusing()
    store = FallbackStore(first, lambda: second)
    store.put("k", b"hello")
    assert store.head("k").size == 5
    assert bytes(store.get_range("k", 0, 2).data) == b"he"
    assert [meta.key for meta in store.list_page("").objects] == ["k"]
    store.delete("k")
    assert (first.calls, second.calls) == (5, 5)


@pytest.mark.parametrize(
    "failure",
    [NotFound(), AlreadyExists(), PreconditionFailed(), PermissionDenied(), Unavailable(), StoreError()],
    ids=lambda failure: type(failure).__name__,
)
def test_failures_of_the_service_stand(failure: StoreError) -> None:
    def second() -> Store:
        raise AssertionError("the second client was asked")

    store = FallbackStore(Refusing(failure), second)
    for verb in (
        lambda: store.head("k"),
        lambda: store.get_range("k", 0, 1),
        lambda: store.list_page(""),
        lambda: store.put("k", b""),
        lambda: store.delete("k"),
    ):
        with pytest.raises(type(failure)):
            verb()


def test_the_second_is_made_once_for_all_threads() -> None:
    made: list[Store] = []
    barrier = threading.Barrier(8)

    def make() -> Store:
        made.append(Refusing())
        return made[-1]

    store = FallbackStore(Refusing(InvalidKey("no")), make)

    def use() -> None:
        barrier.wait(10)
        store.put("k", b"")

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_a_server_that_ignores_ranges_is_asked_once() -> None:
    first, second = Refusing(NotSupported("no", code="NotPartial")), Refusing()
    second.put("k", b"hello")
    store = FallbackStore(first, lambda: second)
    for _ in range(3):
        assert bytes(store.get_range("k", 0, 1).data) == b"h"
    assert first.calls == 1


def test_a_refused_key_settles_nothing() -> None:
    first, second = Refusing(InvalidKey("no")), Refusing()
    second.put("k", b"hello")
    store = FallbackStore(first, lambda: second)
    store.get_range("k", 0, 1)
    store.get_range("k", 0, 1)
    assert first.calls == 2


def test_a_listing_goes_on_where_the_first_broke_off() -> None:
    first, second = Refusing(), Refusing()
    for key in ("a", "b", "c", "d"):
        first.put(key, b"")
        second.put(key, b"")
    store = FallbackStore(first, lambda: second)
    page = store.list_page("", delimiter=False, limit=2)
    token, keys = page.token, [meta.key for meta in page.objects]
    # The memory store's own token is the next key; obstore's the last one, which is what the second goes on behind.
    assert token is not None
    token = f"1:{keys[-1]}"
    first.refusal = InvalidKey("no")
    while token is not None:
        page = store.list_page("", delimiter=False, limit=1, token=token)
        token = page.token
        keys += [meta.key for meta in page.objects]
    assert keys == ["a", "b", "c", "d"]


def test_conditions_that_the_service_ignores_reach_no_client() -> None:
    with serve(lambda asked: Answer(headers=OBJECT)) as server:
        store = open_store(scripted_options(server.url, provider="gcs"))
        assert not store.traits.conditional_put
        with pytest.raises(NotSupported):
            store.put("k", b"", if_none_match=True)
        with pytest.raises(NotSupported):
            store.put("k", b"", if_match='"e"')
        assert server.asked == []


def test_an_ambiguous_write_is_not_sent_by_the_other_client() -> None:
    def answer(asked: Asked) -> Answer:
        return error(500, "InternalError")

    with serve(answer) as server:
        store = open_store(scripted_options(server.url, max_attempts=1))
        with pytest.raises(Unavailable):
            store.put("k", b"x", if_none_match=True)
        assert server.count("PUT") == 1


# -- with the real second client


@pytest.fixture
def opened() -> Iterator[Callable[[StoreOptions], Store]]:
    """open_store, and the stores closed in the end."""
    with contextlib.ExitStack() as stack:

        def open_one(options: StoreOptions) -> Store:
            store = open_store(options)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def hostile(moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store]) -> Store:
    for key in HOSTILE:
        moto.put(moto_bucket, key, b"" if key.endswith(("/", "zero")) else key.encode())
    return opened(s3_options(moto, moto_bucket))


@pytest.mark.slow
def test_hostile_keys_list_read_and_go(hostile: Store, moto: Server) -> None:
    flat = hostile.list_page("", delimiter=False)
    assert [meta.key for meta in flat.objects] == sorted(HOSTILE)
    assert hostile.list_page("").prefixes == ("/", "a/", "d/", "only/")
    assert [meta.key for meta in hostile.list_page("d/").objects] == ["d/", "d/a\tb", "d/plain", "d/zero"]
    for key in HOSTILE:
        found = hostile.get_range(key, 0, 100)
        assert bytes(found.data) == (b"" if key.endswith(("/", "zero")) else key.encode())
        assert hostile.head(key).etag == found.meta.etag
    hostile.delete_many(HOSTILE)
    assert moto.keys(hostile.bucket) == []


@pytest.mark.slow
@pytest.mark.parametrize("key", ["a//b", "/lead", "dir/", "x/../y", "tab\there"])
def test_hostile_keys_are_written_verbatim(
    moto: Server, moto_bucket: str, key: str, opened: Callable[[StoreOptions], Store]
) -> None:
    store = opened(s3_options(moto, moto_bucket))
    first = store.put(key, b"one", if_none_match=True)
    with pytest.raises(AlreadyExists):
        store.put(key, b"two", if_none_match=True)
    store.put(key, b"two", if_match=first.etag)
    assert moto.keys(moto_bucket) == [key]
    store.copy(key, "plain")
    assert moto.get(moto_bucket, "plain") == b"two"
    store.delete(key)
    assert moto.keys(moto_bucket) == ["plain"]


@pytest.mark.slow
def test_multipart_goes_to_the_second(moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store]) -> None:
    store = opened(s3_options(moto, moto_bucket))
    upload = store.create_multipart("k")
    upload.put_part(1, b"x" * (5 << 20))
    upload.put_part(2, b"y")
    done = upload.complete()
    assert store.head("k") == done._replace(mtime_ns=store.head("k").mtime_ns, storage_class=None)
    assert store.get_range("k", 0, 1, if_match=done.etag).meta.size == (5 << 20) + 1


@pytest.mark.slow
def test_many_markers_are_listed_by_the_second(
    moto: Server, moto_bucket: str, opened: Callable[[StoreOptions], Store]
) -> None:
    keys = [f"d/{number}/" for number in range(MARKER_CHECKS + 1)]
    for key in keys:
        moto.put(moto_bucket, key, b"")
    store = opened(s3_options(moto, moto_bucket))
    assert [meta.key for meta in store.list_page("d/", delimiter=False).objects] == keys


@pytest.mark.slow
def test_plain_work_loads_no_second_client(moto: Server, moto_bucket: str) -> None:
    moto.put(moto_bucket, "d/plain", b"x")
    program = (
        "import sys\n"
        "from vfsmount.store.factory import open_store\n"
        "from vfsmount.store.options import Credentials, StoreOptions\n"
        "store = open_store(StoreOptions('s3', sys.argv[2], endpoint_url=sys.argv[1], region='us-east-1',"
        " credentials=lambda: Credentials('AK', 'SK')))\n"
        "store.list_page('d/'), store.get_range('d/plain', 0, 9), store.put('d/new', b''), store.list_page('d/')\n"
        "print([m for m in ('botocore', 'boto3', 'fsspec', 's3fs') if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, moto.endpoint_url, moto_bucket]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("engine", "cls"), [("auto", FallbackStore), ("obstore", ObstoreStore)])
def test_engines(engine: str, cls: type) -> None:
    assert type(open_store(scripted_options("http://127.0.0.1:1", engine=engine))) is cls


def test_options_that_obstore_cannot_honour() -> None:
    assert not isinstance(open_store(scripted_options("http://127.0.0.1:1", upload_checksums="crc32c")), FallbackStore)
    with pytest.raises(NotSupported, match="crc32c"):
        open_store(scripted_options("http://127.0.0.1:1", upload_checksums="crc32c", engine="obstore"))


@pytest.mark.slow
def test_gcs_emulator(gcs: Server, gcs_bucket: str, opened: Callable[[StoreOptions], Store]) -> None:
    store = opened(s3_options(gcs, gcs_bucket))
    made = store.put("k", b"hello", if_none_match=True)
    assert store.head("k").etag == made.etag
    assert bytes(store.get_range("k", 1, 3, if_match=made.etag).data) == b"el"
    assert [meta.key for meta in store.list_page("").objects] == ["k"]
