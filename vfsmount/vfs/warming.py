"""Reading files for nobody but the caches, many at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from vfsmount.clock import FOREVER
from vfsmount.transfer.pool import ThreadPool
from vfsmount.vfs.mounts import Mount, MountTable
from vfsmount.vfs.traversal import Traversal

AT_ONCE: Final = 16
"""Files read at once: of small ones, enough to keep a connection to each; a large one goes wide by itself."""

WAITING: Final = 4 * AT_ONCE
"""Files asked for and not settled, at most, so that a million of them take no memory."""

PIECE: Final = 4 << 20
"""Bytes read and let go of at a time."""


@dataclass(slots=True)
class Prefetched:
    """What :func:`vfsmount.prefetch` did."""

    files: int = 0
    """Read to their end."""
    bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    """Files that no cache of their mount has room for."""
    errors: dict[str, OSError] = field(default_factory=dict)
    """By the path that could not be listed or read."""
    cancelled: bool = False
    """It was told to stop before everything was read."""


def files_below(table: MountTable, path: str, done: Prefetched) -> Iterator[tuple[str, int]]:
    """The file at ``path``, or all files in the directory and below, with their sizes; a request a thousand keys."""
    traversal = Traversal()
    try:
        attr = table.stat(path)
    except OSError as error:
        done.errors[path] = error
        return
    if not attr.is_dir:
        yield path, attr.size
        return
    waiting = [path]
    while waiting:
        directory = waiting.pop()
        try:
            with traversal:
                entries = table.scandir(directory)
        except OSError as error:
            done.errors[directory] = error
            continue
        waiting += [f"{directory}/{entry.name}" for entry in reversed(entries) if entry.attr.is_dir]
        yield from ((f"{directory}/{entry.name}", entry.attr.size) for entry in entries if not entry.attr.is_dir)


def warm(table: MountTable, paths: Iterable[str], done: Prefetched, cancelled: Callable[[], bool]) -> None:
    """Read the files at and below ``paths`` (absolute, on mounts), as far as the caches of their mounts have room."""
    room: dict[Mount, int] = {}
    pool = ThreadPool(AT_ONCE)
    running: deque[tuple[str, Future[int]]] = deque()
    stopping = False

    def read(path: str) -> int:
        opened = table.open(path, os.O_RDONLY)
        try:
            count = 0
            while not (stopping or cancelled()) and (piece := opened.pread(PIECE, count)):
                count += len(piece)
            return count
        finally:
            opened.close()

    def settle() -> None:
        path, future = running.popleft()
        try:
            done.bytes += future.result(FOREVER)
            done.files += 1
        except OSError as error:
            done.errors[path] = error

    try:
        for start in paths:
            for path, size in files_below(table, start, done):
                if cancelled():
                    done.cancelled = True
                    break
                found = table.find(path)
                if found is None:
                    continue
                mount = found[0]
                if mount not in room:
                    room[mount] = mount.fs.room
                if size > min(room[mount], mount.fs.largest_kept):
                    done.skipped.append(path)
                    continue
                room[mount] -= size
                running.append((path, pool.submit(lambda path=path: read(path))))  # type: ignore[misc]
                while len(running) >= WAITING:
                    settle()
        while running:
            settle()
        done.cancelled = done.cancelled or cancelled()
    finally:
        stopping = True
        pool.close()
