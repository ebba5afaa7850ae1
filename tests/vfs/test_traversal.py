"""An announced traversal sees what the same traversal sees unannounced, for a request a thousand keys."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import TRAITS, World
from vfsmount.errors import Unavailable
from vfsmount.model import ListPage
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import MemoryStore
from vfsmount.vfs import flat
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.traversal import Traversal

Tree = dict[str, list[tuple[str, bool, int]] | int]
"""What each directory has: name, whether it is a directory, size; or the errno of its listing."""


def listed(fs: Filesystem, path: str) -> list[tuple[str, bool, int]] | int:
    try:
        return [(entry.name, entry.attr.is_dir, entry.attr.size) for entry in fs.scandir(path, f"/m/{path}")]
    except OSError as error:
        return error.errno or 0


def walked(
    fs: Filesystem,
    top: str = "",
    *,
    order: Callable[[list[str]], list[str]] = list,
    between: Callable[[], None] | None = None,
) -> Iterator[tuple[str, list[tuple[str, bool, int]] | int]]:
    """Depth first, with a stat of each directory before it is listed, as ``os.walk`` does."""
    found = listed(fs, top)
    yield top, found
    if isinstance(found, int):
        return
    for name in order([name for name, is_dir, _ in found if is_dir]):
        if between is not None:
            between()
        path = f"{top}/{name}" if top else name
        try:
            assert fs.stat(path, path).is_dir
        except FileNotFoundError:
            continue
        yield from walked(fs, path, order=order, between=between)


def announced(steps: Iterator[tuple[str, list[tuple[str, bool, int]] | int]]) -> Tree:
    with Traversal():
        return dict(steps)


class BySegments(MemoryStore):
    """Lists flat in the order of the keys' segments, as a server on a file system does: ``a/b`` before ``a b``."""

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        if delimiter:
            return super().list_page(prefix, delimiter=True, token=token, start_after=start_after, limit=limit)
        assert start_after is None
        metas = super().list_page(prefix, delimiter=False, limit=1 << 30).objects
        ordered = sorted(metas, key=lambda meta: meta.key.split("/"))
        start = int(token or 0)
        more = str(start + limit) if start + limit < len(ordered) else None
        return ListPage(tuple(ordered[start : start + limit]), (), more)


SEGMENTS = ["a", "a-", "a b", "a.b", "a0", "ab", "b", "c", "only", "é", "\U0001f40d", "", ".", "..", "x\0y", "L" * 256]
keys = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map("/".join).filter(bool)
markers = keys.map(lambda key: key.rstrip("/") + "/")
buckets = st.dictionaries(st.one_of(keys, markers), st.sampled_from([b"", b"x"]), max_size=40)
orders = st.sampled_from([list, lambda names: names[::-1], lambda names: names[1::2] + names[::2]])


@pytest.mark.slow
@given(bucket=buckets, page=st.integers(1, 5), order=orders, segments=st.booleans(), prefix=st.sampled_from(["", "a/"]))
def test_announced_is_as_unannounced(
    bucket: dict[str, bytes], page: int, order: Callable[[list[str]], list[str]], segments: bool, prefix: str
) -> None:
    world = World(StoreTraits(min_part_size=1000, ordered_list=not segments), key_prefix=prefix)
    if segments:
        world.faulty.inner = world.memory = BySegments(traits=world.memory.traits, clock=world.clock)
    for key, data in bucket.items():
        world.memory.put_object(key, data)
    with patch.object(flat, "PAGE", page):
        plain = dict(walked(world.another(), order=order))
        assert announced(walked(world.fs, order=order)) == plain
        assert announced(walked(world.fs, order=order)) == plain
    world.close()


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["mkdir", "write", "unlink", "open", "rmdir", "nothing"]), st.sampled_from(SEGMENTS[:8]), keys
    ),
    max_size=30,
)


@pytest.mark.slow
@given(bucket=buckets, page=st.integers(1, 5), changes=CHANGES, writes=st.sampled_from(["sequential", "staged"]))
def test_changes_made_here_show_at_once(
    bucket: dict[str, bytes], page: int, changes: list[tuple[str, str, str]], writes: str
) -> None:
    world = World(writes=writes, allow_overwrite=True)
    for key, data in bucket.items():
        world.memory.put_object(key, data)
    todo = deque(changes)
    opened = []

    def change() -> None:
        if not todo:
            return
        what, name, key = todo.popleft()
        path = key if what in ("unlink", "rmdir") else f"{os.path.dirname(key)}/{name}".lstrip("/")
        try:
            if what == "mkdir":
                world.mkdir(path)
            elif what == "write":
                world.write(path, b"new")
            elif what == "open":
                opened.append(world.open(path, os.O_WRONLY | os.O_CREAT))
            elif what == "unlink":
                world.unlink(path)
            elif what == "rmdir":
                world.rmdir(path)
        except OSError:
            pass

    with patch.object(flat, "PAGE", page):
        for _ in range(10):
            change()
        steps = walked(world.fs, between=None)
        traversal = Traversal()
        while True:
            with traversal:
                step = next(steps, None)
            if step is None:
                break
            assert step[1] == listed(world.fs, step[0])  # not within the traversal: asked for by itself
            change()
    for handle in opened:
        handle.close()
    world.close()


