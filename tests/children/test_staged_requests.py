"""What programs that are served by copies cost in requests: nothing is asked twice."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.children.conftest import output
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.store.memory import MemoryStore
from vfsmount.testing import CountingStore

FILES = 40
"""In ``dir`` and ``dir/sub``, half in each."""


class Bucket:
    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.counting = CountingStore(self.memory)
        self.expect = self.counting.expect
        for number in range(FILES):
            self.memory.put(f"dir/{'sub/' if number % 2 else ''}{number:03}", b"content")
        self.memory.put("a/b/f", b"f\n")
        self.memory.put("g", b"old\n")


@pytest.fixture
def bucket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("stages")))
    made = Bucket()
    with activate_stores(
        {"/my-mount": (CloudBucketMount("bucket", metadata_ttl=60), made.counting)}, children="staging"
    ):
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A directory of as many files as ``dir`` has."""
    (tmp_path / "local" / "sub").mkdir(parents=True)
    for number in range(FILES):
        (tmp_path / "local" / ("sub" if number % 2 else ".") / f"n{number:03}").write_text("new")
    return tmp_path / "local"


def test_a_file_is_looked_up_and_read_once(bucket: Bucket) -> None:
    with bucket.expect(head=1, list_page=1, get_range=1):
        assert output("cat", "/my-mount/a/b/f") == "f\n"


def test_a_directory_is_listed_once_and_its_files_are_not_looked_up(bucket: Bucket, tmp_path: Path) -> None:
    with bucket.expect(head=1, list_page=3, get_range=FILES):
        output("cp", "-r", "/my-mount/dir", tmp_path)
    assert len(list((tmp_path / "dir").rglob("0*"))) == FILES


def test_new_files_in_new_directories_cost_their_upload(bucket: Bucket, local: Path) -> None:
    with bucket.expect(head=3, list_page=3, put=FILES):  # the operand, and the two directories that are made
        output("cp", "-r", local, "/my-mount/x")
    assert sum(key.startswith("x/") for key in bucket.memory.objects()) == FILES


def test_another_clients_file_of_the_same_name_is_not_overwritten(
    bucket: Bucket, local: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = subprocess.Popen(["sh", "-c", 'read line; cp -r "$0" /my-mount/x', local], stdin=subprocess.PIPE)
    assert child.stdin is not None
    os.listdir("/my-mount")  # it is known not to be there for a while
    bucket.memory.put("x/n000", b"theirs")
    bucket.memory.put("x/sub/n001", b"theirs")
    with caplog.at_level(logging.ERROR):
        child.communicate(b"\n", timeout=60)
    assert child.returncode == 1
    objects = bucket.memory.objects()
    assert (objects["x/n000"], objects["x/sub/n001"], objects["x/n002"]) == (b"theirs", b"theirs", b"new")
    assert "/my-mount/x/n000 was not uploaded" in caplog.text
    assert os.strerror(errno.EEXIST) in caplog.text


def test_files_are_removed_without_being_fetched(bucket: Bucket) -> None:
    before = bucket.counting.counts
    output("rm", "-r", "/my-mount/dir")
    made = bucket.counting.counts - before
    assert made["delete"] == FILES
    assert made["head"] + made["list_page"] < 8
    assert made["get_range"] == made["put"] == 0


def test_what_is_only_overwritten_is_not_fetched(bucket: Bucket, local: Path) -> None:
    (local / "g").write_text("newer")
    with bucket.expect(head=1, list_page=1, put=1):
        output("cp", local / "g", "/my-mount/g")
    bucket.memory.put("sub/n001", bytes(65 << 20))  # more than would be copied
    before = bucket.counting.counts
    output("sh", "-c", f"cp -r {local}/g {local}/sub /my-mount")
    made = bucket.counting.counts - before
    assert (made["get_range"], made["put"]) == (0, 1 + FILES // 2)
    objects = bucket.memory.objects()
    assert (objects["g"], objects["sub/n001"], objects["sub/n003"]) == (b"newer", b"new", b"new")


def test_what_could_be_overwritten_and_is_not_stays_as_it_is(bucket: Bucket, local: Path) -> None:
    before = bucket.memory.objects()
    (local / "g").write_text("newer")
    for argv in (["cp", "-n", local / "g"], ["cp", local / "missing"], ["cp", "/my-mount/g"]):
        subprocess.run([*argv, "/my-mount/g"], stderr=subprocess.DEVNULL, timeout=60)
    assert bucket.memory.objects() == before
    assert output("sh", "-c", f"cp -n {local}/g /my-mount/g; cat /my-mount/g") == "old\n"
    assert output("sh", "-c", f"cp {local}/g /my-mount/g; cat /my-mount/g") == "newer"


def test_what_must_not_be_overwritten_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    memory = MemoryStore()
    memory.put("g", b"old\n")
    (tmp_path / "g").write_text("newer")
    mount = CloudBucketMount("bucket", allow_overwrite=False)
    with activate_stores({"/my-mount": (mount, memory)}, children="staging"):
        for options in ([], ["-f"]):
            with pytest.raises((PermissionError, subprocess.CalledProcessError)):
                output("cp", *options, tmp_path / "g", "/my-mount/g")
    assert memory.objects() == {"g": b"old\n"}
