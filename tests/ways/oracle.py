"""The real disk as oracle: a process that was forked before anything was mounted runs each way there.

So the sessions of a test run last for many ways; to mount and unmount for each would take most of the time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Final

from tests.ways import table
from tests.ways.way import Place, seed

PATIENCE: Final = 100
"""Seconds until a way on the disk counts as hanging."""


def files_below(root: str) -> dict[str, bytes]:
    """Relative path -> content of every file, without the byte code that imports leave."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return without_byte_code(found)


def without_byte_code(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if "__pycache__" not in name}


class Oracle:
    """Answers what a way gives on the disk, and which files it leaves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, identifier: str) -> tuple[object, dict[str, bytes]]:
        self._connection.send(identifier)
        assert self._connection.poll(PATIENCE), f"{identifier} hangs on the disk"
        answer: tuple[object, dict[str, bytes]] | str = self._connection.recv()
        if isinstance(answer, str):
            raise AssertionError(f"{identifier} fails on the disk:\n{answer}")
        return answer


@contextlib.contextmanager
def oracle() -> Iterator[Oracle]:
    """Fork now; nothing may be mounted yet."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(there, here))
    process.start()
    there.close()
    try:
        yield Oracle(here)
    finally:
        here.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(connection: Connection, other: Connection) -> None:
    other.close()  # so that the end of the other side is noticed
    ways = {each.id: each for each in table.ways()}
    while True:
        try:
            case = ways[connection.recv()]
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as directory:
            place = Place(f"{directory}/disk", f"{directory}/local")
            os.mkdir(place.local)
            for name, data in seed().items():
                os.makedirs(os.path.dirname(place(name)), exist_ok=True)
                with open(place(name), "wb") as file:
                    file.write(data)
            try:
                connection.send((case.run(place), files_below(place.root)))
            except Exception:  # noqa: BLE001 - whatever it is belongs to the one who asked
                connection.send(traceback.format_exc())
