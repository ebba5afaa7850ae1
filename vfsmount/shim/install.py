"""Putting all replacements in place, and taking them out again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import FunctionType, MethodType

from vfsmount.shim.aliases import rebind
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.holders import CAPABILITIES
from vfsmount.shim.patcher import MISSING, Ledger, lookup, stand_in

Pairs = list[tuple[object, object]]
"""Each original with its replacement."""


class Installation:
    """What :func:`install` changed."""

    __slots__ = ("_added", "_ledger", "_pairs", "left")

    def __init__(self, ledger: Ledger, pairs: Pairs, added: list[tuple[set[object], object]]) -> None:
        self._ledger = ledger
        self._pairs = pairs
        self._added = added
        self.left: list[str] = []
        """Names that :meth:`undo` found patched by somebody else, and left as they were."""

    def undo(self, *, then: Callable[[], Pairs] | None = None) -> None:
        """Restore what is still ours, also in modules that captured a replacement meanwhile. Twice is once.

        ``then`` is called when the names are restored, and restores more: as in :func:`install`.
        """
        self.left += self._ledger.undo()
        while self._added:
            capability, function = self._added.pop()
            capability.discard(function)
            del function
        # No other tuple holds what is looked for while it is: see holders.Account.
        back = [(new, old) for old, new in self._pairs]
        self._pairs = []
        try:
            if then is not None:
                back += [(new, old) for old, new in then()]
        finally:
            if back:
                rebind(back, Ledger())

    @property
    def replaced(self) -> Pairs:
        """Pairs of (original, replacement)."""
        return list(self._pairs)


def install(
    context: ShimContext,
    sources: Iterable[Callable[[ShimContext], Iterable[Replacement]]] | None = None,
    *,
    then: Callable[[], tuple[Pairs, Ledger]] | None = None,
) -> Installation:
    """Patch every name that the shim's modules replace, and rebind what captured the originals.

    ``sources``: the ``replacements`` functions to take, all of the shim's unless a test says otherwise. ``then`` is
    called when the names are patched, and patches more; what captured the originals that it returns is rebound as well,
    in the same search. It returns the ledger of what it did, too.
    """
    pairs, planned = _plan(context, all_sources() if sources is None else sources)
    ledger = Ledger()
    try:
        for replacement, function in planned:
            ledger.patch(replacement.namespace, replacement.name, function)
        more, beside = ([], Ledger()) if then is None else then()
        rebind([*pairs, *more], ledger, beside=(beside,))
    except BaseException:
        ledger.undo()
        raise
    return Installation(ledger, pairs, _support(pairs))


def _plan(
    context: ShimContext, sources: Iterable[Callable[[ShimContext], Iterable[Replacement]]]
) -> tuple[Pairs, list[tuple[Replacement, object]]]:
    """Each original with what replaces it, and each name to patch with what it becomes."""
    wanted: dict[int, tuple[object, object]] = {}
    planned: list[tuple[Replacement, object]] = []
    for source in sources:
        for replacement in source(context):
            original = lookup(replacement.namespace, replacement.name)
            if original is MISSING or original is replacement.function:
                continue
            if id(original) not in wanted:
                wanted[id(original)] = original, stand_in(replacement.function, original)
            planned.append((replacement, wanted[id(original)][1]))
    return list(wanted.values()), planned


def _support(pairs: Iterable[tuple[object, object]]) -> list[tuple[set[object], object]]:
    """Make each replacement a member of the ``os.supports_*`` sets that its original is in."""
    added: list[tuple[set[object], object]] = []
    for name in CAPABILITIES:
        capability = vars(os).get(name)
        if not isinstance(capability, set):
            continue
        for original, function in pairs:
            if (
                isinstance(function, (FunctionType, MethodType))
                and original in capability
                and function not in capability
            ):
                capability.add(function)
                added.append((capability, function))
    return added


def all_sources() -> list[Callable[[ShimContext], Iterable[Replacement]]]:
    """The ``replacements`` functions of the shim's modules, which are imported here."""
    from vfsmount.shim import dirs, fdcalls, fileobjects, imports, inheritance, paths, process, traversals

    return [
        paths.replacements,
        dirs.replacements,
        imports.replacements,
        fdcalls.replacements,
        fileobjects.replacements,
        process.replacements,
        traversals.replacements,
        inheritance.replacements,
    ]
