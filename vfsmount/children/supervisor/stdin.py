"""Whether a command is to have its standard input fetched while it is read. Pure.

Every read by descriptor 0 then comes to the supervisor, in all that the command starts: 30 to 50 us each, which is
little for who reads by 64 KiB, and a disaster for who reads by the byte, as shells do. A filter cannot be changed
later. So it is done only for a command that says itself that it reads a mounted file there, with programs that are
known to read in blocks; any other has the file whole before it reads it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import Final

_SHELLS: Final = frozenset("ash bash dash ksh mksh sh zsh".split())
_BLOCKS: Final = frozenset(
    "b2sum base64 bunzip2 bzcat bzip2 cat cksum cmp cp dd egrep fgrep file grep gunzip gzip head md5sum sha1sum "
    "sha224sum sha256sum sha384sum sha512sum shuf sort split sum tac tail tar tee unxz xz xzcat zcat zstd zstdcat "
    ": [ basename cd chmod date dirname echo exec exit export false ln ls mkdir mv printf pwd rm set stat test touch "
    "true".split()
)  # fmt: skip
"""Programs that read 32 KiB or more at a time, or no standard input at all."""
_PAGES: Final = frozenset("awk column comm cut expand fold gawk hexdump iconv jq join mawk nl od paste rev sed "
                          "strings tr uniq wc xxd".split())  # fmt: skip
"""Programs that read a few KiB at a time: not for what is large."""
_RESERVED: Final = frozenset("{ } !".split())
_LEAST: Final = 1 << 16
_FEW: Final = 4096
"""Reads of ``dd``, of whatever size."""
_SIZE: Final = re.compile(r"(\d+)(c|w|b|k|K|M|G|kB|MB|GB|KB|KiB|MiB|GiB)?")
_UNITS: Final = {"w": 2, "b": 512, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9}
_POWERS: Final = {"k": 10, "K": 10, "M": 20, "G": 30}


def reads_lazily(words: Sequence[str], points: Sequence[str], *, inside: bool) -> bool:
    """``words`` is the command; ``inside``: it starts in a mounted directory."""
    try:
        commands = _commands(words)
    except ValueError:  # no closing quotation
        return False
    small, found = True, False
    for command, source in commands:
        name = os.path.basename(command[0]) if command else ":"
        if name not in _BLOCKS and name not in _PAGES:
            return False
        if name == "cd" and len(command) == 2 and _is_mounted(command[1], points, inside=inside):
            inside = True
        if name == "dd":
            operands = dict(word.split("=", 1) for word in command[1:] if "=" in word)
            size, count = _bytes(operands.get("bs", operands.get("ibs", "512"))), _bytes(operands.get("count", "none"))
            if count is not None and count > _FEW:
                count = None
            if size is None or (size < _LEAST and count is None):
                return False
            source = operands.get("if", source)
            small = small and count is not None
        elif source is not None:
            small = small and name == "head"
        if source is not None and _is_mounted(source, points, inside=inside):
            found = True
    return found and (small or all(not command or os.path.basename(command[0]) in _BLOCKS for command, _ in commands))


def _commands(words: Sequence[str]) -> list[tuple[list[str], str | None]]:
    """The simple commands in it, and the files that their input is redirected from. Raises: ValueError."""
    if len(words) < 3 or os.path.basename(words[0]) not in _SHELLS or not re.fullmatch("-[eux]*c", words[1]):
        return [(list(words), None)]
    lexer = shlex.shlex(words[2], posix=True, punctuation_chars="();<>|&`\n")
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    commands: list[tuple[list[str], str | None]] = []
    command: list[str] = []
    source, target = None, ""
    for token in [*lexer, ";"]:
        if target:
            source, target = token if target == "<" else source, ""
        elif token[0] in "<>":
            target = token
        elif token[0] in "();|&`\n":
            commands.append((command, source))
            command, source = [], None
        elif command or (token not in _RESERVED and not re.match(r"[A-Za-z_]\w*=", token)):
            command.append(token)
    return commands


def _is_mounted(path: str, points: Sequence[str], *, inside: bool) -> bool:
    if not path or "$" in path:
        return False
    if not path.startswith("/"):
        return inside
    return any(path == point or path.startswith(f"{point.rstrip('/')}/") for point in points)


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit = int(match.group(1)), match.group(2) or "c"
    return number * _UNITS.get(unit, 1 << _POWERS.get(unit[0], 0))
