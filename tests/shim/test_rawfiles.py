"""Raw files: whose number was closed, whose methods were replaced, and what is made from ``io.FileIO``."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shim.conftest import Mounted
from vfsmount.errors import Unavailable

TEXT = "first\r\nsecond\nträger\n"


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": TEXT.encode(), "empty": b""})


@pytest.fixture
def local(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


def stored(bucket: Mounted, key: str) -> bytes:
    """What the bucket holds, behind the mount's back."""
    return bytes(bucket.store.get_range(key, 0, 1 << 30).data)


def test_a_file_whose_number_was_closed(bucket: Mounted, local: Path) -> None:
    for root in (str(local), bucket.point):
        for call in (
            lambda file: file.read(1),
            lambda file: file.seek(0),
            lambda file: file.tell(),
            lambda file: file.close(),
        ):
            file = open(f"{root}/a.txt", "rb", buffering=0)
            os.close(file.fileno())
            with pytest.raises(OSError) as caught:
                call(file)
            assert caught.value.errno == errno.EBADF
            with contextlib.suppress(OSError):
                file.close()


def test_what_was_written_before_the_number_was_closed_is_committed(bucket: Mounted) -> None:
    file = io.FileIO(bucket.path("new"), "w")
    file.write(b"written")
    os.close(file.fileno())
    with pytest.raises(OSError) as caught:
        file.close()
    assert caught.value.errno == errno.EBADF
    assert stored(bucket, "new") == b"written"


def test_a_raw_file_without_a_name_and_after_close(bucket: Mounted, local: Path) -> None:
    for root in (str(local), bucket.point):
        file = io.FileIO(f"{root}/a.txt")
        del file.name
        assert repr(file) == f"<_io.FileIO fd={file.fileno()} mode='rb' closefd=True>"
        file.close()
        with pytest.raises(ValueError, match="closed"):
            file.flush()


def test_arguments_are_judged_before_the_file(bucket: Mounted, local: Path) -> None:
    seen = []
    for root in (str(local), bucket.point):
        file = open(f"{root}/a.txt", "rb", buffering=0)
        with pytest.raises(TypeError) as of_a_wrong_type:
            file.write("text")  # type: ignore[arg-type]
        file.close()
        with pytest.raises(ValueError, match="closed") as closed:
            file.flush()
        seen.append((str(of_a_wrong_type.value), str(closed.value)))
    assert seen[0] == seen[1]


def test_a_subclass_of_fileio_reaches_the_mount(bucket: Mounted, local: Path) -> None:
    class Counted(io.FileIO):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.reads = 0

        def readinto(self, buffer: Any) -> int | None:
            self.reads += 1
            return super().readinto(buffer)

    for root in (str(local), bucket.point):
        with Counted(f"{root}/a.txt") as file:
            buffered = io.BufferedReader(file)
            assert buffered.read(5) == TEXT.encode()[:5]
            assert file.reads == 1
            buffered.detach()
            assert file.name == f"{root}/a.txt"
        with pytest.raises(FileNotFoundError) as caught:
            Counted(f"{root}/none")
        assert caught.value.filename == f"{root}/none"
        with pytest.raises(ValueError, match="closefd"):
            Counted(f"{root}/a.txt", closefd=False)
        number = os.open(f"{root}/a.txt", os.O_RDONLY)
        with Counted(number) as file:
            assert file.read(5) == TEXT.encode()[:5]
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
    os.chdir(bucket.point)
    os.unlink("empty")
    with Counted("new", "w") as file:
        file.write(b"written")
        file.write(b" by C")
    assert stored(bucket, "new") == b"written by C"
    assert not os.path.exists(local / "new")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a bool is a descriptor without a warning")
def test_the_warning_for_a_bool_is_its_callers(bucket: Mounted) -> None:
    for call in (
        lambda: io.FileIO(False, closefd=False),
        lambda: os.stat(False),
        lambda: os.stat("none", dir_fd=False),
    ):
        with pytest.warns(RuntimeWarning, match="bool is used") as caught, contextlib.suppress(OSError):
            call()
        assert [warning.filename for warning in caught] == [__file__]


def test_close_flushes_first(bucket: Mounted) -> None:
    file = open(bucket.path("new"), "wb", buffering=0)
    seen: list[bool] = []

    def flush() -> None:
        seen.append(file.closed)
        raise OSError("on purpose")

    file.flush = flush
    with pytest.raises(OSError, match="on purpose"):
        file.close()
    assert (seen, file.closed) == ([False], True)
    assert stored(bucket, "new") == b""


