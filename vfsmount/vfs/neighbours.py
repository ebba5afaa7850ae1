"""Several files opened in one directory: what lies in it is learnt with one request, not asked beside each open.

A program that goes by a list of paths never lists a directory, so each of its opens would ask whether a directory hides
the file: twice as many requests as there are files.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from vfsmount import real
from vfsmount.transfer.pool import Submit
from vfsmount.vfs.namespace import parent_of

ENOUGH: Final = 4
"""Questions about names in one directory, after which it is asked for as a whole: at worst a fourth more requests."""

REMEMBERED: Final = 1000
"""Directories for which questions are counted."""


class Neighbours:
    """Counts the questions of one mount; thread-safe."""

    def __init__(self, learn: Callable[[str], bool], *, ttl: float, now: Callable[[], float], submit: Submit) -> None:
        """``learn``: :meth:`~vfsmount.vfs.listing.Listing.learn`; what it learns holds for ``ttl`` seconds."""
        self._learn: Final = learn
        self._ttl: Final = ttl
        self._now: Final = now
        self._submit: Final = submit
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, _Questions] = OrderedDict()

    def asked(self, path: str) -> None:
        """It is being asked whether a directory hides ``path``; never waits for what that leads to."""
        if real.import_locked():  # it would be waited for
            return
        directory, now = parent_of(path), self._now()
        with self._lock:
            questions = self._asked.get(directory)
            if questions is None:
                questions = self._asked[directory] = _Questions(now)
                if len(self._asked) > REMEMBERED:
                    self._asked.popitem(last=False)
            if not questions.one_more(now, self._ttl):
                return
        self._submit(lambda: self._ask(directory, questions))

    def after_fork(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()
        self._asked.clear()

    def _ask(self, directory: str, questions: _Questions) -> None:
        questions.is_wide = not self._learn(directory)


class _Questions:
    """Those about names in one directory."""

    __slots__ = ("count", "is_wide", "since")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.since = now
        self.is_wide = False
        """One request does not tell all that is in it, so that it is not asked for again."""

    def one_more(self, now: float, ttl: float) -> bool:
        """True where it is time to ask for all of it."""
        if now - self.since >= ttl:
            self.count, self.since = 0, now
        self.count += 1
        return self.count == ENOUGH and not self.is_wide
