"""What the reference model, and other suites, found; each once, by name."""

from __future__ import annotations

import errno
import os

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused

pytestmark = memory_only


def test_regression_readers_of_a_removed_file_do_not_lock_its_path(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"old")
    bucket.put("d/target", b"target")
    mnt = mount(allow_rename=True)
    with open(mnt / "d/f", "rb") as removed:
        os.unlink(mnt / "d/f")
        (mnt / "d/f").write_bytes(b"new")
        with open(mnt / "d/f", "rb") as reading, open(mnt / "d/target", "rb") as target:
            os.rename(mnt / "d/f", mnt / "d/target")
            (mnt / "d/f").write_bytes(b"newer")
            (mnt / "d/target").write_bytes(b"newest")
            assert (removed.read(), reading.read(), target.read()) == (b"old", b"new", b"target")
        with open(mnt / "d/f", "rb"):
            removed.close()  # a reader of what was there before does not end this one's claim
            with refused(errno.EPERM, mnt / "d/f"):
                open(mnt / "d/f", "wb")


def test_regression_exclusive_creation_over_a_reader_is_not_told_as_existing(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(metadata_ttl=0)
    with open(mnt / "f", "rb"):
        bucket.delete("f")
        with refused(errno.EPERM, mnt / "f"):
            open(mnt / "f", "xb")


def test_regression_a_remembered_absence_becomes_not_a_directory(mount: Mounter) -> None:
    mnt = mount(negative_ttl="indefinite", metadata_ttl="indefinite")
    for name, flags in (("made", os.O_WRONLY | os.O_CREAT), ("staged", os.O_RDWR | os.O_CREAT)):
        with refused(errno.ENOENT):
            os.stat(mnt / name / "below")
        fd = os.open(mnt / name, flags)
        with refused(errno.ENOTDIR):
            os.stat(mnt / name / "below")
        os.close(fd)
        with refused(errno.ENOTDIR):
            os.stat(mnt / name / "below")


def test_regression_an_empty_write_changes_nothing(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    for flags in (os.O_RDWR, os.O_WRONLY | os.O_APPEND):
        fd = os.open(mnt / "f", flags)
        assert os.write(fd, b"") == 0
        bucket.put("f", b"theirs")
        os.close(fd)
    assert bucket.get("f") == b"theirs"


def test_regression_a_handle_that_changed_nothing_publishes_nothing_of_another_one(
    bucket: Bucket, mount: Mounter
) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    idle = os.open(mnt / "f", os.O_RDWR)
    with open(mnt / "f", "r+b") as file:
        file.write(b"NEW")
    assert bucket.get("f") == b"NEW"
    bucket.put("f", b"theirs")
    os.close(idle)
    assert bucket.get("f") == b"theirs"


def test_regression_keys_below_a_file_being_written_make_it_a_directory(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl=0)
    with open(mnt / "f", "wb"):
        bucket.put("f/below", b"")
        assert (mnt / "f").is_dir()
        for mode in ("rb", "wb", "ab"):
            with refused(errno.EISDIR, mnt / "f"):
                open(mnt / "f", mode)
        with refused(errno.EISDIR, mnt / "f"):
            os.unlink(mnt / "f")
        with refused(errno.EPERM, mnt / "f"):
            os.rmdir(mnt / "f")
        os.close(os.open(mnt / "f", os.O_RDONLY | os.O_DIRECTORY))
        with refused(errno.EEXIST, mnt / "f"):
            os.mkdir(mnt / "f")
    assert bucket.keys() == ["f", "f/below"]


def test_regression_an_open_file_is_renamed_over_an_open_file(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("target", b"old")
    mnt = mount(writes="staged", allow_rename=True)
    with open(mnt / "source", "wb") as source, open(mnt / "target", "r+b") as target:
        source.write(b"new")
        os.rename(mnt / "source", mnt / "target")
        target.write(b"lost")
        source.write(b"er")
    assert bucket.keys() == ["target"]
    assert bucket.get("target") == b"newer"


def test_regression_a_staged_file_object_survives_its_removal(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file:
        os.unlink(mnt / "f")
        assert file.read() == b"old"
        file.write(b"+")
    assert bucket.keys() == []
