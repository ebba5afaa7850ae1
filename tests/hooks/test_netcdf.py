"""netCDF4 on paths of a mount."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.hooks.late import Library
from tests.session.starting import interpreter

netCDF4: Any = Library("netCDF4")

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import netCDF4

    with netCDF4.Dataset(point + "/a.nc", "w") as made:
        made.title = "x"
    with netCDF4.Dataset(point + "/a.nc") as found:
        assert found.title == "x"
    session.close()
    assert netCDF4.Dataset.__base__ is object
    print("done")
"""


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


def write(path: Any, mode: Any = "w", **more: Any) -> None:
    with netCDF4.Dataset(path, mode, **more) as made:
        made.title = "hello"
        made.createDimension("x", 10)
        made.createVariable("v", "f4", ("x",))[:] = numpy.arange(10)
        assert made.filepath() == os.fspath(path)
        assert made.ncattrs() == ["title"]


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_write_and_read(point: str, form: str, kind: type) -> None:
    path = kind(f"{point}/a.nc")
    write(path, format=form)
    with netCDF4.Dataset(path) as found:
        assert isinstance(found, netCDF4.Dataset)
        assert (found["v"][:].sum(), found.title, found.file_format) == (45, "hello", form)


def test_objects_from_before_are_of_the_class(request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
    local = tmp_path_factory.mktemp("local") / "a.nc"
    with netCDF4.Dataset(local, "w") as made:
        request.getfixturevalue("point")
        assert isinstance(made, netCDF4.Dataset)
        assert not isinstance(made.createDimension("x", 1), netCDF4.Dataset)


def test_change(staged: str) -> None:
    write(f"{staged}/a.nc", "a")
    with netCDF4.Dataset(f"{staged}/a.nc", "a") as found:
        found["v"][0] = 100
    with netCDF4.Dataset(f"{staged}/a.nc", "r+") as found:
        assert found["v"][:].sum() == 145


def test_refusals(point: str, read_only: str) -> None:
    write(f"{point}/a.nc")
    for path, mode, number in (
        (f"{point}/none.nc", "r", errno.ENOENT),
        (f"{point}/none.nc", "r+", errno.ENOENT),
        (f"{read_only}/b.nc", "w", errno.EROFS),
        (f"{read_only}/a.nc", "a", errno.EROFS),
        (f"{point}/a.nc", "x", errno.EEXIST),
        (f"{point}/a.nc", "r+", errno.EPERM),
    ):
        with pytest.raises(OSError) as refused:
            netCDF4.Dataset(path, mode)  # type: ignore[arg-type]
        assert (refused.value.errno, refused.value.filename) == (number, path)
    with pytest.raises(FileExistsError):
        netCDF4.Dataset(f"{point}/a.nc", "w", clobber=False)


def test_a_failure_names_the_callers_path_and_leaves_no_object(point: str) -> None:
    Path(point, "bad.nc").write_bytes(b"nonsense")
    with pytest.raises(OSError, match="Unknown file format") as refused:
        netCDF4.Dataset(f"{point}/bad.nc")
    assert refused.value.filename == f"{point}/bad.nc"
    with pytest.raises(ValueError, match="unrecognized format"):
        netCDF4.Dataset(f"{point}/new.nc", "w", format="nonsense")  # type: ignore[arg-type]
    assert os.listdir(point) == ["bad.nc"]


def test_a_file_that_nobody_closes_is_complete(point: str) -> None:
    made = netCDF4.Dataset(f"{point}/a.nc", "w")
    made.createDimension("x", 3)
    del made
    gc.collect()
    with netCDF4.Dataset(f"{point}/a.nc") as found:
        assert len(found.dimensions["x"]) == 3
