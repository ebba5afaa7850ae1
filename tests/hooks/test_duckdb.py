"""duckdb on paths of a mount: SQL, the relational functions, databases."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.hooks.late import Library
from tests.session.starting import interpreter
from vfsmount.testing import CountingStore

duckdb: Any = Library("duckdb")

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import duckdb

    duckdb.sql(f"copy (select 7 a) to '{point}/t.parquet'")
    assert duckdb.sql(f"select * from '{point}/t.parquet'").fetchall() == [(7,)]
    connection = duckdb.connect()
    assert connection.execute(f"from '{point}/*.parquet'").fetchall() == [(7,)]
    session.close()
    assert "vfsmount" not in duckdb.sql.__code__.co_filename
    assert type(duckdb.connect).__name__ != "function"
    print("done")
"""


FIRST = importlib.metadata.version("duckdb").startswith("1.")
"""Which reads a database on a mount from a copy, and attaches none."""


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


@pytest.fixture
def filled(point: str) -> str:
    """A mount with a few files that DuckDB had a part in through its local file system."""
    for name in ("a", "b"):
        with duckdb.connect() as connection:
            relation = connection.sql(f"select range + {ord(name)} n, '{name}' s from range(10)")
            relation.to_df().to_csv(f"{point}/{name}.csv", index=False)
            relation.to_df().to_parquet(f"{point}/{name}.parquet")
    return point


def test_a_path_in_sql(filled: str) -> None:
    assert duckdb.sql(f"select count(*), min(n) from '{filled}/a.parquet'").fetchall() == [(10, 97)]
    assert duckdb.execute(f"select count(*) from '{filled}/a.csv'").fetchall() == [(10,)]
    assert duckdb.query(f"from '{filled}/*.parquet' select count(*)").fetchall() == [(20,)]
    assert duckdb.sql(f"select a.n from '{filled}/a.csv' a join '{filled}/b.csv' b on a.n + 1 = b.n").fetchall() == [
        (number,) for number in range(97, 107)
    ]


def test_a_path_among_the_values_stays_one(filled: str) -> None:
    found = duckdb.sql(f"select '{filled}/x' from '{filled}/a.parquet' where '{filled}/y' <> s limit 1").fetchall()
    assert found == [(f"{filled}/x",)]


def test_functions_and_parameters(filled: str) -> None:
    connection = duckdb.connect()
    count = "select count(*) from read_parquet"
    assert connection.execute(f"{count}(['{filled}/a.parquet', '{filled}/b.parquet'])").fetchall() == [(20,)]
    assert connection.execute(f"{count}(?)", [f"{filled}/a.parquet"]).fetchall() == [(10,)]
    assert connection.execute(f"{count}($f) where s <> $v", {"f": [f"{filled}/a.parquet"], "v": filled}).fetchall() == [
        (10,)
    ]
    assert len(connection.execute(f"from glob('{filled}/*.csv')").fetchall()) == 2


@pytest.mark.parametrize("kind", [str, Path])
def test_relational_readers(filled: str, kind: type) -> None:
    connection = duckdb.connect()
    assert duckdb.read_parquet(kind(f"{filled}/a.parquet")).shape == (10, 2)
    assert duckdb.read_csv(kind(f"{filled}/a.csv")).shape == (10, 2)
    assert connection.read_parquet([f"{filled}/a.parquet", f"{filled}/b.parquet"]).shape == (20, 2)
    assert connection.read_csv(f"{filled}/*.csv").shape == (20, 2)
    assert connection.from_parquet(f"{filled}/*.parquet").shape == (20, 2)


def test_variables_of_the_caller_are_tables_still(filled: str) -> None:
    frame = pandas.DataFrame({"n": [97, 98]})  # noqa: F841 - DuckDB finds it
    connection = duckdb.connect()
    assert duckdb.sql("select sum(n) from frame").fetchall() == [(195,)]
    assert connection.execute("select sum(n) from frame").fetchall() == [(195,)]
    relation = connection.sql(f"select n from frame join '{filled}/a.parquet' using (n)")
    assert sorted(relation.fetchall()) == [(97,), (98,)]
    assert connection.sql("select count(*) from relation").fetchall() == [(2,)]
    assert not [name for name in dir() if "vfsmount" in name]


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_copy_to(point: str, form: str) -> None:
    for count in (3, 5):  # the second one replaces the first
        duckdb.sql(f"copy (select range n from range({count})) to '{point}/t.{form}' (format {form})")
        assert duckdb.sql(f"from '{point}/t.{form}'").fetchall() == [(number,) for number in range(count)]
    assert os.listdir(point) == [f"t.{form}"]


def test_relations_write(point: str) -> None:
    relation = duckdb.sql("select range n from range(4)")
    for _ in range(2):
        relation.write_parquet(f"{point}/a.parquet")
        relation.to_csv(f"{point}/a.csv")
    assert duckdb.sql(f"select sum(n) from '{point}/a.parquet'").fetchall() == [(6,)]
    assert Path(point, "a.csv").read_text() == "n\n0\n1\n2\n3\n"


def test_a_partitioned_directory(point: str) -> None:
    duckdb.sql(f"copy (select range % 3 k, range v from range(30)) to '{point}/d' (format parquet, partition_by (k))")
    assert sorted(os.listdir(f"{point}/d")) == ["k=0", "k=1", "k=2"]
    found = duckdb.sql(f"select k, sum(v) from read_parquet('{point}/d/*/*.parquet') group by k order by k").fetchall()
    assert found == [(0, 135), (1, 145), (2, 155)]


