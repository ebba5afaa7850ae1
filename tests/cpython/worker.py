"""Runs one of CPython's test modules in this process and writes down what became of each test.

``python worker.py MODE MODULE RESULTS DIRECTORY [PATTERN ...]``; started by :mod:`tests.cpython.running`, as a script,
so that nothing of this project is on the path or imported when MODE is ``bare``. RESULTS gets a line of JSON for each
test, at once: what a crash or a time-out leaves is readable. Tests that match a PATTERN are not run.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fnmatch
import json
import os
import random
import re
import sys
import traceback
import unittest
from collections.abc import Iterator
from typing import Any, Final

POINT: Final = "bucket"
"""The mount point's name, in DIRECTORY."""

LONGEST: Final = 4000
"""Characters of a traceback that are kept, from its end."""

INSIDE: Final = ("inside", "staged")
"""Modes in which the current directory is on the mount."""

LEFT: Final = "left-behind"
"""Stands for a test of the module: what is on the disk afterwards, in the directory that the process started in."""

DONE: Final = "end"
"""Stands for a test of the module: it was run to its end."""


class Record(unittest.TestResult):
    """Writes one line an event: the test's id, its outcome, and why."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file
        self._pid = os.getpid()

    def write(self, name: str, outcome: str, detail: str = "") -> None:
        if os.getpid() != self._pid:
            os._exit(97)  # a test forked, and its child did not end where it should
        self._file.write(json.dumps({"id": name, "outcome": outcome, "detail": detail[-LONGEST:]}) + "\n")
        self._file.flush()

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.write(test.id(), "started")

    def addSuccess(self, test: Any) -> None:
        self.write(test.id(), "ok")

    def addFailure(self, test: Any, err: Any) -> None:
        self.write(test.id(), "failed", _told(err))

    def addError(self, test: Any, err: Any) -> None:
        self.write(test.id(), "failed", _told(err))

    def addSkip(self, test: Any, reason: str) -> None:
        self.write(test.id(), "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.write(test.id(), "ok")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.write(test.id(), "failed", "it was expected to fail")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.write(test.id(), "failed", f"{subtest}\n{_told(err)}")


def _told(err: Any) -> str:
    return "".join(traceback.format_exception(*err))


@contextlib.contextmanager
def mounted(mode: str, directory: str) -> Iterator[None]:
    """The process as ``mode`` wants it; the current directory is where the tests are to work."""
    point = f"{directory}/{POINT}"
    if mode == "bare":
        yield
        return
    if mode == "over":
        os.mkdir(point)  # every path then has to be looked at closely, because a link may lead to this directory
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    mount = CloudBucketMount("memory", writes="staged", allow_rename=True, metadata_ops="ignore")
    here = os.getcwd()
    children = "staging" if mode == "staged" else "auto"
    with activate_stores({point: (mount, MemoryStore())}, children=children):
        if mode in INSIDE:
            os.mkdir(f"{point}/work")
            os.chdir(f"{point}/work")
        try:
            yield
        finally:
            os.chdir(here)


def chosen(suite: Any, patterns: list[str]) -> Iterator[Any]:
    """The tests of ``suite`` that match no pattern, in their groups, so that fixtures run once for each."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield unittest.TestSuite(chosen(item, patterns))
        elif not any(fnmatch.fnmatchcase(item.id(), pattern) for pattern in patterns):
            yield item


def main(mode: str, module: str, results: str, directory: str, *patterns: str) -> None:
    """Run ``test.module``."""
    del sys.path[0]  # the directory of this file
    random.seed(1)
    faulthandler.enable()
    local = f"{directory}/local"
    os.mkdir(local)
    os.chdir(local)
    with open(results, "w", encoding="utf-8") as file:
        record = Record(file)
        with mounted(mode, directory):
            from test import support  # after the change of directory, which it remembers

            support.use_resources = ["cpu", "subprocess"]
            try:
                suite = unittest.TestLoader().loadTestsFromName(f"test.{module}")
            except unittest.SkipTest as reason:
                record.write(f"test.{module}", "skipped", str(reason))
            else:
                unittest.TestSuite(chosen(suite, list(patterns))).run(record)
        left = sorted(re.sub(r"\d+", "N", os.fsencode(name).decode("utf-8", "replace")) for name in os.listdir(local))
        record.write(f"test.{module}.{LEFT}", "ok" if mode not in INSIDE or not left else "failed", " ".join(left))
        record.write(f"test.{module}.{DONE}", "ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
