"""``shutil.rmtree`` deletes ahead of its own walk, and comes to the results of one that does not."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from vfsmount import CloudBucketMount
from vfsmount.errors import NotSupported, PermissionDenied, Unavailable
from vfsmount.session import activate_stores
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import CountingStore, MemoryStore
from vfsmount.testing.wrapper import Call, WrapperStore
from vfsmount.vfs import flat, removing
from vfsmount.vfs.removing import Removal

T = TypeVar("T")
POINT = "/vfs-removed"
TREE = [
    f"top/{first}/{second}/{name}"
    for first in ("a", "a-", "a.b", "b")
    for second in ("x", "x y", "z")
    for name in ("1.txt", "2.bin", "deep/3.txt", "deep/.hidden/4.txt")
]
BESIDE = ["to", "top!", "top-/x", "top.txt", "topp/x", "z/top/x"]
"""Keys that are not below ``top/``."""


class Refusing(WrapperStore):
    """Deletes all but some keys, as a service does that protects them."""

    refused: frozenset[str] = frozenset()

    def around(self, call: Call, action: Callable[[], T]) -> T:
        if call.verb == "delete" and call.key in self.refused:
            raise PermissionDenied("protected", operation="delete", bucket="bucket", key=call.key)
        return super().around(call, action)

    def delete_many(self, keys: Sequence[str]) -> None:
        super().delete_many([key for key in keys if key not in self.refused])
        if self.refused.intersection(keys):
            raise PermissionDenied("protected", operation="delete_many", bucket="bucket")


class Outcome(list[Any]):
    """What a test noted, to be compared."""


@dataclass
class World:
    store: CountingStore
    memory: MemoryStore
    notes: Outcome = field(default_factory=Outcome)

    @property
    def keys(self) -> list[str]:
        return sorted(self.memory.objects())


@contextlib.contextmanager
def world(
    keys: Sequence[str],
    *,
    refused: Sequence[str] = (),
    traits: StoreTraits | None = None,
    **options: Any,
) -> Any:
    memory = MemoryStore() if traits is None else MemoryStore(traits=traits)
    for key in keys:
        memory.put(key, key.encode())
    refusing = Refusing(memory)
    refusing.refused = frozenset(refused)
    store = CountingStore(refusing)
    mount = CloudBucketMount("bucket", **{"metadata_ttl": "indefinite", **options})
    with activate_stores({POINT: (mount, store)}):
        store.reset()
        yield World(store, memory)


def collecting(into: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The argument that has rmtree note its errors and go on."""

    def note(function: Any, path: Any, error: Any) -> None:
        error = error[1] if isinstance(error, tuple) else error
        into.append((function.__name__, os.path.relpath(os.fspath(path), POINT), error.errno, str(error.filename)))

    return {"onexc" if sys.version_info >= (3, 12) else "onerror": note}


def remove(made: World, path: str = f"{POINT}/top", **more: Any) -> list[tuple[Any, ...]]:
    """All errors of one rmtree."""
    errors: list[tuple[Any, ...]] = []
    shutil.rmtree(path, **collecting(errors), **more)
    return errors


# -- requests


def test_a_tree_is_removed_in_a_few_requests() -> None:
    files = [f"top/{number // 4:03}/{number}" for number in range(430)]
    with world([*files, *BESIDE]) as made, made.store.expect(list_page=3, head=1, delete_many=1):
        shutil.rmtree(f"{POINT}/top")
        assert made.keys == sorted(BESIDE)
    assert not os.path.exists(f"{POINT}/top")


@pytest.mark.slow
def test_a_tree_of_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "PAGE", 100)
    monkeypatch.setattr(removing, "PAGE", 100)
    monkeypatch.setattr(removing, "TOGETHER", 100)
    files = [f"top/{number // 7:03}/{number:04}" for number in range(1500)]
    with world([*files, *BESIDE]) as made:
        shutil.rmtree(f"{POINT}/top")
        assert made.keys == sorted(BESIDE)
        counts = made.store.counts
    assert counts["delete_many"] + counts["delete"] <= 25, counts
    assert counts["list_page"] <= 60, counts


def test_without_bulk_deletes_many_are_on_their_way_at_once() -> None:
    traits = StoreTraits(bulk_delete=False)
    with world([*TREE, *BESIDE], traits=traits) as made, made.store.expect(list_page=4, head=1, delete=len(TREE)):
        shutil.rmtree(f"{POINT}/top")
        assert made.keys == sorted(BESIDE)


