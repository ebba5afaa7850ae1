"""WRITE: in sequence, and published as a whole."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys

import pytest

from tests.forks import in_child
from tests.semantics.buckets import Bucket, MemoryBucket
from tests.semantics.mounting import Mounter, memory_only, refused, verbatim_stores
from vfsmount.errors import Unavailable
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import MemoryStore

claim = pytest.mark.claim
MIB = 1 << 20
PARTS = b"p" * (12 * MIB)
"""Enough for a multipart upload with the smallest part size."""


@claim("WRITE-1")
def test_writes_in_sequence(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"abc")
    assert os.lseek(fd, 0, os.SEEK_SET) == 0
    assert os.lseek(fd, 10, os.SEEK_CUR) == 10
    assert os.lseek(fd, 0, os.SEEK_END) == 3
    os.write(fd, b"def")
    os.pwrite(fd, b"ghi", 6)
    os.close(fd)
    assert bucket.get("f") == b"abcdefghi"


@claim("WRITE-1")
@claim("WRITE-2")
@pytest.mark.parametrize("offset", [-1, 1])
@pytest.mark.parametrize("name", ["new", "f"])
def test_out_of_order_writes_end_the_upload(name: str, offset: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount()
    fd = os.open(mnt / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"abc")
    os.lseek(fd, offset, os.SEEK_CUR)
    with refused(errno.EINVAL):
        os.write(fd, b"x")
    os.lseek(fd, 3, os.SEEK_SET)
    with refused(errno.EINVAL):
        os.write(fd, b"def")
    with refused(errno.EINVAL):
        os.close(fd)
    assert bucket.get(name) == (b"old" if name == "f" else None)
    assert (mnt / name).exists() == (name == "f")
    assert bucket.uploads() == []


@claim("WRITE-2")
@memory_only
def test_parts_of_a_dead_upload_are_dropped(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(part_size=5 * MIB)
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, PARTS)
    assert bucket.uploads() == ["f"]
    with refused(errno.EINVAL):
        os.pwrite(fd, b"x", 0)
    with refused(errno.EINVAL):
        os.close(fd)
    assert (bucket.uploads(), bucket.keys()) == ([], [])


@claim("WRITE-3")
@pytest.mark.parametrize("data", [b"small", PARTS])
def test_nothing_shows_before_close(data: bytes, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(part_size=5 * MIB)
    with open(mnt / "f", "wb") as file:
        file.write(data)
        file.flush()
        assert bucket.keys() == []
    assert bucket.get("f") == data


@claim("WRITE-4")
@pytest.mark.parametrize("access", [os.O_WRONLY, os.O_RDWR])
def test_fsync_publishes_and_ends_writing(access: int, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    fd = os.open(mnt / "f", access | os.O_CREAT)
    os.write(fd, b"content")
    os.fsync(fd)
    assert bucket.get("f") == (mnt / "f").read_bytes() == b"content"
    assert os.fstat(fd).st_size == os.stat(mnt / "f").st_size == 7
    with refused(errno.EIO):
        os.write(fd, b"more")
    os.fsync(fd)
    os.close(fd)
    assert bucket.get("f") == b"content"


@claim("WRITE-5")
@claim("WRITE-10")
@memory_only
@pytest.mark.parametrize("verb", ["put", "create_multipart", "put_part", "complete"])
@pytest.mark.parametrize("name", ["new", "f"])
def test_a_failed_upload_leaves_nothing(name: str, verb: str, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(part_size=5 * MIB)
    mnt.faults.fail(verb, Unavailable("503", operation=verb), times=None)
    file = open(mnt / name, "wb", buffering=0)
    failures = []
    for step in (lambda: file.write(b"x" if verb == "put" else PARTS), file.close):
        try:
            step()
        except OSError as error:
            failures.append(error.errno)
    assert failures  # at the write, where parts failed in time, and in any case at close
    assert set(failures) == {errno.EIO}
    assert file.closed
    mnt.faults.heal()
    assert bucket.uploads() == []
    assert bucket.get(name) == (b"old" if name == "f" else None)
    assert os.listdir(mnt.path) == ["f"]
    assert (mnt / name).exists() == (name == "f")
    (mnt / name).write_bytes(b"again")
    assert bucket.get(name) == b"again"


@claim("WRITE-5")
@memory_only
def test_close_raises(mount: Mounter) -> None:
    mnt = mount()
    mnt.faults.fail("put", Unavailable("503", operation="put"), times=None)
    with refused(errno.EIO) as caught, open(mnt / "f", "wb") as file:
        file.write(b"x")
    assert isinstance(caught.value.__cause__, Unavailable)
    with refused(errno.EIO):
        fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
        os.close(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    with refused(errno.EIO):
        (mnt / "f").write_text("x")


@claim("WRITE-6")
@pytest.mark.parametrize("mode", ["wb", "xb", "ab", "w+b"])
def test_empty_files(mode: str, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    open(mnt / "f", mode).close()
    assert bucket.get("f") == b""
    assert (mnt / "f").read_bytes() == b""


@claim("WRITE-6")
def test_truncation_alone_empties_an_object(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount()
    open(mnt / "f", "wb").close()
    assert bucket.get("f") == b""


@claim("WRITE-7")
@memory_only
def test_a_forked_child_publishes_nothing(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    file = open(mnt / "f", "wb", buffering=0)
    file.write(b"by the parent")

    def child() -> None:
        before = mnt.requests.counts
        file.close()
        assert mnt.requests.counts == before
        assert bucket.keys() == []

    in_child(child)
    file.close()
    assert bucket.get("f") == b"by the parent"


@claim("WRITE-8")
@pytest.mark.parametrize(("on_error", "expected"), [("commit", b"half"), ("abort", b"old")])
@memory_only
def test_leaving_by_an_exception(on_error: str, expected: bytes, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(on_error=on_error)
    with pytest.raises(KeyError), open(mnt / "f", "wb") as file:
        file.write(b"half")
        raise KeyError
    assert bucket.get("f") == expected
    with pytest.raises(KeyError), open(mnt / "f", "w") as text:
        text.write("half")
        raise KeyError
    assert (mnt / "f").read_bytes() == expected
    assert bucket.uploads() == []


@claim("WRITE-9")
def test_open_after_close(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl="indefinite")
    for data in (b"first", b"second, longer", b"", b"3"):
        (mnt / "f").write_bytes(data)
        assert os.stat(mnt / "f").st_size == len(data)
        assert (mnt / "f").read_bytes() == data


@claim("WRITE-11")
@memory_only
@pytest.mark.parametrize("step", [8_000, 7_000, 700_000])
def test_too_big(step: int, bucket: MemoryBucket, mount: Mounter) -> None:
    bucket.store = MemoryStore(traits=StoreTraits(min_part_size=1, max_object_size=640_000, max_put_size=640_000))
    mnt = mount(part_size=5 * MIB)
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    fits = 640_000 // step
    for _ in range(fits):
        os.write(fd, bytes(step))
    with refused(errno.EFBIG):
        os.write(fd, bytes(step))
    with refused(errno.EFBIG):
        os.fsync(fd)
    with refused(errno.EFBIG):
        os.close(fd)
    assert (bucket.keys(), bucket.uploads()) == ([], [])
    assert not (mnt / "f").exists()


@claim("WRITE-12")
@memory_only
def test_the_end_of_a_session_publishes(bucket: Bucket, mount: Mounter, caplog: pytest.LogCaptureFixture) -> None:
    mnt = mount()
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"content")
    with caplog.at_level(logging.WARNING):
        mnt.session.close()
    assert bucket.get("f") == b"content"
    assert str(mnt / "f") in caplog.text


@claim("WRITE-13")
def test_overwriting_shows_as_a_whole(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(part_size=5 * MIB)
    with open(mnt / "f", "wb") as file:
        file.write(PARTS)
        assert bucket.get("f") == b"old"
    assert bucket.get("f") == PARTS


@claim("WRITE-14")
@memory_only
def test_a_file_being_written_is_listed(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/hello.txt", b"hello")
    mnt = mount()
    fd = os.open(mnt / "d/new.txt", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"12345")
    assert os.listdir(mnt / "d") == ["hello.txt", "new.txt"]
    assert [entry.stat().st_size for entry in os.scandir(mnt / "d")] == [5, 5]
    assert (mnt / "d/new.txt").is_file()
    os.close(fd)
    assert os.listdir(mnt / "d") == ["hello.txt", "new.txt"]


@claim("WRITE-15")
def test_content_type(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    bucket.put("there.png", b"existing content")
    for name, expected in (("image.png", "image/png"), ("d.json", "application/json"), ("there.png", "image/png")):
        (mnt / name).write_bytes(b"content")
        assert bucket.content_type(name) == expected


@claim("WRITE-15")
@verbatim_stores
def test_a_name_that_says_nothing_of_its_type(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    (mnt / "no_extension").write_bytes(b"content")
    assert bucket.content_type("no_extension") in (None, "binary/octet-stream", "application/octet-stream")


@claim("WRITE-16")
@memory_only
@pytest.mark.slow
def test_a_child_program_leaves_a_writer_alone(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    with open(mnt / "f", "ab") as file:
        file.write(b"before,")
        file.flush()
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
        assert bucket.keys() == []
        file.write(b"after")
    assert bucket.get("f") == b"before,after"
