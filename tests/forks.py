"""A real forked child, whose verdict comes back."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable


def in_child(function: Callable[[], object], *, timeout: float = 20.0) -> None:
    """Run ``function`` in a forked child; fails where it raises or does not end within ``timeout`` seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            function()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent is told
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writing)
    deadline = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            raise AssertionError(f"the child hung for {timeout} s")
        time.sleep(0.005)
    with os.fdopen(reading, "rb") as told:
        message = told.read().decode()
    assert status == 0, message
