"""The budget of bytes, and where its limit comes from."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vfsmount.transfer import budget as module
from vfsmount.transfer.budget import DEFAULT_LIMIT, Budget, container_memory, default_limit


def test_try_reserve_stops_at_the_limit_exactly() -> None:
    budget = Budget(10)
    assert budget.try_reserve(10)
    assert not budget.try_reserve(1)
    assert budget.used == 10
    budget.release(1)
    assert budget.try_reserve(1)


def test_reserve_goes_over_the_limit() -> None:
    budget = Budget(10)
    budget.reserve(25)
    assert budget.used == 25
    assert not budget.try_reserve(0)


def test_wait_reserve_waits_until_enough_came_back() -> None:
    budget = Budget(10)
    budget.reserve(8)
    got = threading.Event()

    def wait() -> None:
        budget.wait_reserve(5)
        got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.02)
    budget.release(1)
    assert not got.wait(0.02)
    budget.release(2)
    assert got.wait(5)
    thread.join()
    assert budget.used == 10


def test_more_than_the_whole_limit_is_given_to_the_only_one() -> None:
    budget = Budget(10)
    budget.wait_reserve(50)
    assert budget.used == 50


def test_a_forked_child_starts_over() -> None:
    budget = Budget(10)
    budget.reserve(8)
    budget.after_fork()
    assert budget.used == 0
    budget.release(8)  # what it inherited is let go of later
    assert budget.used == 0


@pytest.mark.parametrize(
    ("text", "memory", "limit"),
    [
        ("1073741824\n", 1 << 30, 256 << 20),
        ("max\n", None, DEFAULT_LIMIT),
        ("9223372036854771712\n", None, DEFAULT_LIMIT),
        ("67108864\n", 64 << 20, 32 << 20),
        ("68719476736\n", 64 << 30, DEFAULT_LIMIT),
    ],
)
def test_the_default_is_a_quarter_of_the_container(
    text: str, memory: int | None, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    file.write_text(text)
    monkeypatch.setattr(module, "_CGROUP_FILES", (str(tmp_path / "absent"), str(file)))
    assert container_memory() == memory
    assert default_limit() == limit
