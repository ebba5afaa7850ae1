"""What the proof that a bucket can be listed tells besides: which keys have nothing below them."""

from __future__ import annotations

import pytest

from vfsmount.model import ObjectMeta
from vfsmount.store.memory import MemoryStore
from vfsmount.store.reach import childless, reach


def page(*keys: str, empty: tuple[str, ...] = ()) -> list[ObjectMeta]:
    return [ObjectMeta(key, 0 if key in empty else 1, 0) for key in keys]


@pytest.mark.parametrize(
    ("keys", "complete", "ordered", "expected"),
    [
        (("a", "b"), True, True, {"a", "b"}),
        (("a", "a-", "a/x"), True, True, {"a-", "a/x"}),  # 1. the directory sorts behind another name
        (("a", "a-"), False, True, set()),  # 2. and may be on the next page
        (("a", "a-", "b"), False, True, {"a", "a-"}),  # 3. unless that begins behind it
        (("a/b", "a/b/c/d"), True, True, {"a/b/c/d"}),  # 4. far below
        (("b", "a"), False, False, set()),  # 5. no order, no next page to be sure of
        (("b", "a", "a/x"), True, False, {"b", "a/x"}),
        ((), True, True, set()),
    ],
)
def test_childless(keys: tuple[str, ...], complete: bool, ordered: bool, expected: set[str]) -> None:
    assert childless(page(*keys), complete=complete, ordered=ordered) == expected


def test_an_empty_object_may_be_a_marker() -> None:
    assert childless(page("a", "d", "d", empty=("d",)), complete=True, ordered=True) == {"a"}


def test_a_store_without_a_way_of_its_own_is_listed_once() -> None:
    assert reach(MemoryStore(), "") == frozenset()
