"""Programs that activate with ``native=True``, each one of its own: a filter stays until its process ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
QUIET: Final = "ignore:This process:DeprecationWarning"
PRELUDE: Final = """
import ctypes, errno, os, subprocess, sys, threading
import vfsmount

bucket = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = [ctypes.c_char_p] * 2
libc.fread.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]

def opened(path, mode):
    file = libc.fopen(path.encode(), mode)
    if not file:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return file

def c_read(path, size=100):
    file = opened(path, b"r")
    buffer = ctypes.create_string_buffer(size)
    found = libc.fread(buffer, 1, size, file)
    libc.fclose(file)
    return buffer.raw[:found]

def c_write(path, text):
    file = opened(path, b"w")
    libc.fputs(text, file)
    libc.fclose(file)

def c_call(function, *arguments):
    if getattr(libc, function)(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def stored(name):
    with vfsmount.passthrough(), open(f"{bucket}/{name}", "rb") as file:
        return file.read()

def activate(**options):
    return vfsmount.activate({"/my-mount": f"file://{bucket}"}, native=True, **options)
"""


def run(bucket: Path, code: str, *arguments: str, stderr: str | None = "") -> str:
    """What the program prints; it ends well and says nothing else."""
    finished = subprocess.run(
        # CPython warns at every fork of a process that has threads.
        [sys.executable, "-W", QUIET, "-c", PRELUDE + textwrap.dedent(code), str(bucket), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    if stderr is not None:
        assert finished.stderr == stderr
    return finished.stdout
