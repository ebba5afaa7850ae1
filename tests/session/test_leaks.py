"""What native code writes where a bucket is mounted fails, or is reported."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

import vfsmount
from tests.session.starting import interpreter, start, untouched
from vfsmount import real
from vfsmount.shim import occupancy
from vfsmount.shim.occupancy import MARK, NOTE, Occupancy
from vfsmount.testing import MemoryStore


def is_guarded(point: str) -> bool:
    """Whether a placeholder is at ``point``, and its lock where that says; nothing can be below it."""
    lock, _, note = real.readlink(point).rpartition("/")
    with pytest.raises(NotADirectoryError):
        real.stat(point)
    return note == NOTE and stat.S_ISREG(real.stat(lock).st_mode)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of temporary files, with nothing in it."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    return path


class TestLeaks:
    def test_a_placeholder_keeps_native_code_out(self, store: MemoryStore, point: str) -> None:
        with start(point, store, children="never"):
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.open(f"{point}/x".encode(), os.O_WRONLY | os.O_CREAT, 0o600) == -1
            assert ctypes.get_errno() == errno.ENOTDIR
            assert libc.mkdir(point.encode(), 0o700) == -1
            assert is_guarded(point)
            for path in (point, f"{point}/", f"{point}/x"):  # a regular file there would be written to
                for flags in (os.O_WRONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDONLY):
                    assert libc.open(path.encode(), flags, 0o600) == -1
                    assert ctypes.get_errno() in (errno.ENOTDIR, errno.EISDIR)
            ran = subprocess.run(["/bin/sh", "-c", f"echo leaked > {point}/x"], capture_output=True, text=True)
            assert ran.returncode != 0
            assert ran.stderr
        assert not os.path.lexists(point)
        assert store.objects() == {}

    def test_it_takes_none_of_the_low_numbers(self, store: MemoryStore, point: str) -> None:
        """Programs close those by their number, and count on which one comes next."""
        before = os.dup(0)
        os.close(before)
        with start(point, store):
            now = os.dup(0)
            os.close(now)
        assert now == before

    @pytest.mark.parametrize("cleared", [False, True])
    def test_one_left_by_a_killed_process_is_taken_over(
        self, store: MemoryStore, point: str, scratch: Path, cleared: bool
    ) -> None:
        ran = interpreter(
            """
            import os, signal, sys
            from vfsmount.shim.occupancy import Occupancy

            Occupancy().occupy(sys.argv[1])
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            point,
        )
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        text = os.readlink(point)
        if cleared:
            for path in scratch.iterdir():
                path.unlink()
        with start(point, store):
            assert os.listdir(point) == []
            assert real.readlink(point) == text
            assert is_guarded(point)
        assert not os.path.lexists(point)
        assert list(scratch.iterdir()) == []

    def test_a_link_that_only_looks_like_one(self, store: MemoryStore, point: str, tmp_path: Path) -> None:
        """Whatever a link of somebody else's names is neither opened, made, nor removed."""
        for lock in ("mine", ".vfsmount-guard-mine"):
            os.symlink(f"{tmp_path}/{lock}/{NOTE}", point)
            with start(point, store):
                assert os.listdir(point) == []
            assert not os.path.exists(f"{tmp_path}/{lock}")
            if os.path.lexists(point):
                os.unlink(point)
        os.mkfifo(tmp_path / ".vfsmount-guard-fifo")
        os.symlink(f"{tmp_path}/.vfsmount-guard-fifo/{NOTE}", point)
        with start(point, store):
            assert os.listdir(point) == []
        assert os.path.lexists(tmp_path / ".vfsmount-guard-fifo")

    def test_the_file_of_an_earlier_version_is_replaced(self, store: MemoryStore, point: str) -> None:
        Path(point).write_bytes(MARK)
        with start(point, store):
            assert is_guarded(point)
        assert not os.path.lexists(point)

    def test_no_place_for_temporary_files(
        self, store: MemoryStore, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nowhere() -> str:
            raise PermissionError

        monkeypatch.setattr(occupancy, "scratch_directory", nowhere)
        with start(point, store):
            assert real.readlink(point) == f"/dev/null/{NOTE}"
            with pytest.raises(NotADirectoryError):
                real.stat(point)
            again = Occupancy()
            again.occupy(point)
            assert again.leaks(point) == []
        assert not os.path.lexists(point)

    def test_the_last_of_several_processes_removes_it(self, store: MemoryStore, point: str) -> None:
        with start(point, store):
            ran = interpreter(
                """
                import os, sys
                from vfsmount import CloudBucketMount
                from vfsmount.session import activate_stores
                from vfsmount.testing import MemoryStore

                with activate_stores({sys.argv[1]: (CloudBucketMount("b"), MemoryStore())}):
                    print(os.listdir(sys.argv[1]))
                """,
                point,
            )
            assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr
            assert is_guarded(point)
        assert not os.path.lexists(point)

    def test_one_that_another_process_just_removes_is_made_anew(
        self, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last one of them used to remove what the next had come to share."""
        going, coming = Occupancy(), Occupancy()
        going.occupy(point)
        unlink = real.unlink
        removed: list[str] = []

        def remove(path: str) -> None:
            removed.append(path)
            coming.occupy(point)  # in vain, as long as it is there
            unlink(path)
            if path == point:
                coming.occupy(point)

        monkeypatch.setattr(real, "unlink", remove)
        assert going.release(point) == []
        monkeypatch.undo()
        assert is_guarded(point)
        assert coming.release(point) == []
        assert removed[0] == point
        assert not os.path.lexists(point)

    def test_one_that_another_process_is_about_to_remove_is_not_shared(
        self, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        going, coming = Occupancy(), Occupancy()
        going.occupy(point)
        flock = fcntl.flock

        def lock(number: int, operation: int) -> None:
            if operation & fcntl.LOCK_SH:  # it was found, and is gone before it is locked
                monkeypatch.undo()
                assert going.release(point) == []
            flock(number, operation)

        monkeypatch.setattr(fcntl, "flock", lock)
        coming.occupy(point)
        assert is_guarded(point)
        assert coming.release(point) == []
        assert not os.path.lexists(point)

    @pytest.mark.parametrize("content", [b"mine", bytes(len(MARK))])
    def test_a_file_that_is_somebody_elses_is_not_mounted_over(
        self, store: MemoryStore, point: str, content: bytes
    ) -> None:
        Path(point).write_bytes(content)
        with pytest.raises(ValueError, match=f"{point}.*taken by a file"):
            start(point, store)
        assert not vfsmount.is_active()
        assert Path(point).read_bytes() == content

    def test_no_directory_above(self, store: MemoryStore, tmp_path: Path) -> None:
        with start(f"{tmp_path}/no/such/parent", store):
            assert os.listdir(f"{tmp_path}/no/such") == ["parent"]
        assert not os.path.exists(f"{tmp_path}/no")

    @pytest.mark.parametrize("on_leak", ["error", "warn", "ignore"])
    def test_what_appears_in_a_real_directory_is_reported(
        self, store: MemoryStore, tmp_path: Path, on_leak: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        point = tmp_path / "real"
        point.mkdir()
        (point / "before").write_text("was there")
        active = start(str(point), store, on_leak=on_leak, children="never")
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.open(f"{point}/leaked".encode(), os.O_WRONLY | os.O_CREAT, 0o600)
        assert number >= 0
        libc.close(number)
        assert os.listdir(point) == []
        if on_leak == "error":
            with pytest.raises(RuntimeError, match=r"real/leaked.*materialize"):
                active.close()
        else:
            active.close()
        assert (f"{point}/leaked" in caplog.text) is (on_leak == "warn")
        untouched()
        assert sorted(os.listdir(point)) == ["before", "leaked"]

    def test_a_placeholder_that_was_replaced_is_reported_and_kept(self, store: MemoryStore, point: str) -> None:
        active = start(point, store)
        with vfsmount.passthrough():
            os.unlink(point)
            os.mkdir(point)
        with pytest.raises(RuntimeError, match=point):
            active.close()
        assert os.path.isdir(point)

    def test_a_mount_point_that_is_a_link_to_a_directory(self, store: MemoryStore, point: str, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "before").touch()
        os.symlink("real", point)
        with start(point, store):
            assert os.listdir(point) == []
        assert os.listdir(point) == ["before"]
