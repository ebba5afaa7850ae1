"""Libraries imported after activation, and what deactivation leaves of the hooks."""

from __future__ import annotations

import importlib
import pickle
import sys

import h5py
import pyarrow.fs
import pyarrow.parquet
import pytest

import vfsmount
from tests.session.starting import interpreter

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import h5py, numpy, polars, pyarrow.parquet, safetensors.numpy, soundfile
    from lxml import etree

    table = pyarrow.table({"a": [1, 2]})
    pyarrow.parquet.write_table(table, point + "/t.parquet")
    assert pyarrow.parquet.read_table(point + "/t.parquet").equals(table)
    assert polars.read_parquet(point + "/t.parquet")["a"].to_list() == [1, 2]
    with h5py.File(point + "/x.h5", "w") as file:
        file["a"] = [1]
    with h5py.File(point + "/x.h5", "r") as file:
        assert file["a"][0] == 1
    soundfile.write(point + "/s.wav", numpy.zeros(10), 8000)
    assert len(soundfile.read(point + "/s.wav")[0]) == 10
    safetensors.numpy.save_file({"a": numpy.zeros(3)}, point + "/m.safetensors")
    assert len(safetensors.numpy.load_file(point + "/m.safetensors")["a"]) == 3
    with open(point + "/x.xml", "w") as file:
        file.write("<a/>")
    assert etree.parse(point + "/x.xml").getroot().tag == "a"
    assert type(pyarrow.parquet.core.__loader__).__name__ == "SourceFileLoader"
    session.close()
    assert not [finder for finder in sys.meta_path if "vfsmount" in type(finder).__module__]
    assert not hasattr(pyarrow.parquet.read_table, "__wrapped__")
    assert not hasattr(pyarrow.parquet.core._resolve_filesystem_and_path, "__wrapped__")
    print("done")
"""


@pytest.mark.slow
def test_libraries_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


def test_libraries_are_put_back(request: pytest.FixtureRequest) -> None:
    before = (pyarrow.parquet.write_table, pyarrow.parquet.core._resolve_filesystem_and_path, h5py.File.__init__)
    finders = list(sys.meta_path)
    request.getfixturevalue("point")
    during = (pyarrow.parquet.write_table, pyarrow.parquet.core._resolve_filesystem_and_path, h5py.File.__init__)
    assert all(new is not old for new, old in zip(during, before, strict=True))
    assert pickle.loads(pickle.dumps(pyarrow.parquet.write_table)) is during[0]
    vfsmount.deactivate()
    after = (pyarrow.parquet.write_table, pyarrow.parquet.core._resolve_filesystem_and_path, h5py.File.__init__)
    assert after == before
    assert sys.meta_path == finders


def test_a_native_open_that_no_hook_reaches_fails_and_writes_nothing(point: str) -> None:
    etree = importlib.import_module("lxml.etree")
    with pytest.raises(NotADirectoryError):
        etree.ElementTree(etree.Element("root")).write(f"{point}/x")
