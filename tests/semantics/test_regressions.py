"""What the reference model, and other suites, found; each once, by name."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.forks import in_child
from tests.semantics.buckets import Bucket, MemoryBucket
from tests.semantics.mounting import Mounter, memory_only, refused, tree
from vfsmount.store.protocol import StoreTraits
from vfsmount.testing import MemoryStore

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


def together(*actions: Callable[[], object]) -> list[int | None]:
    """Start all at once; the errno of each, or None."""
    outcomes: dict[int, int | None] = {}
    barrier = threading.Barrier(len(actions))

    def run(number: int, action: Callable[[], object]) -> None:
        barrier.wait()
        try:
            action()
        except OSError as error:
            outcomes[number] = error.errno
        else:
            outcomes[number] = None

    threads = [threading.Thread(target=run, args=one) for one in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[number] for number in range(len(actions))]


def test_regression_renames_that_cross_lose_nothing(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_rename=True)
    for _ in range(10):
        bucket.put("a", b"a")
        bucket.put("b", b"b")
        outcomes = together(lambda: os.rename(mnt / "a", mnt / "b"), lambda: os.rename(mnt / "b", mnt / "a"))
        assert outcomes == [None, None]
        (name,) = os.listdir(mnt.path)
        assert (mnt / name).read_bytes() in (b"a", b"b")
        assert bucket.keys() == [name]
        bucket.delete(name)


def test_regression_a_rename_and_removals_happen_in_some_order(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_rename=True, metadata_ttl=0)
    possible = {
        (None, errno.ENOENT, None): [],  # moved, then removed at the target
        (None, errno.ENOENT, errno.ENOENT): ["b"],
        (errno.ENOENT, None, errno.ENOENT): [],
    }
    for _ in range(20):
        bucket.put("a", b"a")
        outcomes = together(
            lambda: os.rename(mnt / "a", mnt / "b"), lambda: os.unlink(mnt / "a"), lambda: os.unlink(mnt / "b")
        )
        assert bucket.keys() == possible[tuple(outcomes)]
        bucket.delete("b")


def test_regression_keys_below_a_staged_file_make_it_a_directory_to_readers(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(writes="staged", metadata_ttl=0)
    with open(mnt / "a", "wb") as file:
        bucket.put("a//x", b"another client's")
        assert os.listdir(mnt / "a") == []
        with refused(errno.EISDIR, mnt / "a"):
            open(mnt / "a", "rb")
        fd = os.open(mnt / "a", os.O_RDONLY)
        assert stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        bucket.delete("a//x")
        file.write(b"here")
        file.flush()
        assert (mnt / "a").read_bytes() == b"here"
    assert bucket.get("a") == b"here"


@pytest.mark.claim("WRITE-4")
@pytest.mark.claim("OPEN-9")
def test_regression_a_synced_file_is_nobodys(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(allow_rename=True)
    with tempfile.NamedTemporaryFile("w", dir=mnt.path, delete=False) as file:
        file.write("content")
        file.flush()
        with refused(errno.EPERM, file.name):
            open(file.name)
        os.fsync(file.fileno())
        with open(file.name) as reading:
            assert reading.read() == "content"
        for target in (file.name, file.fileno()):
            with refused(errno.EPERM):
                os.utime(target, (1, 2))
        os.rename(file.name, mnt / "moved")
        os.unlink(mnt / "moved")
        with open(file.name, "w") as again:  # the first handle's close is not the end of this claim
            again.write("2")
            file.close()
            with refused(errno.EPERM, file.name):
                open(file.name)
    assert tree(mnt.path) == {os.path.basename(file.name): b"2"}


@pytest.mark.claim("WRITE-2")
def test_regression_a_dead_upload_keeps_nobody_from_the_path(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount()
    dead = os.open(mnt / "f", os.O_WRONLY | os.O_CREAT)
    with refused(errno.EINVAL):
        os.pwrite(dead, b"x", 10)
    assert os.listdir(mnt.path) == []
    (mnt / "f").write_bytes(b"tried again")
    with refused(errno.EINVAL):
        os.close(dead)
    assert tree(mnt.path) == {"f": b"tried again"}


@pytest.mark.claim("WRITE-7")
def test_regression_a_forked_child_can_use_paths_that_its_parent_had_open(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("read", b"content")
    mnt = mount()
    with open(mnt / "read", "rb") as reading, open(mnt / "d-written", "wb", buffering=0) as writing:
        writing.write(b"by the parent")

        def child() -> None:
            with refused(errno.EPERM, mnt / "read"):
                open(mnt / "read", "wb")
            assert reading.read() == b"content"
            reading.close()
            (mnt / "read").write_bytes(b"by the child")
            assert os.listdir(mnt.path) == ["read"]  # what the parent writes is not there before it is published
            (mnt / "d-written").write_bytes(b"by the child")
            writing.close()
            assert (mnt / "d-written").read_bytes() == b"by the child"

        in_child(child)
        with refused(errno.EPERM, mnt / "d-written"):
            open(mnt / "d-written", "rb")
    assert bucket.get("d-written") == b"by the parent"


@pytest.mark.claim("WRITE-7")
def test_regression_what_another_thread_was_opening_at_the_fork_is_nobodys_in_the_child(
    bucket: Bucket, mount: Mounter
) -> None:
    bucket.put("f", b"content")
    mnt = mount()
    gate = mnt.faults.hold("get_range", key="f")

    def opening() -> bytes:
        with open(mnt / "f", "rb") as file:
            return file.read()

    with ThreadPoolExecutor(1) as other:
        done = other.submit(opening)
        gate.wait_arrived()

        def child() -> None:
            (mnt / "f").write_bytes(b"by the child")

        try:
            in_child(child)
        finally:
            gate.release()
        assert done.result(20) == b"content"
    (mnt / "f").write_bytes(b"nobody reads it any more")


@pytest.mark.claim("WRITE-7")
def test_regression_a_forked_child_writes_into_no_staged_file_of_its_parent(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    with open(mnt / "f", "r+b", buffering=0) as file:
        file.write(b"PARENT")

        def child() -> None:
            with open(mnt / "f", "r+b", buffering=0) as own:
                assert own.read() == b"0123456789"
                own.write(b"child")

        in_child(child)
        assert os.pread(file.fileno(), 20, 0) == b"PARENT6789"
    assert bucket.get("f") == b"PARENT6789"


@pytest.mark.claim("WRITE-7")
def test_regression_a_forked_child_that_reads_undoes_no_change_of_its_parent(bucket: Bucket, mount: Mounter) -> None:
    """The child fetches what neither of them has looked at, while the parent writes."""
    bucket.put("f", b"0123456789")
    mnt = mount(writes="staged")
    forked, written = os.pipe(), os.pipe()
    with open(mnt / "f", "r+b", buffering=0) as file, ThreadPoolExecutor(1) as other:

        def child() -> None:
            os.write(forked[1], b".")
            os.read(written[0], 1)
            assert file.read() == b"0123456789"

        done = other.submit(in_child, child)
        os.read(forked[0], 1)
        file.write(b"PARENT")
        os.write(written[1], b".")
        done.result(60)
        assert os.pread(file.fileno(), 20, 0) == b"PARENT6789"
    assert bucket.get("f") == b"PARENT6789"
    for number in (*forked, *written):
        os.close(number)


@pytest.mark.claim("CHANGE-6")
def test_regression_metadata_is_ignored_by_descriptor_too(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("f", b"content")
    for name, number in (("error", errno.EPERM), ("ignore", None), ("read_only", errno.EROFS)):
        mnt = mount(name, **({"read_only": True} if name == "read_only" else {"metadata_ops": name}))
        with open(mnt / "f", "rb") as file:
            changes: list[Callable[[int], None]] = [
                lambda fd: os.utime(fd, (1, 2)),
                lambda fd: os.fchmod(fd, 0o600),
                lambda fd: os.chmod(fd, 0o600),
                lambda fd: os.fchown(fd, 1, 1),
            ]
            for change in changes:
                if number is None:
                    change(file.fileno())
                else:
                    with refused(number):
                        change(file.fileno())


@pytest.mark.claim("RENAME-4")
@pytest.mark.parametrize("target", ["new/", "d/"])
def test_regression_a_file_is_not_renamed_to_what_only_a_directory_can_be(
    target: str, bucket: Bucket, mount: Mounter
) -> None:
    bucket.put("f")
    bucket.put("d/x")
    mnt = mount(allow_rename=True)
    with refused(errno.ENOTDIR, mnt / "f", f"{mnt.path}/{target}"):
        os.rename(mnt / "f", f"{mnt.path}/{target}")
    assert bucket.keys() == ["d/x", "f"]
    os.rename(f"{mnt.path}/d/", f"{mnt.path}/e/")
    assert bucket.keys() == ["e/x", "f"]


@pytest.mark.slow
@pytest.mark.claim("STAGED-3")
@pytest.mark.parametrize("conditional", [True, False])
def test_regression_threads_append_to_one_staged_file(conditional: bool, bucket: MemoryBucket, mount: Mounter) -> None:
    """A handle that closes between another one's look-up and its open is not another client."""
    bucket.store = MemoryStore(traits=StoreTraits(conditional_put=conditional))
    mnt = mount(writes="staged")
    failures: list[OSError] = []

    def append(thread: int) -> None:
        for number in range(10):
            try:
                with open(mnt / "log", "ab") as file:
                    file.write(b"%d-%d\n" % (thread, number))
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=append, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    content = bucket.get("log") or b""
    assert sorted(content.split()) == sorted(b"%d-%d" % (one, other) for one in range(8) for other in range(10))
