"""Keys to names and back: pure, no I/O.

A mount-relative path is a ``str`` without a leading slash; ``""`` is the root. A key is ``key_prefix`` plus that path;
a directory's prefix is its key plus ``/``. Source: Mountpoint SEMANTICS, "Mapping S3 object keys to files and
directories".
"""

from __future__ import annotations

import errno
from typing import Final

NAME_MAX: Final = 255
"""Bytes of UTF-8 in one name (Linux NAME_MAX)."""

KEY_MAX: Final = 1024
"""Bytes of UTF-8 in one key (S3)."""


def key_of(key_prefix: str, path: str) -> str:
    """The key that a file at ``path`` has."""
    return key_prefix + path


def prefix_of(key_prefix: str, path: str) -> str:
    """What all keys below the directory ``path`` start with."""
    return f"{key_prefix}{path}/" if path else key_prefix


def parent_of(path: str) -> str:
    """The directory that ``path`` is in.

    >>> parent_of("a/b"), parent_of("a"), parent_of("")
    ('a', '', '')
    """
    return path.rpartition("/")[0]


def ancestors_of(path: str) -> list[str]:
    """All directories above ``path`` but the root, nearest first.

    >>> ancestors_of("a/b/c")
    ['a/b', 'a']
    """
    found = []
    while path := parent_of(path):
        found.append(path)
    return found


def child_of(path: str, name: str) -> str:
    """``name`` in the directory ``path``."""
    return f"{path}/{name}" if path else name


def visible(name: str) -> bool:
    """True where a key's segment can be a file name.

    1. ``a//b``: an empty segment     2. ``a/./b``: ``.``     3. ``a/../b``: ``..``
    4. a NUL                          5. more than 255 bytes of UTF-8
    """
    if not name or name in (".", "..") or "\0" in name or "/" in name:
        return False
    return len(name) <= NAME_MAX // 4 or len(name.encode("utf-8", "surrogatepass")) <= NAME_MAX


def name_in(prefix: str, key: str) -> str | None:
    """The name that an object's key, or a common prefix, gives in the listing of ``prefix``; None where it is hidden.

    >>> name_in("d/", "d/x"), name_in("d/", "d/sub/"), name_in("d/", "d/"), name_in("d/", "d//")
    ('x', 'sub', None, None)
    """
    name = key[len(prefix) :].removesuffix("/")
    return name if visible(name) else None


def path_error(key_prefix: str, path: str) -> int | None:
    """Why no file can be at ``path``: ENAMETOOLONG, EILSEQ for a name that is not text, or None."""
    try:
        raw = path.encode("utf-8")
    except UnicodeEncodeError:
        return errno.EILSEQ
    if len(raw) > NAME_MAX and any(len(name) > NAME_MAX for name in raw.split(b"/")):
        return errno.ENAMETOOLONG
    if len(raw) + len(key_prefix.encode("utf-8")) > KEY_MAX:
        return errno.ENAMETOOLONG
    return None
