"""The directories of a subtree out of one flat listing: a request for each thousand keys, not for each directory.

Keys below one directory lie together in every order that services list in, so a directory is known as soon as the
listing has passed it. It is held for a few pages only. A directory that is larger than that is listed by itself, and
its children come out of the flat listing again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple

from vfsmount import real
from vfsmount.clock import FOREVER
from vfsmount.errors import StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store.protocol import ListObjects
from vfsmount.transfer.pool import Submit
from vfsmount.vfs.attrs import AttrCache

PAGE: Final = 1000
"""Keys that one request brings, and names that a listing of one directory brings with each."""

PAGES: Final = 10
"""Held at once; about 4 MB."""

CREDIT: Final = 2.0
"""Requests that may be wasted at the start of a traversal, on one that looks at a few directories only."""

MOST_CREDIT: Final = 8.0
"""And later on, after it went deep."""

EARNED_BY_LISTING: Final = 0.25
"""Credit for each directory that is listed by itself: a traversal that prunes wastes one request in five."""

SURE: Final = 4.0
"""Credit from which on the next page is fetched while this one is used."""

NAMED: Final = 10_000
"""Directories remembered that the traversal was told of and has not come to."""


class Listed(NamedTuple):
    """What lies directly in one directory."""

    page: ListPage
    since: float
    """When it was asked for (monotonic seconds)."""
    epoch: int
    """Of the attr cache, before it was asked for."""


class _Page(NamedTuple):
    """A piece of the flat listing: all keys behind ``low`` up to ``high``."""

    low: str
    high: str
    objects: tuple[ObjectMeta, ...]
    since: float
    epoch: int
    """Of its request, or of the one before: where its first key was to be, that one's token may have said already."""
    asked: _Asked


class _Asked(NamedTuple):
    future: Future[ListPage]
    since: float
    epoch: int


