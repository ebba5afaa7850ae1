"""References to functions of Python that were taken before anything was mounted.

This module is imported before any session starts, so that everything here is the original.
"""

from __future__ import annotations

import functools
import io
import os
import tempfile
import tokenize
from builtins import open as captured_open
from collections.abc import Callable
from io import FileIO as CapturedFileIO
from os import listdir as captured_listdir
from os import open as captured_os_open
from os import path as captured_path
from os import read as captured_read
from os import stat as captured_stat
from pathlib import Path as CapturedPath
from shutil import copyfile as captured_copyfile
from types import SimpleNamespace
from typing import Any

from tests.ways.way import Place, way

GROUP = "captured before"

READ: Callable[..., Any] = functools.partial(open, mode="rb")
STAT: Callable[..., Any] = functools.partial(os.stat)
NESTED: Callable[..., Any] = functools.partial(functools.partial(os.path.getsize))
TABLE: dict[str, Callable[..., Any]] = {"": open, ".raw": io.FileIO}
LIST: list[Callable[..., Any]] = [open]
KEPT = SimpleNamespace(open=open, stat=os.stat)
RESOLVED = CapturedPath("/")


class Holder:
    """Keeps functions as attributes of a class."""

    opener = open
    static = staticmethod(os.stat)

    def read(self, path: str, opener: Callable[..., Any] = open) -> Any:
        with opener(path) as file:
            return file.read()


def by_default(path: str, opener: Callable[..., Any] = open, *, stat: Callable[..., Any] = os.stat) -> Any:
    with opener(path) as file:
        return file.read(), stat(path).st_size


def _closing(opener: Callable[..., Any]) -> Callable[[str], Any]:
    def read(path: str) -> Any:
        with opener(path) as file:
            return file.read()

    return read


CLOSURE = _closing(open)


def _reading(made: Any) -> Any:
    with made as file:
        return file.read()


@way(GROUP, "from builtins import open")
def _(at: Place) -> object:
    return _reading(captured_open(at("text.txt")))


@way(GROUP, "from os import stat, listdir, open, read")
def _(at: Place) -> object:
    number = captured_os_open(at("text.txt"), os.O_RDONLY)
    data = captured_read(number, 5)
    os.close(number)
    return captured_stat(at("data.bin")).st_size, sorted(captured_listdir(at("dir"))), data


@way(GROUP, "from os import path")
def _(at: Place) -> object:
    return captured_path.exists(at("text.txt")), captured_path.getsize(at("data.bin")), captured_path.isdir(at("dir"))


@way(GROUP, "from io import FileIO")
def _(at: Place) -> object:
    return _reading(CapturedFileIO(at("data.bin")))


@way(GROUP, "from pathlib import Path, and paths made before")
def _(at: Place) -> object:
    return CapturedPath(at("text.txt")).read_text(), RESOLVED.joinpath(at("data.bin").lstrip("/")).stat().st_size


@way(GROUP, "from shutil import copyfile")
def _(at: Place) -> object:
    return at.without_root(captured_copyfile(at("text.txt"), at("copy.txt")))


@way(GROUP, "attribute of a class")
def _(at: Place) -> object:
    return _reading(Holder.opener(at("text.txt"))), _reading(Holder().opener(at("text.txt")))


@way(GROUP, "staticmethod")
def _(at: Place) -> object:
    return Holder.static(at("data.bin")).st_size, Holder().static(at("data.bin")).st_size


@way(GROUP, "default argument of a method")
def _(at: Place) -> object:
    return Holder().read(at("text.txt"))


@way(GROUP, "default argument and keyword default of a function")
def _(at: Place) -> object:
    return by_default(at("text.txt"))


@way(GROUP, "functools.partial")
def _(at: Place) -> object:
    return _reading(READ(at("data.bin"))), STAT(at("data.bin")).st_size, NESTED(at("data.bin"))


@way(GROUP, "closure")
def _(at: Place) -> object:
    return CLOSURE(at("text.txt"))


@way(GROUP, "table of a module")
def _(at: Place) -> object:
    return _reading(TABLE[""](at("text.txt"))), _reading(TABLE[".raw"](at("text.txt")))


@way(GROUP, "attribute of an object that a module keeps")
def _(at: Place) -> object:
    return _reading(KEPT.open(at("text.txt"))), KEPT.stat(at("data.bin")).st_size


@way(GROUP, "list of a module")
def _(at: Place) -> object:
    return _reading(LIST[0](at("text.txt")))


@way(GROUP, "os.walk, os.makedirs and tempfile, by their own globals")
def _(at: Place) -> object:
    os.makedirs(at("x/y"))
    found = next(os.walk(at("dir")))[2]
    name = tempfile.mkdtemp(dir=at("x"))
    os.rmdir(name)
    os.removedirs(at("x/y"))
    return found, _reading(tokenize.open(at("code/way_module.py")))
