"""Raw keys out of obstore's listings, which strip slashes and refuse pages."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Server, s3_options
from tests.store.scripted import listing, serve
from tests.store.test_obstore_store import scripted_options
from vfsmount.errors import InvalidKey, NotSupported
from vfsmount.model import ObjectMeta
from vfsmount.store.obstore_markers import TOO_MANY, raw_keys
from vfsmount.store.obstore_store import ObstoreStore

KEY_SETS = (
    (),
    ("k",),
    ("dir/",),
    ("dir", "dir/", "dir/x"),
    ("dir", "dir/x"),
    ("dir/", "dir/x"),
    ("only", "only/"),
    ("only/", "only-", "only."),
    ("a", "a-", "a-/x", "a.", "a/", "a/b", "a/b/", "a0"),
    ("d/e/", "d/f", "d/f/", "d/f/g"),
    ("d/", "d/e/", "d/e/f/", "d/e/f/g/"),
    ("z/zero", "z/zero-", "z/zero/", "z/zero/x"),
    ("0/", "0/x", "1"),
    ("!x", "-", "."[:0] + ".hidden", "1", "é/", "日本/x"),
)


class Keys:
    """A set of raw keys as an Oracle that counts."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = set(keys)
        self.asked = 0

    def is_key(self, path: str) -> bool:
        self.asked += 1
        return path in self.keys

    def is_marker(self, path: str) -> bool:
        self.asked += 1
        return path + "/" in self.keys


def stripped(keys: Iterable[str], size: int = 0) -> list[ObjectMeta]:
    return [ObjectMeta(key.removeprefix("/").removesuffix("/"), size, 0) for key in keys]


SEGMENT = st.text("ab-.0", min_size=1, max_size=2).filter(lambda text: text not in (".", ".."))
KEY = st.builds(
    lambda parts, marker: "/".join(parts) + marker,
    st.lists(SEGMENT, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sets(KEY, max_size=12), st.data())
def test_any_listing_of_empty_objects_is_recovered(keys: set[str], data: st.DataObject) -> None:
    ordered = sorted(keys)
    after = data.draw(st.sampled_from(["", *ordered]))
    rest = [key for key in ordered if key > after]
    told = raw_keys(stripped(rest), "", after, Keys(keys), None)
    assert [meta.key for meta in told] == rest


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.sets(KEY, min_size=1, max_size=8), st.sets(KEY, max_size=8), st.sampled_from([0, 5]))
def test_keys_with_a_leading_slash_are_never_told_without_it(leading: set[str], plain: set[str], size: int) -> None:
    ordered = sorted({"/" + key for key in leading} | plain)
    told: list[str] = []
    with contextlib.suppress(NotSupported):
        told = [meta.key for meta in raw_keys(stripped(ordered, size), "", "", Keys(ordered), None)]
    assert told == []


def test_files_with_bytes_cost_no_question() -> None:
    oracle = Keys([f"d/{number:04}" for number in range(1000)])
    told = list(raw_keys(stripped(sorted(oracle.keys), 5), "d/", "", oracle, None))
    assert (len(told), oracle.asked) == (1000, 0)


def test_too_many_questions_are_refused_before_they_are_put() -> None:
    oracle = Keys([f"d/{number}" for number in range(9)])
    with pytest.raises(NotSupported) as caught:
        list(raw_keys(stripped(sorted(oracle.keys)), "d/", "", oracle, 4))
    assert (caught.value.code, oracle.asked) == (TOO_MANY, 4)


def walk(store: ObstoreStore, prefix: str, *, delimiter: bool, limit: int) -> tuple[list[str], list[str]]:
    objects: list[str] = []
    prefixes: list[str] = []
    token = None
    for _ in range(100):
        page = store.list_page(prefix, delimiter=delimiter, token=token, limit=limit)
        objects += [meta.key for meta in page.objects]
        prefixes += page.prefixes
        token = page.token
        if token is None:
            return objects, prefixes
    raise AssertionError("the listing does not end")


