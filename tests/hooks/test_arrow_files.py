"""pyarrow's own files, streams and memory maps, and its own format, on paths of a mount."""

from __future__ import annotations

import errno
import gc
import gzip
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pytest

from vfsmount import CloudBucketMount
from vfsmount.errors import PermissionDenied
from vfsmount.hooks import hook
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore

TABLE = pyarrow.table({"a": list(range(1000)), "b": [str(number) for number in range(1000)]})


@pytest.mark.parametrize("kind", [str, Path])
def test_a_table_is_written_and_mapped(point: str, kind: type) -> None:
    path = kind(f"{point}/t.arrow")
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE)
    with pyarrow.memory_map(path, "r") as mapped:
        assert isinstance(mapped, pyarrow.MemoryMappedFile)
        assert pyarrow.ipc.open_file(mapped).read_all().equals(TABLE)
    table = pyarrow.ipc.open_file(pyarrow.memory_map(path)).read_all()
    gc.collect()
    assert table.equals(TABLE)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("form", ["file", "stream"])
def test_arrows_own_format(point: str, kind: type, form: str) -> None:
    path = kind(f"{point}/t.{form}")
    writer = getattr(pyarrow.ipc, f"new_{form}")(path, TABLE.schema)
    writer.write_table(TABLE)
    writer.close()
    writer.close()
    with pyarrow.OSFile(str(path)) as file:
        assert getattr(pyarrow.ipc, f"open_{form}")(file).read_all().equals(TABLE)
    assert getattr(pyarrow.ipc, f"open_{form}")(path).read_all().equals(TABLE)
    named = {"file": pyarrow.RecordBatchFileWriter, "stream": pyarrow.RecordBatchStreamWriter}[form]
    with named(path, TABLE.schema) as writer:
        writer.write_table(TABLE.slice(0, 10))
    assert getattr(pyarrow.ipc, f"open_{form}")(path).read_all().num_rows == 10


def test_a_reader_that_is_about_to_go_keeps_nobody_from_writing(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of Arrow's threads may close it a moment after its last user has dropped it."""
    path = f"{point}/t"
    Path(path).write_bytes(b"x")
    reader = open(path, "rb")
    monkeypatch.setattr(hook.time, "sleep", lambda _: reader.close())
    with pyarrow.ipc.new_file(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert pyarrow.ipc.open_file(path).read_all().equals(TABLE)
    monkeypatch.undo()
    with open(path, "rb"), pytest.raises(PermissionError):
        pyarrow.ipc.new_file(path, TABLE.schema)


def test_a_file(point: str, tmp_path: Path) -> None:
    with pyarrow.OSFile(f"{point}/f", "w") as file:
        file.write(b"0123456789")
        assert not isinstance(file, dict)
        assert isinstance(file, pyarrow.NativeFile)
    with pyarrow.OSFile(f"{point}/f") as file:
        assert (file.size(), file.read(3), file.tell()) == (10, b"012", 3)
        file.seek(8)
        assert file.read() == b"89"
        assert file.read_at(2, 4) == b"45"
    local = pyarrow.OSFile("/dev/null")
    assert isinstance(local, pyarrow.OSFile)
    assert issubclass(type(local), pyarrow.OSFile)
    with pytest.raises(FileNotFoundError):
        pyarrow.OSFile(f"{point}/missing")
    with pytest.raises(FileNotFoundError):
        pyarrow.memory_map(f"{point}/missing")


def test_streams(point: str) -> None:
    """Compressed as their names say, unless told otherwise."""
    for name, opened in (("s.gz", gzip.open), ("s.txt", open)):
        with pyarrow.output_stream(f"{point}/{name}") as stream:
            stream.write(b"text")
        with opened(f"{point}/{name}", "rb") as file:
            assert file.read() == b"text"
        with pyarrow.input_stream(f"{point}/{name}") as stream:
            assert stream.read() == b"text"
    with pyarrow.input_stream(f"{point}/s.gz", compression=None) as stream:
        assert stream.read(2) == b"\x1f\x8b"
    with pyarrow.input_stream(Path(f"{point}/s.gz"), "gzip", 1024) as stream:
        assert stream.read() == b"text"


def test_changes_in_place_are_refused(point: str) -> None:
    Path(f"{point}/f").write_bytes(b"kept")
    for call in (
        lambda: pyarrow.memory_map(f"{point}/f", "r+"),
        lambda: pyarrow.memory_map(f"{point}/f", "w"),
        lambda: pyarrow.create_memory_map(f"{point}/f", 10),
        lambda: pyarrow.OSFile(f"{point}/f", "r+b"),
    ):
        with pytest.raises(OSError, match="/f") as told:
            call()
        assert told.value.errno == errno.ENOTSUP
    assert Path(f"{point}/f").read_bytes() == b"kept"


def test_a_failed_upload_raises(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    place = str(tmp_path / "bucket")
    with activate_stores({place: (CloudBucketMount("memory"), store)}):
        store.fail("put", PermissionDenied("refused", operation="put", bucket="b", key="k"), times=None)
        with pytest.raises(PermissionError):
            with pyarrow.OSFile(f"{place}/f", "wb") as file:
                file.write(b"x")
        with pytest.raises(PermissionError):
            with pyarrow.output_stream(f"{place}/s") as stream:
                stream.write(b"x")
        with pytest.raises(PermissionError):
            with pyarrow.ipc.new_stream(f"{place}/t", TABLE.schema) as writer:
                writer.write_table(TABLE)
        assert list(Path(place).iterdir()) == []


def test_what_is_not_closed_or_fails_is_not_uploaded(point: str, store: CountingStore) -> None:
    writer = pyarrow.ipc.new_file(f"{point}/t", TABLE.schema)
    writer.write_table(TABLE)
    del writer
    gc.collect()
    assert not Path(f"{point}/t").exists()
    with pytest.raises(TypeError):
        pyarrow.ipc.new_file(f"{point}/t", "no schema")
    assert not Path(f"{point}/t").exists()


def test_the_disk_is_as_before(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    where = str(tmp_path_factory.mktemp("disk"))
    with pyarrow.ipc.new_file(f"{where}/t", TABLE.schema) as writer:
        writer.write_table(TABLE)
    with pyarrow.memory_map(f"{where}/t") as mapped:
        assert pyarrow.ipc.open_file(mapped).read_all().equals(TABLE)
    with pyarrow.output_stream(f"{where}/s.gz") as stream:
        stream.write(b"text")
    assert gzip.decompress(Path(f"{where}/s.gz").read_bytes()) == b"text"
    with pyarrow.create_memory_map(f"{where}/m", 10) as mapped:
        mapped.write(b"0123456789")
    assert Path(f"{where}/m").read_bytes() == b"0123456789"
