"""The same random calls by descriptor, by file object and by C, on a directory and on a mount: the same answers.

``VFSMOUNT_MODEL=large`` runs many more.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.shim.conftest import Mounted

LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LONG = ctypes.c_long
for _name, _types in {
    "read": (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t),
    "write": (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t),
    "pread": (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, _LONG),
    "pwrite": (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, _LONG),
    "lseek": (ctypes.c_int, _LONG, ctypes.c_int),
    "ftruncate": (ctypes.c_int, _LONG),
}.items():
    getattr(LIBC, _name).argtypes = _types
    getattr(LIBC, _name).restype = _LONG

SEEDS: Final = range(1000 if os.environ.get("VFSMOUNT_MODEL") == "large" else 40)
STEPS: Final = 50
NAMES: Final = ("a", "b", "c")
MODES: Final = ("rb", "r+b", "wb", "ab", "w+b", "a+b", "xb")
FLAGS: Final = (
    os.O_RDONLY,
    os.O_RDWR,
    os.O_WRONLY,
    os.O_RDWR | os.O_APPEND,
    os.O_WRONLY | os.O_APPEND,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
)


@dataclass
class Side:
    """A directory, and what is open in it: numbers, and file objects; None for what was closed."""

    root: str
    open: list[Any] = field(default_factory=list)
    new: Any = None

    def number(self, at: int) -> int:
        thing = self.open[at]
        return thing if isinstance(thing, int) else int(thing.fileno())

    def native(self, at: int) -> int:
        """A number behind which C finds the content: it escapes with a duplicate."""
        number = self.number(at)
        os.close(os.dup(number))
        return number


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "of C")
    return result


def _native_bytes(call: Callable[[Any], int], size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size + 1)
    return buffer.raw[: _checked(call(buffer))]


def _filled(call: Callable[[list[bytearray]], int]) -> tuple[int, list[bytearray]]:
    buffers = [bytearray(1), bytearray(20), bytearray(5)]
    return call(buffers), buffers


def _sent(number: int, offset: int | None, size: int) -> bytes:
    reading, writing = socket.socketpair()
    with reading, writing:
        sent = os.sendfile(writing.fileno(), number, offset, size)
        return reading.recv(sent) if sent else b""


def _toggled(number: int) -> int:
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    fcntl.fcntl(number, fcntl.F_SETFL, flags ^ os.O_APPEND)
    return fcntl.fcntl(number, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)


def _mapped(number: int, position: int | None) -> bytes:
    access = mmap.ACCESS_READ if position is None else mmap.ACCESS_WRITE
    with mmap.mmap(number, 0, access=access) as mapping:
        if position is not None:
            mapping[position % len(mapping)] = ord("!")
        return mapping[:]


@dataclass(frozen=True)
class Arguments:
    at: int
    other: int
    name: str
    mode: str
    flags: int
    buffering: int
    size: int
    position: int
    whence: int
    offset: int | None
    data: bytes


Operation = Callable[[Side, Arguments], Any]

BOTH: Final[dict[str, Operation]] = {
    "lseek": lambda s, a: os.lseek(s.number(a.at), a.position, a.whence),
    "read": lambda s, a: os.read(s.number(a.at), a.size),
    "pread": lambda s, a: os.pread(s.number(a.at), a.size, a.position),
    "readv": lambda s, a: _filled(lambda buffers: os.readv(s.number(a.at), buffers)),
    "preadv": lambda s, a: _filled(lambda buffers: os.preadv(s.number(a.at), buffers, a.position)),
    "fstat": lambda s, a: os.fstat(s.number(a.at)).st_size,
    "stat": lambda s, a: os.stat(f"{s.root}/{a.name}").st_size,
    "sendfile": lambda s, a: _sent(s.number(a.at), a.offset, a.size + 1),
    "mmap to read": lambda s, a: _mapped(s.number(a.at), None),
    "C read": lambda s, a: _native_bytes(lambda out: LIBC.read(s.native(a.at), out, a.size), a.size),
    "C pread": lambda s, a: _native_bytes(lambda out: LIBC.pread(s.native(a.at), out, a.size, a.position), a.size),
    "C lseek": lambda s, a: _checked(LIBC.lseek(s.native(a.at), a.position, a.whence)),
    "file.read": lambda s, a: s.open[a.at].read(a.size),
    "file.readline": lambda s, a: s.open[a.at].readline(),
    "file.seek": lambda s, a: s.open[a.at].seek(a.position, a.whence),
    "file.tell": lambda s, a: s.open[a.at].tell(),
}
CHANGING: Final[dict[str, Operation]] = {
    "write": lambda s, a: os.write(s.number(a.at), a.data),
    "pwrite": lambda s, a: os.pwrite(s.number(a.at), a.data, a.position),
    "writev": lambda s, a: os.writev(s.number(a.at), [a.data, b"", b"v"]),
    "pwritev": lambda s, a: os.pwritev(s.number(a.at), [a.data, b"v"], a.position),
    "ftruncate": lambda s, a: os.ftruncate(s.number(a.at), a.size),
    "truncate": lambda s, a: os.truncate(f"{s.root}/{a.name}", a.size),
    "copy_file_range": lambda s, a: os.copy_file_range(s.number(a.at), s.number(a.other), a.size, a.offset, a.position),
    "F_SETFL": lambda s, a: _toggled(s.number(a.at)),
    "fsync": lambda s, a: os.fsync(s.number(a.at)),
    "mmap to write": lambda s, a: _mapped(s.number(a.at), a.position),
    "C write": lambda s, a: _checked(LIBC.write(s.native(a.at), a.data, len(a.data))),
    "C pwrite": lambda s, a: _checked(LIBC.pwrite(s.native(a.at), a.data, len(a.data), a.position)),
    "C ftruncate": lambda s, a: _checked(LIBC.ftruncate(s.native(a.at), a.size)),
    "file.write": lambda s, a: s.open[a.at].write(a.data),
    "file.flush": lambda s, a: s.open[a.at].flush(),
    "file.truncate": lambda s, a: s.open[a.at].truncate(a.size),
}


def _open(side: Side, a: Arguments) -> None:
    side.new = os.open(f"{side.root}/{a.name}", a.flags)


def _open_file(side: Side, a: Arguments) -> str:
    side.new = open(f"{side.root}/{a.name}", a.mode, a.buffering)
    return repr(type(side.new)).replace("vfsmount.shim.rawfile.VfsFileIO", "_io.FileIO")


def _dup(side: Side, a: Arguments) -> bool:
    command = fcntl.F_DUPFD if a.whence else fcntl.F_DUPFD_CLOEXEC
    side.new = fcntl.fcntl(side.number(a.at), command, a.position) if a.offset else os.dup(side.number(a.at))
    return os.get_inheritable(side.new)


def _dup2(side: Side, a: Arguments) -> bool:
    target = side.open[a.other]
    if not isinstance(target, int):
        return False
    os.dup2(side.number(a.at), target, inheritable=a.offset is None)
    return os.get_inheritable(target)


def _close(side: Side, a: Arguments) -> None:
    thing, side.open[a.at] = side.open[a.at], None
    os.close(thing) if isinstance(thing, int) else thing.close()


NUMBERS: Final[dict[str, Operation]] = {
    "open": _open,
    "open a file": _open_file,
    "dup": _dup,
    "dup2": _dup2,
    "close": _close,
}


def _observed(operation: Operation, side: Side, arguments: Arguments) -> object:
    side.new = None
    try:
        return operation(side, arguments)
    except OSError as error:
        return error.errno
    except (ValueError, AttributeError) as error:  # of a mapping of nothing; what numbers have not
        return str(error)


def _sequence(
    rng: random.Random, sides: tuple[Side, Side], operations: dict[str, Operation], modes: Any
) -> Iterator[str]:
    names = list(operations)
    for _ in range(STEPS):
        live = [at for at, thing in enumerate(sides[0].open) if thing is not None]
        name = rng.choice(names if live else ["open", "open a file"])
        if name in ("open", "open a file") and len(live) > 6:
            continue
        at = rng.choice(live or [0])
        if name.startswith("file.") and isinstance(sides[0].open[at], int):
            continue
        arguments = Arguments(
            at=at,
            other=rng.choice(live or [0]),
            name=rng.choice(NAMES),
            mode=rng.choice(modes[0]),
            flags=rng.choice(modes[1]),
            buffering=rng.choice([-1, 0, 16]),
            size=rng.choice([1, 3, 17, 100, 300]),
            position=rng.choice([0, 1, 20, 90, 200]),
            whence=rng.choice([0, 0, 1, 2]),
            offset=rng.choice([None, 0, 3, 50]),
            data=bytes(rng.choices(b"abc\n", k=rng.choice([0, 1, 9, 30]))),
        )
        wanted, found = (_observed(operations[name], side, arguments) for side in sides)
        yield f"{name} {arguments}: {found!r}"
        assert found == wanted, name
        assert (sides[0].new is None) == (sides[1].new is None)
        if sides[0].new is not None:
            for side in sides:
                side.open.append(side.new)


def _run(seed: int, sides: tuple[Side, Side], operations: dict[str, Operation], modes: Any) -> None:
    done: list[str] = []
    try:
        for line in _sequence(random.Random(seed), sides, operations, modes):
            done.append(line)
    except AssertionError as error:
        raise AssertionError("\n".join((f"seed {seed}: {error}", *done))) from error
    finally:
        for side in sides:
            side.new = None
            for at, thing in enumerate(side.open):
                if thing is not None:
                    with contextlib.suppress(OSError):  # what Python buffered for a number that was closed
                        _close(side, Arguments(at, 0, "", "", 0, 0, 0, 0, 0, None, b""))
            side.open.clear()


def _content(rng: random.Random) -> dict[str, bytes]:
    return {name: bytes(rng.choices(b"xyz\n", k=rng.choice([0, 10, 250]))) for name in NAMES}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.parametrize("staged", [False, True], ids=["reading", "staged"])
def test_the_same_calls_have_the_same_answers(mount: Callable[..., Mounted], tmp_path: Path, staged: bool) -> None:
    """Where files change, one handle of each is open throughout: a reader from before would keep its version."""
    bucket = mount("/vfs-bucket", seed={}, writes="staged" if staged else "sequential", allow_overwrite=True)
    operations = NUMBERS | BOTH | (CHANGING if staged else {})
    modes = (MODES, FLAGS) if staged else (("rb",), (os.O_RDONLY,))
    before = _descriptors()
    for seed in SEEDS:
        content = _content(random.Random(seed))
        for name, data in content.items():
            (tmp_path / str(seed)).mkdir(exist_ok=True)
            (tmp_path / str(seed) / name).write_bytes(data)
            bucket.store.put(f"{seed}/{name}", data)
        sides = (Side(f"{tmp_path}/{seed}"), Side(bucket.path(str(seed))))
        held = [os.open(f"{side.root}/{name}", os.O_RDWR) for side in sides for name in NAMES] if staged else []
        _run(seed, sides, operations, modes)
        for number in held:
            os.close(number)
        for name in NAMES:
            stored = bytes(bucket.store.get_range(f"{seed}/{name}", 0, 1 << 20).data)
            assert stored == (tmp_path / str(seed) / name).read_bytes(), f"seed {seed}"
        assert _descriptors() == before, f"seed {seed}"
