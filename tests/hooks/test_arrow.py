"""pyarrow and pandas on paths of a mount."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import fsspec
import numpy
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet
import pytest

from vfsmount.testing import CountingStore

TABLE = pyarrow.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})


def parquet(point: str, name: str = "t.parquet") -> str:
    """A parquet file that pyarrow's own file functions had no part in."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(TABLE, buffer)
    path = f"{point}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("kind", [str, Path])
def test_write_table_and_read_table(point: str, kind: type) -> None:
    pyarrow.parquet.write_table(TABLE, kind(f"{point}/t.parquet"))
    assert pyarrow.parquet.read_table(kind(f"{point}/t.parquet")).equals(TABLE)
    assert pyarrow.parquet.read_table(io.BytesIO(Path(point, "t.parquet").read_bytes())).equals(TABLE)


def test_parquet_metadata_and_schema(point: str) -> None:
    path = parquet(point)
    assert pyarrow.parquet.read_metadata(path).num_rows == 3
    assert pyarrow.parquet.read_schema(path).names == ["a", "b"]


def test_parquet_file(point: str) -> None:
    with pyarrow.parquet.ParquetFile(parquet(point)) as file:
        assert file.read(["b"]).column("b").to_pylist() == ["x", "y", "z"]


def test_parquet_writer(point: str) -> None:
    with pyarrow.parquet.ParquetWriter(f"{point}/w.parquet", TABLE.schema) as writer:
        writer.write_table(TABLE)
        writer.write_table(TABLE)
    assert pyarrow.parquet.read_table(f"{point}/w.parquet").num_rows == 6


def test_parquet_directory(point: str) -> None:
    parquet(point, "d/0.parquet")
    parquet(point, "d/1.parquet")
    assert pyarrow.parquet.read_table(f"{point}/d").num_rows == 6


def test_dataset_partitioned_both_ways(point: str) -> None:
    pyarrow.dataset.write_dataset(TABLE, f"{point}/d", format="parquet", partitioning=["b"], partitioning_flavor="hive")
    assert sorted(os.listdir(f"{point}/d")) == ["b=x", "b=y", "b=z"]
    read = pyarrow.dataset.dataset(f"{point}/d", partitioning="hive").to_table(filter=pyarrow.dataset.field("b") == "y")
    assert read.column("a").to_pylist() == [2]


def test_write_to_dataset(point: str) -> None:
    pyarrow.parquet.write_to_dataset(TABLE, f"{point}/d", partition_cols=["b"])
    assert pyarrow.parquet.read_table(f"{point}/d").num_rows == 3


def test_csv(point: str) -> None:
    pyarrow.csv.write_csv(TABLE, f"{point}/t.csv")
    assert pyarrow.csv.read_csv(f"{point}/t.csv").equals(TABLE)


def test_paths_given_by_name(point: str) -> None:
    pyarrow.csv.write_csv(TABLE, output_file=f"{point}/t.csv")
    assert pyarrow.csv.read_csv(input_file=f"{point}/t.csv").equals(TABLE)
    pyarrow.feather.write_feather(TABLE, dest=f"{point}/t.feather")
    assert pyarrow.feather.read_table(source=f"{point}/t.feather").equals(TABLE)