@given(bucket=buckets, page=st.integers(1, 5), changed=keys)
def test_what_others_change_shows_after_the_ttl(bucket: dict[str, bytes], page: int, changed: str) -> None:
    world = World(metadata_ttl=1.0)
    for key, data in bucket.items():
        world.memory.put_object(key, data)
    before = dict(walked(world.another()))
    steps, traversal, late = walked(world.fs), Traversal(), False
    with patch.object(flat, "PAGE", page):
        while True:
            with traversal:
                step = next(steps, None)
            if step is None:
                break
            now = listed(world.another(), step[0])
            assert step[1] == now if late else step[1] in (now, before.get(step[0]))
            if not late:
                world.memory.put_object(changed, b"from elsewhere")
                world.clock.step(1.0)
                late = True
    world.close()


@pytest.fixture
def large(world: World) -> World:
    """3,000 files in 700 directories."""
    for index in range(3000):
        directory = index % 700
        world.memory.put_object(f"d{directory // 100}/s{directory:03}/{index:04}", b"x")
    return world


def test_a_walk_costs_a_request_for_a_thousand_keys(large: World) -> None:
    with large.store.expect(list_page=4):  # three, and the top by itself
        found = announced(walked(large.fs))
    assert sum(not is_dir for names in found.values() for _, is_dir, _ in names) == 3000  # type: ignore[union-attr]
    assert len(found) == 708


def test_backwards_too(large: World) -> None:
    large.clock.step(10)
    with Traversal():
        for count, _ in enumerate(walked(large.fs, order=lambda names: names[::-1])):
            if count % 300 == 299:
                large.clock.step(1.0)  # what was fetched is too old
    assert large.store.counts["list_page"] <= 30
    assert large.store.counts["head"] <= 5


def test_a_slow_walk_asks_once_a_ttl(large: World) -> None:
    with Traversal():
        for _ in walked(large.fs):
            large.clock.step(0.01)
    assert large.store.counts["list_page"] <= 4 + 2 * 8
    assert set(large.store.counts) == {"list_page"}  # nor is what it was told of asked for again


def test_a_walk_that_prunes_wastes_one_request_in_five(world: World) -> None:
    for directory in range(100):
        for index in range(15):
            world.put(f"d{directory:03}/deep/{index % 5}/{index}")
    with patch.object(flat, "PAGE", 10), Traversal():
        for name, _, _ in listed(world.fs, ""):  # type: ignore[union-attr]
            listed(world.fs, name)
    assert world.store.counts["list_page"] <= 101 * 1.25 + 3


def test_one_look_at_a_large_tree_wastes_one_request(large: World) -> None:
    with Traversal(), large.store.expect(list_page=2):
        listed(large.fs, "")


def test_no_more_than_ten_pages_are_held(world: World) -> None:
    for index in range(3000):
        world.put(f"d{index // 200:02}/{index % 10}/{index:04}")
    held = 0
    with patch.object(flat, "PAGE", 20), Traversal() as traversal:
        for _ in walked(world.fs):
            for _, kept in traversal._fed.values():
                assert isinstance(kept, flat.FlatListing)
                held = max(held, sum(len(page.objects) for page in kept._pages))
    assert 100 < held <= 20 * flat.PAGES
    assert world.store.counts["list_page"] <= 3000 / 20 * 1.25


def test_outside_of_traversals_each_listing_asks(large: World) -> None:
    with Traversal():
        steps = walked(large.fs)
        next(steps)
    with large.store.expect(list_page=2):
        listed(large.fs, "d0")
        listed(large.fs, "d0")


def test_what_was_listed_flat_answers_for_the_rest_of_its_ttl(large: World) -> None:
    with Traversal():
        next(walked(large.fs))
        large.clock.step(0.9)
        listed(large.fs, "d0")
    large.clock.step(0.09)
    with large.store.expect():
        large.fs.stat("d0/s000", "")
    large.clock.step(0.02)
    with large.store.expect(head=1, list_page=1):
        large.fs.stat("d0/s000", "")


def test_a_flat_listing_that_fails_is_not_missed(large: World) -> None:
    plain = dict(walked(large.another(), "d0"))

    original = large.faulty.list_page

    def refuse(prefix: str, *, delimiter: bool = True, **rest: object) -> ListPage:
        if not delimiter:
            raise Unavailable("no", operation="list", bucket="b", key=prefix)
        return original(prefix, delimiter=delimiter, **rest)  # type: ignore[arg-type]

    large.faulty.list_page = refuse  # type: ignore[method-assign]
    assert announced(walked(large.fs, "d0")) == plain


def test_a_store_without_flat_listings_is_asked_for_each_directory() -> None:
    world = World(StoreTraits(min_part_size=TRAITS.min_part_size, flat_list=False))
    world.put("a/b/c", "a/d/e")
    with world.store.expect(list_page=4):
        announced(walked(world.fs))
    world.close()


def test_a_directory_that_was_told_of_is_opened_for_nothing(large: World) -> None:
    with Traversal():
        listed(large.fs, "d0")
        large.clock.step(5)
        with large.store.expect(list_page=1):
            handle = large.open("d0/s000", os.O_RDONLY | os.O_DIRECTORY)
            assert handle.is_dir
            listed(large.fs, "d0/s000")


def test_a_page_s_beginning_is_as_old_as_the_token_that_told_it(world: World) -> None:
    """A token may name the first key of the page to come, so a key that is made before that one is in no page."""
    world.put("a/a", "a0/a/a")
    with patch.object(flat, "PAGE", 1):
        steps, traversal = walked(world.fs), Traversal()
        with traversal:
            next(steps)
        world.write("a0/a-", b"new")
        with traversal:
            assert dict(steps)["a0"] == [("a", True, 0), ("a-", False, 3)]
