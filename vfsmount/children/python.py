"""Recognises commands that are Python programs, which serve themselves: see ``vfsmount.bootstrap``."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vfsmount import real

_NAME: Final = re.compile(r"(python|pypy)[\d.]*(t|d|m)?")
_MARKS: Final = "'\"$`\\{}<>*?[]~|&;()#\n"
_LOSING: Final = {
    "I": "-I (isolated mode) ignores PYTHONPATH",
    "E": "-E ignores PYTHONPATH",
    "S": "-S runs no sitecustomize",
}


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """A command line that an interpreter runs."""

    words: tuple[str, ...]
    lost: str | None = None
    """Why the program will not see the mounts, or None."""
    target: int | None = None
    """Where in ``words`` the script or ``-m`` stands: what the interpreter looks for by itself, not through Python."""

    @property
    def script(self) -> str | None:
        """The file that the interpreter opens."""
        word = None if self.target is None else self.words[self.target]
        return None if word is None or word.startswith("-m") else word


def python_command(words: Sequence[str], env: Mapping[Any, Any] | None) -> PythonCommand | None:
    """``words`` as a Python command; None where they start something else. Reads a script's first line, no more."""
    if not words:
        return None
    name = words[0].rpartition("/")[2]
    if _NAME.fullmatch(name) or words[0] == sys.executable:
        return _parse(tuple(words))
    options = _shebang(words[0], env)
    if options is None:
        return None
    return PythonCommand(tuple(words), _lost(options))


def simple_line(line: str) -> list[str] | None:
    """The words of a shell command that is one program with plain arguments; None for any other."""
    if any(mark in line for mark in _MARKS) or re.match(r"\s*\w+=", line):
        return None
    return shlex.split(line)


def _parse(words: tuple[str, ...]) -> PythonCommand:
    lost = None
    position = 1
    while position < len(words):
        word = words[position]
        if word == "-" or not word.startswith("-"):
            return PythonCommand(words, lost, None if word == "-" else position)
        position += 1
        if word == "--":
            return PythonCommand(words, lost, position if position < len(words) else None)
        if word.startswith("--"):
            position += word == "--check-hash-based-pycs"
            continue
        for index, letter in enumerate(word[1:], 1):
            if letter == "c":
                return PythonCommand(words, lost)
            if letter == "m":
                at = position - 1
                if index > 1:
                    words = (*words[:at], word[:index], f"-{word[index:]}", *words[position:])
                return PythonCommand(words, lost, at + (index > 1))
            lost = lost or _LOSING.get(letter)
            if letter in "WX":
                position += index + 1 == len(word)
                break
    return PythonCommand(words, lost)


def _lost(options: Sequence[str]) -> str | None:
    return _parse(("python", *options)).lost


def _shebang(program: str, env: Mapping[Any, Any] | None) -> list[str] | None:
    """The interpreter's options in the ``#!`` line of ``program``, if it names a Python."""
    with real.passthrough():
        path = program
        if "/" not in program:
            where = next((value for name, value in (env or {}).items() if name in ("PATH", b"PATH")), None)
            found = shutil.which(program, path=None if where is None else os.fsdecode(where))
            if found is None:
                return None
            path = found
    try:
        with real.FileIO(path) as file:
            first = file.read(512)
    except (OSError, ValueError):
        return None
    if not first.startswith(b"#!"):
        return None
    line = first[2:].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").split()
    if line and line[0].rpartition("/")[2] == "env":
        line = [word for word in line[1:] if word != "-S" and "=" not in word]
    if not line or not _NAME.fullmatch(line[0].rpartition("/")[2]):
        # The installers' form for long paths: `#!/bin/sh` and `'''exec' /long/path/python "$0" "$@"`.
        second = first.split(b"\n", 2)[1:2]
        return [] if second and second[0].startswith(b"'''exec'") and b"python" in second[0] else None
    return line[1:]