def test_json(point: str) -> None:
    Path(point, "t.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert pyarrow.json.read_json(f"{point}/t.json").column("a").to_pylist() == [1, 2]


def test_feather(point: str) -> None:
    pyarrow.feather.write_feather(TABLE, f"{point}/t.feather")
    assert pyarrow.feather.read_table(f"{point}/t.feather").equals(TABLE)


def test_orc_table(point: str) -> None:
    buffer = io.BytesIO()
    pyarrow.orc.write_table(TABLE, buffer)
    Path(point, "t.orc").write_bytes(buffer.getvalue())
    assert pyarrow.orc.read_table(f"{point}/t.orc").equals(TABLE)


def test_pandas_parquet(point: str) -> None:
    frame = TABLE.to_pandas()
    frame.to_parquet(f"{point}/p.parquet")
    assert pandas.read_parquet(f"{point}/p.parquet").equals(frame)


def test_pandas_parquet_partitioned(point: str) -> None:
    TABLE.to_pandas().to_parquet(f"{point}/d", partition_cols=["b"])
    assert sorted(pandas.read_parquet(f"{point}/d")["a"]) == [1, 2, 3]


def test_pandas_feather(point: str) -> None:
    frame = TABLE.to_pandas()
    frame.to_feather(f"{point}/p.feather")
    assert pandas.read_feather(f"{point}/p.feather").equals(frame)


def test_one_column_of_many_is_not_the_whole_file(point: str, store: CountingStore) -> None:
    """Forty columns of 1 MB each: one column and the footer, and what is read ahead of them, a few times as much."""
    random = numpy.random.default_rng(1)
    wide = pyarrow.table({f"c{number}": random.random(125_000) for number in range(40)})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(wide, buffer, compression="none", use_dictionary=False)
    Path(point, "wide.parquet").write_bytes(buffer.getvalue())
    store.reset()
    read = pyarrow.parquet.read_table(f"{point}/wide.parquet", columns=["c5"])
    assert read.column("c5").equals(wide.column("c5"))
    assert 1_000_000 <= store.bytes_read < len(buffer.getvalue()) / 4


def test_a_list_of_files_with_a_local_one_among_them(
    point: str, tmp_path_factory: pytest.TempPathFactory, store: CountingStore
) -> None:
    local = tmp_path_factory.mktemp("local") / "2.parquet"
    paths = [parquet(point, "0.parquet"), Path(parquet(point, "1.parquet")), local]
    pyarrow.parquet.write_table(TABLE, local)
    read = pyarrow.dataset.dataset(paths)
    assert read.to_table().num_rows == 9
    assert pyarrow.dataset.dataset([str(local)]).files == [str(local)]
    with pytest.raises(FileNotFoundError):
        pyarrow.dataset.dataset([f"{point}/none.parquet"])
    with store.expect():  # as of any service: no question for each file
        pyarrow.dataset.dataset(paths[:2], schema=TABLE.schema)


def test_fsspec_s_local_file_system_which_dask_gives(point: str) -> None:
    local = fsspec.filesystem("file")
    path = parquet(point, "d/0.parquet")
    assert pyarrow.parquet.read_table(path, filesystem=local).equals(TABLE)
    assert pyarrow.dataset.dataset([path], filesystem=local).to_table().equals(TABLE)
    assert pyarrow.dataset.dataset(f"{point}/d", filesystem=local).to_table().equals(TABLE)
    pyarrow.parquet.write_table(TABLE, f"{point}/w.parquet", filesystem=local)
    assert pyarrow.parquet.read_table(f"{point}/w.parquet").equals(TABLE)
    pyarrow.parquet.write_to_dataset(TABLE, f"{point}/p", partition_cols=["b"], filesystem=local)
    assert pyarrow.dataset.dataset(f"{point}/p").count_rows() == 3


def test_a_missing_file(point: str) -> None:
    with pytest.raises(FileNotFoundError):
        pyarrow.parquet.read_table(f"{point}/none.parquet")
    with pytest.raises(FileNotFoundError):
        pyarrow.csv.read_csv(f"{point}/none.csv")
    with pytest.raises(FileNotFoundError):
        pandas.read_parquet(f"{point}/none.parquet")


def test_a_read_only_mount(read_only: str) -> None:
    frame = TABLE.to_pandas()
    for write in (
        lambda: pyarrow.parquet.write_table(TABLE, f"{read_only}/t.parquet"),
        lambda: pyarrow.csv.write_csv(TABLE, f"{read_only}/t.csv"),
        lambda: pyarrow.feather.write_feather(TABLE, f"{read_only}/t.feather"),
        lambda: frame.to_parquet(f"{read_only}/p.parquet"),
    ):
        with pytest.raises(OSError) as refused:
            write()
        assert refused.value.errno == errno.EROFS


def test_a_failed_write_leaves_no_object(point: str) -> None:
    with pytest.raises(ValueError):
        pyarrow.parquet.write_table(TABLE, f"{point}/t.parquet", version="no such version")
    assert os.listdir(point) == []


def test_a_local_file_is_pyarrows_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local") / "t.parquet"
    pyarrow.parquet.write_table(TABLE, local)
    assert pyarrow.parquet.read_table(local).equals(TABLE)
