"""The cache on the local disk: what it keeps, when it forgets, and that trouble with the disk never fails a read."""

from __future__ import annotations

import logging
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfsmount.errors import PreconditionFailed
from vfsmount.testing import CountingStore, MemoryStore
from vfsmount.transfer import disk_cache
from vfsmount.transfer.disk_cache import BLOCK, CachedRanges, DiskCache

CONTENT = random.Random(1).randbytes(BLOCK * 3 + 1000)


def cached(
    folder: Path, max_bytes: int | None = None, store: MemoryStore | None = None
) -> tuple[CachedRanges, CountingStore]:
    if store is None:
        store = MemoryStore()
        store.put_object("k", CONTENT)
    counting = CountingStore(store)
    return CachedRanges(counting, DiskCache(str(folder), max_bytes, "bucket")), counting


def etag_of(counting: CountingStore) -> str:
    etag = counting.inner.head("k").etag
    assert etag is not None
    return etag


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_second_read_takes_no_request(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path)
    etag = etag_of(counting)
    for _ in range(2):
        result = ranges.get_range("k", 0, len(CONTENT), if_match=etag)
        assert (bytes(result.data), result.meta.size) == (CONTENT, len(CONTENT))
    assert counting.counts["get_range"] == 1
    assert len(files(tmp_path)) == 4


def test_the_first_range_is_asked_for_each_time_and_kept(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path)
    for _ in range(2):
        assert ranges.get_range("k", 0, BLOCK).data == CONTENT[:BLOCK]
    assert counting.counts["get_range"] == 2
    assert ranges.get_range("k", 5, 9, if_match=etag_of(counting)).data == CONTENT[5:9]
    assert counting.counts["get_range"] == 2


def test_another_version_is_another_block(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path)
    old = etag_of(counting)
    ranges.get_range("k", 0, BLOCK, if_match=old)
    store = counting.inner
    assert isinstance(store, MemoryStore)
    store.put_object("k", CONTENT[::-1])
    assert ranges.get_range("k", 0, BLOCK, if_match=etag_of(counting)).data == CONTENT[::-1][:BLOCK]
    assert ranges.get_range("k", 0, BLOCK, if_match=old).data == CONTENT[:BLOCK]
    with pytest.raises(PreconditionFailed):
        ranges.get_range("k", BLOCK, 2 * BLOCK, if_match=old)


def test_two_buckets_have_nothing_in_common(tmp_path: Path) -> None:
    DiskCache(str(tmp_path), None, "one").keep("k", '"e"', 0, b"of one", 6)
    assert DiskCache(str(tmp_path), None, "two").block("k", '"e"', 0) is None
    assert DiskCache(str(tmp_path), None, "one").block("k", '"e"', 0) == (b"of one", 6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 2 * BLOCK)), min_size=1, max_size=8))
def test_any_ranges_are_the_objects_bytes(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    ranges, counting = cached(folder)
    etag = etag_of(counting)
    for start, length in [*wanted, *wanted]:
        end = min(start + length, len(CONTENT))
        result = ranges.get_range("k", start, end, if_match=etag)
        assert bytes(result.data) == CONTENT[start:end]
        assert result.meta.size == len(CONTENT)
    assert counting.counts["get_range"] <= len(wanted)
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "long", "header"])
def test_a_damaged_block_is_missing(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ranges, counting = cached(tmp_path)
    etag = etag_of(counting)
    ranges.get_range("k", 0, BLOCK, if_match=etag)
    (path,) = files(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[{"header": 14}.get(damage, 1000)] ^= 1
    path.write_bytes({"short": raw[:1000], "empty": b"", "long": bytes(raw) + b"x"}.get(damage, bytes(raw)))
    assert ranges.get_range("k", 0, BLOCK, if_match=etag).data == CONTENT[:BLOCK]
    assert counting.counts["get_range"] == 2
    assert "damaged" in caplog.text
    assert ranges.get_range("k", 0, BLOCK, if_match=etag).data == CONTENT[:BLOCK]
    assert counting.counts["get_range"] == 2


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    size = 1 << 10
    cache = DiskCache(str(tmp_path), 10 * (size + 24), "bucket")
    for number in range(10):
        cache.keep("k", '"e"', number, bytes(size), 1 << 20)
        os.utime(files(tmp_path)[-1])
    for position, path in enumerate(sorted(files(tmp_path), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (position, position))
    used = min(files(tmp_path), key=lambda path: path.stat().st_mtime)
    number = next(n for n in range(10) if cache._path("k", '"e"', n) == str(used))
    assert cache.block("k", '"e"', number) is not None  # the oldest is used again
    cache.keep("k", '"e"', 10, bytes(size), 1 << 20)
    assert used.exists()
    assert cache.block("k", '"e"', 10) is not None
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * (size + 24)


def test_another_process_sees_the_blocks_and_shares_the_bound(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), 100_000, "bucket")
    cache.keep("k", '"e"', 0, b"x" * 40_000, 80_000)
    code = """
import sys
from vfsmount.transfer.disk_cache import DiskCache
cache = DiskCache(sys.argv[1], 100_000, "bucket")
assert cache.block("k", '"e"', 0) == (b"x" * 40_000, 80_000)
cache.keep("k", '"e"', 1, b"y" * 40_000, 80_000)
cache.keep("k", '"f"', 0, b"z" * 40_000, 80_000)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert cache.block("k", '"f"', 0) == (b"z" * 40_000, 80_000)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 100_000


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path / "new")
    ranges.get_range("k", 0, BLOCK, if_match=etag_of(counting))
    for path in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_where_nothing_can_be_kept_reading_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    ranges, counting = cached(tmp_path / "file/cache")
    for _ in range(3):
        assert ranges.get_range("k", 0, BLOCK, if_match=etag_of(counting)).data == CONTENT[:BLOCK]
    assert counting.counts["get_range"] == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_block_over_the_bound_is_not_kept(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path, max_bytes=1000)
    for _ in range(2):
        assert ranges.get_range("k", 0, BLOCK, if_match=etag_of(counting)).data == CONTENT[:BLOCK]
    assert files(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), None, "bucket")
    cache.keep("k", '"e"', 0, b"x", 1)
    folder = files(tmp_path)[0].parent
    old, new = folder / "old.part-1-a", folder / "new.part-1-b"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    DiskCache(str(tmp_path), None, "bucket").keep("k", '"e"', 1, b"y", 1)
    assert (old.exists(), new.exists()) == (False, True)


def test_part_of_the_disk_is_left_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges, counting = cached(tmp_path)
    etag = etag_of(counting)
    ranges.get_range("k", 0, BLOCK, if_match=etag)
    monkeypatch.setattr(disk_cache, "FREE", 1.0)  # all of it
    ranges.get_range("k", BLOCK, 2 * BLOCK, if_match=etag)
    assert files(tmp_path) == []
    monkeypatch.setattr(disk_cache, "FREE", 0.0)
    ranges.get_range("k", BLOCK, 2 * BLOCK, if_match=etag)
    assert len(files(tmp_path)) == 1


def test_many_threads(tmp_path: Path) -> None:
    ranges, counting = cached(tmp_path, max_bytes=2 * BLOCK + 1000)
    etag = etag_of(counting)
    wrong: list[int] = []

    def read(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(30):
            start = chosen.randrange(len(CONTENT))
            end = min(start + chosen.randrange(1, BLOCK), len(CONTENT))
            if bytes(ranges.get_range("k", start, end, if_match=etag).data) != CONTENT[start:end]:
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
