"""Pages of a listing, cut from keys that are already in memory.

Pure: for stores that have no listing request of their own to page through (memory, most fsspec file systems).
Python compares ``str`` by code point, which is the byte order of UTF-8, so a plain sort is the order S3 lists in.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

AFTER_SLASH: Final = "0"
"""The character after ``/``: ``name + "0"`` sorts right behind everything below ``name + "/"``."""


class KeyPage(NamedTuple):
    """One page: raw keys, folded prefixes, and the token of the next page."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    token: str | None


def page(
    keys: Sequence[str],
    prefix: str,
    *,
    delimiter: bool,
    token: str | None = None,
    start_after: str | None = None,
    limit: int = 1000,
) -> KeyPage:
    """The page of the sorted ``keys`` that ``token`` stands for; it costs the page, not the bucket."""
    index = bisect_left(keys, prefix)
    if start_after is not None:
        index = max(index, bisect_right(keys, start_after))
    if token is not None:
        index = max(index, bisect_left(keys, token))
    found: list[str] = []
    folded: list[str] = []
    while index < len(keys) and keys[index].startswith(prefix):
        key = keys[index]
        if len(found) + len(folded) >= limit:
            # The token is the first key not returned; a bisect finds its place even if it is gone by then.
            return KeyPage(tuple(found), tuple(folded), key)
        cut = key.find("/", len(prefix)) if delimiter else -1
        if cut < 0:
            found.append(key)
            index += 1
            continue
        fold = key[: cut + 1]
        # As S3 does: a prefix that is itself the start was already given to whoever starts after it.
        if fold != start_after:
            folded.append(fold)
        index = bisect_left(keys, fold[:-1] + AFTER_SLASH, index)
    return KeyPage(tuple(found), tuple(folded), None)


def unordered_page(
    keys: Sequence[str],
    prefix: str,
    *,
    delimiter: bool,
    token: str | None = None,
    start_after: str | None = None,
    limit: int = 1000,
) -> KeyPage:
    """The same entries in a stable order that is not the keys' own, as where ``ordered_list`` is False."""
    whole = page(keys, prefix, delimiter=delimiter, start_after=start_after, limit=len(keys) + 1)
    ranked = sorted((_rank(name), name) for name in (*whole.keys, *whole.prefixes))
    first = 0 if token is None else bisect_left(ranked, (token, ""))
    chosen = [name for _, name in ranked[first : first + limit]]
    rest = ranked[first + limit : first + limit + 1]
    folded = set(whole.prefixes)
    return KeyPage(
        tuple(name for name in chosen if name not in folded),
        tuple(name for name in chosen if name in folded),
        rest[0][0] if rest else None,
    )


def _rank(name: str) -> str:
    return hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
