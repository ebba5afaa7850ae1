"""Every claim of docs/SEMANTICS.md has a test, and every test that names a claim names one that is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "SEMANTICS.md"
_ROW: Final = re.compile(r"^\| ([A-Z]+-\d+) \| (.+) \|$", re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    """Id and text of each claim, in the document's order."""
    return _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def shown() -> dict[str, list[str]]:
    """Claim to the tests that are marked with it; read from the source, so that no run or selection matters."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) in ("claim", "pytest.mark.claim"):
                    (argument,) = mark.args
                    assert isinstance(argument, ast.Constant)
                    found.setdefault(argument.value, []).append(f"{file.name}::{node.name}")
    return found


def test_ids_are_unique_and_in_sequence() -> None:
    ids = [name for name, _ in documented()]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    numbers: dict[str, list[int]] = {}
    for name in ids:
        group, _, number = name.partition("-")
        numbers.setdefault(group, []).append(int(number))
    assert {group: list(range(1, len(found) + 1)) for group, found in numbers.items()} == numbers


def test_every_claim_has_a_test() -> None:
    claims, tests = [name for name, _ in documented()], shown()
    assert len(claims) > 100
    assert [name for name in claims if name not in tests] == []


def test_every_test_names_a_claim_that_is_there() -> None:
    claims = {name for name, _ in documented()}
    assert {name: tests for name, tests in shown().items() if name not in claims} == {}


def test_nothing_is_claimed_for_later() -> None:
    assert "†" not in DOCUMENT.read_text(encoding="utf-8")


def test_claims_are_short() -> None:
    assert [name for name, text in documented() if len(text) > 220] == []
