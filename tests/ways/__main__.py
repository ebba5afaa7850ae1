"""Prints the ways by number, as Markdown."""

from __future__ import annotations

from tests.ways.table import text

if __name__ == "__main__":
    print(text(), end="")
