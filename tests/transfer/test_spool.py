"""The local file behind staged writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vfsmount import real
from vfsmount.transfer.spool import SpoolFile


def test_reads_and_writes_anywhere() -> None:
    spool = SpoolFile()
    spool.write(3, b"defg")
    spool.write(0, b"abc")
    assert (spool.size, spool.read(0, 100), spool.read(2, 3), spool.read(7, 1)) == (7, b"abcdefg", b"cde", b"")
    out = bytearray(10)
    assert spool.read_into(4, memoryview(out)) == 3
    assert bytes(out) == b"efg" + bytes(7)
    spool.truncate(2)
    assert spool.read(0, 100) == b"ab"
    spool.close()
    spool.close()


def test_regression_a_read_is_whole_where_the_kernel_gives_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux gives 2 GiB at most for one pread; here it is 3 bytes, so that the test need not write as much."""
    pread = real.pread
    monkeypatch.setattr(real, "pread", lambda number, size, offset: pread(number, min(size, 3), offset))
    spool = SpoolFile()
    spool.write(0, b"0123456789")
    assert spool.read(1, 8) == b"12345678"
    assert spool.read(1, 80) == b"123456789"
    out = bytearray(8)
    assert spool.read_into(2, memoryview(out)) == 8
    assert bytes(out) == b"23456789"
    spool.close()


def test_what_is_rescued_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    spool = SpoolFile()
    spool.write(0, b"private")
    path = spool.rescue("name")
    spool.close()
    assert path is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert Path(path).read_bytes() == b"private"
