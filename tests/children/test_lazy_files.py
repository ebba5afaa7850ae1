"""Large files are fetched while they are read: few bytes where little is read, right bytes whatever reads them."""

from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from tests.children.conftest import Served, output
from vfsmount.children.supervisor import planner
from vfsmount.store.memory import MemoryStore

SIZE: Final = (48 << 20) + 12345
MOST: Final = 12 << 20
"""Bytes that a look at a few of them may cost."""
PREAD: Final = 'import os; f = os.open("/my-mount/large", 0); os.write(1, os.pread(f, 9, 30000000))'
SEEK: Final = 'import os; f = open("/my-mount/large", "rb"); f.seek(-9999, 2); f.seek(-9, 1); os.write(1, f.read(9))'

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(5).randbytes(SIZE)


@pytest.fixture
def large(supervised: Served, content: bytes) -> Served:
    """A mount with one large file, ``/my-mount/large``."""
    supervised.store.put("large", content)
    return supervised


def fetched(served: Served) -> int:
    """Bytes read from the bucket so far."""
    return sum(usage.bytes_received for usage in served.session.stats().values())


@pytest.mark.parametrize(
    ("line", "start", "size"),
    [
        ("head -c 100 /my-mount/large", 0, 100),
        ("tail -c 100 /my-mount/large", SIZE - 100, 100),
        ("cat /my-mount/large | head -c 300000", 0, 300_000),
        (f"{sys.executable} -Sc '{PREAD}'", 30_000_000, 9),
        ("head -c 100 < /my-mount/large", 0, 100),
        ("head -c 100 < /my-mount/large | base64 | base64 -d", 0, 100),
        ("cat < /my-mount/large | head -c 300000", 0, 300_000),
        ("tail -c 100 < /my-mount/large", SIZE - 100, 100),
        ("{ head -c 5; } < /my-mount/large; cat /my-mount/a.txt > /dev/null", 0, 5),
        ("cd /my-mount && (dd bs=100000 count=1 status=none; head -c 100) < large", 0, 100_100),
        ("dd if=/my-mount/large bs=1M count=1 status=none", 0, 1 << 20),
        ("dd if=/my-mount/large bs=1000 skip=40000 count=2 status=none", 40_000_000, 2000),
        (f"{sys.executable} -ISc '{SEEK}'", SIZE - 10008, 9),
    ],
)  # fmt: skip
def test_a_look_moves_megabytes(large: Served, content: bytes, line: str, start: int, size: int) -> None:
    found = subprocess.run(line, shell=True, capture_output=True, check=True, timeout=60).stdout
    assert found == content[start : start + size]
    assert fetched(large) <= MOST


@pytest.mark.parametrize(
    "line",
    [
        "sha256sum /my-mount/large",
        "sha256sum < /my-mount/large",
        "cat /my-mount/large | sha256sum",
        "cat < /my-mount/large | sha256sum",
        "cp /my-mount/large copy && sha256sum copy",
        "cp --sparse=always /my-mount/large copy && sha256sum copy",
        "cp /my-mount/large /my-mount/second && sha256sum /my-mount/second",
        "dd if=/my-mount/large of=copy bs=1M status=none && sha256sum copy",
        "exec 7< /my-mount/large; (head -c 5 <&7 > /dev/null); tail -c +1 /my-mount/large | sha256sum",
        "(head -c 1 /my-mount/large; sha256sum /my-mount/large) | tail -c +2",
        "(head -c 1 > /dev/null; sha256sum /my-mount/large; cat > /dev/null) < /my-mount/large",
        "(dd bs=1M count=3; cat) < /my-mount/large 2> /dev/null | sha256sum",
        "cat /dev/stdin < /my-mount/large | sha256sum",
        "cat < /dev/stdin < /my-mount/large | sha256sum",
        "cp /dev/stdin copy < /my-mount/large && sha256sum copy",
        "exec < /my-mount/large; sha256sum <&0",
        "exec < /my-mount/large; exec 5<&0 < /dev/null; sha256sum <&5",
        "tail -c +1 < /my-mount/large | sha256sum",
        "split -b 10M < /my-mount/large; cat x?? | sha256sum",
        "cat /dev/fd/8 8< /my-mount/large | sha256sum",
        "tar -C /my-mount -cf - large | tar -xOf - | sha256sum",
        "dd if=/my-mount/large bs=1M skip=1 status=none > rest; (head -c 1M /my-mount/large; cat rest) | sha256sum",
    ],
)
def test_all_of_it_is_right(large: Served, content: bytes, line: str, tmp_path: Path) -> None:
    found = output("sh", "-c", line, cwd=tmp_path)
    assert found.split()[0] == hashlib.sha256(content).hexdigest()


