"""All the ways together, numbered; ``python -m tests.ways`` prints them."""

from __future__ import annotations

import importlib
from typing import Final

from tests.ways.way import UNREACHED, WAYS, Unreached, Way

_MODULES: Final = "opening writing paths numbers native captured imports concurrency stdlib libraries refusals".split()


def ways() -> list[Way]:
    """In the order of the table."""
    _load()
    return WAYS


def unreached() -> list[Unreached]:
    """What is declared as not served."""
    _load()
    return UNREACHED


def text() -> str:
    """The table as Markdown."""
    lines = ["| no. | way | | writes |", "| --- | --- | --- | --- |"]
    for number, each in enumerate(ways(), 1):
        lines.append(f"| {number} | {each.group} | {each.name} | {'any' if each.mode == 'sequential' else 'staged'} |")
    lines += ["", "| not reached | | why | what happens instead |", "| --- | --- | --- | --- |"]
    lines += [f"| {each.group} | {each.name} | {each.why} | {each.instead} |" for each in unreached()]
    lines += ["", f"{len(ways())} ways, {len(unreached())} declared as not reached."]
    return "\n".join(lines) + "\n"


def _load() -> None:
    for module in _MODULES:
        importlib.import_module(f"tests.ways.{module}")
