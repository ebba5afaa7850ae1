"""OPEN: which opens make readers, writers and refusals."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from tests.forks import in_child
from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused, verbatim_stores
from vfsmount.errors import NotFound, Unavailable
from vfsmount.testing import MemoryStore

claim = pytest.mark.claim
MIB = 1 << 20


@claim("OPEN-1")
@pytest.mark.parametrize("first", [1, 300_000])
def test_a_replaced_object_is_never_mixed(first: int, bucket: Bucket, mount: Mounter) -> None:
    old, new = b"o" * (3 * MIB), b"n" * (2 * MIB)
    bucket.put("f", old)
    mnt = mount()
    fd = os.open(mnt / "f", os.O_RDONLY)
    read = os.read(fd, first)
    bucket.put("f", new)
    failure = None
    try:
        while block := os.read(fd, 70_000):
            read += block
    except OSError as error:
        failure = error.errno
    assert failure == errno.ESTALE or (failure is None and len(read) == len(old))
    assert set(read) == {ord("o")}
    assert os.fstat(fd).st_size == len(old)
    os.close(fd)
    assert (mnt / "f").read_bytes() == new


@claim("OPEN-2")
@pytest.mark.parametrize("here", [False, True])
def test_a_deleted_object_never_ends_early(here: bool, bucket: Bucket, mount: Mounter) -> None:
    data = b"o" * (3 * MIB)
    bucket.put("d/f", data)
    bucket.put("d/other")
    mnt = mount()
    with open(mnt / "d/f", "rb", buffering=0) as file:
        assert file.read(1) == b"o"
        if here:
            os.unlink(mnt / "d/f")
            assert os.listdir(mnt / "d") == ["other"]
        else:
            bucket.delete("d/f")
        file.seek(-1000, os.SEEK_END)
        try:
            outcome: object = file.read(1000)
        except OSError as error:
            outcome = error.errno
        assert outcome in (data[-1000:], errno.EIO, errno.ESTALE, errno.ENOENT)


@claim("OPEN-3")
@verbatim_stores
def test_archived_objects(bucket: Bucket, mount: Mounter) -> None:
    for name in ("STANDARD", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"):
        bucket.put(name, b"content", storage_class=name)
    mnt = mount()
    assert len(os.listdir(mnt.path)) == 4
    for name in ("GLACIER", "DEEP_ARCHIVE"):
        assert os.stat(mnt / name).st_size == 7
        with refused(errno.EACCES, mnt / name) as caught:
            (mnt / name).read_bytes()
        if sys.version_info >= (3, 11):
            assert "restore" in " ".join(caught.value.__notes__)
    assert (mnt / "STANDARD").read_bytes() == (mnt / "GLACIER_IR").read_bytes() == b"content"


@claim("OPEN-4")
def test_writing_an_existing_file(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old content")
    mnt, careful = mount(), mount("careful", allow_overwrite=False)
    with refused(errno.EPERM, careful / "f"):
        open(careful / "f", "wb")
    with refused(errno.EPERM, careful / "f"):
        os.open(careful / "f", os.O_RDWR | os.O_TRUNC)
    assert bucket.get("f") == b"old content"
    (careful / "new").write_bytes(b"x")
    (mnt / "f").write_bytes(b"new")
    fd = os.open(mnt / "new", os.O_WRONLY | os.O_TRUNC)  # O_CREAT is not needed
    os.close(fd)
    assert (bucket.get("f"), bucket.get("new")) == (b"new", b"")


@claim("OPEN-4")
@memory_only
def test_without_allow_overwrite_another_clients_object_is_not_replaced(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_overwrite=False)
    with refused(errno.EEXIST, str(mnt / "f")), open(mnt / "f", "wb") as file:
        file.write(b"here")
        bucket.put("f", b"elsewhere")
    assert bucket.get("f") == b"elsewhere"


@claim("OPEN-5")
@pytest.mark.parametrize("data", [b"content", b""])
@pytest.mark.parametrize("overwrite", [True, False])
def test_writing_without_truncation_is_refused(overwrite: bool, data: bytes, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", data)
    mnt = mount(allow_overwrite=overwrite)
    with refused(errno.EPERM, mnt / "f") as caught:
        open(mnt / "f", "ab")
    if sys.version_info >= (3, 11):
        assert 'writes="staged"' in " ".join(caught.value.__notes__)
    with refused(errno.EPERM, mnt / "f"):
        os.open(mnt / "f", os.O_WRONLY)
    with refused(errno.EPERM, mnt / "f"):
        os.open(mnt / "f", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with refused(errno.EPERM):
        (mnt / "f").touch()
    assert bucket.get("f") == data
    with open(mnt / "new", "ab") as file:  # appending to nothing is writing
        file.write(b"1")
    (mnt / "touched").touch()
    assert (bucket.get("new"), bucket.get("touched")) == (b"1", b"")


@claim("OPEN-6")
def test_read_write_without_truncation_reads(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    fd = os.open(mnt / "f", os.O_RDWR)
    assert os.read(fd, 4) == b"cont"
    with refused(errno.EBADF) as caught:
        os.write(fd, b"x")
    if sys.version_info >= (3, 11):
        assert 'writes="staged"' in caught.value.__notes__[0]
    assert os.read(fd, 9) == b"ent"
    with refused(errno.EPERM, mnt / "f"):  # it counts as being read
        open(mnt / "f", "wb")
    os.close(fd)
    file = open(mnt / "f", "r+b")
    assert file.read() == b"content"
    file.seek(0)
    file.write(b"x")
    with pytest.raises(io.UnsupportedOperation, match="not writable"):
        file.close()
    assert bucket.get("f") == b"content"


@claim("OPEN-7")
@pytest.mark.parametrize("mode", ["xb", "x+b"])
def test_exclusive_creation(mode: str, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl="indefinite", negative_ttl="indefinite")
    bucket.put("there", b"old")
    with refused(errno.EEXIST, mnt / "there"):
        open(mnt / "there", mode)
    with open(mnt / "new", mode) as file:
        file.write(b"1")
    assert bucket.get("new") == b"1"
    with pytest.raises(FileExistsError) as caught, open(mnt / "race", mode) as file:
        file.write(b"here")
        bucket.put("race", b"elsewhere")
    assert caught.value.filename == str(mnt / "race")
    assert bucket.get("race") == b"elsewhere"


@claim("OPEN-8")
@memory_only
@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC])
@pytest.mark.parametrize("access", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_TRUNC])
def test_synchronous_opens_are_refused(flag: int, access: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    for name in ("f", "new"):
        with refused(errno.EINVAL, mnt / name):
            os.open(mnt / name, access | flag)
    assert bucket.keys() == ["f"]


@claim("OPEN-9")
@memory_only
def test_one_writer(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount()
    for name in ("f", "new"):
        with open(mnt / name, "wb"):
            for mode in ("rb", "wb", "ab", "r+b", "w+b"):
                with refused(errno.EPERM, mnt / name):
                    open(mnt / name, mode)
            with refused(errno.EEXIST, mnt / name):
                open(mnt / name, "xb")
        assert (mnt / name).read_bytes() == b""


@claim("OPEN-10")
@memory_only
def test_many_readers_or_a_writer(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    with open(mnt / "f", "rb") as one, open(mnt / "f", "rb") as two:
        assert one.read() == two.read() == b"content"
        with refused(errno.EPERM, mnt / "f"):
            open(mnt / "f", "wb")
        one.close()
        with refused(errno.EPERM, mnt / "f"):
            open(mnt / "f", "wb")
    (mnt / "f").write_bytes(b"new")
    assert bucket.get("f") == b"new"


@claim("OPEN-11")
@memory_only
def test_handles_go_one_way(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    reading, writing = os.open(mnt / "f", os.O_RDONLY), os.open(mnt / "new", os.O_WRONLY | os.O_CREAT)
    with refused(errno.EBADF):
        os.write(reading, b"x")
    with refused(errno.EBADF):
        os.read(writing, 1)
    with refused(errno.EBADF):
        os.pread(writing, 1, 0)
    with refused(errno.EINVAL):
        os.ftruncate(reading, 0)
    os.close(reading)
    os.close(writing)
    with open(mnt / "f", "rb") as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    with open(mnt / "new", "wb") as file, pytest.raises(io.UnsupportedOperation):
        file.read()


@claim("OPEN-12")
def test_directories_and_what_is_below_files(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount()
    for mode in ("rb", "wb", "ab", "r+b"):
        with refused(errno.EISDIR, mnt / "d"):
            open(mnt / "d", mode)
    fd = os.open(mnt / "d", os.O_RDONLY)
    with refused(errno.EISDIR):
        os.read(fd, 1)
    os.close(fd)
    below = mnt / "d/f/below"
    with refused(errno.ENOTDIR, below):
        os.stat(below)
    with refused(errno.ENOTDIR, below):
        open(below, "rb")
    with refused(errno.ENOTDIR, below):
        open(below, "wb")
    with refused(errno.ENOTDIR, below):
        os.mkdir(below)
    with refused(errno.ENOTDIR, mnt / "d/f"):
        os.listdir(mnt / "d/f")
    with refused(errno.ENOTDIR, f"{mnt.path}/d/f/"):
        os.stat(f"{mnt.path}/d/f/")


@claim("OPEN-13")
@memory_only
def test_read_write_of_a_new_file_writes(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount()
    for name, flags in (("new", os.O_CREAT), ("f", os.O_TRUNC)):
        fd = os.open(mnt / name, os.O_RDWR | flags)
        os.write(fd, b"written")
        os.lseek(fd, 0, os.SEEK_SET)
        with refused(errno.EBADF) as caught:
            os.read(fd, 1)
        if sys.version_info >= (3, 11):
            assert 'writes="staged"' in caught.value.__notes__[0]
        os.close(fd)
        assert bucket.get(name) == b"written"


@claim("OPEN-14")
@memory_only
def test_creating_for_reading(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    for name, data in (("f", b"content"), ("new", b"")):
        fd = os.open(mnt / name, os.O_RDONLY | os.O_CREAT)
        assert os.read(fd, 100) == data
        os.close(fd)
        assert bucket.get(name) == data


@claim("OPEN-15")
def test_what_can_be_made_where(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("d/f", b"content")
    mnt = mount()
    with refused(errno.ENOENT, mnt / "missing/f"):
        open(mnt / "missing/f", "wb")
    with refused(errno.ENOENT, mnt / "missing/f"):
        open(mnt / "missing/f", "xb")
    for name in ("d", "d/f"):
        with refused(errno.EEXIST, mnt / name):
            open(mnt / name, "xb")
    with refused(errno.ENOTDIR, mnt / "d/f"):
        os.open(mnt / "d/f", os.O_RDONLY | os.O_DIRECTORY)
    if hasattr(os, "O_TMPFILE"):
        with refused(errno.ENOTSUP, mnt / "d"):
            os.open(mnt / "d", os.O_WRONLY | os.O_TMPFILE)
    assert bucket.keys() == ["d/f"]


@claim("OPEN-16")
@memory_only
def test_duplicates_of_a_writer(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"old")
    mnt = mount()
    one = os.open(mnt / "f", os.O_WRONLY | os.O_TRUNC)
    two = os.dup(one)
    os.write(one, b"first,")
    os.close(one)
    assert bucket.get("f") == b"old"
    with refused(errno.EBADF):
        os.read(two, 1)
    for _ in range(2):
        for mode in ("rb", "wb"):
            with refused(errno.EPERM, mnt / "f"):
                open(mnt / "f", mode)
        os.write(two, b"sec" if os.lseek(two, 0, os.SEEK_CUR) == 6 else b"ond")
    assert os.lseek(two, 0, os.SEEK_CUR) == 12
    os.close(two)
    assert bucket.get("f") == (mnt / "f").read_bytes() == b"first,second"


@claim("OPEN-16")
@memory_only
def test_duplicates_of_a_reader(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    one = os.open(mnt / "f", os.O_RDONLY)
    two = os.dup(one)
    assert os.read(one, 3) == b"con"
    assert os.read(two, 3) == b"ten"
    os.close(one)
    with refused(errno.EPERM, mnt / "f"):
        open(mnt / "f", "wb")
    assert os.read(two, 3) == b"t"
    os.close(two)
    open(mnt / "f", "wb").close()


@claim("OPEN-21")
@memory_only
@pytest.mark.parametrize("escaped", [False, True])
def test_positions_after_a_fork(bucket: Bucket, mount: Mounter, escaped: bool) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    number = os.open(mnt / "f", os.O_RDONLY)
    if escaped:
        os.close(os.dup(number))
    assert os.read(number, 1) == b"c"

    def child() -> None:
        assert os.read(number, 3) == b"ont"

    in_child(child)
    assert os.read(number, 9) == (b"ent" if escaped else b"ontent")
    os.close(number)


@claim("OPEN-17")
@memory_only
def test_cheap_lookup(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"object")
    bucket.put("f/below", b"")
    mnt = mount(lookup="cheap")
    with open(mnt / "f", "rb") as file:
        assert file.read() == b"object"
    assert mnt.requests.counts == {"get_range": 1}
    strict = mount("strict")
    with refused(errno.EISDIR, strict / "f"):
        open(strict / "f", "rb")


@claim("OPEN-18")
@memory_only
def test_refusals_tell_everything(bucket: Bucket, mount: Mounter, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("d/f", b"content")
    mnt = mount(allow_overwrite=False, allow_delete=False)
    monkeypatch.chdir(mnt.path)
    for given in ("d/f", b"d/f", Path("d/f"), "./d//f", f"{mnt.path}/d/../d/f"):
        with refused(errno.EPERM, given) as caught:
            open(given, "wb")
        if sys.version_info >= (3, 11):
            assert "allow_overwrite" in " ".join(caught.value.__notes__)
        with refused(errno.EPERM, given) as caught:
            os.unlink(given)
        if sys.version_info >= (3, 11):
            assert "allow_delete" in " ".join(caught.value.__notes__)
    with refused(errno.ENOSYS, "d/f", b"d/g") as caught:
        os.rename("d/f", b"d/g")
    mnt.faults.fail("get_range", Unavailable("down", operation="get", bucket="memory", key="d/f"), times=None)
    with refused(errno.EIO, "d/f") as caught:
        open("d/f", "rb")
    assert isinstance(caught.value.__cause__, Unavailable)


@claim("OPEN-19")
@memory_only
def test_past_the_end(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    with open(mnt / "f", "rb") as file:
        assert file.seek(50) == 50
        assert file.read(4) == b""
        assert os.pread(file.fileno(), 4, 1 << 40) == b""
        assert file.seek(-3, os.SEEK_END) == 4
        assert file.read() == b"ent"
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)
            os.lseek(file.fileno(), -1, os.SEEK_SET)


@claim("OPEN-20")
@memory_only
def test_a_failing_store(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    for verb in ("get_range", "list_page"):
        mnt.faults.fail(verb, Unavailable("503", operation=verb), times=None)
        with refused(errno.EIO, mnt / "f"):
            open(mnt / "f", "rb")
        mnt.faults.heal()
        assert (mnt / "f").read_bytes() == b"content"
        mnt.session.invalidate(mnt.path)


@claim("OPEN-12")
@memory_only
def test_a_bucket_that_is_gone_is_told(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    gone = NotFound("", operation="list", bucket="memory", code="NoSuchBucket")
    mnt.faults.fail("list_page", gone, times=None)
    mnt.faults.fail("get_range", gone, times=None)
    with refused(errno.ENOENT) as caught:
        os.listdir(mnt.path)
    assert caught.value.__cause__ is gone
    with refused(errno.ENOENT, mnt / "f") as caught:
        open(mnt / "f", "rb")
    assert caught.value.__cause__ is gone


@claim("OPEN-7")
@memory_only
def test_exclusive_creation_by_threads(mount: Mounter) -> None:
    mnt = mount()
    made, barrier = [], threading.Barrier(8)

    def make(number: int) -> None:
        barrier.wait()
        try:
            with open(mnt / "f", "xb") as file:
                file.write(b"%d" % number)
        except FileExistsError:
            return
        made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (mnt / "f").read_bytes() == b"%d" % made[0]


@claim("OPEN-1")
@memory_only
def test_a_replacement_between_two_requests_of_one_read(bucket: Bucket, mount: Mounter) -> None:
    assert isinstance(bucket.open(), MemoryStore)
    bucket.put("f", b"o" * (8 * MIB))
    mnt = mount()
    mnt.faults.before("get_range", lambda: bucket.put("f", b"n" * (8 * MIB)), nth=2)
    with open(mnt / "f", "rb") as file, pytest.raises(OSError, match="Stale") as caught:
        file.read()
    assert caught.value.errno == errno.ESTALE
