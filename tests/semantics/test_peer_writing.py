"""What Mountpoint's own tests of writing assert, where no claim's test does so already."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import threading
from typing import Any

import pytest

from tests.clock import SteppedClock
from tests.semantics.buckets import Bucket, MemoryBucket, ServerBucket
from tests.semantics.mounting import MOTO, Mounter, memory_only, refused
from tests.servers import s3_options
from vfsmount.children.supervisor.detect import supervision
from vfsmount.store.factory import open_store

KIB, MIB = 1 << 10, 1 << 20

append = pytest.mark.parametrize("append", [0, os.O_APPEND])
access = pytest.mark.parametrize("access", [os.O_WRONLY, os.O_RDWR])


@append
@access
def test_writing_in_small_steps(append: int, access: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/hello.txt", b"hello world")
    mnt = mount()
    fd = os.open(mnt / "dir/new.txt", access | append | os.O_CREAT)
    assert os.stat(mnt / "dir/new.txt").st_size == 0
    assert os.listdir(mnt / "dir") == ["hello.txt", "new.txt"]
    body = random.Random(1).randbytes(50 * KIB)
    for start in range(0, len(body), KIB):
        os.write(fd, body[start : start + KIB])
        assert os.fstat(fd).st_size == start + KIB
    os.lseek(fd, -1, os.SEEK_END)
    with refused(errno.EBADF):
        os.read(fd, 1)
    os.fsync(fd)
    os.close(fd)
    assert os.stat(mnt / "dir/new.txt").st_size == len(body)
    assert (mnt / "dir/new.txt").read_bytes() == bucket.get("dir/new.txt") == body
    assert os.listdir(mnt / "dir") == ["hello.txt", "new.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "step"), [(0, 1), (1, 1), (32, 32), (32 * MIB, MIB + 1)])
def test_streaming(size: int, step: int, bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    body = random.Random(2).randbytes(size)
    fd = os.open(mnt / "new.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for start in range(0, size, step):
        os.write(fd, body[start : start + step])
        assert os.fstat(fd).st_size == min(size, start + step)
    with refused(errno.EBADF):
        os.read(fd, 1)
    assert (bucket.keys(), bucket.uploads()) == ([], ["new.txt"] if size > 8 * MIB else [])
    os.fsync(fd)
    os.close(fd)
    assert (mnt / "new.txt").read_bytes() == body
    assert bucket.uploads() == []


@memory_only
@pytest.mark.parametrize("sync", [False, True])
def test_fstat_after_writing(sync: bool, clock: SteppedClock, mount: Mounter) -> None:
    mnt = mount(metadata_ttl=1)
    fd = os.open(mnt / "new.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    assert os.fstat(fd).st_size == 0
    os.write(fd, bytes(32))
    assert os.fstat(fd).st_size == 32
    if sync:
        os.fsync(fd)
        clock.step(2)
        assert os.fstat(fd).st_size == 32
    os.close(fd)
    clock.step(2)
    assert os.stat(mnt / "new.txt").st_size == 32


@pytest.mark.parametrize("bucket", [MOTO], indirect=True)
@pytest.mark.parametrize("storage_class", ["INTELLIGENT_TIERING", "GLACIER"])
def test_storage_class(
    storage_class: str, bucket: ServerBucket, mount: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: ServerBucket) -> Any:
        return open_store(s3_options(self.server, self.name, storage_class=storage_class))

    monkeypatch.setattr(ServerBucket, "open", opened)
    mnt = mount()
    (mnt / "small").write_bytes(b"content")
    (mnt / "parts").write_bytes(bytes(12 * MIB))
    for key in ("small", "parts"):
        assert bucket.server.attributes(bucket.name, key)["StorageClass"] == storage_class


@pytest.mark.parametrize("bucket", [MOTO], indirect=True)
@pytest.mark.parametrize("size", [16, 12 * MIB])
def test_a_storage_class_that_does_not_exist(
    size: int, bucket: ServerBucket, mount: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: ServerBucket) -> Any:
        return open_store(s3_options(self.server, self.name, storage_class="INVALID_CLASS"))

    monkeypatch.setattr(ServerBucket, "open", opened)
    mnt = mount()
    with refused(errno.EIO, mnt / "f"), open(mnt / "f", "wb") as file:
        file.write(bytes(size))
    assert (bucket.keys(), bucket.uploads(), os.listdir(mnt.path)) == ([], [], [])


@pytest.mark.parametrize("bucket", [MOTO], indirect=True)
@pytest.mark.parametrize("checksums", ["sha256", "crc32c", "off"])
def test_checksums_of_an_upload(
    checksums: str, bucket: ServerBucket, mount: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: ServerBucket) -> Any:
        return open_store(s3_options(self.server, self.name, upload_checksums=checksums))

    monkeypatch.setattr(ServerBucket, "open", opened)
    mnt = mount()
    with open(mnt / "f", "ab", buffering=0) as file:
        for size in range(MIB, 21 * MIB, MIB):
            file.write(bytes(MIB))
            assert os.fstat(file.fileno()).st_size == size
    found = bucket.server.client.head_object(Bucket=bucket.name, Key="f", ChecksumMode="ENABLED")
    sent = {name for name in found if name.startswith("Checksum")}
    assert sent == (set() if checksums == "off" else {f"Checksum{checksums.upper()}"})
    shutil.copyfile(mnt / "f", mnt / "small")
    for name in ("f", "small"):
        os.unlink(mnt / name)
    assert bucket.keys() == []


@pytest.mark.parametrize("bucket", [MOTO], indirect=True)
@pytest.mark.parametrize("algorithm", [None, "CRC32", "SHA1", "SHA256"])
def test_appending_to_what_has_a_checksum(algorithm: str | None, bucket: ServerBucket, mount: Mounter) -> None:
    extra = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    bucket.server.put(bucket.name, "append.txt", b"initial", **extra)
    mnt = mount(writes="staged")
    with open(mnt / "append.txt", "ab") as file:
        file.write(b"append")
        file.flush()
        os.fsync(file.fileno())
    assert (mnt / "append.txt").read_bytes() == bucket.get("append.txt") == b"initialappend"


@memory_only
@pytest.mark.slow
def test_closing_in_another_thread(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    data = b"\xaa" * (32 * MIB)
    file = open(mnt / "new.txt", "ab")
    file.write(data)

    def finish() -> None:
        file.write(data)
        file.close()

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join()
    assert bucket.uploads() == []
    assert os.stat(mnt / "new.txt").st_size == 2 * len(data)
    assert bucket.get("new.txt") == 2 * data


@access
def test_overwriting(access: int, bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/hello.txt", b"hello world")
    mnt = mount()
    fd = os.open(mnt / "dir/hello.txt", access | os.O_TRUNC)
    os.write(fd, b"overwrite")
    os.fsync(fd)
    os.close(fd)
    assert (mnt / "dir/hello.txt").read_bytes() == b"overwrite"
    os.close(os.open(mnt / "dir/hello.txt", access | os.O_TRUNC))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append((mnt / "dir/hello.txt").read_bytes())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"", b""]


@memory_only
def test_overwriting_after_reading(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"hello world")
    mnt = mount()
    assert (mnt / "f").read_bytes() == b"hello world"
    os.close(os.open(mnt / "f", os.O_WRONLY | os.O_TRUNC))
    assert bucket.get("f") == b""


@memory_only
def test_many_files_written_at_once(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    files = [open(mnt / f"file-{number}", "ab", buffering=0) for number in range(300)]
    for file in files:
        file.write(b"\xaa" * 32)
    for file in files:
        os.fsync(file.fileno())
    assert len(bucket.keys()) == 300
    for file in files:
        file.close()


@memory_only
@pytest.mark.parametrize("initial", [None, b"", b"initial."])
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("writes", [[b"one."], [b"one.", b"two."]])
def test_appending(initial: bytes | None, sync: bool, writes: list[bytes], bucket: Bucket, mount: Mounter) -> None:
    if initial is not None:
        bucket.put("append.txt", initial)
    mnt = mount(writes="staged")
    expected = initial or b""
    fd = os.open(mnt / "append.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    assert os.stat(mnt / "append.txt").st_size == len(expected)
    for text in writes:
        os.write(fd, text)
        expected += text
        if sync:
            os.fsync(fd)
            assert bucket.get("append.txt") == expected
        assert os.stat(mnt / "append.txt").st_size == len(expected)
    os.close(fd)
    assert (mnt / "append.txt").read_bytes() == bucket.get("append.txt") == expected


@memory_only
@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_opening_again_after_closing_empty(mode: str, bucket: MemoryBucket, mount: Mounter) -> None:
    mnt = mount()
    open(mnt / "empty.txt", "wb").close()
    with open(mnt / "empty.txt", mode) as file:
        assert file.tell() == 0
    assert bucket.get("empty.txt") == b""


@memory_only
def test_times_of_a_file_being_written(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("dir/hello.txt", b"hello world")
    mnt = mount()
    for flags in (0, os.O_APPEND):
        fd = os.open(mnt / f"dir/new-{flags}", os.O_WRONLY | os.O_CREAT | flags)
        os.utime(fd, (5_000_000_000, 5_000_000_000))
        found = os.stat(mnt / f"dir/new-{flags}")
        assert found.st_atime == found.st_mtime == 5_000_000_000
        os.fsync(fd)
        os.close(fd)
        fd = os.open(mnt / f"dir/new-{flags}", os.O_RDONLY)
        with refused(errno.EPERM):
            os.utime(fd, (1, 1))
        os.close(fd)


@memory_only
@pytest.mark.slow
def test_touch_and_dd_themselves(bucket: Bucket, mount: Mounter) -> None:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    mnt = mount()
    subprocess.run(["touch", mnt / "new.txt"], check=True, timeout=60)
    assert (bucket.get("new.txt"), os.stat(mnt / "new.txt").st_size) == (b"", 0)
    subprocess.run(["dd", "if=/dev/urandom", f"of={mnt / 'dd.txt'}", "bs=128", "count=1"], check=True, timeout=60)
    assert bucket.uploads() == []
    assert len(bucket.get("dd.txt") or b"") == os.stat(mnt / "dd.txt").st_size == 128
