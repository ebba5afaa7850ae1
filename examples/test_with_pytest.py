"""A bucket for each test, from vfsmount's pytest plugin: on an S3 server in the process, or in memory.

pytest [--vfsmount-backend=memory] examples/test_with_pytest.py
"""

import json

import pytest


def count_lines(path):
    """What is tested: knows nothing of buckets."""
    with open(path) as file:
        return sum(1 for _ in file)


@pytest.mark.vfsmount("/data", seed={"input.txt": b"one\ntwo\n"})
def test_marker():
    assert count_lines("/data/input.txt") == 2


@pytest.mark.vfsmount("/data", seed={"input.txt": b"one\n"}, read_only=True)
def test_marker_with_options():
    with pytest.raises(OSError, match="Read-only file system"):
        open("/data/output.txt", "w")


def test_fixtures(vfs_bucket, vfs_mount):
    folder = vfs_mount()  # below tmp_path; or say where
    (folder / "result.json").write_text(json.dumps({"lines": 3}))
    assert json.loads(vfs_bucket.get("result.json")) == {"lines": 3}

    vfs_bucket.put("late.txt", "as another client would")
    assert count_lines(folder / "late.txt") == 1