PROGRAM: Final = """
import array, ctypes, hashlib, mmap, os, socket, struct, sys
size = os.stat('/my-mount/large').st_size
def show(data): print(hashlib.sha256(data).hexdigest())
number = os.open('/my-mount/large', os.O_RDONLY)
how = sys.argv[1]
if 'zero' in sys.argv:
    os.dup2(number, 0)
    os.close(number)
    number = 0
if how == 'pread': show(b''.join(os.pread(number, 1 << 20, at) for at in range(0, size, 1 << 20)))
elif how == 'mmap': show(mmap.mmap(number, 0, prot=mmap.PROT_READ))
elif how == 'dup': show(open(os.dup(number), 'rb').read())
elif how == 'readv':
    buffers = [bytearray(size // 2), bytearray(size)]
    done = 0
    while done < size:
        piece = bytearray(1 << 20)
        done += os.readv(number, [memoryview(piece)[:1000], memoryview(piece)[1000:]])
        buffers.append(piece)
    show(b''.join(buffers[2:])[:size])
elif how == 'sendfile':
    out = os.open('copy', os.O_RDWR | os.O_CREAT)
    at = 0
    while at < size: at += os.sendfile(out, number, at, size - at)
    show(os.pread(out, size, 0))
elif how == 'copy_file_range':
    out = os.open('copy', os.O_RDWR | os.O_CREAT)
    left = size
    while left: left -= os.copy_file_range(number, out, left)
    show(os.pread(out, size, 0))
elif how == 'fork':
    pid = os.fork()
    if not pid:
        os.read(number, 1000)
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.lseek(number, 0, os.SEEK_CUR) == 1000
    show(os.pread(number, size, 0))
elif how == 'pass':
    one, two = socket.socketpair()
    socket.send_fds(one, [b'x'], [number])
    _, (other,), _, _ = socket.recv_fds(two, 1, 1)
    show(open(other, 'rb').read())
elif how == 'proc': show(open(f'/proc/self/fd/{number}', 'rb').read())
elif how == 'dev': show(open(f'/dev/fd/{number}', 'rb').read())
elif how == 'relative':
    os.chdir('/proc/self/fd')
    show(open(str(number), 'rb').read())
elif how == 'aio':
    libc, page = ctypes.CDLL(None, use_errno=True), mmap.mmap(-1, size)
    setup, submit, getevents = (206, 209, 208) if os.uname().machine == 'x86_64' else (0, 2, 4)
    context, place = ctypes.c_ulong(), ctypes.addressof(ctypes.c_char.from_buffer(page))
    assert libc.syscall(setup, 1, ctypes.byref(context)) == 0
    block = ctypes.create_string_buffer(struct.pack('QIIHhIQQqQII', 0, 0, 0, 0, 0, number, place, size, 0, 0, 0, 0))
    blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    assert libc.syscall(submit, context, ctypes.c_long(1), blocks) == 1
    events = ctypes.create_string_buffer(32)
    assert libc.syscall(getevents, context, ctypes.c_long(1), ctypes.c_long(1), events, None) == 1
    assert struct.unpack_from('q', events, 16)[0] == size
    show(page[:])
elif how == 'getfd':
    libc = ctypes.CDLL(None, use_errno=True)
    show(open(libc.syscall(438, os.pidfd_open(os.getpid()), number, 0), 'rb').read())
elif how == 'data':
    assert os.lseek(number, 0, os.SEEK_DATA) == 0
    assert os.lseek(number, 0, os.SEEK_HOLE) == size
    show(os.pread(number, size, 0))
"""


HOW: Final = "pread mmap dup readv sendfile copy_file_range fork pass proc dev relative aio getfd data".split()


@pytest.mark.parametrize("how", HOW)
def test_whatever_call_reads_it(large: Served, content: bytes, how: str, tmp_path: Path) -> None:
    found = output(sys.executable, "-c", PROGRAM, how, cwd=tmp_path)
    assert found.strip() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("how", HOW)
