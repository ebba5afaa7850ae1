"""``vfsmount.prefetch``: data read ahead of a program that is about to read it."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator

from vfsmount import real
from vfsmount.session import _normal, _process
from vfsmount.vfs.warming import Prefetched, warm


def prefetch(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, cancelled: Callable[[], bool] = lambda: False
) -> Prefetched:
    """Read files into the caches, ahead of whoever will open them: in memory, or on the disk with ``cache_dir``.

    ``paths``: one or many, each a file, a directory (with all below it) or a pattern as of ``glob``, ``**`` included;
    what is on the local disk needs nothing. Files that a cache has no room for are named in ``skipped``, those that
    could not be read in ``errors`` (a pattern that matches nothing is neither). ``cancelled`` is asked between pieces,
    in several threads; Ctrl-C stops it too. Costs what listing and reading cost, sixteen files at a time.
    """
    done = Prefetched()
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    table = _process.table
    warm(table, (path for path in _expanded(given) if table.covers(path)), done, cancelled)
    return done


def _expanded(given: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for one in given:
        text = real.fspath(one)
        exact = not glob.has_magic(text)
        for path in [text] if exact else glob.iglob(text, recursive=True):
            yield _normal(path)
