"""``open`` and its relatives give CPython's own file objects, with its arguments, errors and attributes."""

from __future__ import annotations

import builtins
import bz2
import contextlib
import copy
import ctypes
import errno
import gc
import gzip
import inspect
import io
import logging
import lzma
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

from tests.shim.conftest import Mounted
from vfsmount import real
from vfsmount.shim.description import Description

TEXT = "first\r\nsecond\nträger\n"


@pytest.fixture
def bucket(mount: Callable[..., Mounted]) -> Mounted:
    return mount("/vfs-bucket", seed={"a.txt": TEXT.encode(), "empty": b"", "dir/x": b"x"})


@pytest.mark.parametrize("module", [builtins, bz2, gzip, lzma])
def test_opening_text_fetches_no_more_than_opening_bytes(bucket: Mounted, module: ModuleType) -> None:
    """Python 3.10 asks for the number, to find out whether it is a terminal."""
    path = bucket.path("packed")
    with module.open(path, "wb") as file:
        file.write(b"text")
    entries: list[Description] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Description, "escape", lambda entry: entries.append(entry))
        with module.open(path, "rt") as file:
            assert file.read() == "text"
            assert file.encoding == io.TextIOWrapper(io.BytesIO()).encoding
            assert not entries
            assert isinstance(file.fileno(), int)
    assert entries


