"""Where a statement names a file."""

from __future__ import annotations

import pytest

from vfsmount.hooks.sql import rewrite, with_places


def place(path: str) -> str | None:
    return f"at:{path}" if path.startswith("/m") else None


NAMED = [
    ("select * from '/m/a'", "select * from 'at:/m/a'"),
    ("FROM'/m/a'", "FROM'at:/m/a'"),
    ("from '/m/a', '/m/b' where x", "from 'at:/m/a', 'at:/m/b' where x"),
    ("from t join '/m/a' as q using (k)", "from t join 'at:/m/a' as q using (k)"),
    ("with c as (select * from '/m/a') select * from c", "with c as (select * from 'at:/m/a') select * from c"),
    ("from read_parquet('/m/a', filename = '/m/b')", "from read_parquet('at:/m/a', filename = '/m/b')"),
    ("from read_csv(['/m/a', '/l', '/m/b'], sep='/m')", "from read_csv(['at:/m/a', '/l', 'at:/m/b'], sep='/m')"),
    ("from Read_CSV('/m/' || 'a')", "from Read_CSV('at:/m/' || 'a')"),
    ("from glob('/m/*')", "from glob('at:/m/*')"),
    ("from E'/m/a'", "from 'at:/m/a'"),
    ("from $$/m/it's$$", "from 'at:/m/it''s'"),
    ("from '/m/it''s'", "from 'at:/m/it''s'"),
    ("describe '/m/a'; summarize '/m/b'", "describe 'at:/m/a'; summarize 'at:/m/b'"),
    ("delete from t using '/m/a'", "delete from t using 'at:/m/a'"),
    ("select 1 from /* '*/ '/m/a' -- '/m/b'\n", "select 1 from /* '*/ 'at:/m/a' -- '/m/b'\n"),
    ("attach '/m/a' as x (read_only)", "attach 'at:/m/a' as x (read_only)"),
    ("attach database if not exists '/m/a'", "attach database if not exists 'at:/m/a'"),
    ("insert into t from '/m/a'", "insert into t from 'at:/m/a'"),
    ("copy t from '/m/a'", "copy t from 'at:/m/a'"),
]

LEFT = [
    "select '/m/a' from t where x = '/m/b' and y in ('/m/c', '/m/d')",
    "select x is distinct from '/m/a', x is not distinct from '/m/b'",
    "select extract(day from '/m/a'), trim('x' from '/m/a'), substring('/m/a' from 1)",
    "select x from t where x glob ('/m/*')",
    "select x from t order by '/m/a', '/m/b'",
    "select f(x, '/m/a') from t, u",
    "values ('/m/a', '/m/b')",
    "select '/l' from '/l' join '/l/m'",
    'select "/m/a" from "/m/b"',
    "install x from '/m/a'",
    "set temp_directory = '/m/a'",
    "export database '/m/a'",
    "-- from '/m/a'",
    "select 'from ''/m/a'''",
]

COPIED = [
    ("copy t to '/m/a'", "copy t to 'at:/m/a' (USE_TMP_FILE false)"),
    ("copy t to '/m/a' ;", "copy t to 'at:/m/a'  (USE_TMP_FILE false);"),
    (
        "COPY (from '/m/b') TO '/m/a' (format csv)",
        "COPY (from 'at:/m/b') TO 'at:/m/a' (USE_TMP_FILE false, format csv)",
    ),
    ("copy t to '/m/a' with (header)", "copy t to 'at:/m/a' with (USE_TMP_FILE false, header)"),
    ("explain analyze copy t to '/m/a'", "explain analyze copy t to 'at:/m/a' (USE_TMP_FILE false)"),
]


@pytest.mark.parametrize(("text", "expected"), NAMED)
def test_a_files_name(text: str, expected: str) -> None:
    found = rewrite(text, place)
    assert (found.text, found.changed, found.target) == (expected, True, None)


@pytest.mark.parametrize("text", LEFT)
def test_a_value_and_a_name_of_something_else(text: str) -> None:
    found = rewrite(text, place)
    assert (found.text, found.changed, found.target) == (text, False, None)


@pytest.mark.parametrize(("text", "expected"), COPIED)
def test_a_target_is_written_in_one_go(text: str, expected: str) -> None:
    found = rewrite(text, place)
    assert (found.text, found.target) == (expected, "at:/m/a")


def test_a_target_that_is_a_directory() -> None:
    text = "copy t to '/m/a' (format parquet, partition_by (k))"
    found = rewrite(text, place)
    assert (found.text, found.target) == (text.replace("/m/a", "at:/m/a"), None)


def test_what_the_caller_says_of_the_target_stands() -> None:
    text = "copy t to '/m/a' (use_tmp_file true)"
    assert rewrite(text, place).text == text.replace("/m/a", "at:/m/a")


def test_parameters() -> None:
    found = rewrite("select ? from read_csv(?) where x = ?", place)
    assert found.markers == {"2"}
    assert with_places(["/m/a", "/m/b", "/m/c"], found.markers, place) == ["/m/a", "at:/m/b", "/m/c"]
    found = rewrite("select $1 from read_csv($2)", place)
    assert with_places(("/m/a", ["/m/b", "/l"]), found.markers, place) == ["/m/a", ["at:/m/b", "/l"]]
    found = rewrite("select $v from read_csv($File)", place)
    assert with_places({"v": "/m/a", "file": "/m/b"}, found.markers, place) == {"v": "/m/a", "file": "at:/m/b"}
