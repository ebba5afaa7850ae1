"""Pages of a listing out of obstore's two listings, with raw keys.

``list_with_delimiter`` returns a whole directory (a request for each thousand entries) and is exact: a marker comes
back with the listed prefix as its path, and a folded prefix can only be what it says. ``list`` is flat, streams, and
needs :mod:`.obstore_markers`. Tokens are the raw key or prefix that the page ended with, so any store can go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from vfsmount.errors import InvalidKey, NotSupported
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.obstore_client import Client
from vfsmount.store.obstore_keys import list_prefix, refusal
from vfsmount.store.obstore_markers import TOO_MANY, UNORDERED, raw_keys
from vfsmount.store.reach import childless

PAGE: Final = 1000
"""Keys in one answer of S3 and GCS; a chunk of that size takes exactly one request."""

BELOW_SLASH: Final = ".\U0010ffff"
"""``name + BELOW_SLASH`` is the last thing that sorts before ``name + "/"``, which obstore cannot start behind."""


def mtime_ns(when: datetime) -> int:
    """Nanoseconds since the epoch, exact to the microsecond."""
    return round(when.timestamp() * 1_000_000) * 1000


def metas(listed: Iterable[Any]) -> list[ObjectMeta]:
    """obstore's dictionaries as objects whose key is still the path obstore tells."""
    found = [
        ObjectMeta(o["path"], o["size"], round(o["last_modified"].timestamp() * 1_000_000) * 1000, o["e_tag"])
        for o in listed
    ]
    check_replaced([meta[0] for meta in found])
    return found


def check_replaced(paths: Sequence[str]) -> None:
    """Raises NotSupported for U+FFFD: obstore asks for no URL encoding, and a server whose XML cannot carry a control
    character may put that in its place (SeaweedFS does), so that the key would be another one."""
    if "\ufffd" in "".join(paths):
        for path in paths:
            if "\ufffd" in path:
                raise NotSupported(f"a key that XML may have changed: {path!r}", operation="list")


@dataclass(frozen=True, slots=True)
class Lister:
    """The listings of one bucket; raises StoreErrors of its own and whatever obstore raises."""

    client: Client
    bucket: str
    max_checks: int | None

    def directory(self, prefix: str, after: str) -> ListPage:
        """Everything directly below ``prefix`` that sorts behind ``after``: a request for each thousand entries."""
        found = self.client.api.list_with_delimiter(self.client.reader, list_prefix(prefix, bucket=self.bucket))
        objects, start = [], len(prefix)
        for meta in metas(found["objects"]):
            key = meta[0]
            if not key.startswith(prefix) or not key or key.find("/", start) >= 0:
                if not prefix or key != prefix[:-1]:
                    raise NotSupported(f"obstore listed {key!r} below {prefix!r}", operation="list", code=UNORDERED)
                meta = meta._replace(key=prefix)
            if not after or meta[0] > after:
                objects.append(meta)
        # At the root only the key prefix '/' comes back as ''. obstore sorts without the slash: 'a' before 'a-'.
        prefixes = sorted(path + "/" for path in found["common_prefixes"])
        check_replaced(prefixes)
        if any(not path.startswith(prefix) for path in prefixes):
            raise NotSupported(f"obstore listed a prefix beside {prefix!r}", operation="list", code=UNORDERED)
        if any(after.startswith(path) and after != path for path in prefixes):
            raise NotSupported("a start inside a folded prefix", operation="list", bucket=self.bucket, key=after)
        return ListPage(tuple(objects), tuple(path for path in prefixes if path > after))

    def flat(self, prefix: str, after: str, limit: int) -> ListPage:
        """Up to ``limit`` keys that start with ``prefix`` and sort behind ``after``: one request, and the checks.

        The token of a full page may stand for an empty one.
        """
        size = min(limit, PAGE)
        chunk, more = self._chunk(prefix, after, size)
        objects = tuple(islice(raw_keys(chunk, prefix, after, self, self.max_checks), size))
        skipped = bool(after) and bool(chunk) and chunk[0].key + "/" == after
        left = more or len(chunk) - skipped > len(objects)
        return ListPage(objects, (), objects[-1].key if left and objects else None)

    def folded(self, prefix: str, after: str, limit: int) -> ListPage:
        """Up to ``limit`` entries directly below ``prefix``, folded here from one flat request.

        For "is there anything below": ``list_with_delimiter`` would fetch the whole directory.
        """
        chunk, more = self._chunk(prefix, after, limit)
        objects: list[ObjectMeta] = []
        prefixes: list[str] = []
        latest = ""
        for meta in raw_keys(chunk, prefix, after, self, self.max_checks):
            head, slash, _ = meta.key[len(prefix) :].partition("/")
            entry = prefix + head + slash
            if slash and entry == latest:
                continue
            if len(objects) + len(prefixes) == limit:
                return ListPage(tuple(objects), tuple(prefixes), latest)
            latest = entry
            if slash:
                prefixes.append(entry)
            else:
                objects.append(meta)
        return ListPage(tuple(objects), tuple(prefixes), latest if more and latest else None)

    def first(self, prefix: str, *, ordered: bool) -> frozenset[str]:
        """One request that fails where listing is refused; see :func:`~vfsmount.store.reach.childless`."""
        api, start = self.client.api, list_prefix(prefix, bucket=self.bucket)
        chunk = next(api.list(self.client.reader, start, chunk_size=PAGE), ())
        return childless(metas(chunk), complete=len(chunk) < PAGE, ordered=ordered)

    def is_key(self, path: str) -> bool:
        api = self.client.api
        try:
            api.head(self.client.reader, path)
        except FileNotFoundError:
            return False
        except (api.exceptions.PermissionDeniedError, api.exceptions.UnauthenticatedError):
            # Whoever may list need not be allowed to read.
            raise NotSupported("an object that may be a marker", operation="list", code=TOO_MANY) from None
        return True

    def is_marker(self, path: str) -> bool:
        first = next(self.client.api.list(self.client.reader, path, chunk_size=1), ())
        return any(found["path"] == path for found in first)

    def _chunk(self, prefix: str, after: str, size: int) -> tuple[list[ObjectMeta], bool]:
        """The next keys as obstore tells them, in one request, and whether there may be more behind them.

        Up to two keys more than ``size`` where the request brings them anyway: one is the key to start behind (obstore
        cannot start behind a marker, only before it), one tells whether the last key has something below it.
        """
        offset: str | None = None
        if after:
            offset = after[:-1] + BELOW_SLASH if after.endswith("/") else after
            if refusal(offset) is not None:
                raise InvalidKey("a start that obstore cannot express", operation="list", bucket=self.bucket, key=after)
        wanted = min(size + 2, PAGE)
        where = list_prefix(prefix, bucket=self.bucket)
        stream = self.client.api.list(self.client.reader, where, offset=offset, chunk_size=wanted)
        chunk = metas(next(stream, ()))
        return chunk, len(chunk) == wanted
