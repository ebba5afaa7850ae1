"""What a way is, and the list that the modules beside this one fill."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

Mode = Literal["sequential", "staged"]

TEXT: Final = "alpha\nbeta\ngamma\n"
DATA: Final = bytes(range(256)) * 40

MODULE: Final = b"""VALUE = 42


def fail():
    raise ValueError("from the mount")
"""


def seed() -> dict[str, bytes]:
    """What lies in the directory before each way: the same on the disk and in the bucket."""
    from tests.ways.archives import archives

    return {
        "text.txt": TEXT.encode(),
        "data.bin": DATA,
        "dir/one.txt": b"one",
        "dir/sub/two.txt": b"two",
        "code/way_module.py": MODULE,
        "code/way_package/__init__.py": b"NAME = __name__\n",
        "code/way_package/inner.py": b"from . import NAME\n\nDEEP = NAME + '.inner'\n",
        "code/way_package/resource.txt": b"a resource",
        "code/way_spread/part.py": b"PART = 'of a namespace'\n",
        "code/__main__.py": b"import way_module\n\nRESULT = way_module.VALUE + 1\n",
        **archives(),
    }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a way works: ``root`` is on the disk or on a mount, ``local`` always on the disk."""

    root: str
    local: str

    def __call__(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    def names(self, *parts: str) -> list[str]:
        return sorted(os.listdir(self(*parts)))

    def bytes_of(self, *parts: str) -> bytes:
        """By the plainest way there is."""
        with open(self(*parts), "rb") as file:
            return file.read()

    def without_root(self, text: str) -> str:
        return text.replace(self.root, "<root>")


@dataclass(frozen=True, slots=True)
class Way:
    """One way: ``run`` gives the same on a mount as on the disk, and leaves the same files."""

    group: str
    name: str
    run: Callable[[Place], object]
    mode: Mode
    needs: tuple[str, ...]
    """Modules that have to be installed."""
    same_bytes: bool
    """False where the files hold a time or a path, so that only their names are compared."""
    shared: bool
    """True where another process writes, so that the bucket has to be on a server."""

    @property
    def id(self) -> str:
        return f"{self.group}-{self.name}".replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Unreached:
    """A way that Python cannot be made to serve, and what ``run`` proves to happen instead: never wrong bytes."""

    group: str
    name: str
    run: Callable[[Place], None]
    """Asserts what ``instead`` says."""
    why: str
    instead: str
    mode: Mode


WAYS: Final[list[Way]] = []
UNREACHED: Final[list[Unreached]] = []

Function = Callable[[Place], Any]


def way(
    group: str, name: str, *, mode: Mode = "sequential", needs: str = "", same_bytes: bool = True, shared: bool = False
) -> Callable[[Function], Function]:
    """Put the function into the list."""

    def declare(function: Function) -> Function:
        WAYS.append(Way(group, name, function, mode, tuple(needs.split()), same_bytes, shared))
        return function

    return declare


def unreached(
    group: str, name: str, *, why: str, instead: str, mode: Mode = "sequential"
) -> Callable[[Function], Function]:
    """Declare a way that is not served."""

    def declare(function: Function) -> Function:
        UNREACHED.append(Unreached(group, name, function, why, instead, mode))
        return function

    return declare
