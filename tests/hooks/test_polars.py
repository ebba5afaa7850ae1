"""polars' scans and sinks, and the readers and writers that take more than one file."""

from __future__ import annotations

import errno
import gc
import glob
import os
from pathlib import Path
from typing import Any

import polars
import pytest
from polars.testing import assert_frame_equal

from tests.session.starting import interpreter
from vfsmount.testing import CountingStore

FRAME = polars.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
FORMS = ["parquet", "csv", "ipc", "ndjson"]

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import polars

    polars.LazyFrame({"a": [1, 2]}).sink_parquet(point + "/t.parquet")
    assert polars.scan_parquet(point + "/t.parquet").collect()["a"].to_list() == [1, 2]
    assert polars.scan_parquet(point + "/*.parquet").collect()["a"].to_list() == [1, 2]
    session.close()
    assert "vfsmount" not in polars.scan_parquet.__code__.co_filename
    print("done")
"""

pytestmark = pytest.mark.filterwarnings("ignore::polars.exceptions.UnstableWarning")


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("form", FORMS)
def test_sink_and_scan(point: str, form: str, kind: type) -> None:
    path = kind(f"{point}/t.{form}")
    getattr(FRAME.lazy(), f"sink_{form}")(path)
    plan = getattr(polars, f"scan_{form}")(path)
    assert plan.collect().equals(FRAME)
    assert plan.filter(polars.col("a") > 1).select("b").collect()["b"].to_list() == ["y", "z"]
    assert plan.collect(engine="streaming").equals(FRAME)


def test_a_scanned_file_has_no_name_and_is_the_version_that_was_scanned(point: str) -> None:
    FRAME.write_parquet(f"{point}/t.parquet")
    plan = polars.scan_parquet(f"{point}/t.parquet")
    assert glob.glob(os.environ["TMPDIR"] + "/*") == []
    FRAME.head(1).write_parquet(f"{point}/t.parquet")
    assert plan.collect().equals(FRAME)


def many(point: str, form: str = "parquet") -> None:
    os.mkdir(f"{point}/d")
    for number in range(3):
        getattr(FRAME.with_columns(a=polars.lit(number)), f"write_{form}")(f"{point}/d/{number}.{form}")


@pytest.mark.parametrize("form", FORMS)
def test_patterns_directories_and_lists(point: str, form: str) -> None:
    many(point, form)
    scan, read = getattr(polars, f"scan_{form}"), getattr(polars, f"read_{form}")
    for source in (f"{point}/d/*.{form}", f"{point}/d", [f"{point}/d/{number}.{form}" for number in range(3)]):
        assert scan(source).collect()["a"].to_list() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        if form != "csv":  # whose reader takes one file
            assert read(source).shape == (9, 2)


def test_the_copies_of_a_directory_go_with_the_plan(point: str) -> None:
    many(point)
    plan = polars.scan_parquet(f"{point}/d/*.parquet")
    narrower = plan.filter(polars.col("a") == 1).select("b")
    del plan
    gc.collect()
    assert narrower.collect().height == 3
    assert "PROJECT 2/2" in narrower.explain()
    assert 'SELECTION: col("a")' in narrower.explain()
    assert len(glob.glob(os.environ["TMPDIR"] + "/*")) == 1
    del narrower
    gc.collect()
    assert glob.glob(os.environ["TMPDIR"] + "/*") == []


def test_file_paths_are_the_callers(point: str) -> None:
    many(point)
    found = polars.scan_parquet(f"{point}/d", include_file_paths="path").collect()
    assert found["path"].unique().sort().to_list() == [f"{point}/d/{number}.parquet" for number in range(3)]
    one = polars.read_parquet(f"{point}/d/0.parquet", include_file_paths="path")
    assert one["path"].unique().to_list() == [f"{point}/d/0.parquet"]


def test_partitioned_both_ways(point: str) -> None:
    FRAME.write_parquet(f"{point}/one", partition_by="b")
    FRAME.lazy().sink_parquet(polars.PartitionBy(f"{point}/two", key="b", include_key=True))
    for name in ("one", "two"):
        assert sorted(os.listdir(f"{point}/{name}")) == ["b=x", "b=y", "b=z"]
        assert_frame_equal(polars.read_parquet(f"{point}/{name}"), FRAME, check_row_order=False)
    plan = polars.scan_parquet(f"{point}/one", hive_partitioning=True)
    assert plan.filter(polars.col("b") == "y").collect().to_dicts() == [{"a": 2, "b": "y"}]


def test_schemas_and_other_forms(point: str) -> None:
    FRAME.write_parquet(f"{point}/t.parquet", metadata={"k": "v"})
    FRAME.write_ipc(f"{point}/t.ipc")
    assert polars.read_parquet_schema(f"{point}/t.parquet") == dict(FRAME.schema)
    assert polars.read_ipc_schema(f"{point}/t.ipc") == dict(FRAME.schema)
    assert polars.read_parquet_metadata(f"{point}/t.parquet")["k"] == "v"
    FRAME.write_avro(f"{point}/t.avro")
    assert polars.read_avro(f"{point}/t.avro").equals(FRAME)
    FRAME.write_ipc_stream(f"{point}/t.arrows")
    assert polars.read_ipc_stream(f"{point}/t.arrows").equals(FRAME)


def test_from_one_file_of_the_mount_to_another(point: str) -> None:
    polars.LazyFrame({"a": range(100_000)}).sink_parquet(f"{point}/a.parquet")
    polars.scan_parquet(f"{point}/a.parquet").sink_csv(f"{point}/a.csv")
    assert polars.scan_csv(f"{point}/a.csv").select(polars.col("a").sum()).collect().item() == sum(range(100_000))


def test_a_sink_streams(point: str, store: CountingStore) -> None:
    polars.LazyFrame({"a": range(3_000_000)}).sink_ipc(f"{point}/a.ipc", compression="uncompressed")
    assert store.counts["put"] == 0
    assert store.bytes_written > 20_000_000


def test_refusals(point: str, read_only: str) -> None:
    for missing in (f"{point}/none.parquet", f"{point}/none*.parquet"):
        with pytest.raises(FileNotFoundError) as absent:
            polars.scan_parquet(missing)
        assert absent.value.filename == missing
    writers: Any = (
        lambda: FRAME.lazy().sink_parquet(f"{read_only}/t.parquet"),
        lambda: FRAME.write_parquet(f"{read_only}/d", partition_by="b"),
        lambda: FRAME.write_avro(f"{read_only}/t.avro"),
    )
    for write in writers:
        with pytest.raises(OSError) as refused:
            write()
        assert refused.value.errno == errno.EROFS
    with pytest.raises(OSError) as refused:
        FRAME.lazy().sink_csv(f"{point}/t.csv", lazy=True)
    assert refused.value.errno == errno.ENOTSUP


def test_a_failed_sink_leaves_what_was_there(point: str) -> None:
    FRAME.write_parquet(f"{point}/t.parquet")
    plan = FRAME.lazy().with_columns(polars.col("a").map_elements(lambda _: 1 // 0, return_dtype=polars.Int64))
    with pytest.raises(ZeroDivisionError):
        plan.sink_parquet(f"{point}/t.parquet")
    assert polars.read_parquet(f"{point}/t.parquet").equals(FRAME)


def test_a_local_file_is_polars_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local")
    FRAME.lazy().sink_parquet(local / "a.parquet")
    assert polars.scan_parquet(local / "*.parquet").collect().equals(FRAME)
    FRAME.write_parquet(f"{point}/b.parquet")
    assert polars.scan_parquet([local / "a.parquet", f"{point}/b.parquet"]).collect().height == 6