def test_copying_streams(point: str, store: CountingStore) -> None:
    duckdb.sql(f"copy (select hash(range) n from range(3000000)) to '{point}/t.parquet'")
    assert store.counts["put"] == 0
    assert store.bytes_written > 20_000_000
    store.reset()
    assert duckdb.sql(f"select count(*) from '{point}/t.parquet'").fetchall() == [(3_000_000,)]
    assert store.bytes_read < 2_000_000


def test_threads_read_what_is_there(point: str) -> None:
    """DuckDB's threads seek and read one file at a time as each other, with the interpreter switching all the while."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        connection = duckdb.connect(config={"threads": 8})
        made = "select range n, hash(range) % 1000000007 h from range(200000)"
        expected = connection.sql(f"select count(*), bit_xor(h) from ({made})").fetchall()
        for name, options in (("a.parquet", ", row_group_size 4096"), ("a.json", ""), ("a.csv", "")):
            connection.sql(f"copy ({made}) to '{point}/{name}' (format {name[2:]}{options})")
            for _ in range(2):
                found = connection.sql(f"select count(*), bit_xor(h::ubigint) from '{point}/{name}'").fetchall()
                assert found == expected
    finally:
        sys.setswitchinterval(before)


def test_a_failed_copy_leaves_what_was_there(point: str, store: CountingStore) -> None:
    Path(point, "old.parquet").write_bytes(b"old")
    for name in ("old", "new"):
        failing = "select case when range = 300000 then error('boom') else range end n from range(400000)"
        with pytest.raises(duckdb.Error, match="boom"):
            duckdb.sql(f"copy ({failing}) to '{point}/{name}.parquet'")
    assert os.listdir(point) == ["old.parquet"]
    assert Path(point, "old.parquet").read_bytes() == b"old"
    assert store.counts["delete"] == 0


def test_refusals(point: str, read_only: str) -> None:
    writers: Any = (
        lambda: duckdb.sql(f"copy (select 1) to '{read_only}/t.parquet'"),
        lambda: duckdb.sql("select 1").write_parquet(f"{read_only}/t.parquet"),
    )
    for write in writers:
        with pytest.raises(OSError) as refused:
            write()
        assert refused.value.errno == errno.EROFS
    with pytest.raises(FileNotFoundError):
        duckdb.sql(f"copy (select 1) to '{point}/none/t.parquet'")
    with pytest.raises(duckdb.IOException, match="No files found"):
        duckdb.sql(f"from '{point}/none.parquet'")


@pytest.fixture
def database(point: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    local = tmp_path_factory.mktemp("local") / "data.duckdb"
    with duckdb.connect(str(local)) as connection:
        connection.execute("create table t as select range n, hash(range) h from range(400000)")
        connection.execute("create table small as select 7 x")
    shutil.copyfile(local, f"{point}/data.duckdb")
    return f"{point}/data.duckdb"


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"config": {"access_mode": "READ_ONLY", "threads": 2}}])
def test_a_database_is_read(database: str, store: CountingStore, options: dict[str, Any]) -> None:
    store.reset()
    with duckdb.connect(database, **options) as connection:
        assert connection.execute("select * from small").fetchall() == [(7,)]
        assert connection.cursor().sql("select x from data.small").fetchall() == [(7,)]
        assert FIRST or store.bytes_read < os.path.getsize(database) / 2
        assert connection.sql("select count(*), max(n) from t").fetchall() == [(400_000, 399_999)]


def test_a_database_is_not_written(database: str, point: str) -> None:
    with duckdb.connect(database) as connection:
        for statement in ("insert into small values (1)", "create table u (x int)"):
            with pytest.raises(duckdb.InvalidInputException, match="read-only mode"):
                connection.execute(statement)
    with pytest.raises(duckdb.IOException, match="No such file") as refused:
        duckdb.connect(f"{point}/new.duckdb")
    assert isinstance(refused.value.__cause__, FileNotFoundError)
    connection = duckdb.connect()
    with pytest.raises(duckdb.Error, match="Cannot open" if FIRST else "Read-only file system"):
        connection.execute(f"attach '{point}/new.duckdb'")
    assert os.listdir(point) == ["data.duckdb"]


def test_a_log_of_changes_is_read_or_refused(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local") / "data.duckdb"
    with duckdb.connect(str(local)) as connection:
        connection.execute("create table t as select 1 x")
        connection.execute("checkpoint")
        connection.execute("insert into t values (2)")
        for name in ("data.duckdb", "data.duckdb.wal"):
            shutil.copyfile(local.with_name(name), f"{point}/{name}")
    if FIRST:
        with pytest.raises(duckdb.IOException, match="checkpoint it first"):
            duckdb.connect(f"{point}/data.duckdb")
        return
    with duckdb.connect(f"{point}/data.duckdb") as connection:
        assert connection.execute("select sum(x) from t").fetchall() == [(3,)]


@pytest.mark.skipif(FIRST, reason="DuckDB 1 takes no address for a database")
def test_attach(database: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{database}' as other (read_only)")
        assert connection.execute("select * from other.small").fetchall() == [(7,)]


def test_a_local_file_is_duckdbs_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local")
    duckdb.sql(f"copy (select 1 n) to '{local}/t.parquet'")
    assert duckdb.sql(f"from '{local}/*.parquet'").fetchall() == [(1,)]
    with duckdb.connect(str(local / "x.duckdb")) as connection:
        connection.execute("create table t (x int)")
