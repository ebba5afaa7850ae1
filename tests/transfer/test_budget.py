"""The budget of bytes, and where its limit comes from."""

from __future__ import annotations

import gc
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


def test_the_high_water_mark() -> None:
    budget = Budget(10)
    budget.reserve(4)
    budget.reserve(5)
    budget.release(8)
    assert (budget.used, budget.peak) == (1, 9)


def test_what_is_only_kept_in_case_makes_room() -> None:
    budget = Budget(10)
    kept = [budget.charge(4), budget.charge(4)]
    asked: list[int] = []

    def reclaim(size: int) -> None:
        asked.append(size)
        charge = kept.pop()
        assert charge is not None
        charge.release()

    budget.reclaim_by(reclaim)
    assert budget.try_reserve(3)
    assert asked == [1]
    assert budget.used == 7
    assert budget.peak <= 10


def test_a_charge_is_given_back_by_the_last_holder() -> None:
    budget = Budget(10)
    charge = budget.charge(6)
    assert charge is not None
    assert budget.charge(6) is None
    assert charge.share()
    charge.release()
    assert budget.used == 6
    charge.release()
    assert budget.used == 0
    assert not charge.share()


def test_a_charge_that_is_forgotten_is_given_back() -> None:
    budget = Budget(10)
    charge = budget.charge(6)
    del charge
    gc.collect()
    assert budget.used == 0


def test_a_charge_of_the_parent_is_not_the_childs_to_give_back() -> None:
    budget = Budget(10)
    charge = budget.charge(6)
    assert charge is not None
    budget.after_fork()
    budget.reserve(5)
    charge.release()
    assert budget.used == 5


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
    monkeypatch.setattr(module, "_CGROUPS", str(tmp_path))
    monkeypatch.setattr(module, "_OWN_CGROUPS", str(tmp_path / "absent"))
    assert container_memory() == memory
    assert default_limit() == limit


@pytest.mark.parametrize(
    ("own", "files", "memory"),
    [
        ("0::/pod/box\n", {"pod/memory.max": "800", "pod/box/memory.max": "900", "memory.max": "max"}, 800),
        ("0::/\n", {"memory.max": "700"}, 700),
        ("0::/another/place\n", {"memory.max": "600"}, 600),
        (
            "9:name=systemd:/x\n4:cpu,memory:/pod/box\n0::/x\n",
            {"memory/pod/box/memory.limit_in_bytes": "500", "memory/memory.limit_in_bytes": "9223372036854771712"},
            500,
        ),
        ("0::/pod\n", {}, None),
    ],
    ids=["version 2, group above", "namespace", "namespace of another", "version 1", "none"],
)
def test_the_smallest_of_the_groups_counts(
    own: str, files: dict[str, str], memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(module, "_CGROUPS", str(tmp_path))
    monkeypatch.setattr(module, "_OWN_CGROUPS", str(tmp_path / "own"))
    assert container_memory() == memory
