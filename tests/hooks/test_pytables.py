"""PyTables, and pandas on it, on paths of a mount."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from tests.hooks.late import Library
from vfsmount import CloudBucketMount
from vfsmount.errors import PermissionDenied
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore

tables: Any = Library("tables")

FRAME = pandas.DataFrame({"a": range(100), "b": [str(number) for number in range(100)]})


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_written_and_read(point: str, kind: type) -> None:
    path = kind(f"{point}/t.h5")
    with tables.open_file(path, "w", title="a title") as file:
        file.create_array("/", "numbers", numpy.arange(100))
    assert Path(path).read_bytes()[:4] == b"\x89HDF"
    with tables.open_file(path) as file:
        assert file.title == "a title"
        assert file.root.numbers[-1] == 99
    assert tables.is_hdf5_file(path)
    assert tables.is_pytables_file(path)


def test_pandas(point: str, staged: str) -> None:
    FRAME.to_hdf(f"{point}/f.h5", key="frame")
    assert pandas.read_hdf(f"{point}/f.h5", "frame").equals(FRAME)
    with pytest.raises(PermissionError, match=r"f\.h5"):
        FRAME.to_hdf(f"{point}/f.h5", key="second")
    FRAME.to_hdf(f"{point}/f.h5", key="again", mode="w")
    assert pandas.read_hdf(f"{point}/f.h5").equals(FRAME)
    for key in ("one", "two"):
        FRAME.to_hdf(f"{staged}/f.h5", key=key, format="table")
    with pandas.HDFStore(f"{staged}/f.h5", "r") as store:
        assert store.keys() == ["/one", "/two"]
        assert len(store.select("one", "index < 10")) == 10
    with pytest.raises(FileNotFoundError):
        pandas.read_hdf(f"{point}/missing.h5")


def test_what_is_missing_or_refused(point: str, read_only: str) -> None:
    for mode in ("r", "r+"):
        with pytest.raises(FileNotFoundError):
            tables.open_file(f"{point}/missing.h5", mode)
    with pytest.raises(OSError, match="Read-only"):
        tables.open_file(f"{read_only}/x.h5", "w")
    with pytest.raises(ValueError, match="mode"):
        tables.open_file(f"{point}/x.h5", "rw")
    Path(f"{point}/text").write_text("no HDF5")
    assert not tables.is_hdf5_file(f"{point}/text")
    with pytest.raises(tables.HDF5ExtError):
        tables.open_file(f"{point}/text")
    assert Path(f"{point}/text").read_text() == "no HDF5"


def test_one_writer_or_many_readers(point: str) -> None:
    with tables.open_file(f"{point}/t.h5", "w"):
        with pytest.raises(PermissionError):
            tables.open_file(f"{point}/t.h5")
    with tables.open_file(f"{point}/t.h5") as one, tables.open_file(f"{point}/t.h5") as two:
        assert one.root._v_nchildren == two.root._v_nchildren == 0


def test_a_failed_upload_raises(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    place = str(tmp_path / "bucket")
    with activate_stores({place: (CloudBucketMount("memory"), store)}):
        store.fail("put", PermissionDenied("refused", operation="put", bucket="b", key="k"), times=None)
        with pytest.raises(PermissionError):
            FRAME.to_hdf(f"{place}/f.h5", key="frame")
        file = tables.open_file(f"{place}/t.h5", "w")
        with pytest.raises(PermissionError):
            file.close()
        assert list(Path(place).iterdir()) == []


def test_in_memory_and_on_the_disk(point: str, store: CountingStore, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of it goes to a mount, whatever the file is called."""
    before = store.counts
    with tables.open_file("x.h5", "w", driver="H5FD_CORE", driver_core_backing_store=0) as file:
        file.create_array("/", "numbers", numpy.arange(3))
    where = str(tmp_path_factory.mktemp("disk") / "t.h5")
    with tables.open_file(where, "w") as file:
        file.create_array("/", "numbers", numpy.arange(3))
    assert tables.is_hdf5_file(where)
    assert store.counts == before


@pytest.mark.slow
@pytest.mark.parametrize("imported", ["before", "after"])
def test_a_file_that_is_open_at_exit(tmp_path: Path, imported: str) -> None:
    """PyTables closes it when the interpreter ends; where it was imported before activation that is too late, and
    said.
    """
    code = f"""
import sys, vfsmount
if "{imported}" == "before":
    import tables
vfsmount.activate({{"/my-mount": f"file://{{sys.argv[1]}}"}})
import tables
file = tables.open_file("/my-mount/t.h5", "w")
file.create_array("/", "numbers", [1, 2, 3])
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = "/my-mount/t.h5 was not closed by the library that writes it; nothing was uploaded" in done.stderr
    assert told is (imported == "before"), done
    assert (tmp_path / "t.h5").exists() is (imported == "after")
    if imported == "after":
        with tables.open_file(str(tmp_path / "t.h5")) as file:
            assert file.root.numbers[:] == [1, 2, 3]