def stored(bucket: Mounted, key: str) -> bytes:
    """What the bucket holds, behind the mount's back."""
    return bytes(bucket.store.get_range(key, 0, 1 << 30).data)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A local directory that holds the same as the bucket."""
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "dir").mkdir()
    return tmp_path


def described(file: Any, root: str) -> dict[str, Any]:
    """All that can be seen of a file object."""
    found = {"type": type(file), "repr": repr(file).replace(root, "")}
    for name in ("name", "mode", "encoding", "errors", "newlines", "line_buffering", "closed", "closefd"):
        value = getattr(file, name, "absent")
        found[name] = value.replace(root, "") if isinstance(value, str) else value
    for name in ("readable", "writable", "seekable", "isatty", "tell"):
        found[name] = getattr(file, name)()
    return found


MODES = [
    ("a.txt", "r"),
    ("a.txt", "rb"),
    ("a.txt", "rt"),
    ("a.txt", "r+"),
    ("a.txt", "rb+"),
    ("new", "w"),
    ("new", "wb"),
    ("new", "w+"),
    ("new", "w+b"),
    ("new", "x"),
    ("new", "xb"),
    ("new", "x+b"),
    ("new", "a"),
    ("new", "ab"),
    ("new", "ab+"),
]


@pytest.mark.parametrize(("name", "mode"), MODES, ids=[mode for _, mode in MODES])
def test_attributes_are_those_of_a_local_file(bucket: Mounted, local: Path, name: str, mode: str) -> None:
    with open(bucket.path(name), mode) as ours, open(str(local / name), mode) as theirs:
        assert described(ours, bucket.point) == described(theirs, str(local))
        lower, lower_real = getattr(ours, "buffer", ours), getattr(theirs, "buffer", theirs)
        assert described(lower, bucket.point) == described(lower_real, str(local))
        raw, raw_real = described(lower.raw, bucket.point), described(lower_real.raw, str(local))
        assert {**raw, "type": None} == {**raw_real, "type": None}
        assert isinstance(lower.raw, io.FileIO)
    assert repr(ours).replace(bucket.point, "") == repr(theirs).replace(str(local), "")


WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("rz",), {}),
    (("rw",), {}),
    (("",), {}),
    (("b",), {}),
    (("rr",), {}),
    (("rbt",), {}),
    ((5,), {}),
    (("r", "x"), {}),
    (("rb",), {"encoding": "utf-8"}),
    (("rb",), {"errors": "strict"}),
    (("rb",), {"newline": "\n"}),
    (("r",), {"newline": "x"}),
    (("r",), {"newline": 5}),
    (("r",), {"encoding": 5}),
    (("r",), {"encoding": "no-such-codec"}),
    (("r", 0), {}),
    (("r",), {"closefd": False}),
    (("r",), {"opener": 5}),
]


@pytest.mark.parametrize(("arguments", "options"), WRONG, ids=[f"{a}{o}" for a, o in WRONG])
def test_wrong_arguments_fail_as_they_do_locally(
    bucket: Mounted, local: Path, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(Exception) as ours:
        open(bucket.path("a.txt"), *arguments, **options)
    with pytest.raises(Exception) as theirs:
        real.open(str(local / "a.txt"), *arguments, **options)
    assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))


@pytest.mark.parametrize(
    ("name", "mode", "number"),
    [("none", "r", errno.ENOENT), ("dir", "r", errno.EISDIR), ("dir", "w", errno.EISDIR), ("a.txt", "x", errno.EEXIST)],
)
def test_errors_name_the_path_as_given(bucket: Mounted, local: Path, name: str, mode: str, number: int) -> None:
    for given in (bucket.path(name), os.fsencode(bucket.path(name)), Path(bucket.path(name))):
        with pytest.raises(OSError) as caught:
            open(given, mode)
        assert caught.value.errno == number
        assert caught.value.filename == os.fspath(given)
    with pytest.raises(OSError) as theirs:
        open(str(local / name), mode)
    assert type(caught.value) is type(theirs.value)


def test_text(bucket: Mounted) -> None:
    assert open(bucket.path("a.txt"), encoding="utf-8").read() == TEXT.replace("\r\n", "\n")
    assert open(bucket.path("a.txt"), encoding="utf-8", newline="").read() == TEXT
    with open(bucket.path("a.txt"), encoding="latin-1") as file:
        assert [line.rstrip() for line in file] == ["first", "second", "tr\u00c3\u00a4ger"]
        assert file.newlines == ("\n", "\r\n")


def test_writing_text(bucket: Mounted) -> None:
    with open(bucket.path("out"), "w", encoding="utf-16-le", newline="\r\n") as file:
        assert file.write("ab\n") == 3
        print("c", file=file)
    assert stored(bucket, "out") == "ab\r\nc\r\n".encode("utf-16-le")


def test_buffering(bucket: Mounted) -> None:
    raw = open(bucket.path("a.txt"), "rb", buffering=0)
    assert isinstance(raw, io.RawIOBase)
    assert raw.read(5) == b"first"
    buffer = bytearray(4)
    assert raw.readinto(buffer) == 4
    assert raw.readall() == TEXT.encode()[9:]
    raw.close()
    with pytest.warns(RuntimeWarning, match="line buffering"):
        open(bucket.path("out"), "wb", buffering=1).close()
    with open(bucket.path("lines"), "w", buffering=1) as file:
        assert file.line_buffering
        file.write("a line\n")
        assert os.fstat(file.fileno()).st_size == 7


def test_position(bucket: Mounted) -> None:
    with open(bucket.path("a.txt"), "rb") as file:
        assert file.seek(-3, os.SEEK_END) == len(TEXT.encode()) - 3
        assert file.read() == b"er\n"
        assert file.seek(1) == 1
        assert file.peek(2)[:2] == b"ir"
        assert file.tell() == 1
        with pytest.raises(OSError):
            file.seek(-1)


def test_unsupported_operations(bucket: Mounted) -> None:
    with open(bucket.path("a.txt"), "rb") as file:
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.truncate(0)
    with open(bucket.path("out"), "wb") as file, pytest.raises(io.UnsupportedOperation):
        file.read()
    with open(bucket.path("update"), "w+b") as file:
        file.write(b"data")
        file.seek(0)
        with pytest.raises(io.UnsupportedOperation) as caught:
            file.read()
        assert caught.value.errno == errno.EBADF
    with open(bucket.path("a.txt"), "r+b", buffering=0) as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"x")


def test_a_closed_file(bucket: Mounted) -> None:
    file = open(bucket.path("a.txt"), "rb", buffering=0)
    file.close()
    file.close()
    for call in (file.read, file.fileno, file.tell, file.readable, file.isatty, lambda: file.seek(0), file.__enter__):
        with pytest.raises(ValueError, match="closed file"):
            call()


def test_files_neither_pickle_nor_copy(bucket: Mounted, local: Path) -> None:
    with open(bucket.path("a.txt"), "rb", buffering=0) as raw, open(bucket.path("a.txt")) as text:
        for file in (raw, text):
            with pytest.raises(TypeError, match="cannot pickle"):
                pickle.dumps(file)
            with pytest.raises(TypeError, match="cannot pickle"):
                copy.copy(file)


def test_by_descriptor(bucket: Mounted) -> None:
    number = os.open(bucket.path("a.txt"), os.O_RDONLY)
    with open(number, "rb", closefd=False) as file:
        assert file.name == number
        assert file.read(5) == b"first"
    assert os.lseek(number, 5, os.SEEK_SET) == 5
    with os.fdopen(number, "rb", buffering=0) as file:
        assert file.fileno() == number
        assert file.read(2) == b"\r\n"
    with pytest.raises(OSError) as caught:
        os.read(number, 1)
    assert caught.value.errno == errno.EBADF
    writer = os.open(bucket.path("out"), os.O_WRONLY | os.O_CREAT)
    with open(writer, "w") as text:
        text.write("by number")
    assert stored(bucket, "out") == b"by number"


def test_opener(bucket: Mounted, local: Path) -> None:
    calls = []

    def opener(path: str, flags: int) -> int:
        calls.append((path, flags & os.O_ACCMODE))
        return os.open(path, flags)

    with open(bucket.path("a.txt"), "rb", opener=opener) as file:
        assert (file.name, file.read(5)) == (bucket.path("a.txt"), b"first")
    with open(str(local / "a.txt"), "rb", opener=opener) as file:
        assert file.read(5) == b"first"
    assert calls == [(bucket.path("a.txt"), os.O_RDONLY), (str(local / "a.txt"), os.O_RDONLY)]
    directory = os.open(bucket.path("dir"), os.O_RDONLY)
    with open("x", "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=directory)) as file:
        assert file.read() == b"x"
    os.close(directory)
    with pytest.raises(ValueError, match="opener returned -1"):
        open(bucket.path("a.txt"), opener=lambda path, flags: -1)


def test_file_io(bucket: Mounted, local: Path) -> None:
    with io.FileIO(bucket.path("a.txt")) as raw:
        assert raw.read(5) == b"first"
        assert (raw.mode, raw.name) == ("rb", bucket.path("a.txt"))
        assert isinstance(raw, io.FileIO)
    with io.FileIO(bucket.path("out"), "w") as raw:
        raw.write(b"raw")
    assert stored(bucket, "out") == b"raw"
    with io.FileIO(str(local / "a.txt")) as raw:
        assert type(raw) is real.FileIO
        assert isinstance(raw, io.FileIO)
    with pytest.raises(ValueError, match="Cannot use closefd=False"):
        io.FileIO(bucket.path("a.txt"), closefd=False)
    with pytest.raises(TypeError):
        io.FileIO()  # type: ignore[call-arg]

    class Mine(io.FileIO):
        pass

    with Mine(str(local / "a.txt")) as raw:
        assert type(raw) is Mine
        assert isinstance(raw, real.FileIO)
    assert issubclass(real.FileIO, io.FileIO)
    assert not isinstance(io.BytesIO(), io.FileIO)


def test_open_code(bucket: Mounted, local: Path) -> None:
    with io.open_code(bucket.path("a.txt")) as file:
        assert file.read(5) == b"first"
    with io.open_code(str(local / "a.txt")) as file:
        assert file.read(5) == b"first"


def test_open_is_one_function_with_its_signature(bucket: Mounted) -> None:
    assert builtins.open is io.open
    assert inspect.signature(open) == inspect.signature(real.open)
    assert (open.__module__, open.__name__) == (real.open.__module__, "open")


def test_an_unclosed_reader_is_told_as_ever(bucket: Mounted) -> None:
    held = [open(bucket.path("a.txt"))]
    with pytest.warns(ResourceWarning, match=r"unclosed file <_io.TextIOWrapper name='/vfs-bucket/a.txt'"):
        held.clear()


def test_an_unclosed_writer_is_committed_when_collected(bucket: Mounted) -> None:
    held = [open(bucket.path("out"), "wb")]
    held[0].write(b"data")
    with pytest.warns(ResourceWarning, match="unclosed file <_io.BufferedWriter"):
        held.clear()
    assert stored(bucket, "out") == b"data"
    raw = [open(bucket.path("raw"), "wb", buffering=0)]
    raw[0].write(b"raw")
    with pytest.warns(ResourceWarning, match="unclosed file <_io.FileIO"):
        raw.clear()
    assert stored(bucket, "raw") == b"raw"


# From Python 3.13 on an io object whose close fails in its finalizer tells sys.unraisablehook, local files too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mode", ["r+", "r+b"])
def test_a_change_that_is_refused_when_collected_is_logged_once(
    bucket: Mounted, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.store.put("in", b"data")
    with warnings.catch_warnings(), caplog.at_level(logging.ERROR):
        warnings.simplefilter("ignore")
        file = open(bucket.path("in"), mode)
        file.write("change" if mode == "r+" else b"change")
        del file
        gc.collect()
    (record,) = caplog.records
    assert f"{bucket.path('in')}, collected while open, could not be written" in record.getMessage()


def test_a_commit_that_fails_when_collected_is_logged(bucket: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.ERROR):
        warnings.simplefilter("ignore")
        file = open(bucket.path("out"), "wb", buffering=0)
        file.write(b"data")
        file.seek(0)
        with contextlib.suppress(OSError):
            file.write(b"elsewhere")
        del file
        gc.collect()
    assert "could not be committed" in caplog.text
    assert "out" not in bucket.keys()


class Trouble(Exception):
    pass


@pytest.mark.parametrize("mode", ["w", "wb", "w+b", "x"])
def test_leaving_with_by_an_exception_commits_by_default(bucket: Mounted, mode: str) -> None:
    with pytest.raises(Trouble), open(bucket.path("out"), mode) as file:
        file.write("half" if "b" not in mode else b"half")
        raise Trouble
    assert stored(bucket, "out") == b"half"


@pytest.mark.parametrize("mode", ["w", "wb", "w+b", "x"])
def test_leaving_with_by_an_exception_aborts_where_asked(mount: Callable[..., Mounted], mode: str) -> None:
    bucket = mount("/vfs-bucket", on_error="abort")
    with pytest.raises(Trouble), open(bucket.path("out"), mode) as file:
        file.write("half" if "b" not in mode else b"half")
        raise Trouble
    assert file.closed
    assert "out" not in bucket.keys()
    with open(bucket.path("out"), mode) as file:
        file.write("whole" if "b" not in mode else b"whole")
    assert stored(bucket, "out") == b"whole"
    assert type(file).__name__ in {"TextIOWrapper", "BufferedWriter", "BufferedRandom"}


@pytest.mark.parametrize("opened", [lambda path: open(path, "wb", buffering=0), lambda path: io.FileIO(path, "w")])
def test_leaving_with_by_an_exception_aborts_an_unbuffered_file_too(
    mount: Callable[..., Mounted], opened: Callable[[str], io.FileIO]
) -> None:
    bucket = mount("/vfs-bucket", on_error="abort")
    with pytest.raises(Trouble), opened(bucket.path("out")) as file:
        file.write(b"half")
        raise Trouble
    assert file.closed
    assert "out" not in bucket.keys()
    with opened(bucket.path("out")) as file:
        file.write(b"whole")
    assert stored(bucket, "out") == b"whole"


def test_a_file_that_could_not_be_wrapped_leaves_nothing(bucket: Mounted) -> None:
    with pytest.raises(LookupError):
        open(bucket.path("a.txt"), "w", encoding="no-such-codec")
    assert stored(bucket, "a.txt") == TEXT.encode()


def test_tempfile_on_a_mount(bucket: Mounted) -> None:
    with tempfile.NamedTemporaryFile(dir=bucket.point, delete=False, suffix=".bin") as file:
        file.write(b"temporary")
    assert stored(bucket, os.path.basename(file.name)) == b"temporary"


def test_local_files_are_untouched(bucket: Mounted, local: Path) -> None:
    file = open(local / "a.txt", "rb", buffering=0)
    assert type(file) is real.FileIO
    file.close()
    with pytest.raises(FileNotFoundError) as caught:
        open(local / "none")
    assert caught.value.filename == str(local / "none")


# Libraries that go to C -----------------------------------------------------------------------------------------------


def test_numpy_reads_and_writes_by_descriptor(bucket: Mounted) -> None:
    array = numpy.arange(100_000, dtype="i4")
    with open(bucket.path("a.npy"), "wb") as file:
        numpy.save(file, array)
        numpy.save(file, array[:10])
    with open(bucket.path("a.npy"), "rb") as file:
        assert (numpy.load(file) == array).all()
        assert (numpy.load(file) == array[:10]).all()
    with open(bucket.path("raw"), "wb") as file:
        file.write(b"head")
        array.tofile(file)
        file.write(b"tail")
    assert stored(bucket, "raw") == b"head" + array.tobytes() + b"tail"
    with open(bucket.path("raw"), "rb") as file:
        assert file.read(4) == b"head"
        assert (numpy.fromfile(file, "i4", 1000) == array[:1000]).all()
        assert (numpy.fromfile(file, "i4", 99_000) == array[1000:]).all()
        assert file.read() == b"tail"
    mapped = numpy.memmap(bucket.path("raw"), "i4", "r", offset=4, shape=(100_000,))
    assert (mapped == array).all()
    assert (numpy.load(bucket.path("a.npy"), mmap_mode="r") == array).all()


def test_an_encoder_that_writes_to_fileno(bucket: Mounted) -> None:
    libc = ctypes.CDLL(None)
    with open(bucket.path("picture.jpg"), "w+b") as file:
        file.write(b"header")
        file.flush()
        libc.write(file.fileno(), b"pixels", 6)
        file.write(b"trailer")
    assert stored(bucket, "picture.jpg") == b"headerpixelstrailer"


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the mode U is gone")
@pytest.mark.parametrize("mode", ["U", "rU", "Ur", "rbU", "rU+", "wU", "UU", "r+U"])
def test_the_mode_u(bucket: Mounted, local: Path, mode: str) -> None:
    found = []
    for root in (str(local), bucket.point):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                with open(f"{root}/a.txt", mode) as file:
                    found.append((file.read(), file.mode, len(told)))
            except ValueError as error:
                found.append((str(error),))
    assert found[0] == found[1]


def test_what_was_written_by_number_outlives_a_failing_open_of_it(bucket: Mounted, tmp_path: Path) -> None:
    for path in (str(tmp_path / "out"), bucket.path("out")):
        number = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(number, b"by number")
        with pytest.raises(LookupError):
            open(number, "w", encoding="no such encoding")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(number)
        with open(path) as file:
            assert file.read() == "by number"