def test_whatever_call_reads_it_as_standard_input(
    large: Served, content: bytes, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a program for which it would not be decided so."""
    monkeypatch.setattr(planner, "reads_lazily", lambda *_, **__: True)
    found = output(sys.executable, "-c", PROGRAM, how, "zero", cwd=tmp_path)
    assert found.strip() == hashlib.sha256(content).hexdigest()


THREADED: Final = """
import os, sys, threading
number = os.open('/my-mount/large', os.O_RDONLY)
if 'threads' in sys.argv:
    threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
os.dup2(number, 0)
assert len(os.read(0, 99)) == 99
os._exit(0)
"""


def test_where_other_threads_could_be_about_to_read_it_is_fetched_first(
    large: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "reads_lazily", lambda *_, **__: True)
    output(sys.executable, "-I", "-c", THREADED)
    assert fetched(large) <= MOST
    output(sys.executable, "-I", "-c", THREADED, "threads")
    assert fetched(large) >= SIZE


def test_a_standard_descriptor_that_was_closed_is_the_next_one(large: Served, content: bytes) -> None:
    code = "import os; os.close(0); print(os.open('/my-mount/large', 0), os.pread(0, 9, 40000000).hex())"
    assert output(sys.executable, "-I", "-c", code).split() == ["0", content[40_000_000:][:9].hex()]


def test_a_file_that_is_being_read_can_be_replaced_when_it_is_closed(large: Served) -> None:
    subprocess.run("head -c 10 /my-mount/large > /dev/null; echo new > /my-mount/large", shell=True, check=True)
    assert large.stored("large") == b"new\n"


def test_one_that_another_client_replaces_is_never_a_mix(large: Served, content: bytes) -> None:
    with subprocess.Popen(
        ["sh", "-c", "exec 3< /my-mount/large; echo ready; read line; exec dd bs=1M status=none <&3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"ready\n"
        large.store.put("large", bytes(SIZE))
        found, _ = child.communicate(b"\n", timeout=60)
    assert found == content[: len(found)]
    assert child.returncode != 0 or len(found) == SIZE


THREADS: Final = """
import hashlib, os, sys, threading
names = sys.argv[1:]
barrier = threading.Barrier(len(names))

def work(name):
    for _ in range(10):
        barrier.wait(60)
        number = os.open(name, os.O_RDONLY)
        if os.pread(number, 20, 0) != os.path.basename(name).ljust(20).encode():
            os._exit(3)
        barrier.wait(60)
        os.close(number)

threads = [threading.Thread(target=work, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_that_open_at_once_get_descriptors_of_their_own(supervised: Served) -> None:
    names = [f"large{index}" for index in range(8)]
    for name in names:
        supervised.store.put(name, name.ljust(20).encode() + bytes(3 << 20))
    output(sys.executable, "-I", "-c", THREADS, *(f"/my-mount/{name}" for name in names))


def test_who_writes_one_file_does_not_wait_until_another_is_fetched(
    large: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching, written = threading.Event(), threading.Event()
    get_range, put = MemoryStore.get_range, MemoryStore.put
    asked, late = itertools.count(), []

    def get(self: MemoryStore, key: str, *arguments: Any, **options: Any) -> Any:
        if key == "large" and next(asked):
            fetching.set()
            late.append(not written.wait(30))
        if key == "a.txt":
            assert fetching.wait(30)
        return get_range(self, key, *arguments, **options)

    def putting(self: MemoryStore, key: str, *arguments: Any, **options: Any) -> Any:
        if key == "new":
            written.set()
        return put(self, key, *arguments, **options)

    monkeypatch.setattr(MemoryStore, "get_range", get)
    monkeypatch.setattr(MemoryStore, "put", putting)
    line = "cat large | sha256sum & cat a.txt > /dev/null; echo new > new; cat new; wait"
    output("sh", "-c", f"cd /my-mount; {line}")
    assert late
    assert not any(late)
    assert large.stored("new") == b"new\n"


NAMED: Final = """
import os
number = os.open("/my-mount/large", os.O_PATH | os.O_CLOEXEC)
assert os.fstat(number).st_size == os.stat(f"/proc/self/fd/{number}").st_size > 1 << 20
os.readlink(f"/proc/self/fd/{number}")
if whole:
    os.write(1, os.pread(os.open(f"/proc/self/fd/{number}", os.O_RDONLY), 9, 40000000))
"""


def test_a_descriptor_that_only_names_a_file_fetches_nothing(large: Served, content: bytes) -> None:
    output(sys.executable, "-I", "-c", f"whole = False; {NAMED}")
    assert fetched(large) <= MOST
    command = [sys.executable, "-I", "-c", f"whole = True; {NAMED}"]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert found == content[40_000_000:][:9]


CROWDED: Final = """
import hashlib, os
numbers = [os.open('/dev/null', os.O_RDONLY) for _ in range(930)]
number = os.open('/my-mount/large', os.O_RDONLY)
assert number == numbers[-1] + 1, number
print(hashlib.sha256(open(number, 'rb').read()).hexdigest())
"""


def test_no_number_is_taken_that_the_kernel_may_be_giving_away(large: Served, content: bytes) -> None:
    found = output("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", sys.executable, "-I", "-c", CROWDED)
    assert found.strip() == hashlib.sha256(content).hexdigest()
