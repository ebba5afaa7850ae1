"""Proof that nobody holds an object any more but who is known to: what the interpreter counts against what is found.

The count of references to an object is exact, so where every one of them is accounted for there is no captured
reference left to look for, whatever ran before. The proof takes a millisecond; looking takes tens of them in a process
with hundreds of modules. Only references that were seen are put to the account, each once: what is forgotten here, or
is held by a frame or by C, leaves the proof undecided, and then the whole search is made.
"""

from __future__ import annotations

import _io
import gc
import mmap
import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ExtensionFileLoader
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Final

from vfsmount.shim.patcher import Change, namespace_of

CAPABILITIES: Final = ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids")
"""Sets in ``os`` that hold functions."""

_OWN: Final = "vfsmount"

_count: Final[Callable[[object], int] | None] = getattr(sys, "getrefcount", None)
"""CPython's; others look everywhere."""

_IMMORTAL: Final = 1 << 28
"""A count from here on counts nothing. Source: Include/internal/pycore_object.h, Python 3.12 and later."""

_TYPES_KNOWN: Final = sys.version_info < (3, 14)
"""What holds a class written in C was looked at in these versions; in later ones no class is proved to be free."""
_HEAP_TYPE: Final = 1 << 9
"""Source: Include/object.h, Py_TPFLAGS_HEAPTYPE."""

_instances: Final[dict[int, list[weakref.ref[Any]]]] = {}
"""By the id of a class: its instances when it was last looked at, ``sys.stdin``'s and such. From Python 3.12 on each
holds its class."""

_copies: Final[dict[int, dict[Any, Any]]] = {}
"""By id: those for which :func:`_is_of_a_module` was true. They stay, and what is in them is counted each time."""

_BLOCKS_OF_A_MODULE: Final = 4000
"""Blocks of memory to a module from which on it is the data of the program that lies there, and not its modules."""

_FROZEN_AT_START: Final = 1000
"""Python 3.12 freezes 375 objects before it runs anything: those of the modules in STARTED. A program that freezes what
it has loaded freezes thousands."""

STARTED: Final = frozenset(
    """sys builtins _frozen_importlib _frozen_importlib_external _imp _thread _warnings _weakref _io marshal posix time
    zipimport _codecs codecs encodings encodings.aliases encodings.utf_8 _signal _abc abc io __main__""".split()
)
"""Modules that are loaded before ``site``; their objects may be frozen, so they are searched where that matters."""

_NO_PLACES: Final = frozenset(
    {set, frozenset, FrameType, GeneratorType, CoroutineType, AsyncGeneratorType, TracebackType, ModuleType}
)
"""What no search rebinds anything in."""


