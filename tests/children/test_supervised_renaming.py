"""Renaming, removing and replacing what a supervised program has open for writing: as in process."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import pytest

from tests.children.conftest import Faulty

pytestmark = pytest.mark.slow

PRELUDE: Final = """
import errno, os
def opened(name):
    return os.open(f"/my-mount/{name}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
def tried(function, *names):
    try:
        found = function(*(f"/my-mount/{name}" for name in names))
    except OSError as error:
        found = errno.errorcode[error.errno]
    print(function.__name__, names, found)
def seen(*numbers):
    print(sorted(os.listdir("/my-mount")), [os.pread(number, 99, 0) for number in numbers])
    for name in sorted(os.listdir("/my-mount")):
        try:
            size = os.stat(f"/my-mount/{name}").st_size
            with open(f"/my-mount/{name}", "rb") as file:
                print(name, size, file.read())
        except OSError as error:
            print(name, errno.errorcode[error.errno])
a = opened("a")
os.write(a, b"first")
"""
CASES: Final = {
    "renamed": "tried(os.rename, 'a', 'b'); seen(a); os.write(a, b' second'); seen(a); os.close(a); seen()",
    "renamed below a directory": (
        "os.mkdir('/my-mount/d'); tried(os.rename, 'a', 'd/b'); os.write(a, b' second'); seen(a); os.close(a)"
    ),
    "renamed, and its name given away": (
        "tried(os.rename, 'a', 'b'); again = opened('a'); os.write(again, b'other'); os.write(a, b' second');"
        " seen(a, again); os.close(again); os.close(a); seen()"
    ),
    "renamed twice": "tried(os.rename, 'a', 'b'); tried(os.rename, 'b', 'a'); os.write(a, b' second'); os.close(a)",
    "removed": "tried(os.unlink, 'a'); seen(a); os.write(a, b' second'); seen(a); os.close(a); seen()",
    "removed, and made again": (
        "tried(os.unlink, 'a'); again = opened('a'); os.write(again, b'other'); os.write(a, b' second');"
        " seen(a, again); os.close(a); seen(again); os.close(again); seen()"
    ),
    "replaced": (
        "t = opened('t'); os.write(t, b'target'); tried(os.rename, 'a', 't'); os.write(t, b' goes on');"
        " os.write(a, b' second'); seen(a, t); os.close(t); seen(a); os.close(a); seen()"
    ),
    "exchanged": (
        "b = opened('b'); os.write(b, b'other'); tried(os.rename, 'a', 'c'); tried(os.rename, 'b', 'a');"
        " tried(os.rename, 'c', 'b'); seen(a, b); os.close(a); os.close(b); seen()"
    ),
    "a directory above it": (
        "os.mkdir('/my-mount/d'); d = opened('d/x'); tried(os.rename, 'd', 'e'); os.close(d); os.close(a); seen()"
    ),
    "by its other descriptor": (
        "copy = os.dup(a); os.close(a); tried(os.rename, 'a', 'b'); os.write(copy, b' second'); os.close(copy); seen()"
    ),
}  # fmt: skip


def in_process(code: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    return said.getvalue()


def in_child(code: str) -> str:
    argv = [sys.executable, "-I", "-S", "-c", code, "/my-mount"]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("renames", [True, False])
def test_as_in_process(serve_faulty: Callable[..., Faulty], case: str, renames: bool) -> None:
    compare(serve_faulty(writes="staged", allow_rename=renames), PRELUDE + CASES[case])


@pytest.mark.parametrize("case", ["renamed", "removed", "renamed twice", "by its other descriptor"])
def test_what_is_written_in_sequence_can_be_neither_renamed_nor_removed(
    serve_faulty: Callable[..., Faulty], case: str
) -> None:
    """As in process, but that a program can read what it has written itself."""
    compare(serve_faulty(allow_rename=True), f"{PRELUDE}seen = lambda *numbers: None\n{CASES[case]}")


def compare(served: Faulty, code: str) -> None:
    results = []
    for run in (in_process, in_child):
        said = run(code)
        results.append((said.splitlines(), served.objects))
        for key in served.objects:
            served.memory.delete_many([key])
        for name in "de":
            with contextlib.suppress(OSError):
                os.rmdir(f"/my-mount/{name}")
        served.session.invalidate("/my-mount")
    assert results[0] == results[1]


def test_what_is_published_by_the_renaming_and_what_fails_then(serve_faulty: Callable[..., Faulty]) -> None:
    served = serve_faulty(writes="staged", allow_rename=True)
    code = """
tried(os.rename, 'a', 'b'); print(flush=True); input(); os.write(a, b' second')
try:
    os.close(a)
except OSError as error:
    os._exit(error.errno)
"""
    argv = [sys.executable, "-I", "-S", "-c", PRELUDE + code, "/my-mount"]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, stderr=-1, text=True, bufsize=1) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "rename ('a', 'b') None\n"
        assert served.objects == {"b": b"first"}
        served.refuse(key="b")
        said = child.communicate("\n", timeout=60)[1]
    assert child.returncode == errno.EIO
    assert said.startswith("vfsmount: /my-mount/b was not uploaded: Input/output error: ")
    assert served.objects == {"b": b"first"}


def test_by_this_process_meanwhile(serve_faulty: Callable[..., Faulty]) -> None:
    """Two at once, in exchange: the program goes on with both of them where they are now."""
    served = serve_faulty(writes="staged", allow_rename=True)
    code = "b = opened('b'); os.write(b, b'other'); print('up', flush=True); input(); seen(a, b); os.write(a, b' 2nd')"
    argv = [sys.executable, "-I", "-S", "-c", PRELUDE + code, "/my-mount"]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        for source, target in (("a", "c"), ("b", "a"), ("c", "b")):
            os.rename(f"/my-mount/{source}", f"/my-mount/{target}")
        said = child.communicate("\n", timeout=60)[0]
    assert child.returncode == 0
    assert said.splitlines() == ["['a', 'b'] [b'first', b'other']", "a 5 b'other'", "b 5 b'first'"]
    assert served.objects == {"a": b"other", "b": b"first 2nd"}
