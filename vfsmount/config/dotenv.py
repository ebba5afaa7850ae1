"""The ``.env`` format, as far as credentials need it; no interpolation, so that a ``$`` in a key stays what it is."""

from __future__ import annotations

import re
from typing import Final

from vfsmount import real

_LINE: Final = re.compile(
    r"""
    \s* (?:export\s+)? (?P<name>[A-Za-z_][A-Za-z0-9_.]*) [^\S\n]* = [^\S\n]*
    (?: '(?P<single>[^']*)' | "(?P<double>(?:\\.|[^"\\])*)" | (?P<bare>(?!['"])[^\n]*?) )
    [^\S\n]* (?:(?<=\s)\#[^\n]* | (?<=['"])\#[^\n]*)? (?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK: Final = re.compile(r"[^\S\n]*(?:\#[^\n]*)?(?:\n|\Z)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(path: str) -> dict[str, str]:
    """The names and values in the file. Raises: ValueError naming the file and line, never what stands there."""
    try:
        with real.open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise ValueError(f"Secret.from_dotenv({path!r}): cannot read the file: {error.strerror}") from error
    return parse_text(text, path)


def parse_text(text: str, origin: str) -> dict[str, str]:
    """As :func:`parse_dotenv`, of a text; ``origin`` is for messages."""
    text = text.replace("\r\n", "\n")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if blank := _BLANK.match(text, position):
            position = blank.end()
            continue
        match = _LINE.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise ValueError(f"Secret.from_dotenv({origin!r}): line {line} is not NAME=value")
        if (double := match["double"]) is not None:
            value = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), double)
        else:
            value = match["single"] if match["single"] is not None else match["bare"]
        found[match["name"]] = value
        position = match.end()
    return found
