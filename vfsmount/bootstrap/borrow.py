"""What vfsmount needs, from the environment that vfsmount is in, for a program whose own environment has none of it."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def allow(places: Sequence[str]) -> None:
    """Let the packages that vfsmount requires, and no others, be imported from the directories ``places`` where the
    program's own environment lacks them."""
    sys.meta_path.append(_Borrowing(list(places)))


class _Borrowing:
    """The last finder: answers for vfsmount's requirements alone."""

    def __init__(self, places: list[str]) -> None:
        self._places = places
        self._names: frozenset[str] | None = None

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if path is not None:
            return None
        if self._names is None:
            self._names = frozenset()  # for what is imported meanwhile
            self._names = _requirements(self._places)
        return PathFinder.find_spec(name, self._places, target) if name in self._names else None


def _requirements(places: list[str]) -> frozenset[str]:
    """Top-level modules of vfsmount's requirements and of theirs."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for each in importlib.metadata.distributions(path=places):
        name = each.metadata["Name"]
        if name:
            found[_normal(name)] = each
    names: set[str] = set()
    seen: set[str] = set()
    waiting = ["vfsmount"]
    while waiting:
        distribution = found.get(waiting.pop())
        if distribution is None:
            continue
        for requirement in distribution.requires or ():
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement and (name := _normal(match[0])) not in seen:
                seen.add(name)
                waiting.append(name)
        if distribution is not found.get("vfsmount"):
            for file in distribution.files or ():
                top = file.parts[0]
                if top.endswith(".py") and len(file.parts) == 1:
                    names.add(top[:-3])
                elif top.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
                    names.add(top.partition(".")[0])
                elif top.isidentifier() and len(file.parts) > 1:
                    names.add(top)
    return frozenset(names)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
