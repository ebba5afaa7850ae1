"""Proving that a store can be listed, and keeping what the proof tells on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from vfsmount.model import ObjectMeta
from vfsmount.store.protocol import Store

ABOVE_SLASH: Final = "0"
"""The character behind ``/``: every key that starts with ``name + "/"`` sorts before ``name + "0"``."""


@runtime_checkable
class Reach(Protocol):
    """A store that can prove in its own way that it may list."""

    def reach(self, prefix: str) -> frozenset[str]:
        """One request; raises what listing raises. Answers some keys that have no keys below them; none is a promise
        too."""


def reach(store: Store, prefix: str) -> frozenset[str]:
    """Prove that ``prefix`` can be listed in ``store``, as cheaply as it can; one request."""
    if isinstance(store, Reach):
        return store.reach(prefix)
    store.list_page(prefix, limit=1)
    return frozenset()


def childless(objects: Sequence[ObjectMeta], *, complete: bool, ordered: bool) -> frozenset[str]:
    """Of the first page of a flat listing: the keys of which it shows that no key starts with them and a ``/``.

    Such a file is hidden by no directory, and to open it takes no listing. Empty objects are left out, because a client
    may tell a marker ``d/`` as an empty ``d``.

    >>> page = [ObjectMeta(key, 1, 0) for key in ("a", "a-b", "a/x", "b", "c")]
    >>> sorted(childless(page, complete=True, ordered=True)), sorted(childless(page, complete=False, ordered=True))
    (['a-b', 'a/x', 'b', 'c'], ['a-b', 'a/x', 'b'])
    """
    if not objects or not (complete or ordered):
        return frozenset()
    parents: set[str] = set()
    for meta in objects:
        parent = meta.key
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in parents:
                break
            parents.add(parent)
    empty = {meta.key for meta in objects if meta.size == 0}
    last = objects[-1].key
    return frozenset(
        meta.key
        for meta in objects
        if meta.key not in parents and meta.key not in empty and (complete or meta.key + ABOVE_SLASH <= last)
    )
