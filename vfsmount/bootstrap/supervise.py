"""The process that supervises another one: ``python -I -S supervise.py DIRECTORY``, see ``vfsmount.children.native``.

It leaves its parent, so that nobody waits for it by mistake, and ends with the last process that it supervises.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfsmount.vfs.mounts import Mount


class Mounts:
    """Those of each file that describes new ones; nothing is patched here."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Mount, Callable[[], None]]] = {}

    def load(self, path: str | None) -> tuple[list[Mount], Callable[[], None]]:
        """As ``children.native.server.Loader`` has it."""
        described, options = _described(path)
        before, kept, new = self._known, {}, {}
        for point, data in described.items():
            text = _text(data)
            if point in before and before[point][0] == text:
                kept[point] = before[point]
            else:
                new[point] = (text, data)
        kept |= _mounted(new, options.get("memory_limit"))
        self._known = kept
        gone = [before[point] for point in before if kept.get(point) is not before[point]]

        def let_go() -> None:
            used = {release for _, _, release in self._known.values()}
            for release in {release for _, _, release in gone} - used:
                release()

        return [mount for _, mount, _ in kept.values()], let_go

    def other(self, path: str | None) -> dict[str, list[str]]:
        """As ``children.native.server.Loader`` has it."""
        found: dict[str, list[str]] = {}
        for point, data in _described(path)[0].items():
            if point in self._known and self._known[point][0] != _text(data):
                here, there = json.loads(self._known[point][0]), json.loads(_text(data))
                found[point] = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        return found


def _described(path: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mounts and the options that a handover file holds; none where there is no file."""
    if path is None:
        return {}, {}
    with open(path, "rb") as file:
        document = json.loads(b"\n".join(file.read().split(b"\n")[4:]))
    return document["mounts"], document["options"]


def _text(data: dict[str, Any]) -> str:
    """What tells one mount from another: all but who asks."""
    return json.dumps({**data, "secret": None}, sort_keys=True)


def _mounted(described: dict[str, Any], memory_limit: int | None) -> dict[str, tuple[str, Mount, Callable[[], None]]]:
    from vfsmount.config.handover import from_data
    from vfsmount.session import mounted
    from vfsmount.store.factory import open_store

    if not described:
        return {}
    mounts = {point: from_data(data) for point, (_, data) in described.items()}
    stores = {point: open_store(mount.store_options()) for point, mount in mounts.items()}
    found, release = mounted(mounts, stores, memory_limit)
    return {mount.point: (described[mount.point][0], mount, release) for mount in found}


def main() -> None:
    """Says ``ready`` on stdout when it can be asked, or why it cannot."""
    base = sys.argv[1]
    if os.fork():
        os._exit(0)
    try:
        with open(f"{base}/places", encoding="utf-8", errors="surrogateescape") as file:
            sys.path[:] = json.load(file)
        from vfsmount.children.native.server import Server
        from vfsmount.transfer.ownership import own

        own(base)
        server = Server(base, Mounts())
    except BaseException as error:  # noqa: BLE001 - whoever waits is told
        os.write(1, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os.write(1, b"ready")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(null, number)
    try:
        server.run()
    finally:
        import shutil

        shutil.rmtree(base, ignore_errors=True)
        os._exit(0)


if __name__ == "__main__":
    main()
