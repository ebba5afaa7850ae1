"""What a listing tells is remembered whole, and gives way to what is learnt, or changed here, later."""

from __future__ import annotations

import pytest

from tests.clock import SteppedClock
from vfsmount.model import Attr, ObjectMeta
from vfsmount.vfs import attrs as module
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.options import FsOptions

NAMES = ["a", "b.txt", "ü", "\u65e5\u672c", "x y", "z" * 200, "\udc80"]
APPEARANCE = Appearance(FsOptions(bucket="b", file_mode=0o640, uid=7, gid=8), 5)


def seen(size: int) -> Attr:
    return APPEARANCE.file("any", ObjectMeta("any", size, 0, f'"{size}"'))


@pytest.mark.parametrize("directory", ["", "d", "d/é"])
def test_many_files_look_as_each_alone(directory: str) -> None:
    start = f"{directory}/" if directory else ""
    metas = {name: ObjectMeta(start + name, at, at * 1000, f'"{at}"', "STANDARD") for at, name in enumerate(NAMES)}
    assert APPEARANCE.files(directory, metas) == {
        name: APPEARANCE.file(start + name, meta) for name, meta in metas.items()
    }


def test_stat_result_has_every_field_that_a_real_one_has() -> None:
    meta = ObjectMeta("f", 1025, 1_700_000_000_123_456_000, '"x"')
    shown = APPEARANCE.file("f", meta).stat_result()
    assert (shown.st_mode, shown.st_uid, shown.st_gid, shown.st_size) == (0o100640, 7, 8, 1025)
    assert shown[7:10] == (1_700_000_000,) * 3
    assert shown.st_atime == shown.st_mtime == shown.st_ctime == 1_700_000_000.123456
    assert shown.st_atime_ns == shown.st_mtime_ns == shown.st_ctime_ns == meta.mtime_ns
    assert (shown.st_blksize, shown.st_blocks, shown.st_rdev, shown.st_nlink) == (1 << 20, 3, 0, 1)


def test_what_is_learnt_after_a_listing_was_asked_for_wins() -> None:
    cache = AttrCache(10, 0, SteppedClock())
    before = cache.epoch()
    cache.put("d/a", seen(1), before)
    asked = cache.epoch()
    cache.fill("d", {"a": seen(2), "b": seen(2)}, asked)
    assert cache.get("d/a") == (True, seen(2))
    cache.put("d/a", seen(3), cache.epoch())
    assert cache.get("d/a") == (True, seen(3))
    assert cache.get("d/b") == (True, seen(2))
    cache.put("d/b", None, cache.epoch())  # it is gone, which is not remembered
    assert cache.get("d/b") == (False, None)


def test_an_older_listing_takes_nothing_back() -> None:
    clock = SteppedClock()
    cache = AttrCache(10, 0, clock)
    asked, since = cache.epoch(), clock.monotonic()
    cache.put("d/a", seen(3), cache.epoch())
    cache.fill("d", {"a": seen(2), "b": seen(2)}, asked, since)
    assert cache.get("d/a") == (True, seen(3))
    assert cache.get("d/b") == (True, seen(2))


def test_what_was_changed_here_is_not_taken_from_a_listing() -> None:
    cache = AttrCache(10, 0, SteppedClock())
    asked = cache.epoch()
    cache.drop("d/a")
    cache.fill("d", {"a": seen(1), "b": seen(1)}, asked)
    assert cache.get("d/a") == (False, None)
    assert cache.get("d/b") == (True, seen(1))
    cache.drop("d/b")
    assert cache.get("d/b") == (False, None)
    cache.fill("d", {"b": seen(2)}, cache.epoch())
    cache.drop_below("d")
    assert cache.get("d/b") == (False, None)


def test_a_listing_is_trusted_for_as_long_as_any_answer() -> None:
    clock = SteppedClock()
    cache = AttrCache(10, 0, clock)
    cache.fill("d", {"a": seen(1)}, cache.epoch())
    clock.step(9.9)
    assert cache.get("d/a") == (True, seen(1))
    clock.step(0.2)
    assert cache.get("d/a") == (False, None)


def test_names_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_ENTRIES", 100)
    cache = AttrCache(10, 0, SteppedClock())
    for number in range(10):
        cache.fill(f"d{number}", {f"{at}": seen(at) for at in range(20)}, cache.epoch())
    known = [number for number in range(10) if cache.get(f"d{number}/0")[0]]
    assert known == [6, 7, 8, 9]
    cache.fill("wide", {f"{at}": seen(at) for at in range(1000)}, cache.epoch())
    assert [cache.get(f"wide/{at}")[0] for at in (0, 99, 100)] == [True, True, False]


def test_absence_is_what_a_whole_fresh_listing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteppedClock()
    cache = AttrCache(10, 0, clock)
    assert not cache.is_absent("d/a")
    cache.fill("d", {"a": seen(1)}, cache.epoch())
    assert (cache.is_absent("d/a"), cache.is_absent("d/b"), cache.is_absent("d/b/c")) == (False, True, False)
    cache.put("d/b", seen(1), cache.epoch())
    cache.drop("d/c")
    assert not cache.is_absent("d/b")
    assert not cache.is_absent("d/c")
    cache.drop("d/d/below")
    assert not cache.is_absent("d/d")
    assert cache.is_absent("d/e")
    clock.step(11)
    assert not cache.is_absent("d/e")
    monkeypatch.setattr(module, "CACHE_ENTRIES", 10)
    cache.fill("d", {f"{at}": seen(at) for at in range(11)}, cache.epoch())
    assert not cache.is_absent("d/e")
