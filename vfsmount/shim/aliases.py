"""References that modules captured before they could be patched: found by identity in ``sys.modules``, and rebound.

``from os import stat`` leaves ``os.stat`` in a module's globals; ``def f(opener=open)`` in a function's defaults;
``stat = staticmethod( os.stat)`` in a class; ``OPENERS = {"": open}`` in a table or a list, which may be an attribute
of an object that the module keeps (so NumPy's loadtxt and savetxt open files). Modules are searched through their
``__dict__`` alone, since ``getattr`` on a lazy module loads it. The search looks at some fifty thousand values, so its
loops do next to nothing for a value that is neither wanted nor a container; and it ends as soon as the references found
are all that there are (see :mod:`vfsmount.shim.holders`).
"""

from __future__ import annotations

import enum
import functools
import gc
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CellType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, Final

from vfsmount.shim.holders import STARTED, Account, contents, is_own
from vfsmount.shim.patcher import MISSING, Change, Ledger, namespace_of

_likely: Final = set(
    """posix _io io logging subprocess _posixsubprocess tempfile tokenize bz2 gzip lzma tarfile zipfile shutil glob
    pathlib pathlib._local pathlib._abc importlib.resources._common socket ctypes numpy.lib._datasource numpy.lib.npyio
    numpy.lib._npyio_impl""".split()
)
"""Modules that capture something when they are imported: those of the standard library, and all in which a search of
this process found anything. They are looked at first; what is in others is found all the same."""

_unproved: Final[dict[frozenset[int], int]] = {}
"""Ids of objects that were undecided together, where the proof failed and the whole search found nothing either: a
place that none finds holds one of them, or garbage does that is not collected yet. With each, the searches since. No
proof is tried for them for a while, since it would cost half of the search that then follows."""

_UNPROVED: Final = 64
"""Such sets remembered."""

_PATIENCE: Final = 8
"""Searches after which another proof is tried."""

_class_dict: Final[Any] = vars(type)["__dict__"]

_HEAP_TYPE: Final = 1 << 9
"""Set for the classes that a ``class`` statement makes. Source: Include/object.h, Py_TPFLAGS_HEAPTYPE."""


def rebind(swaps: Iterable[tuple[object, object]], ledger: Ledger, *, beside: Iterable[Ledger] = ()) -> int:
    """Replace every captured reference to the first of each pair by the second; returns how many were found.

    Own modules (``vfsmount.*``) keep what they captured. ``beside``: other ledgers whose changes may hold the same.
    """
    enabled = gc.isenabled()
    gc.disable()  # what is counted is to be there until it is compared
    try:
        return _rebind(list(swaps), ledger, beside)
    finally:
        if enabled:
            gc.enable()


def _rebind(pairs: list[tuple[object, object]], ledger: Ledger, beside: Iterable[Ledger]) -> int:
    account = Account(pairs)
    for each in (ledger, *beside):
        account.put_all(each.changes())
    if not account.undecided():
        return 0
    search = _Search(pairs, ledger)
    known = len(ledger)
    likely = _likely | STARTED if gc.get_freeze_count() else _likely
    search.modules([(name, sys.modules[name]) for name in likely & sys.modules.keys()])
    account.put_all(ledger.changes(known))
    if not account.undecided():
        return search.found
    undecided = frozenset(map(id, account.undecided()))
    hopeless = _unproved.get(undecided, _PATIENCE) < _PATIENCE
    if not hopeless and account.is_closed():
        return search.found
    found = _Search(pairs, ledger)
    known = len(ledger)
    found.globals()
    account.put_all(ledger.changes(known))
    if hopeless or not account.is_closed():
        seen = len(ledger)
        found.everywhere()
        account.put_all(ledger.changes(seen))
        if hopeless:
            _unproved[undecided] += 1
        elif not found.found and account.undecided():
            if len(_unproved) >= _UNPROVED:
                _unproved.clear()
            _unproved[undecided] = 0
    _likely.update(_module_of(change.where) for change in ledger.changes(known))
    _likely.update(found.homes())
    return search.found + found.found


