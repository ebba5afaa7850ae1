"""The same operations on a directory on disk and on mounts; the differences are those declared, and all of those."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.semantics import posix, posix_changing, posix_reading, posix_writing  # noqa: F401 - they register themselves
from tests.semantics.divergences import SEQUENTIAL, STAGED, Divergence
from tests.semantics.mounting import Mounter, memory_only

KINDS: Final[dict[str, dict[str, Divergence]]] = {"sequential": SEQUENTIAL, "staged": STAGED}


@memory_only
@pytest.mark.parametrize("name", list(posix.OPERATIONS))
@pytest.mark.parametrize("kind", list(KINDS))
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
    assert {name for declared in KINDS.values() for name in declared} <= set(posix.OPERATIONS)


def test_every_divergence_has_a_reason() -> None:
    assert all(one.reason for declared in KINDS.values() for one in declared.values())