def test_a_number_that_dup2_led_elsewhere_is_closed_with_its_file(bucket: Mounted, local: Path) -> None:
    for root in (str(local), bucket.point):
        one, two = open(f"{root}/a.txt", "rb"), open(f"{root}/empty", "rb")
        number = two.fileno()
        os.dup2(one.fileno(), number)
        assert os.read(number, 5) == TEXT.encode()[:5]
        one.close()
        two.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_the_class_is_immutable(bucket: Mounted) -> None:
    with pytest.raises(TypeError, match="immutable"):
        io.FileIO.read = None  # type: ignore[method-assign,assignment]
    made = type("Made", (io.FileIO,), {})
    made.extra = 1
    assert made.extra == 1


@pytest.mark.parametrize("kind", ["open", "FileIO", "a subclass"])
def test_an_opener_that_gives_one_of_our_numbers(
    bucket: Mounted, local: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sub(io.FileIO):
        pass

    def opened(path: str, mode: str, **options: Any) -> Any:
        if kind == "open":
            return open(path, mode + "b", **options)
        return (io.FileIO if kind == "FileIO" else Sub)(path, mode, **options)

    calls: list[str] = []
    for root in (str(local), bucket.point):
        directory = os.open(root, os.O_RDONLY)
        os.mkdir(f"{root}/sub")

        def opener(path: str, flags: int, directory: int = directory) -> int:
            calls.append(path)
            return os.open(path, flags, dir_fd=directory)

        with opened("a.txt", "r", opener=opener) as file:
            assert (file.read(), file.name, file.mode) == (TEXT.encode(), "a.txt", "rb")
            number = file.fileno()
            assert not os.get_inheritable(number)
        with pytest.raises(OSError) as gone:
            os.fstat(number)
        assert gone.value.errno == errno.EBADF
        file = opened("new", "x", opener=opener)
        file.write(b"written")
        file.close()
        assert Path(root, "new").read_bytes() == b"written"
        for path, expected in (("new", errno.EEXIST), ("none/new", errno.ENOENT), ("sub", errno.EISDIR)):
            with pytest.raises(OSError) as caught:
                opened(path, "r" if path == "sub" else "x", opener=opener)
            assert caught.value.errno == expected
            assert caught.value.filename == path
        with pytest.raises(ValueError, match="closefd"):
            opened("a.txt", "r", opener=opener, closefd=False)
        with pytest.raises((TypeError, ValueError)):
            opened("a.txt", "r", opener=lambda path, flags: "number")
        os.close(directory)
    assert calls == ["a.txt", "new", "new", "none/new", "sub"] * 2

    def refuse(*arguments: object, **options: object) -> None:
        raise Unavailable("no route", operation="put", bucket="bucket", key="lost")

    file = opened(bucket.path("lost"), "w", opener=os.open)
    file.write(b"x")
    monkeypatch.setattr(bucket.store, "put", refuse)
    with pytest.raises(OSError) as failed:
        file.close()
    assert failed.value.errno == errno.EIO
    assert "lost" not in bucket.keys()


@pytest.mark.slow
def test_an_audit_hook_forbids_an_open_before_anything_is_opened() -> None:
    """CPython's order: the event, then the refusal of ``closefd``, then the opener (Modules/_io/fileio.c)."""
    done = subprocess.run([sys.executable, "-c", AUDITED], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["RuntimeError"] * 12, done


AUDITED = """
import io, os, sys
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore

def opener(path, flags):
    print("opened", path)
    return os.open(path, flags)

def hook(event, arguments):
    if forbids and event == "open":
        raise RuntimeError

forbids = False
sys.addaudithook(hook)
with activate_stores({"/vfs-bucket": (CloudBucketMount("memory"), MemoryStore())}):
    forbids = True
    for path in "/dev/null", "/vfs-bucket/new":
        for keywords in {}, {"closefd": False}, {"opener": opener}, {"opener": opener, "closefd": False}:
            for opened in (open, io.FileIO) if keywords.keys() != {"closefd"} else (open,):
                if opened is open or keywords:
                    try:
                        opened(path, "w", **keywords)
                    except Exception as error:
                        print(type(error).__name__)
    forbids = False
"""
