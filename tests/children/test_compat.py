"""Calls of the 32-bit kind, made here by a 64-bit program through the old interrupt, are refused or see all content."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.children.conftest import Served, output

PRELUDE: Final = """
import ctypes, mmap, os, sys
page = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)  # MAP_32BIT
page[:17] = bytes.fromhex('53 89f8 89f3 4189c8 89d1 4489c2 cd80 5b c3')
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int)(at)

def path(text):
    page[4096:4097 + len(text)] = text.encode() + bytes(1)
    return at + 4096

assert call(20, 0, 0, 0) == os.getpid()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def ia32(supervised: Served) -> Served:
    if (
        platform.machine() != "x86_64"
        or subprocess.run([sys.executable, "-Ic", PRELUDE], capture_output=True).returncode
    ):
        pytest.skip("no 32-bit calls here")
    return supervised


def test_a_mounted_path_is_refused(ia32: Served, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_text("local")
    code = """
print(call(5, path("/my-mount/a.txt"), 0, 0), call(8, path("/my-mount/new"), 0o600, 0))
print(call(39, path("/my-mount/d"), 511, 0))
os.chdir("/my-mount/dir")
print(call(5, path("../a.txt"), 0, 0), call(295, -100, path("new"), 0o101))
number = call(5, path(sys.argv[1]), 0, 0)
print(os.read(number, 99).decode(), call(10, path(sys.argv[1]), 0, 0), call(10, path("/nowhere/x"), 0, 0))
"""
    found = output(sys.executable, "-I", "-c", PRELUDE + code, local, "/my-mount")
    assert found == "-95 -95\n-95\n-95 -95\nlocal 0 -2\n"
    assert not local.exists()
    assert "new" not in ia32.keys()


@pytest.mark.parametrize("how", ["read", "dup"])
def test_a_large_file_that_is_open_is_whole(ia32: Served, how: str) -> None:
    content = bytes(range(1, 251)) * (12 << 12)
    ia32.store.put("large", content)
    code = """
number = os.open("/my-mount/large", os.O_RDONLY)
assert number >= 900
os.lseek(number, 9000000, 0)
if sys.argv[1] == "read": found = call(3, number, at + 8192, 500)
else:
    other = call(41, number, 0, 0)
    found = call(3, other, at + 8192, 500)
os.write(1, page[8192:8192 + max(found, 0)])
"""
    command = [sys.executable, "-I", "-c", PRELUDE + code, how]
    found = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert found == content[9000000:9000500]
