"""The differences that remain, each with its reason: ``inside.txt`` (the current directory is inside a mount) and
``active.txt`` (a mount is active, the work is on the disk).

A section is ``[reason]`` and a line for each test: an id, or a pattern of ids, then the versions of Python that it
holds for, if not for all, and ``staged`` or ``supervised`` where it holds only if child programs are served so,
``active`` or ``over`` where in that mode only. A ``-`` before it: the test is not run (it would wait for ever); ``~``:
it may fail or not.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cpython.running import Outcome

INSIDE: Final = Path(__file__).with_name("inside.txt")
ACTIVE: Final = Path(__file__).with_name("active.txt")
SERVED: Final = ("staged", "supervised", "active", "over")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    pattern: str
    reason: str
    kind: str
    """``fails``, ``-`` or ``~``."""
    conditions: tuple[str, ...]
    line: int

    def matches(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name, self.pattern)

    def holds(self, version: str, served: str) -> bool:
        versions = [word for word in self.conditions if word not in SERVED]
        ways = [word for word in self.conditions if word in SERVED]
        return (not versions or version in versions) and (not ways or served in ways)


def entries(
    version: str, module: str, file: Path = INSIDE, text: str | None = None, *, served: str = "supervised"
) -> list[Entry]:
    """What is declared for ``module`` on ``version`` of Python. Raises: ValueError for a line that is none."""
    found: list[Entry] = []
    reason = ""
    for number, line in enumerate((file.read_text("utf-8") if text is None else text).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            reason = line.strip("[]")
            continue
        words = line.split()
        kind = words.pop(0) if words[0] in ("-", "~") else "fails"
        if not reason or not words or not words[0].startswith("test_"):
            raise ValueError(f"line {number}: a test's id below a [reason], not {line!r}")
        pattern, *conditions = words
        entry = Entry(pattern, reason, kind, tuple(conditions), number)
        if pattern.partition(".")[0] == module and entry.holds(version, served):
            found.append(entry)
    return found


def not_run(declared: Iterable[Entry]) -> list[str]:
    return [entry.pattern for entry in declared if entry.kind == "-"]


def undeclared(outcomes: Mapping[str, Outcome], declared: Iterable[Entry]) -> list[str]:
    """Ids of tests that fail, or never end, with no entry."""
    known = list(declared)
    return [
        name
        for name, outcome in outcomes.items()
        if outcome.what in ("failed", "started") and not any(entry.matches(name) for entry in known)
    ]


def stale(outcomes: Mapping[str, Outcome], declared: Iterable[Entry]) -> list[Entry]:
    """Entries by which no test fails; a test that was skipped tells nothing."""
    found = []
    for entry in declared:
        if entry.kind != "fails":
            continue
        matched = [outcome.what for name, outcome in outcomes.items() if entry.matches(name)]
        if "failed" not in matched and "started" not in matched and "skipped" not in matched:
            found.append(entry)
    return found
