"""``python -m tests.cpython.run``: CPython's own tests with a mount active, and inside one.

With a mount active every test has to come out as without; inside a mount all but the declared ones (``inside.txt``)
have to pass, and what is declared has to fail. The exit code says whether that is so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cpython import declared
from tests.cpython.modules import ALL, OUTSIDE_ONLY
from tests.cpython.running import LACKING, MODES, Run, has_tests, run, served, version_of
from tests.cpython.worker import DONE, INSIDE, LEFT


def differences(bare: Run, other: Run, known: Sequence[declared.Entry] = ()) -> list[str]:
    """Tests that come out otherwise than in ``bare`` and are not declared to, each with how, and why; and declared ones
    that do not.
    """
    found = []
    kept = {entry.line: entry for entry in known if entry.kind == "fails"}
    for name in sorted({*bare.outcomes, *other.outcomes}):
        one, two = bare.outcomes.get(name), other.outcomes.get(name)
        if name == f"{bare.module}.{DONE}":
            continue
        if one and two and one.what == two.what and (one.detail == two.detail or not name.endswith(LEFT)):
            continue
        if declared_by := [entry.line for entry in known if entry.matches(name)]:
            kept = {line: entry for line, entry in kept.items() if line not in declared_by}
            continue
        was, now = one.what if one else "missing", two.what if two else "missing"
        found.append(f"{name}: {was}, now {now}: {_last(two.detail) if two else ''}")
    found += [f"active.txt:{line}: {entry.pattern}: no test comes out otherwise by it" for line, entry in kept.items()]
    if bare.finished and not other.finished:
        found.append(f"{other.module} did not come to its end: {other.output[-2000:]}")
    return found


def unexpected(version: str, bare: Run | None, inside: Run, served: str = "supervised") -> list[str]:
    """Tests inside a mount that fail undeclared (and not in ``bare`` as well), and declared ones that pass.

    ``served``: how child programs were.
    """
    entries = declared.entries(version, inside.module, served=served)
    outcomes = {
        name: outcome
        for name, outcome in inside.outcomes.items()
        if bare is None or name not in bare.outcomes or bare.outcomes[name].what != "failed"
    }
    found = [
        f"{name}: not declared: {_last(inside.outcomes[name].detail)}"
        for name in declared.undeclared(outcomes, entries)
    ]
    found += [
        f"inside.txt:{entry.line}: {entry.pattern}: no test fails by it on Python {version}"
        for entry in declared.stale(outcomes, entries)
    ]
    if not inside.finished:
        found.append(f"{inside.module} did not come to its end: {inside.output[-2000:]}")
    return found


def _last(detail: str) -> str:
    lines = [line for line in detail.strip().splitlines() if line.strip(" ^")]
    return " / ".join(line.strip() for line in lines[-2:])[-300:]


def judged(python: str, version: str, module: str, mode: str, bare: Run | None) -> tuple[Run, list[str]]:
    """One run of ``module`` and what is wrong with it. What is wrong has to show twice, with a new ``bare`` run: some
    of CPython's tests depend on how busy the machine is.
    """
    way = "staged" if mode == "staged" else served(python) if mode == "inside" else ""
    without = declared.not_run(declared.entries(version, module, served=way)) if mode in INSIDE else ()
    wrong: list[str] = []
    for attempt in (1, 2):
        if mode not in INSIDE and bare is None:
            bare = run(python, module, "bare")
        found = run(python, module, mode, without=without)
        if mode in INSIDE:
            now = unexpected(version, bare, found, way)
        else:
            assert bare is not None
            now = differences(bare, found, declared.entries(version, module, declared.ACTIVE, served=mode))
        wrong = now if attempt == 1 else [line for line in now if _subject(line) in map(_subject, wrong)]
        if not wrong:
            break
        bare = run(python, module, "bare") if attempt == 1 else bare
    return found, wrong


def _subject(line: str) -> str:
    return line.partition(": ")[0]


def check(
    python: str, modules: Sequence[str], modes: Sequence[str], table: list[str], failures: list[str]
) -> Iterator[str]:
    """What is wrong, one line each; rows of Markdown are added to ``table``, and a line for each failed test to
    ``failures``.
    """
    version = version_of(python)
    for module in modules:
        bare = run(python, module, "bare")
        cells = [f"{bare.ran} ({bare.count('failed')}, {bare.count('skipped')} skipped)"]
        for mode in modes:
            if mode in INSIDE and module in OUTSIDE_ONLY:
                cells.append("-")
                continue
            found, wrong = judged(python, version, module, mode, bare)
            beside = (
                f"{found.count('skipped')} skipped" if mode in INSIDE else f"{len(differences(bare, found))} otherwise"
            )
            cells.append(f"{found.ran} ({found.count('failed')}, {beside})")
            failures += [
                f"{version} {mode} {name}: {_last(outcome.detail)}"
                for name, outcome in found.outcomes.items()
                if outcome.what in ("failed", "started")
            ]
            yield from (f"Python {version}, {mode}: {line}" for line in wrong)
            print(f"{version} {module} {mode}: {cells[-1]}, {len(wrong)} wrong, {found.seconds:.0f} s", flush=True)
        table.append(f"| {version} | {module} | {' | '.join(cells)} |")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cpython.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--mode", action="append", choices=MODES[1:], help="one or more; all but staged if none is given"
    )
    parser.add_argument("--python", action="append", help="an interpreter; this one if none is given")
    parser.add_argument("--table", type=Path, help="write the results there, in Markdown")
    parser.add_argument(
        "--failures", type=Path, help="write the failed tests there, each with the end of its traceback"
    )
    parser.add_argument("modules", nargs="*", help="such as test_os; all if none is given")
    options = parser.parse_args(arguments)
    modes = options.mode or [mode for mode in MODES[1:] if mode != "staged"]
    wrong: list[str] = []
    failures: list[str] = []
    table = [f"| Python | module | bare | {' | '.join(modes)} |", "| --- " * (len(modes) + 3) + "|"]
    for python in options.python or [sys.executable]:
        if not has_tests(python):
            print(f"{python}: left out: {LACKING}")
            continue
        wrong += check(python, options.modules or ALL, modes, table, failures)
    if options.table:
        options.table.write_text("\n".join(table) + "\n", encoding="utf-8")
    if options.failures:
        options.failures.write_text("\n".join(failures) + "\n", encoding="utf-8")
    print(*wrong, f"{len(wrong)} unexpected", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