def test_an_empty_directory_and_one_file() -> None:
    with world(["top/only", *BESIDE]) as made, made.store.expect(list_page=3, head=1, delete=1):
        shutil.rmtree(f"{POINT}/top")
        assert made.keys == sorted(BESIDE)
    with world(BESIDE):
        os.mkdir(f"{POINT}/top")
        shutil.rmtree(f"{POINT}/top")
        assert not os.path.exists(f"{POINT}/top")


# -- the same results as of a walk that deletes each file alone


def nothing(made: World) -> None:
    """Before and after."""


def a_writer(made: World) -> None:
    made.notes.append(open(f"{POINT}/top/a.b/x/new", "wb"))


def a_reader(made: World) -> None:
    made.notes.append(open(f"{POINT}/top/a.b/x/1.txt", "rb"))


def a_local_directory(made: World) -> None:
    os.mkdir(f"{POINT}/top/a/local")


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "of another's order": {"traits": StoreTraits(ordered_list=False)},
    "no bulk deletes": {"traits": StoreTraits(bulk_delete=False)},
    "a marker": {"more": ["top/a.b/x/"]},
    "the marker of the top": {"more": ["top/"]},
    "markers that are kept": {"more": ["top/", "top/a/", "top/a.b/x/", "top/empty/"], "keep_dirs": True},
    "an empty segment": {"more": ["top/a.b//x"]},
    "a segment of a dot": {"more": ["top/b/./x"]},
    "a name that is too long": {"more": ["top/b/" + "n" * 300]},
    "a directory's name that is too long": {"more": ["top/b/" + "n" * 300 + "/x"]},
    "a hidden file": {"more": ["top/a.b/x"]},
    "a hidden file beside": {"more": ["top/a"]},
    "protected": {"refused": ["top/a.b/x/1.txt"]},
    "protected, no bulk deletes": {"refused": ["top/a.b/x/1.txt"], "traits": StoreTraits(bulk_delete=False)},
    "all protected": {"refused": TREE},
    "read only": {"read_only": True},
    "no deletes": {"allow_delete": False},
    "a file being written": {"before": a_writer},
    "a staged file": {"before": a_writer, "writes": "staged"},
    "a file being read": {"before": a_reader},
    "a local directory": {"before": a_local_directory},
    "below a prefix": {"key_prefix": "top/", "path": f"{POINT}/a.b"},
    "the mount point itself": {"path": POINT},
    "a trailing slash": {"path": f"{POINT}/top/"},
    "bytes": {"path": os.fsencode(f"{POINT}/top")},
    "missing": {"path": f"{POINT}/none"},
    "a file": {"path": f"{POINT}/top/a/x/1.txt"},
}


def outcome(case: dict[str, Any]) -> tuple[object, ...]:
    settings = dict(case)
    path, before, more = (settings.pop(name, None) for name in ("path", "before", "more"))
    with world([*TREE, *BESIDE, *(more or ())], **settings) as made:
        (before or nothing)(made)
        errors = remove(made, path or f"{POINT}/top")
        keys = made.keys
        left = sorted(os.path.join(at, name) for at, dirs, files in os.walk(POINT) for name in (*dirs, *files))
        for file in made.notes:
            file.close()
        return errors, keys, left, made.keys


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_is_that_of_deleting_each_file_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(CASES[name])
    monkeypatch.setattr(Removal, "_ahead", lambda self, path: [])
    assert found == outcome(CASES[name])


@pytest.mark.parametrize("name", ["plain", "markers that are kept", "the marker of the top", "a file being read"])
def test_files_are_deleted_ahead(name: str) -> None:
    """The cases above compare something."""
    settings = {key: value for key, value in CASES[name].items() if key != "before"}
    with world([*TREE, *settings.pop("more", ())], **settings) as made:
        remove(made)
        assert made.store.counts["delete_many"] == 1


# -- where it stops


def test_what_stops_the_walk_is_not_overtaken() -> None:
    with world([*TREE, "top/a.b/"]) as made:
        with pytest.raises(PermissionError) as caught:
            shutil.rmtree(f"{POINT}/top")
        assert caught.value.filename in ("a.b", f"{POINT}/top/a.b")
        assert any(key.startswith("top/") and key != "top/a.b/" for key in made.keys)
        assert made.store.counts["delete_many"] == 0


