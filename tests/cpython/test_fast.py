"""A fast selection of CPython's own tests; ``make cpython`` runs all of them."""

from __future__ import annotations

import sys

import pytest

from tests.cpython import declared
from tests.cpython.modules import ALL, FAST_ACTIVE, FAST_INSIDE
from tests.cpython.run import differences, judged, unexpected
from tests.cpython.running import LACKING, Outcome, Run, has_tests, version_of

VERSION = version_of(sys.executable)


@pytest.fixture(scope="module", autouse=True)
def _cpythons_tests() -> None:
    if not has_tests(sys.executable):
        pytest.skip(LACKING)


@pytest.mark.slow
@pytest.mark.parametrize("module", FAST_ACTIVE)
def test_local_work_is_the_same_while_a_mount_is_active(module: str) -> None:
    found, wrong = judged(sys.executable, VERSION, module, "active", None)
    assert found.ran > 10
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("module", FAST_INSIDE)
def test_work_inside_a_mount_fails_only_where_it_is_declared_to(module: str) -> None:
    found, wrong = judged(sys.executable, VERSION, module, "inside", None)
    assert found.ran > 5
    assert wrong == []


def _run(mode: str = "inside", **outcomes: str) -> Run:
    found = {name.replace("__", "."): Outcome(what, "why") for name, what in outcomes.items()}
    return Run("test_x", mode, {**found, "test_x.end": Outcome("ok")}, "", 1.0)


def test_a_difference_is_found() -> None:
    bare = _run("bare", test_x__a="ok", test_x__b="failed", test_x__c="ok", test_x__d="skipped")
    assert differences(bare, bare) == []
    other = _run("active", test_x__a="failed", test_x__b="failed", test_x__d="ok")
    assert [line.partition(":")[0] for line in differences(bare, other)] == ["test_x.a", "test_x.c", "test_x.d"]
    broken = Run("test_x", "active", {"test_x.a": Outcome("started")}, "crashed", 1.0)
    assert "crashed" in differences(bare, broken)[-1]


def test_a_difference_that_is_declared_has_to_be_there() -> None:
    known = declared.entries(VERSION, "test_x", text="[why]\ntest_x.a\ntest_x.b\n~ test_x.c\n")
    bare = _run("bare", test_x__a="ok", test_x__b="ok", test_x__c="ok")
    other = _run("active", test_x__a="failed", test_x__b="ok", test_x__c="ok")
    assert differences(bare, other, known) == ["active.txt:3: test_x.b: no test comes out otherwise by it"]


def test_entries_hold_for_versions_and_ways_to_serve_children() -> None:
    text = "[why]\ntest_x.a\ntest_x.b 3.11 3.12\ntest_x.c staged\ntest_x.d 3.11 supervised\n"

    def patterns(version: str, served: str) -> str:
        found = declared.entries(version, "test_x", text=text, served=served)
        return "".join(entry.pattern[-1] for entry in found)

    assert patterns("3.11", "staged") == "abc"
    assert patterns("3.11", "supervised") == "abd"
    assert patterns("3.13", "staged") == "ac"
    assert patterns("3.13", "supervised") == "a"


def test_an_undeclared_failure_and_a_stale_entry_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[no links]\ntest_x.a\ntest_x.b.*\ntest_x.c 3.9\n~ test_x.d\n- test_x.e\ntest_x.f\n"
    entries = declared.entries(VERSION, "test_x", text=text)
    assert declared.not_run(entries) == ["test_x.e"]
    monkeypatch.setattr(declared, "entries", lambda version, module, served: entries)
    right = _run(test_x__a="failed", test_x__b__one="failed", test_x__d="ok", test_x__f="skipped", test_x__g="ok")
    assert unexpected(VERSION, None, right) == []
    wrong = _run(test_x__a="ok", test_x__b__one="failed", test_x__c="failed", test_x__d="failed", test_x__f="failed")
    found = unexpected(VERSION, None, wrong)
    assert [line.partition(": ")[0] for line in found] == ["test_x.c", "inside.txt:2"]
    assert unexpected(VERSION, _run("bare", test_x__c="failed"), _run(test_x__c="failed"))[0].startswith("inside.txt")


def test_every_entry_is_of_a_module_that_is_run() -> None:
    for line in ("no section\n", "[reason]\nnot_a_test\n", "[reason]\n~\n"):
        with pytest.raises(ValueError, match="line"):
            declared.entries(VERSION, "test_os", text=line)
    text = declared.INSIDE.read_text("utf-8") + declared.ACTIVE.read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if line and line[0] not in "#["]
    assert {line[line[0] in "-~"].partition(".")[0] for line in lines} <= set(ALL)
    assert {*FAST_ACTIVE, *FAST_INSIDE} <= set(ALL)
