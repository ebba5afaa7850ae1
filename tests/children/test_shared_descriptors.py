"""Several processes or threads that read one open file description while it is fetched get its bytes, each once."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.children.conftest import Served, output
from vfsmount.children.supervisor import lazy
from vfsmount.children.supervisor.sharing import Readers

SIZE: Final = (16 << 20) + 5
CONTENT: Final = struct.pack(f">{SIZE // 8 + 1}Q", *range(SIZE // 8 + 1))[:SIZE]
"""Each word is its own number, so that a piece tells where it is from."""

pytestmark = pytest.mark.slow

READERS: Final = """
import os, random, struct, sys, threading
how, share, count = sys.argv[1], sys.argv[2], 4
number = os.open('/my-mount/large', os.O_RDONLY)
size = os.fstat(number).st_size
begin, started = os.pipe()

def read(seed):
    dice = random.Random(seed)
    out = os.open(f'out{seed}', os.O_WRONLY | os.O_CREAT)
    os.read(begin, 1)
    while True:
        most = dice.choice((10_007, 300_001, 700_013, 1_500_007))
        if how == 'read':
            piece = os.read(number, most)
        else:
            room = bytearray(most)
            pieces = [memoryview(room)[:5000], memoryview(room)[5000:]]
            piece = room[: os.readv(number, pieces) if how == 'readv' else os.preadv(number, pieces, -1)]
        if not piece:
            break
        os.write(out, struct.pack('Q', len(piece)) + piece)

if share == 'threads':
    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(count)]
    for each in threads: each.start()
    os.write(started, b'x' * count)
    for each in threads: each.join()
else:
    pids = []
    for seed in range(count):
        pid = os.fork()
        if not pid:
            read(seed)
            os._exit(0)
        pids.append(pid)
    os.write(started, b'x' * count)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
assert os.lseek(number, 0, os.SEEK_CUR) == size
"""


def pieces(directory: Path) -> list[bytes]:
    """What each read got."""
    found = []
    for out in directory.glob("out*"):
        data = out.read_bytes()
        while data:
            (size,) = struct.unpack_from("Q", data)
            found.append(data[8 : 8 + size])
            data = data[8 + size :]
    return found


def place(piece: bytes) -> int:
    """Where it stands in the content; -1: nowhere."""
    if len(piece) < 15 and CONTENT.endswith(piece):
        return SIZE - len(piece)
    for shift in range(8):
        start = 8 * struct.unpack_from(">Q", piece, shift)[0] - shift
        if 0 <= start < SIZE and CONTENT[start : start + len(piece)] == piece:
            return int(start)
    return -1


@pytest.mark.parametrize(
    ("how", "share"), [("read", "forks"), ("read", "threads"), ("readv", "forks"), ("preadv", "threads")]
)
def test_readers_of_one_description_get_its_bytes_each_once(
    supervised: Served, tmp_path: Path, how: str, share: str
) -> None:
    supervised.store.put("large", CONTENT)
    output(sys.executable, "-I", "-c", READERS, how, share, cwd=tmp_path)
    at = 0
    found = [(place(piece), piece) for piece in pieces(tmp_path)]
    assert [len(piece) for start, piece in found if start < 0] == []
    for start, piece in sorted(found):
        assert start == at
        at += len(piece)
    assert at == SIZE


MOVERS: Final = """
import os, random, struct, sys, threading
number = os.open('/my-mount/large', os.O_RDONLY)
size = os.fstat(number).st_size
begin, started = os.pipe()

def move(seed):
    dice = random.Random(seed)
    out = os.open(f'out{seed}', os.O_WRONLY | os.O_CREAT)
    os.read(begin, 1)
    for _ in range(60):
        how = dice.randrange(6)
        if how == 0: os.lseek(number, dice.randrange(size), os.SEEK_SET)
        elif how == 1: os.lseek(number, -dice.randrange(size), os.SEEK_END)
        elif how == 2:
            try: os.lseek(number, dice.randrange(-9_000_000, 9_000_000), os.SEEK_CUR)
            except OSError: pass
        else:
            piece = os.read(number, dice.choice((9, 10_007, 300_001)))
            os.write(out, struct.pack('Q', len(piece)) + piece)

if sys.argv[1] == 'threads':
    threads = [threading.Thread(target=move, args=(seed,)) for seed in range(4)]
    for each in threads: each.start()
    os.write(started, b'x' * 4)
    for each in threads: each.join()
else:
    pids = []
    for seed in range(4):
        pid = os.fork()
        if not pid:
            move(seed)
            os._exit(0)
        pids.append(pid)
    os.write(started, b'x' * 4)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.fixture(params=["done here", "left to the kernel"])
def seeks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no duplicate can be had, and before Linux 5.19, they are left to the kernel."""
    if request.param != "done here":
        monkeypatch.setattr(lazy, "_duplicate", lambda *_: -1)


def test_who_seeks_alone_fetches_what_it_reads(supervised: Served, seeks: None) -> None:
    supervised.store.put("large", CONTENT * 3)
    code = """
import os
number = os.open('/my-mount/large', os.O_RDONLY)
assert os.lseek(number, -1000, os.SEEK_END) == os.lseek(number, 0, os.SEEK_CUR)
first = os.read(number, 900)
os.lseek(number, -1000, os.SEEK_CUR)
os.write(1, os.read(number, 100) + first)
"""
    found = subprocess.run([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert found == CONTENT[-1100:-100]
    assert sum(usage.bytes_received for usage in supervised.session.stats().values()) < 12 << 20


@pytest.mark.parametrize("share", ["forks", "threads"])
def test_readers_that_move_each_others_position_read_no_zeros(
    supervised: Served, tmp_path: Path, share: str, seeks: None
) -> None:
    supervised.store.put("large", CONTENT)
    output(sys.executable, "-I", "-c", MOVERS, share, cwd=tmp_path)
    found = [piece for piece in pieces(tmp_path) if len(piece) > 14]
    assert len(found) > 20
    assert [len(piece) for piece in found if place(piece) < 0] == []


def test_one_that_has_ended_takes_nothing_more() -> None:
    readers, me = Readers(), os.getpid()
    ended = subprocess.Popen([sys.executable, "-Sc", ""])
    readers.reads(ended.pid, 100)
    readers.reads(me, 10)
    assert (readers.others(me), readers.others(ended.pid), readers.others(1)) == (100, 10, 110)
    readers.seeks(ended.pid)
    assert readers.others(me) is None
    ended.wait(60)
    assert readers.others(me) == 0
