"""Ctrl-C while the main thread waits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest


def interrupted(action: Callable[[], object]) -> float:
    """Seconds from the SIGINT to its exception, where a library has it restart system calls, as polars does."""
    sent: list[float] = []
    signal.siginterrupt(signal.SIGINT, False)

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.1, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            action()
        return time.monotonic() - sent[0]
    finally:
        timer.join()
        signal.siginterrupt(signal.SIGINT, True)