def test_a_refusal_is_told_of_its_own_file_and_a_handler_may_try_again() -> None:
    protected = "top/a/z/1.txt"
    told: list[str] = []

    def again(function: Any, path: str, error: object) -> None:
        told.append(path)
        refusing.refused = frozenset()
        assert os.listdir(os.path.dirname(path))  # as it is now, and not as the walk has it
        os.unlink(path)

    with world(TREE, refused=[protected]) as made:
        refusing = made.store.inner
        shutil.rmtree(f"{POINT}/top", **dict.fromkeys(collecting([]), again))
        assert told == [f"{POINT}/{protected}"]
        assert made.keys == []


@pytest.mark.parametrize("error", [Unavailable, NotSupported])
def test_a_server_without_bulk_deletes(error: type[Unavailable] | type[NotSupported]) -> None:
    class Lacking(Refusing):
        def delete_many(self, keys: Sequence[str]) -> None:
            raise error("no such verb", operation="delete_many", bucket="bucket")

    memory = MemoryStore()
    for key in TREE:
        memory.put(key, b"")
    with activate_stores({POINT: (CloudBucketMount("bucket"), Lacking(memory))}):
        shutil.rmtree(f"{POINT}/top")
        assert memory.objects() == {}
        assert not os.path.exists(f"{POINT}/top")


def test_what_was_deleted_ahead_is_seen_when_the_walk_was_stopped() -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    with world(TREE, refused=["top/b/z/2.bin"], traits=StoreTraits(bulk_delete=False)) as made:
        with pytest.raises(Stop):
            shutil.rmtree(f"{POINT}/top", **dict.fromkeys(collecting([]), stop))
        for key in TREE:
            assert os.path.exists(f"{POINT}/{key}") == (key in made.keys), key


def test_a_file_written_meanwhile_is_not_taken_for_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Removal.delete

    def delete(self: Removal, path: str) -> bool:
        done = original(self, path)
        other = "top/b/z/2.bin" if path != "top/b/z/2.bin" else "top/a/x/1.txt"
        if done and other not in written:
            written.append(other)
            with open(f"{POINT}/{other}", "wb") as file:
                file.write(b"new")
        return done

    written: list[str] = []
    monkeypatch.setattr(Removal, "delete", delete)
    with world(TREE) as made:
        shutil.rmtree(f"{POINT}/top")
        assert written
        assert made.keys == []


def test_what_another_mount_covers_is_left_alone() -> None:
    with world([*TREE, "top/b/inner/covered"]) as made:
        inner = MemoryStore()
        inner.put("file", b"")
        with activate_stores({f"{POINT}/top/b/inner": (CloudBucketMount("inner"), inner)}):
            errors = remove(made)
        assert ("rmdir", "top/b/inner") in {error[:2] for error in errors}
        assert made.keys == ["top/b/inner/covered"]
        assert inner.objects() == {}


SMALL_PAGES: dict[str, dict[str, Any]] = {
    "hidden file that comes into sight": {
        "keys": ["0/c", "a b/a-", "a b/b", "a-", "a-/a.b/a-", "a-/b", "a.b/0", "a/a", "a/a b/a-", "c/b"],
        "traits": StoreTraits(bulk_delete=False),
    },
    "the same with bulk deletes": {
        "keys": ["0/c", "a b/a-", "a b/b", "a-", "a-/a.b/a-", "a-/b", "a.b/0", "a/a", "a/a b/a-", "c/b"],
    },
    "a failed request that was about many pages": {
        "keys": [
            "0/0/a",
            "0/a",
            "a b/a/b",
            "a-/0",
            "a-/a-/0",
            "a.b/",
            "a.b/b//x",
            "a.b/b/c",
            "b/a-",
            "b/b/c",
            "c/0/a-",
        ],
        "refused": ["top/c/0/a-"],
    },
    "the same without markers": {
        "keys": ["0/0/a", "0/a", "a b/a/b", "a-/0", "a-/a-/0", "a.b/b/c", "b/a-", "b/b/c", "c/0/a-", "d/a/b"],
        "refused": ["top/c/0/a-"],
    },
}


@pytest.mark.parametrize("name", SMALL_PAGES)
def test_the_outcome_is_the_same_across_pages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, constant, size in (
        (flat, "PAGE", 5),
        (removing, "PAGE", 5),
        (removing, "TOGETHER", 4),
        (removing, "AT_ONCE", 3),
    ):
        monkeypatch.setattr(module, constant, size)

    def outcome() -> tuple[object, ...]:
        settings = dict(SMALL_PAGES[name])
        with world([f"top/{key}" for key in settings.pop("keys")], **settings) as made:
            return remove(made), made.keys

    found = outcome()
    monkeypatch.setattr(Removal, "_ahead", lambda self, path: [])
    assert found == outcome()
