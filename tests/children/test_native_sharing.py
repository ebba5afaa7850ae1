"""One writer or many readers between Python and native code under ``native=True``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

import pytest

from tests.children.natively import run
from vfsmount.children.native.records import MountRecords, RecordFile
from vfsmount.vfs.sharing import Sharing

REFUSED: Final = """
    def refused(call, *arguments, code="EPERM"):
        try:
            call(*arguments)
        except OSError as error:
            assert errno.errorcode[error.errno] == code, error
            assert error.filename in (None, arguments[0]), error
        else:
            raise AssertionError(f"{call} {arguments}")
"""


def code_of(code: str) -> str:
    return textwrap.dedent(REFUSED) + textwrap.dedent(code)


@pytest.fixture
def bucket(native_bucket: Path) -> Path:
    return native_bucket


@pytest.mark.slow
@pytest.mark.claim("CHILD-8")
def test_what_python_writes(bucket: Path) -> None:
    """Native code can open it when it is published, and not before; nothing is lost."""
    code = """
        with activate():
            for name in ("a.txt", "new"):
                path = f"/my-mount/{name}"
                with open(path, "w") as file:
                    file.write("from Python")
                    refused(c_read, path)
                    refused(c_write, path, b"from C")
                    refused(c_call, "unlink", path.encode())
                    done = subprocess.run(["cat", path], capture_output=True, text=True, timeout=60)
                    assert done.returncode == 1 and "not permitted" in done.stderr, done
                assert c_read(path) == stored(name) == b"from Python"
            descriptor = os.open("/my-mount/synced", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, b"synced")
            os.fsync(descriptor)
            assert c_read("/my-mount/synced") == b"synced"
            os.close(descriptor)
            c_write("/my-mount/a.txt", b"from C")
            assert open("/my-mount/a.txt").read() == "from C"
    """
    run(bucket, code_of(code))


@pytest.mark.slow
@pytest.mark.claim("CHILD-8")
def test_what_native_code_writes(bucket: Path) -> None:
    code = """
        with activate():
            for name in ("a.txt", "new"):
                path = f"/my-mount/{name}"
                file = opened(path, b"w")
                libc.fputs(b"from C", file)
                for mode in ("r", "w"):
                    refused(open, path, mode)
                refused(open, path, "x", code="EEXIST")
                refused(os.unlink, path)
                libc.fclose(file)
                assert open(path, "rb").read() == stored(name) == b"from C"
                with open(path, "w") as file:
                    file.write("from Python")
                os.unlink(path)
    """
    run(bucket, code_of(code))


@pytest.mark.slow
@pytest.mark.claim("CHILD-8")
def test_what_is_read(bucket: Path) -> None:
    """Any number of readers on both sides; a file that is fetched while it is read counts until it is closed."""
    (bucket / "big").write_bytes(bytes(3 << 20))
    code = """
        with activate():
            theirs = opened("/my-mount/big", b"r")
            refused(os.open, "/my-mount/big", os.O_WRONLY | os.O_TRUNC)
            for mode in ("r", "rb", "r+b"):
                with open("/my-mount/big", mode) as mine:
                    assert len(mine.read(10)) == 10
            libc.fclose(theirs)
            os.close(os.open("/my-mount/big", os.O_WRONLY | os.O_TRUNC))
            assert c_read("/my-mount/big") == b""
            with open("/my-mount/a.txt") as mine:
                assert c_read("/my-mount/a.txt") == b"alpha\\n" == mine.read().encode()
                refused(c_write, "/my-mount/a.txt", b"")
                again = open("/my-mount/a.txt")
            refused(c_write, "/my-mount/a.txt", b"")
            again.close()
            c_write("/my-mount/a.txt", b"from C")
            assert open("/my-mount/a.txt").read() == "from C"
    """
    run(bucket, code_of(code))


@pytest.mark.slow
@pytest.mark.claim("CHILD-8")
def test_staged_writes(bucket: Path) -> None:
    """A reader from before goes on, on either side, as within one; what one changes the other does not open."""
    code = """
        with vfsmount.activate({"/my-mount": f"file://{bucket}?writes=staged&allow_rename=true"}, native=True):
            with open("/my-mount/a.txt") as reader:
                c_write("/my-mount/a.txt", b"from C, longer")
                assert reader.read(2) in ("al", "fr")
            with open("/my-mount/a.txt", "r+") as file:
                file.write("FROM")
                refused(c_read, "/my-mount/a.txt")
                refused(opened, "/my-mount/a.txt", b"r+")
                with open("/my-mount/a.txt") as second:
                    assert second.read(4) in ("FROM", "from")
                os.rename("/my-mount/a.txt", "/my-mount/moved")
                refused(c_read, "/my-mount/moved")
                file.write(" PY")
            assert c_read("/my-mount/moved") == b"FROM PY longer"
            file = opened("/my-mount/moved", b"r+")
            for mode in ("r", "r+", "a"):
                refused(open, "/my-mount/moved", mode)
            refused(os.unlink, "/my-mount/moved")
            refused(os.rename, "/my-mount/moved", "/my-mount/other")
            libc.fputs(b"by C", file)
            libc.fclose(file)
            assert open("/my-mount/moved").read(4) == "by C"
            os.unlink("/my-mount/moved")
    """
    run(bucket, code_of(code))


@pytest.mark.slow
def test_processes(bucket: Path) -> None:
    """Of a fork, what it opens itself counts; of one that was killed, nothing. Among themselves they are clients."""
    code = """
        import signal
        with activate():
            reader = open("/my-mount/a.txt")
            ready, go = os.pipe(), os.pipe()
            pid = os.fork()
            if pid == 0:
                file = open("/my-mount/by-child", "w")
                file.write("never closed")
                with open("/my-mount/dir/b.txt") as other:
                    os.write(ready[1], b".")
                    os.read(go[0], 1)
                os.write(ready[1], b".")
                signal.pause()
            os.read(ready[0], 1)
            refused(c_read, "/my-mount/by-child")
            refused(c_write, "/my-mount/dir/b.txt", b"")
            refused(c_write, "/my-mount/a.txt", b"")
            reader.close()
            c_write("/my-mount/a.txt", b"inherited readers do not count")
            with open("/my-mount/by-child", "w") as mine:
                mine.write("by the parent")
            os.write(go[1], b".")
            os.read(ready[0], 1)
            c_write("/my-mount/dir/b.txt", b"closed")
            refused(c_read, "/my-mount/by-child")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert c_read("/my-mount/by-child") == b"by the parent"
            os.closerange(100, 1 << 12)
            with open("/my-mount/x", "w") as file:
                refused(c_read, "/my-mount/x")
    """
    run(bucket, code_of(code))


@pytest.mark.slow
def test_threads(bucket: Path) -> None:
    """What is read is always whole, and every refusal is one of the rule; whatever was written last is there."""
    code = """
        failures, seen = [], set()
        def work(index):
            for step in range(25):
                text = bytes([65 + index]) * 1000
                try:
                    if index % 2:
                        with open("/my-mount/shared", "wb" if index % 4 == 1 else "rb") as file:
                            found = file.write(text) and text if index % 4 == 1 else file.read()
                    elif index % 4 == 0:
                        file = opened("/my-mount/shared", b"w")
                        libc.fputs(text, file)
                        libc.fclose(file)
                        found = text
                    else:
                        found = c_read("/my-mount/shared", 2000)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.ENOENT, errno.ESTALE):
                        failures.append(error)
                else:
                    seen.add((index % 4, len(found), len(set(found))))
        with activate() as session:
            threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not failures, failures
            assert {each[1:] for each in seen} == {(1000, 1)}, seen
            with open("/my-mount/shared", "w") as file:
                file.write("free in the end")
            assert c_read("/my-mount/shared") == b"free in the end"
    """
    run(bucket, code_of(code))


def test_records(tmp_path: Path) -> None:
    """Python's processes exclude none of their own; the supervisor and they exclude each other."""
    path = f"{tmp_path}/records"
    supervisor = MountRecords(RecordFile(path, supervises=True, create=True), "/m")
    one, two = (MountRecords(RecordFile(path, supervises=False), "/m") for _ in range(2))
    elsewhere = MountRecords(RecordFile(path, supervises=False), "/n")
    for writing in (False, True):
        assert one.take("a", writing=writing, staged=False)
        assert two.take("a", writing=not writing, staged=False)
        assert not supervisor.take("a", writing=writing, staged=False)
        assert supervisor.take("b", writing=True, staged=False)
        for each in (one, two, supervisor):
            each.drop("a")
    assert supervisor.is_written("a", staged=False) is False
    assert one.is_written("b", staged=False)
    assert not elsewhere.is_written("b", staged=False)
    assert not two.take("b", writing=False, staged=False)
    assert elsewhere.take("b", writing=True, staged=False)
    supervisor.drop("b")
    assert two.take("b", writing=False, staged=False)
    assert supervisor.take("b", writing=False, staged=False)
    assert not one.is_written("b", staged=False)
    assert supervisor.take("b", writing=True, staged=True)
    assert one.is_written("b", staged=True)
    assert not supervisor.take("b", writing=True, staged=False)


def test_what_was_open_before(tmp_path: Path) -> None:
    """Before others are told of it: they are, then."""
    path = f"{tmp_path}/records"
    supervisor = MountRecords(RecordFile(path, supervises=True, create=True), "/m")
    sharing = Sharing(staged=False)
    reading, writing = sharing.begin("r", "r", writing=False), sharing.begin("w", "w", writing=True)
    again = sharing.begin("r", "r", writing=False)
    sharing.keep(MountRecords(RecordFile(path, supervises=False), "/m"))
    assert supervisor.take("r", writing=False, staged=False)
    assert not supervisor.take("r", writing=True, staged=False)
    assert supervisor.is_written("w", staged=False)
    sharing.end(again)
    assert not supervisor.take("r", writing=True, staged=False)
    sharing.end(reading)
    sharing.end(writing)
    assert supervisor.take("r", writing=True, staged=False)
    assert not supervisor.is_written("w", staged=False)
    with pytest.raises(PermissionError, match="'shown'"):
        sharing.begin("r", "shown", writing=False)
