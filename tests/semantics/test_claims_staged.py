"""STAGED: any pattern of writes, through a local spool."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import sys
from pathlib import Path

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused

claim = pytest.mark.claim


@claim("STAGED-1")
def test_any_pattern_of_writes(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "ab") as file:
        assert file.tell() == 10
        file.write(b"ab")
    assert bucket.get("f") == b"0123456789ab"
    with open(mnt / "f", "r+b") as file:
        file.seek(2)
        file.write(b"XY")
        file.seek(0)
        assert file.read() == b"01XY456789ab"
        file.seek(14)
        file.write(b"!")
    assert bucket.get("f") == b"01XY456789ab\0\0!"
    with open(mnt / "f", "w+b") as file:
        file.write(b"new")
        file.seek(0)
        assert file.read() == b"new"
    assert bucket.get("f") == b"new"
    fd = os.open(mnt / "f", os.O_WRONLY | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"+")
    os.pwrite(fd, b"N", 0)
    os.close(fd)
    assert bucket.get("f") in (b"New+", b"new+N")  # Linux appends on a pwrite too, and POSIX does not
    with open(mnt / "made", "xb") as file:
        file.seek(3)
        file.write(b"end")
    assert bucket.get("made") == b"\0\0\0end"


@claim("STAGED-2")
def test_truncation(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file:
        file.truncate(4)
        assert os.fstat(file.fileno()).st_size == 4
        file.truncate(6)
    assert bucket.get("f") == b"0123\0\0"
    os.truncate(mnt / "f", 2)
    assert bucket.get("f") == b"01"
    os.truncate(mnt / "f", 5)
    assert bucket.get("f") == b"01\0\0\0"
    os.truncate(mnt / "f", 0)
    assert bucket.get("f") == b""
    with refused(errno.EINVAL, mnt / "f"):
        os.truncate(mnt / "f", -1)
    with refused(errno.ENOENT, mnt / "missing"):
        os.truncate(mnt / "missing", 0)
    with refused(errno.EISDIR, mnt.path):
        os.truncate(mnt.path, 0)


@claim("STAGED-3")
@memory_only
def test_handles_share_the_content(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    writing = os.open(mnt / "f", os.O_RDWR)
    reading = os.open(mnt / "f", os.O_RDONLY)
    appending = os.open(mnt / "f", os.O_WRONLY | os.O_APPEND)
    os.write(writing, b"NEW")
    os.write(appending, b"+")
    assert os.read(reading, 100) == b"NEW+"
    assert os.stat(mnt / "f").st_size == os.fstat(reading).st_size == 4
    os.close(writing)
    os.write(appending, b"++")
    assert os.pread(reading, 100, 0) == b"NEW+++"
    os.close(appending)
    os.close(reading)
    assert bucket.get("f") == b"NEW+++"


@claim("STAGED-3")
@memory_only
def test_a_reader_from_before_goes_on_with_its_version(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old" * 300_000)
    mnt = mount(writes="staged")
    with open(mnt / "f", "rb", buffering=0) as reading:
        with open(mnt / "f", "wb") as file:
            file.write(b"new" * 300_000)
            file.flush()
            assert (mnt / "f").read_bytes() == b"new" * 300_000
        found = reading.read(10)
        try:
            outcome: object = found + reading.read()
        except OSError as error:
            outcome = error.errno
        assert found == b"old" * 3 + b"o"
        assert outcome in (b"old" * 300_000, errno.ESTALE)


@claim("STAGED-4")
def test_nothing_shows_before_close(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file, open(mnt / "new", "wb") as new:
        file.write(b"X")
        file.flush()
        new.write(b"X")
        new.flush()
        assert (bucket.get("f"), bucket.keys()) == (b"old", ["f"])
        assert os.listdir(mnt.path) == ["f", "new"]
    assert (bucket.get("f"), bucket.get("new")) == (b"Xld", b"X")


@claim("STAGED-5")
def test_fsync_goes_on(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(writes="staged")
    with open(mnt / "f", "wb") as file:
        for text in (b"one", b"two"):
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            assert bucket.get("f") == (b"one" if text == b"one" else b"onetwo")
        file.write(b"three")
    assert bucket.get("f") == b"onetwothree"


@claim("STAGED-6")
@pytest.mark.parametrize("change", ["replaced", "deleted", "made"])
@memory_only
def test_another_clients_change_is_not_overwritten(
    change: str, bucket: Bucket, mount: Mounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change != "made":
        bucket.put("f", b"old")
    mnt = mount(writes="staged")
    fd = os.open(mnt / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"mine")
    if change == "deleted":
        bucket.delete("f")
    else:
        bucket.put("f", b"theirs")
    with refused(errno.ESTALE) as caught:
        os.close(fd)
    assert bucket.get("f") == (None if change == "deleted" else b"theirs")
    if sys.version_info >= (3, 11):
        kept = re.search(r"kept in (\S+)", " ".join(caught.value.__notes__))
        assert kept is not None
        assert Path(kept[1]).read_bytes() == b"mine"
        os.unlink(kept[1])
    if change == "deleted":
        assert not (mnt / "f").exists()
    else:
        assert (mnt / "f").read_bytes() == b"theirs"


@claim("STAGED-6")
@memory_only
def test_the_object_opened_is_the_one_changed(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    fd = os.open(mnt / "f", os.O_RDWR)
    bucket.put("f", b"theirs")
    try:
        outcome: object = os.read(fd, 10)
    except OSError as error:
        outcome = error.errno
    assert outcome in (b"old", errno.ESTALE)
    with refused(errno.ESTALE):
        os.write(fd, b"x")
        os.close(fd)
    assert bucket.get("f") == b"theirs"


@claim("STAGED-7")
@memory_only
def test_existing_files_need_allow_overwrite(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged", allow_overwrite=False)
    for mode in ("wb", "ab", "r+b"):
        with refused(errno.EPERM, mnt / "f"):
            open(mnt / "f", mode)
    with refused(errno.EPERM, mnt / "f"):
        os.truncate(mnt / "f", 0)
    with open(mnt / "new", "w+b") as file:
        file.write(b"12")
        file.seek(0)
        file.write(b"x")
    assert (bucket.get("f"), bucket.get("new")) == (b"old", b"x2")


@claim("STAGED-8")
@memory_only
def test_open_files_can_be_removed(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    fd = os.open(mnt / "f", os.O_RDWR)
    os.unlink(mnt / "f")
    assert bucket.keys() == os.listdir(mnt.path) == []
    os.write(fd, b"x")
    assert os.pread(fd, 10, 0)[:1] == b"x"
    (mnt / "f").write_bytes(b"another")
    os.close(fd)
    assert bucket.get("f") == b"another"


@claim("STAGED-8")
@memory_only
def test_open_files_can_be_renamed(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged", allow_rename=True)
    with open(mnt / "f", "r+b") as file:
        file.write(b"X")
        os.rename(mnt / "f", mnt / "g")
        file.write(b"Y")
        assert os.listdir(mnt.path) == ["g"]
    assert bucket.keys() == ["g"]
    assert bucket.get("g") == b"XYd"


@claim("STAGED-9")
@memory_only
def test_writing_through_mmap(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[2:4] = b"XY"
        assert os.pread(file.fileno(), 5, 0) == b"01XY4"
    assert bucket.get("f") == b"01XY456789"


@claim("STAGED-9")
@memory_only
def test_a_mapping_outlives_its_file_and_is_synced_as_one(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[0:1] = b"a"
    mapped.flush()
    assert bucket.get("f") == b"a123456789"
    mapped[1:2] = b"b"
    assert bucket.get("f") == b"a123456789"
    mapped.close()
    assert bucket.get("f") == b"ab23456789"
    mapped.close()
    with pytest.raises(ValueError, match="closed"):
        mapped.flush()


@claim("STAGED-9")
@memory_only
def test_a_mapping_that_cannot_be_published_says_so(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
        assert isinstance(mapped, mmap.mmap)
        assert type(mapped) is mmap.mmap
    mapped[0:1] = b"a"
    bucket.put("f", b"theirs")
    with refused(errno.ESTALE, mnt / "f"):
        mapped.close()
    assert mapped.closed
    assert bucket.get("f") == b"theirs"


@claim("STAGED-10")
@memory_only
def test_what_is_unchanged_is_not_uploaded(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b") as file:
        assert file.read() == b"old"
    fd = os.open(mnt / "f", os.O_RDWR)
    os.close(fd)
    assert not set(mnt.requests.counts) & {"put", "create_multipart"}


@claim("STAGED-11")
@memory_only
@pytest.mark.parametrize("mode", ["wb", "r+b"])
def test_an_abort_beside_a_reader(mode: str, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount(writes="staged", on_error="abort")
    with open(mnt / "f", "rb") as reader:
        with pytest.raises(KeyError), open(mnt / "f", mode) as file:
            file.write(b"ha")
            raise KeyError
        assert reader.read() == b"old"
    assert bucket.get("f") == b"old"
    assert (mnt / "f").read_bytes() == b"old"


@claim("STAGED-12")
@memory_only
@pytest.mark.parametrize("writes_before", [True, False])
def test_an_abort_beside_a_writer_loses_nothing_of_it(writes_before: bool, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old object")
    mnt = mount(writes="staged", on_error="abort")
    with open(mnt / "f", "r+b", buffering=0) as other:
        if writes_before:
            other.write(b"OLD")
        with pytest.raises(KeyError), open(mnt / "f", "r+b") as file:
            file.seek(4)
            file.write(b"OB")
            raise KeyError
        assert bucket.get("f") == b"old object"
        if not writes_before:
            other.write(b"OLD")
    assert bucket.get("f") == (b"OLD OBject" if writes_before else b"OLD object")


@claim("STAGED-11")
@memory_only
def test_an_abort_of_a_file_that_was_not_there(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(writes="staged", on_error="abort")
    with pytest.raises(KeyError), open(mnt / "f", "wb") as file:
        file.write(b"half")
        raise KeyError
    assert not (mnt / "f").exists()
    with pytest.raises(KeyError), open(mnt / "f", "wb") as file, open(mnt / "f", "ab") as other:
        file.write(b"half")
        file.flush()
        raise KeyError
    assert other.closed
    assert bucket.keys() == []
    assert not (mnt / "f").exists()


@claim("STAGED-11")
@memory_only
def test_an_abort_drops_what_native_code_wrote(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged", on_error="abort")
    with pytest.raises(KeyError), open(mnt / "f", "r+b") as file:
        ctypes.CDLL(None).write(file.fileno(), b"native", 6)
        raise KeyError
    assert bucket.get("f") == b"0123456789"