def folded(keys: Iterable[str], prefix: str) -> tuple[list[str], list[str]]:
    below = sorted(key for key in keys if key.startswith(prefix))
    names = [(key, key[len(prefix) :].partition("/")) for key in below]
    prefixes = sorted({prefix + head + "/" for _, (head, slash, _) in names if slash})
    return [key for key, (_, slash, _) in names if not slash], prefixes


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(KEY_SETS)))
def test_listings_on_a_server(moto: Server, moto_bucket: str, number: int) -> None:
    keys = [key for key in KEY_SETS[number] if key]
    for index, key in enumerate(keys):
        moto.put(moto_bucket, key, b"" if index % 2 or key.endswith("/") else b"data")
    store = ObstoreStore(s3_options(moto, moto_bucket))
    listed = sorted(keys)
    prefixes = {"", "nothing/"} | {key[: end + 1] for key in keys for end, char in enumerate(key) if char == "/"}
    for prefix, limit in itertools.product(sorted(prefixes), (1, 2, 3, 1000)):
        below = [key for key in listed if key.startswith(prefix)]
        assert walk(store, prefix, delimiter=False, limit=limit) == (below, [])
        assert walk(store, prefix, delimiter=True, limit=limit) == folded(keys, prefix)


def test_start_after(moto: Server, moto_bucket: str) -> None:
    keys = ["a", "a-", "a/", "a/b", "b"]
    for key in keys:
        moto.put(moto_bucket, key, b"")
    store = ObstoreStore(s3_options(moto, moto_bucket))
    for after in (*keys, "a.", "zz", "0"):
        found = store.list_page("", delimiter=False, start_after=after).objects
        assert [meta.key for meta in found] == [key for key in keys if key > after]


@pytest.mark.parametrize("odd", ["d//x", "d/./x", "d/../x", "d/a\tb", "d/x//"])
def test_page_with_a_key_that_obstore_refuses_is_refused(moto: Server, moto_bucket: str, odd: str) -> None:
    for key in ("d/good", odd):
        moto.put(moto_bucket, key, b"")
    store = ObstoreStore(s3_options(moto, moto_bucket))
    with pytest.raises(InvalidKey):
        store.list_page("d/", delimiter=False)
    store.reach("d/")


def test_leading_slash_at_the_root(moto: Server, moto_bucket: str) -> None:
    for key in ("/lead", "plain"):
        moto.put(moto_bucket, key, b"data")
    store = ObstoreStore(s3_options(moto, moto_bucket))
    with pytest.raises(NotSupported):
        store.list_page("", delimiter=False)
    assert store.list_page("").prefixes == ("/",)


@pytest.mark.parametrize("prefix", ["/", "a//", "./", "../", "a\t/", "no-slash"])
def test_prefix_that_obstore_cannot_express(prefix: str) -> None:
    with serve(lambda asked: listing()) as server:
        store = ObstoreStore(scripted_options(server.url))
        for delimiter in (True, False):
            with pytest.raises(InvalidKey):
                store.list_page(prefix, delimiter=delimiter)
        assert server.asked == []


def test_existence_is_one_request() -> None:
    with serve(lambda asked: listing(*(f"d/{number:03}" for number in range(500)))) as server:
        store = ObstoreStore(scripted_options(server.url))
        assert [meta.key for meta in store.list_page("d/", limit=1).objects] == ["d/000"]
        assert len(server.asked) == 1
        assert len(store.list_page("d/").objects) == 500
        assert len(server.asked) == 2
        store.reach("d/")
        assert len(server.asked) == 3


def test_times_are_told_to_the_millisecond() -> None:
    with serve(lambda asked: listing("k")) as server:
        (meta,) = ObstoreStore(scripted_options(server.url)).list_page("").objects
    assert meta == ObjectMeta("k", 10, 1_767_323_045_000_000_000, '"e"')
