"""Raw keys recovered from obstore's flat listings. Pure, but for two questions put to the store.

obstore strips a slash at either end of every key it lists, so a listed path ``p`` may be the key ``p`` or the marker
``p/``, and, at the root of a bucket, ``/p``. The order of the listing settles most cases for nothing: raw keys ascend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from vfsmount.errors import NotSupported
from vfsmount.model import ObjectMeta

UNORDERED: Final = "UnorderedListing"
"""``code`` of a listing whose keys do not ascend as S3's do, or hold a key with a leading slash."""
TOO_MANY: Final = "TooManyMarkers"
"""``code`` of a page with more ambiguous keys than are worth a request each, or than the caller may ask for."""


class Oracle(Protocol):
    """Who can tell a key from a marker."""

    def is_key(self, path: str) -> bool:
        """Whether there is an object at exactly ``path``; one request."""

    def is_marker(self, path: str) -> bool:
        """Whether there is an object at exactly ``path + "/"``; one request."""


def raw_keys(
    listed: Sequence[ObjectMeta], prefix: str, after: str, oracle: Oracle, max_checks: int | None
) -> Iterator[ObjectMeta]:
    """``listed`` (in the order it came) with raw keys; ``after`` is the raw key that the listing started behind.

    A path is asked for only where it may be a marker: a zero-byte object, or one that the next key lies below. Where a
    page of a bucket's root crosses the place of keys with a leading slash, the two paths beside it are asked for too.
    Not noticed: a marker that holds bytes and has nothing below it; and, until a later page, a key with a leading slash
    that comes first of its kind and has a twin without the slash.
    Raises NotSupported (UNORDERED, TOO_MANY) where the answer is not certain; nothing has been yielded wrongly by then.
    """
    checks = 0
    at_root = not prefix and after < "0"  # "0" is the character behind "/"
    previous = after
    for index, meta in enumerate(listed):
        path = meta.key
        following = listed[index + 1].key if index + 1 < len(listed) else None
        if prefix and path == prefix[:-1]:
            key = prefix
        elif not path or not path.startswith(prefix):
            raise NotSupported(f"obstore listed {path!r} below {prefix!r}", operation="list", code=UNORDERED)
        elif at_root and (path >= "0" or following is None or following >= "0"):
            # Keys with a leading slash lie between those that start below "0" and the others. So where there are any,
            # the last of the first kind or the first of the second has one.
            at_root = path < "0"
            key = _beside_slash(path, previous, oracle)
        elif previous and path <= previous:
            key = path + "/"
            # Below a prefix only a marker comes back so; at the root also the twin of a key with a leading slash.
            if not prefix and not oracle.is_marker(path):
                raise NotSupported("a key with a leading slash", operation="list", code=UNORDERED)
        elif following is not None and following + "/" <= path + "/" and (prefix or following != path):
            key = path
        elif meta.size == 0 or (following is not None and (following == path or following.startswith(path + "/"))):
            checks += 1
            if max_checks is not None and checks > max_checks:
                raise NotSupported("many objects that may be markers", operation="list", code=TOO_MANY)
            key = path if oracle.is_key(path) else path + "/"
        else:
            key = path
        if previous and key <= previous:
            if key == after:
                continue  # the marker that the listing was to start behind
            raise NotSupported("the keys do not ascend", operation="list", code=UNORDERED)
        previous = key
        yield meta if key is path else meta._replace(key=key)


def _beside_slash(path: str, previous: str, oracle: Oracle) -> str:
    if path > previous and oracle.is_key(path):
        return path
    if oracle.is_marker(path):
        return path + "/"
    raise NotSupported("a key with a leading slash", operation="list", code=UNORDERED)
