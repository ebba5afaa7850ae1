"""One of CPython's test modules in a fresh process, under a time limit."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cpython.worker import DONE, LEFT

WORKER: Final = Path(__file__).with_name("worker.py")

MODES: Final = ("bare", "active", "over", "inside", "staged")
"""bare: without vfsmount. active: a mount is active, the tests work on the local disk. over: the same, and the mount
point is a real directory, so that every path has to be followed. inside: the current directory is on the mount.
staged: the same, and child programs get copies, as where the kernel cannot supervise them."""

LIMIT: Final = 600
"""Seconds that one module may take; the longest, test_subprocess inside a mount, takes half of it where ten processes
share two cores: it starts two thousand programs, each under supervision."""

LACKING: Final = "this Python has no `test` package; Debian and Ubuntu: apt install libpython3-testsuite"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test: ok, failed, skipped, or started (it never ended)."""

    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a module's tests, by id without the leading ``test.``."""

    module: str
    mode: str
    outcomes: Mapping[str, Outcome]
    output: str
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether the module was run to its end, and the process ended well."""
        return f"{self.module}.{DONE}" in self.outcomes

    def count(self, what: str) -> int:
        beside = (f"{self.module}.{LEFT}", f"{self.module}.{DONE}")
        return sum(outcome.what == what for name, outcome in self.outcomes.items() if name not in beside)

    @property
    def ran(self) -> int:
        return self.count("ok") + self.count("failed") + self.count("started")


def has_tests(python: str) -> bool:
    """Whether this interpreter comes with CPython's tests."""
    return subprocess.run([python, "-c", "import test.support"], capture_output=True, timeout=60).returncode == 0


def version_of(python: str) -> str:
    """Such as 3.11."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@functools.cache
def served(python: str) -> str:
    """How child programs are served in mode inside."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = (
        f"import sys; sys.path.append({root!r}); from vfsmount.children.supervisor.detect import supervision as known"
    )
    code += "; print('staged' if known() is None else 'supervised')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def run(python: str, module: str, mode: str, *, without: Sequence[str] = (), limit: float = LIMIT) -> Run:
    """Run ``test.module``; ``without``: patterns of ids (as in :class:`Run`) that are not to be run."""
    with tempfile.TemporaryDirectory(prefix="cpython-", ignore_cleanup_errors=True) as directory:
        directory = os.path.realpath(directory)
        results, printed = Path(directory, "results"), Path(directory, "output")
        command = [python, str(WORKER), mode, module, str(results), directory, *(f"test.{name}" for name in without)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        began = time.monotonic()
        with open(printed, "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env={**environment, "PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # faulthandler then tells where it stood
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # children that tests left too
                code = process.wait()
        seconds = time.monotonic() - began
        outcomes = _read(results)
        if code != 0:
            outcomes.pop(f"{module}.{DONE}", None)
        return Run(module, mode, outcomes, printed.read_text(errors="replace"), seconds)


def _read(results: Path) -> dict[str, Outcome]:
    """The last word on each test; a failure stays one, whatever follows (a test's clean-up, another subtest)."""
    found: dict[str, Outcome] = {}
    if not results.exists():
        return found
    for line in results.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        name = event["id"].removeprefix("test.")
        if name in found and found[name].what == "failed":
            if event["outcome"] == "failed":
                found[name] = Outcome("failed", f"{found[name].detail}\n{event['detail']}")
            continue
        found[name] = Outcome(event["outcome"], event["detail"])
    return found
