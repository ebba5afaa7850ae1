"""The same operations on a directory on disk and on mounts; the differences are those declared, and all of those."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.semantics import posix, posix_changing, posix_endings, posix_reading, posix_writing  # noqa: F401 - they register themselves
from tests.semantics.divergences import SEQUENTIAL, SERVER_LIMITS, STAGED, Divergence
from tests.semantics.mounting import MOTO, WEED, Mounter

KINDS: Final[dict[str, dict[str, Divergence]]] = {"sequential": SEQUENTIAL, "staged": STAGED}
_MARKS: Final[dict[str, Any]] = {"memory": (), "moto": MOTO.marks, "weed": WEED.marks}

CASES: Final = [
    pytest.param(store, kind, name, id=f"{store}-{kind}-{name}", marks=_MARKS[store])
    for store, limits in SERVER_LIMITS.items()
    for kind in KINDS
    for name in posix.OPERATIONS
    if name not in limits
]


@pytest.mark.parametrize(("bucket", "kind", "name"), CASES, indirect=["bucket"])
def test_as_on_disk(kind: str, name: str, mount: Mounter, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    posix.prepare(local)
    on_disk = posix.observe(posix.OPERATIONS[name], local)
    mnt = mount(writes=kind, allow_rename=True)
    posix.prepare(mnt.path)
    mounted = posix.observe(posix.OPERATIONS[name], mnt.path)
    declared = KINDS[kind].get(name)
    if declared is None:
        assert mounted == on_disk
    else:
        assert mounted == declared.outcome
        assert mounted != on_disk, "declared, and no longer so"


def test_only_operations_that_are_there_are_declared() -> None:
    declared = {name for tables in (KINDS, SERVER_LIMITS) for table in tables.values() for name in table}
    assert declared <= set(posix.OPERATIONS)


def test_every_operation_runs_on_a_real_server() -> None:
    moto, weed = SERVER_LIMITS["moto"], SERVER_LIMITS["weed"]
    assert not SERVER_LIMITS["memory"]
    assert not moto.keys() & weed.keys()


def test_every_divergence_has_a_reason() -> None:
    assert all(one.reason for declared in KINDS.values() for one in declared.values())
    assert all(reason for limits in SERVER_LIMITS.values() for reason in limits.values())
