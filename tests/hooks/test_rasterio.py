"""rasterio on paths of a mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy
import pytest
import rasterio
from affine import Affine

from tests.session.starting import interpreter
from vfsmount.testing import CountingStore

DATA: Any = numpy.arange(1024 * 1024, dtype="float32").reshape(1024, 1024)
SHAPE: Any = {
    "driver": "GTiff",
    "height": 1024,
    "width": 1024,
    "count": 1,
    "dtype": "float32",
    "crs": "EPSG:4326",
    "transform": Affine(1, 0, 0, 0, -1, 1),
    "tiled": True,
    "blockxsize": 128,
    "blockysize": 128,
}

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import numpy, rasterio

    with rasterio.open(point + "/a.png", "w", driver="PNG", height=2, width=3, count=1, dtype="uint8") as made:
        made.write(numpy.full((2, 3), 7, "uint8"), 1)
    with rasterio.open(point + "/a.png") as found:
        assert found.read(1).sum() == 42
    session.close()
    assert not hasattr(rasterio.open, "__wrapped__") or "vfsmount" not in rasterio.open.__code__.co_filename
    print("done")
"""

# Its own use of its own dependency.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


def write(path: Any, mode: Any = "w") -> None:
    with rasterio.open(path, mode, **SHAPE) as made:
        made.write(DATA, 1)


@pytest.mark.parametrize("kind", [str, Path])
def test_write_and_read(point: str, kind: type) -> None:
    write(kind(f"{point}/a.tif"))
    with rasterio.open(kind(f"{point}/a.tif")) as found:
        assert found.crs == "EPSG:4326"
        assert (found.read(1) == DATA).all()


def test_a_window_is_not_the_whole_file(point: str, store: CountingStore) -> None:
    write(f"{point}/a.tif")
    size = os.path.getsize(f"{point}/a.tif")
    with rasterio.open(f"{point}/a.tif") as found:
        store.reset()
        assert found.read(1, window=((0, 10), (0, 10)))[5, 5] == DATA[5, 5]
    assert store.bytes_read < size / 4


def test_what_gdal_puts_beside_a_file_is_there_too(point: str) -> None:
    shape = {**SHAPE, "driver": "PNG", "dtype": "uint8"}
    del shape["tiled"], shape["blockxsize"], shape["blockysize"]
    with rasterio.open(f"{point}/a.png", "w", **shape) as made:
        made.write(DATA.astype("uint8"), 1)
    assert sorted(os.listdir(point)) == ["a.png", "a.png.aux.xml"]
    with rasterio.open(f"{point}/a.png") as found:
        assert found.crs == "EPSG:4326"


def test_change(staged: str) -> None:
    write(f"{staged}/a.tif", "w+")
    with rasterio.open(f"{staged}/a.tif", "r+") as found:
        found.write(DATA * 2, 1)
    with rasterio.open(f"{staged}/a.tif") as found:
        assert found.read(1)[0, 5] == 10


def test_refusals(point: str, read_only: str) -> None:
    write(f"{point}/a.tif")
    for path, mode, number in (
        (f"{point}/none.tif", "r", errno.ENOENT),
        (f"{point}/a.tif", "r+", errno.EPERM),
        (f"{read_only}/b.tif", "w", errno.EROFS),
    ):
        with pytest.raises(OSError) as refused:
            rasterio.open(path, mode, **({} if mode != "w" else SHAPE))
        assert refused.value.errno == number
    Path(point, "bad.tif").write_bytes(b"nonsense" * 100)
    with pytest.raises(rasterio.errors.RasterioIOError, match="not recognized"):
        rasterio.open(f"{point}/bad.tif")


def test_a_failed_open_leaves_no_object(point: str) -> None:
    with pytest.raises(TypeError):
        rasterio.open(f"{point}/a.tif", "w", driver="GTiff")
    assert os.listdir(point) == []
