"""Workers that share a process: what each is sent, and what is active there."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Final

import pytest

import vfsmount
from vfsmount import CloudBucketMount, Secret
from vfsmount.config import Config
from vfsmount.contrib.worker import Mounting

POINT: Final = "/cluster-mount"


def sent(config: Config, **options: object) -> Mounting:
    """As a worker gets it."""
    mounting: Mounting = pickle.loads(pickle.dumps(Mounting(config, options)))
    return mounting


def values() -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "s"}


def test_the_same_mounts_are_shared(tmp_path: Path) -> None:
    """Until the last worker has gone."""
    one, two = sent({POINT: f"file://{tmp_path}"}), sent({POINT: f"file://{tmp_path}"})
    one.open()
    two.open()
    one.close()
    one.close()  # no more than it has opened
    Path(POINT, "x").write_text("kept")
    two.close()
    assert not vfsmount.is_active()
    assert (tmp_path / "x").read_text() == "kept"


def test_another_bucket_is_refused(tmp_path: Path) -> None:
    """Whoever is there already keeps what it has, and what it writes arrives."""
    for name in "ab":
        (tmp_path / name).mkdir()
    first = sent({POINT: f"file://{tmp_path}/a"})
    first.open()
    try:
        with open(f"{POINT}/x", "w") as file:
            file.write("to a")
            for url, options, hint in (
                (f"file://{tmp_path}/b", {}, f"{POINT}.*bucket_name"),
                (f"file://{tmp_path}/a?read_only=true", {}, f"{POINT}.*read_only"),
                (f"file://{tmp_path}/a", {"memory_limit": 1 << 26}, "options of activation"),
            ):
                second = sent({POINT: url}, **options)
                with pytest.raises(ValueError, match=hint):
                    second.open()
                second.close()  # as a cluster does with what failed
        assert vfsmount.is_active()
    finally:
        first.close()
    assert (tmp_path / "a" / "x").read_text() == "to a"
    assert list((tmp_path / "b").iterdir()) == []
    second = sent({POINT: f"file://{tmp_path}/b"})
    second.open()
    second.close()


def test_secrets_are_compared_by_what_they_are_made_of() -> None:
    """But functions, of which every worker is sent one of its own."""
    mounts = [
        CloudBucketMount("bucket", secret=secret)
        for secret in (
            Secret.from_dict(values()),
            Secret.from_dict({**values(), "AWS_SECRET_ACCESS_KEY": "rotated"}),
            Secret.from_callable(lambda: values()),
            Secret.from_callable(lambda: values()),
        )
    ]
    given, rotated, function, other = (Mounting({POINT: mount}, {"check": False}) for mount in mounts)
    given.open()
    try:
        with pytest.raises(ValueError, match="secret") as told:
            rotated.open()
        assert "rotated" not in str(told.value)
    finally:
        given.close()
    function.open()
    other.open()
    function.close()
    other.close()
    assert not vfsmount.is_active()
