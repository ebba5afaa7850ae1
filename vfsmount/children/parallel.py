"""Work on several files at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

from vfsmount.clock import FOREVER
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.traversal import one_of_several

THREADS: Final = 16


class _Flag:
    """Whether to go on."""

    stopped = False


def in_parallel(steps: Mapping[str, Callable[[], None]], *, stop: bool = False) -> dict[str, OSError]:
    """Take all steps, whichever fail; the failures by name. With ``stop`` a failure ends it, and an interrupt or any
    other exception always does: what has not begun then is not, what has is waited for.
    """
    if len(steps) < 2:
        return {name: error for name, step in steps.items() if (error := _attempt(step, _Flag())) is not None}
    pool, flag = ThreadPool(min(THREADS, len(steps)), "vfsmount-stage"), _Flag()
    running: dict[str, Future[OSError | None]] = {}
    try:
        for name, step in steps.items():
            running[name] = pool.submit(lambda step=step: _attempt(step, flag, stop=stop))  # type: ignore[misc]
        found = {name: future.result(FOREVER) for name, future in running.items()}
    finally:
        flag.stopped = True
        pool.close(FOREVER)
    return {name: error for name, error in found.items() if error is not None}


def _attempt(step: Callable[[], None], flag: _Flag, *, stop: bool = False) -> OSError | None:
    try:
        if not flag.stopped:
            with one_of_several():
                step()
    except OSError as error:
        flag.stopped |= stop
        return error
    except BaseException:
        flag.stopped = True
        raise
    return None