class Account:
    """What is known to hold some objects."""

    __slots__ = ("_known", "_pairs", "_seen")

    def __init__(self, pairs: list[tuple[object, object]]) -> None:
        """For the first of each pair. Each pair holds it once, and no other tuple of the caller's does."""
        self._pairs = pairs
        self._known: dict[int, int] = {id(pair[0]): 1 for pair in pairs}
        self._seen: set[int] = set()
        self._own_modules()
        # From Python 3.12 on, io.open is in that module's state. No other module is asked: what _asyncio shows of its
        # own are dead objects, and whoever holds one of them for a moment makes it die twice.
        self._values(gc.get_referents(sys.modules.get("_zoneinfo")))
        for name in CAPABILITIES:
            self._values(getattr(os, name, ()))
        self._functions([each for pair in pairs for each in pair])
        for pair in pairs:
            if isinstance(pair[0], type):
                self._known[id(pair[0])] += _held_by_itself(pair[0])

    def put(self, held: object) -> None:
        """One more reference to ``held``: one of the objects, or a tuple, table or staticmethod with some inside."""
        if id(held) in self._known:
            self._known[id(held)] += 1
        elif isinstance(held, (tuple, dict, staticmethod)) and id(held) not in self._seen:
            self._seen.add(id(held))
            if isinstance(held, staticmethod):
                self.put(held.__func__)
            else:
                for each in held.values() if isinstance(held, dict) else held:
                    self.put(each)

    def undecided(self) -> list[object]:
        """Those of the objects that may be held elsewhere too."""
        if _count is None:
            return [pair[0] for pair in self._pairs]
        sample = (object(),)
        idle = _count(sample[0]) - 1
        known = self._known
        copied = Counter(id(value) for copy in _copies.values() for value in copy.values() if id(value) in known)
        found = []
        for pair in self._pairs:
            count = _count(pair[0])
            held = count - idle - copied[id(pair[0])]
            if held != known[id(pair[0])] and not self._is_in_use(pair[0], held):
                found.append(pair[0])
            elif count >= _IMMORTAL or (isinstance(pair[0], type) and not _TYPES_KNOWN):
                found.append(pair[0])
        return found

    def put_all(self, changes: list[Change]) -> None:
        """What a ledger's changes keep in order to be undone."""
        for change in changes:
            self.put(change.before)

    def is_closed(self) -> bool:
        """True where all that holds the objects, as far as the garbage collector can see, is known or no place that
        could be rebound; what is left is held by C.

        False without a look where that would take longer than the search: it passes over every object that there is.
        """
        if sys.getallocatedblocks() > _BLOCKS_OF_A_MODULE * len(sys.modules):
            return not self.undecided()
        closed = self._sees_no_place()
        # What is frozen was passed over; but the instances seen may be all that was not accounted for.
        return (closed and gc.get_freeze_count() < _FROZEN_AT_START) or not self.undecided()

    def _sees_no_place(self) -> bool:
        undecided = tuple(self.undecided())  # the one that is given: Python 3.13 finds it, too
        if not undecided:
            return True
        kinds = [each for each in undecided if isinstance(each, type)]
        classes = {each for kind in kinds for each in (kind, *_below(kind))}
        known = {id(undecided), id(kinds), id(classes), *map(id, self._pairs), *self._seen}
        for each in classes:
            known |= {id(each), id(each.__mro__), id(each.__bases__)}
        found = gc.get_referrers(*undecided)
        for kind in kinds:
            _instances[id(kind)] = [weakref.ref(each) for each in found if type(each) is kind]
        _copies.update((id(each), each) for each in found if type(each) is dict and _is_of_a_module(each))
        return all(
            id(holder) in known
            or type(holder) in _NO_PLACES
            or type(holder) in kinds
            or is_own(type(holder).__module__)
            or getattr(holder, "__objclass__", None) in kinds
            or getattr(holder, "__self__", None) in kinds
            or id(holder) in _copies
            for holder in found
        )

    def _is_in_use(self, kind: object, count: int) -> bool:
        """True where the references that are left over to a class are those of instances known."""
        known = _instances.get(id(kind))
        if not known:
            return False
        alive = {id(each): each for each in (reference() for reference in known) if type(each) is kind}
        return count == self._known[id(kind)] + len(alive)

    def _own_modules(self) -> None:
        disjoint = self._known.keys().isdisjoint
        for name, module in list(sys.modules.items()):
            if name.startswith(_OWN) and is_own(name):
                held = namespace_of(module)
                if held and id(held) not in self._seen and not disjoint(map(id, held.values())):
                    self._seen.add(id(held))
                    self._values(held.values())

    def _values(self, values: Iterable[object]) -> None:
        known = self._known
        for value in values:
            if id(value) in known:
                known[id(value)] += 1

    def _functions(self, roots: list[object]) -> None:
        """What our functions hold in their closures and attributes, from the replacements on."""
        todo = roots
        visited = self._seen
        while todo:
            each = todo.pop()
            if type(each) is MethodType:
                each = each.__func__
            if id(each) in visited:
                continue
            if isinstance(each, type):
                visited.add(id(each))
                todo += _functions_of(each)
            elif type(each) is FunctionType and is_own(each.__globals__.get("__name__")):
                visited.add(id(each))
                visited.add(id(each.__dict__))
                self._values(each.__dict__.values())
                self.put(each.__defaults__)
                self.put(each.__kwdefaults__)
                wrapped: Any = each.__dict__.get("__wrapped__")
                if is_own(type(wrapped).__module__):
                    self._values((wrapped.__wrapped__,))
                for cell in each.__closure__ or ():
                    if id(cell) not in visited:
                        visited.add(id(cell))
                        content = contents(cell)
                        self._values((content,))
                        if type(content) in (FunctionType, MethodType):
                            todo.append(content)
                        elif is_own(type(content).__module__) and id(content) not in visited:
                            self._attributes(content)
            elif is_own(type(each).__module__):  # it stands in for a class
                todo += self._attributes(each)

    def _attributes(self, own: object) -> list[object]:
        """What an object of ours holds; returns the functions among it."""
        held = namespace_of(own) or {}
        self._seen |= {id(own), id(held)}
        self._values(held.values())
        return [value for value in held.values() if type(value) in (FunctionType, MethodType)]


def _is_of_a_module(held: dict[Any, Any]) -> bool:
    """True for the copy of its names that an extension module is imported from again; not for those themselves."""
    name = held.get("__name__")
    names = namespace_of(sys.modules.get(name)) if isinstance(name, str) else None
    return names is not None and names is not held and isinstance(names.get("__loader__"), ExtensionFileLoader)


def _held_by_itself(kind: type) -> int:
    """References to a class that are there because it is one, and has subclasses."""
    held = 1  # its own resolution order
    for value in vars(kind).values():  # descriptors, and the `__new__` of C
        held += getattr(value, "__objclass__", None) is kind or getattr(value, "__self__", None) is kind
    for subclass in _below(kind):
        held += (subclass.__base__ is kind) + subclass.__bases__.count(kind) + subclass.__mro__.count(kind)
    # A class that is static in C is born with a reference; the module that makes another may keep one for itself.
    held += not kind.__flags__ & _HEAP_TYPE
    for module in (_io, mmap):
        held += sum(each is kind for each in gc.get_referents(module))
    return held


def _below(kind: type) -> set[type]:
    found: set[type] = set()
    todo: list[type] = type.__subclasses__(kind)
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += type.__subclasses__(each)
    return found


def _functions_of(kind: type) -> Iterator[object]:
    """Functions in the bodies of a class of ours, of its metaclass and of its subclasses that are ours."""
    for each in (kind, *type.__subclasses__(kind)):
        if is_own(type(each).__module__):
            yield from vars(each).values()
            yield from vars(type(each)).values()


def contents(cell: CellType) -> object:
    """What a closure's cell holds; None while it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def is_own(name: object) -> bool:
    """True for the name of a module of ours."""
    return isinstance(name, str) and name.partition(".")[0] == _OWN