class _Search:
    """Looks through modules, some or all."""

    __slots__ = ("_ids", "_ledger", "_nameless", "_swaps", "found")

    def __init__(self, pairs: Iterable[tuple[object, object]], ledger: Ledger) -> None:
        self._swaps = {id(pair[0]): pair for pair in pairs}
        self._ids = frozenset(self._swaps)
        self._ledger = ledger
        self._nameless: set[int] = set()
        self.found = 0

    def globals(self) -> None:
        """Look at the globals of all modules, and no deeper."""
        disjoint = self._ids.isdisjoint
        for name, module in list(sys.modules.items()):
            if not is_own(name):
                held = namespace_of(module)
                if held and not disjoint(map(id, list(held.values()))):
                    self._globals(name, held)

    def everywhere(self) -> None:
        """Look at all that modules hold, and at what is inside it."""
        self.modules(list(sys.modules.items()))

    def homes(self) -> Iterator[str]:
        """The modules that have those tables, lists and partials in which something was found."""
        if self._nameless:
            for name, module in list(sys.modules.items()):
                held = namespace_of(module)
                if held and not self._nameless.isdisjoint(map(id, list(held.values()))):
                    yield name

    def modules(self, modules: Iterable[tuple[str, object]]) -> None:
        """The same for some modules."""
        functions: dict[int, FunctionType] = {}
        classes: dict[int, type] = {}
        partials: dict[int, functools.partial[object]] = {}
        tables: dict[int, dict[object, object]] = {}
        lists: dict[int, list[object]] = {}
        namespaces: dict[int, SimpleNamespace] = {}
        kinds: dict[type, dict[int, object] | None] = {
            FunctionType: functions,  # type: ignore[dict-item]
            functools.partial: partials,  # type: ignore[dict-item]
            dict: tables,  # type: ignore[dict-item]
            list: lists,  # type: ignore[dict-item]
            SimpleNamespace: namespaces,  # type: ignore[dict-item]
        }
        homes: dict[type, str] = {}
        disjoint = self._ids.isdisjoint
        for name, module in modules:
            if is_own(name):
                continue
            held = namespace_of(module)
            if held is None:
                continue
            values = list(held.values())
            if not disjoint(map(id, values)):
                self._globals(name, held)
            if name == "logging":
                for handler in _handlers(held):
                    self._object(name, handler, tables, lists)
            for value in values:
                kind = type(value)
                if kind in kinds:
                    store = kinds[kind]
                else:
                    # One verdict per type: metaclasses make classes, and most else is of no interest.
                    store = kinds[kind] = classes if issubclass(kind, type) else None  # type: ignore[assignment]
                    if store is None and _may_keep(kind):
                        homes[kind] = kind.__module__
                if store is not None:
                    store[id(value)] = value
                elif kind in homes and homes[kind] == name:  # what other modules keep of it, they have from here
                    self._object(name, value, tables, lists)
        for namespace in namespaces.values():
            self._object("", namespace, tables, lists)
        for held_list in lists.values():
            # `__all__` and its like, which are most of them, hold text.
            if held_list and type(held_list[0]) is not str and not disjoint(map(id, held_list)):
                self._nameless.add(id(held_list))
                self._list(held_list)
        for table in tables.values():
            if table and not disjoint(map(id, table.values())):
                self._nameless.add(id(table))
                self._globals("a table", table)
        self._inside(functions, classes, partials)

    def _inside(
        self,
        functions: dict[int, FunctionType],
        classes: dict[int, type],
        partials: dict[int, functools.partial[object]],
    ) -> None:
        disjoint = self._ids.isdisjoint
        for cls in classes.values():
            values = list(_attributes(cls).values())
            if not disjoint(map(id, values)):
                self._class(cls)
            for value in values:
                kind = type(value)
                if kind is FunctionType:
                    functions[id(value)] = value
                elif kind is staticmethod:
                    if id(value.__func__) in self._ids:
                        self._class(cls)
                    elif type(value.__func__) is FunctionType:
                        functions[id(value.__func__)] = value.__func__
        todo = list(functions.values())
        for function in todo:
            defaults, keywords, closure = function.__defaults__, function.__kwdefaults__, function.__closure__
            if defaults is None and keywords is None and closure is None:
                continue
            for cell in closure or ():
                within = contents(cell)  # what a decorator wraps
                if type(within) is FunctionType and id(within) not in functions:
                    functions[id(within)] = within
                    todo.append(within)
            if (
                (defaults and not disjoint(map(id, defaults)))
                or (keywords and not disjoint(map(id, keywords.values())))
                or (closure and not disjoint(map(id, map(contents, closure))))
            ) and not is_own(function.__globals__.get("__name__")):
                # Replacements hold the originals themselves, under borrowed module names: hence the globals' name.
                self._function(function)
        for partial in partials.values():
            self._partial(partial)

    # -- the places

    def _object(
        self, name: str, value: object, tables: dict[int, dict[object, object]], lists: dict[int, list[object]]
    ) -> None:
        held = namespace_of(value)
        if not held:
            return
        inside = list(held.values())
        if not self._ids.isdisjoint(map(id, inside)):
            self._globals(f"{name}.{type(value).__name__}", held)
        for found in inside:
            if type(found) is dict:
                tables[id(found)] = found
            elif type(found) is list:
                lists[id(found)] = found

    def _list(self, held: list[object]) -> None:
        for place, value in enumerate(held):
            if id(value) not in self._ids:
                continue

            def get(place: int = place) -> object:
                return held[place] if place < len(held) else MISSING

            def put(new: object, place: int = place) -> None:
                held[place] = new

            self._record(Change(f"a list[{place}]", value, self._new(value), get, put))

    def _globals(self, name: str, held: dict[Any, object]) -> None:
        for key, value in list(held.items()):
            if id(value) in self._ids:
                self._item(f"{name}.{key}", held, key, value)

    def _item(self, where: str, held: dict[Any, object], key: object, value: object) -> None:
        def get() -> object:
            return held.get(key, MISSING)

        def put(new: object) -> None:
            held[key] = new

        self._record(Change(where, value, self._new(value), get, put))

    def _class(self, cls: type) -> None:
        for key, value in list(_attributes(cls).items()):
            inner = value.__func__ if type(value) is staticmethod else value
            if id(inner) not in self._ids:
                continue
            new = self._new(inner)
            # A builtin in a class is no method; a function of ours there would become one.
            after = staticmethod(new) if isinstance(new, FunctionType) else new

            def get(key: str = key) -> object:
                return _attributes(cls).get(key, MISSING)

            def put(new: object, key: str = key) -> None:
                type.__setattr__(cls, key, new)

            try:
                self._record(Change(f"{cls.__module__}.{cls.__qualname__}.{key}", value, after, get, put))
            except TypeError:  # a class written in C cannot be changed
                continue

    def _function(self, function: FunctionType) -> None:
        where = f"{function.__module__}.{function.__qualname__}"
        before = function.__defaults__
        if before and not self._ids.isdisjoint(map(id, before)):

            def get() -> object:
                return function.__defaults__

            def put(new: object) -> None:
                function.__defaults__ = new  # type: ignore[assignment]

            self._record(Change(where, before, tuple(map(self._new, before)), get, put))
        keywords = function.__kwdefaults__ or {}
        for key, value in list(keywords.items()):
            if id(value) in self._ids:
                self._item(f"{where}({key}=)", keywords, key, value)
        for cell in function.__closure__ or ():
            if id(contents(cell)) in self._ids:
                self._cell(where, cell)

    def _cell(self, where: str, cell: CellType) -> None:
        value = cell.cell_contents

        def get() -> object:
            return contents(cell)

        def put(new: object) -> None:
            cell.cell_contents = new

        self._record(Change(where, value, self._new(value), get, put))

    def _partial(self, partial: Any) -> None:
        parts = (partial.func, *partial.args, *partial.keywords.values())
        if self._ids.isdisjoint(map(id, parts)):
            return
        self._nameless.add(id(partial))
        before = (partial.func, partial.args, partial.keywords)
        after = (
            self._new(partial.func),
            tuple(map(self._new, partial.args)),
            {key: self._new(value) for key, value in partial.keywords.items()},
        )

        def get() -> object:
            return after if partial.func is after[0] and _same(partial.args, after[1]) else MISSING

        def put(new: Any) -> None:
            partial.__setstate__((*new, partial.__dict__ or None))

        self._record(Change(f"partial of {partial.func!r}", before, after, get, put))

    def _new(self, value: object) -> object:
        pair = self._swaps.get(id(value))
        return value if pair is None else pair[1]

    def _record(self, change: Change) -> None:
        self._ledger.record(change)
        self.found += 1


def _attributes(cls: type) -> Mapping[str, Any]:
    # None for a class written in C that was never made ready; CPython's own _testcapi holds some.
    return _class_dict.__get__(cls) or {}


def _may_keep(kind: type) -> bool:
    """Whether objects of this type have attributes of their own that a module's author may have put a function into."""
    return bool(kind.__flags__ & _HEAP_TYPE and kind.__dictoffset__) and not issubclass(kind, (enum.Enum, ModuleType))


def _handlers(logging: dict[str, object]) -> list[object]:
    """Those of the class that opens files, which keeps an ``open`` in each: one that opens late does so with that."""
    known = logging.get("_handlerList")
    return [reference() for reference in known if callable(reference)] if isinstance(known, list) else []


def _module_of(where: str) -> str:
    while where and where not in sys.modules:
        where = where.rpartition(".")[0]
    return where


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(one is other for one, other in zip(left, right, strict=True))