class FlatListing:
    """What one traversal has of one mount. Answers only what no request of its own could answer otherwise.

    Not for several threads at once. Nothing it tells is older than ``ttl`` seconds, or than a change made here.
    """

    def __init__(
        self,
        store: ListObjects,
        cache: AttrCache,
        *,
        ordered: bool,
        ttl: float,
        now: Callable[[], float],
        submit: Submit,
    ) -> None:
        """``ordered``: keys come in the order of their bytes; else perhaps in that of their segments."""
        self._store: Final = store
        self._cache: Final = cache
        self._ordered: Final = ordered
        self._ttl: Final = ttl
        self._now: Final = now
        self._submit: Final = submit
        self._orders: tuple[Callable[[str], str], ...] = (_by_bytes,) if ordered else (_by_segments, _by_bytes)
        """In which keys may come, as far as was seen; with none left nothing can be told."""
        self._scope: str | None = None
        self._low = ""
        """Where it was begun last."""
        self._pid = real.getpid()
        self._pages: list[_Page] = []
        self._token: str | None = None
        self._complete = False
        self._next: _Asked | None = None
        self._credit = CREDIT
        self._named: OrderedDict[str, None] = OrderedDict()
        self._back = 1
        """Directories before the one asked for that a page begins with, in a traversal that goes backwards."""

    def directory(self, prefix: str, changed_since: Callable[[int], bool]) -> Listed | None:
        """What lies directly below ``prefix``; None where it is to be listed by itself.

        ``changed_since``: whether it was changed here since an epoch. Costs no request or a few, see ``CREDIT``.
        """
        self._named.pop(prefix, None)
        run = self._run(prefix)
        if run is None or changed_since(min(page.epoch for page in run)):
            self._credit = min(MOST_CREDIT, self._credit + EARNED_BY_LISTING)
            return None
        objects: list[ObjectMeta] = []
        prefixes: dict[str, None] = {}
        start = len(prefix)
        for meta in self._below(prefix, run):
            cut = meta.key.find("/", start)
            if cut < 0 or cut + 1 == start:
                objects.append(meta)
            else:
                prefixes[meta.key[: cut + 1]] = None
        self._credit = min(MOST_CREDIT, self._credit + max(1, (len(objects) + len(prefixes)) / PAGE))
        if run[-1] is self._pages[-1] and self._credit >= SURE and not self._complete and self._next is None:
            self._next = self._ask()
        return Listed(
            ListPage(tuple(objects), tuple(prefixes)),
            min(page.since for page in run),
            min(page.epoch for page in run),
        )

    def named(self, prefixes: list[str]) -> None:
        """The traversal was told of these directories."""
        for prefix in prefixes:
            if len(self._named) >= NAMED:
                self._named.popitem(last=False)
            self._named[prefix] = None

    def has_directory(self, prefix: str, changed_since: Callable[[int], bool]) -> bool:
        """True where something lies below ``prefix``, of which the traversal was told; at most a request, which lists
        it too.
        """
        if prefix not in self._named:
            return False
        if not self._covers_start(prefix) and (self._credit < 1 or not self._restart(prefix)):
            return False
        for meta in self._below(prefix, self._pages):
            return not changed_since(min(page.epoch for page in self._pages)) and bool(meta.key)
        return False

    def held(self, prefix: str) -> list[tuple[ObjectMeta, int, bool]]:
        """The objects below ``prefix`` that are known without a request, each with the epoch before it was asked for,
        and whether all keys below it, were it a directory, are known too.
        """
        oldest = self._now() - self._ttl
        if not self._orders or self._pid != real.getpid():
            return []
        last = "" if self._complete or not self._pages else self._pages[-1].high
        return [
            (meta, page.epoch, not last.startswith(meta.key))
            for page in self._pages
            if page.since > oldest
            for meta in page.objects
            if meta.key.startswith(prefix)
        ]

    # -- where the listing stands

    def _run(self, prefix: str) -> list[_Page] | None:
        """The pages with all that is below ``prefix``; None where it is too large, or unknown."""
        if self._pid != real.getpid():
            self._pid, self._next = real.getpid(), None  # the parent's request never arrives here
        fresh = self._covers_start(prefix)
        while len(self._pages) >= PAGES and self._before(self._pages[0].high, prefix):
            del self._pages[0]
        if not fresh and (self._credit < 1 or not self._restart(prefix)):
            return None
        first = not fresh and self._credit < CREDIT
        while not self._passed(prefix):
            # A page at the most for a traversal's first directory, more for what lies across the end of a page.
            if first or self._credit < 1 or len(self._pages) >= PAGES or not self._advance():
                return None
        return [page for page in self._pages if not self._before(page.high, prefix) or page is self._pages[-1]]

    def _covers_start(self, prefix: str) -> bool:
        oldest = self._now() - self._ttl
        while self._pages and self._pages[0].since <= oldest:
            del self._pages[0]
        if not self._pages or not self._orders or self._scope is None or not prefix.startswith(self._scope):
            return False
        low, high = self._pages[0].low, self._pages[-1].high
        if low and low != prefix and not all(order(low) < order(prefix) for order in self._orders):
            return False
        return self._complete or all(order(prefix) <= order(high) for order in self._orders)

    def _passed(self, prefix: str) -> bool:
        if self._complete:
            return True
        high = self._pages[-1].high
        return not high.startswith(prefix) and all(order(high) > order(prefix) for order in self._orders)

    def _before(self, key: str, prefix: str) -> bool:
        return all(order(key) < order(prefix) for order in self._orders)

    def _below(self, prefix: str, pages: list[_Page]) -> list[ObjectMeta]:
        found: list[ObjectMeta] = []
        order = self._orders[0]
        for page in pages:
            objects = page.objects
            index = bisect_left(objects, order(prefix), key=lambda meta: order(meta.key))
            while index < len(objects) and objects[index].key.startswith(prefix):
                found.append(objects[index])
                index += 1
        return found

    # -- requests

    def _restart(self, prefix: str) -> bool:
        """Begin at ``prefix``; what lies behind it in the traversal's first directory comes too, where it can."""
        if not self._orders:
            return False
        self._pages.clear()
        self._next = None
        self._complete = False
        self._token = None
        if self._scope is None or not prefix.startswith(self._scope) or not self._ordered:
            self._scope, low = prefix, ""
        elif prefix < self._low:  # backwards, as pathlib and shutil go from Python 3.13 on: its siblings come next
            low = self._low_before(prefix)
        else:
            low = prefix
        back, self._low = prefix < self._low, low
        if not self._add(low, self._ask(low, submit=False)):
            return False
        if back:
            size = max(1, len(self._pages[-1].objects))
            fitting = min(2 * self._back, self._back * PAGE * 3 // 4 // size)
            self._back = fitting if self._passed(prefix) else self._back // 4
        return True

    def _low_before(self, prefix: str) -> str:
        """Where to begin so that the page holds what comes next where a traversal goes backwards: with some of the
        directories before this one that it was told of, as many as a page seems to hold.
        """
        scope = self._scope or ""
        level = prefix[: prefix.index("/", len(scope)) + 1] if len(prefix) > len(scope) else ""
        depth = level.count("/")
        before = sorted(one for one in self._named if one < level and one.startswith(scope) and one.count("/") == depth)
        if before and self._back:
            return before[-min(self._back, len(before))]
        low = prefix[: prefix.rindex("/", 0, -1) + 1] if "/" in prefix[:-1] else ""
        return low if low.startswith(scope) and low != scope else ""

    def _advance(self) -> bool:
        asked = self._next or self._ask(submit=False)
        self._next = None
        return self._add(self._pages[-1].high, asked)

    def _ask(self, low: str = "", *, submit: bool = True) -> _Asked:
        self._credit -= 1
        epoch, since, scope, token = self._cache.epoch(), self._now(), self._scope or "", self._token

        def ask() -> ListPage:
            return self._store.list_page(scope, delimiter=False, token=token, start_after=low or None, limit=PAGE)

        if submit:
            return _Asked(self._submit(ask), since, epoch)
        future: Future[ListPage] = Future()
        try:
            future.set_result(ask())
        except StoreError as error:
            future.set_exception(error)
        return _Asked(future, since, epoch)

    def _add(self, low: str, asked: _Asked) -> bool:
        try:
            page = asked.future.result(FOREVER)
        except StoreError:
            self._orders = ()  # what lists directory by directory says what is wrong, if it is
            return False
        self._orders = tuple(order for order in self._orders if _ascend(low, page.objects, order))
        if not self._orders or any(not meta.key.startswith(self._scope or "") for meta in page.objects):
            self._orders = ()
            return False
        high = page.objects[-1].key if page.objects else low
        before = self._pages[-1].asked if self._pages else asked
        since, epoch = min(before.since, asked.since), min(before.epoch, asked.epoch)
        self._pages.append(_Page(low, high, page.objects, since, epoch, asked))
        self._token, self._complete = page.token, page.token is None
        return True


def _by_bytes(key: str) -> str:
    return key


def _by_segments(key: str) -> str:
    return key.replace("/", "\0")


def _ascend(low: str, objects: tuple[ObjectMeta, ...], order: Callable[[str], str]) -> bool:
    before = order(low)
    for meta in objects:
        at = order(meta.key)
        if at <= before and before:
            return False
        before = at
    return True
