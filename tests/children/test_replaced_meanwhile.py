"""Another process of the family sees another version of a file just while one opens it: no mix, and no zeros."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from tests.children.conftest import Served, output
from vfsmount.children.supervisor.skeleton import Node, Skeleton
from vfsmount.children.supervisor.writers import Writer, Writers
from vfsmount.model import Attr

LARGE = random.Random(3).randbytes(5 << 20)

pytestmark = pytest.mark.slow


def another(attr: Attr) -> Attr:
    return attr._replace(etag="another", mtime_ns=attr.mtime_ns + 1)


@pytest.mark.parametrize("when", ["before it is lent", "after it is lent"])
@pytest.mark.parametrize("name", ["a.txt", "large"])
def test_who_opens_it_gets_one_version(
    supervised: Served, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    supervised.store.put("large", LARGE)
    done: list[str] = []
    file, lend = Skeleton.file, Node.lend
    skeletons: list[Skeleton] = []

    def replaced(skeleton: Skeleton, path: str, attr: Attr) -> None:
        if path == f"/my-mount/{name}" and not done:
            done.append(path)
            file(skeleton, path, another(attr))

    def filing(self: Skeleton, path: str, attr: Attr) -> Node:
        node = file(self, path, attr)
        skeletons.append(self)
        if when == "before it is lent":
            replaced(self, path, attr)
        return node

    def lending(self: Node, source: Any) -> None:
        lend(self, source)
        replaced(skeletons[-1], self.path, self.attr)

    monkeypatch.setattr(Skeleton, "file", filing)
    monkeypatch.setattr(Node, "lend", lending)
    found = output("sh", "-c", f"cat /my-mount/{name} | od -An -v -tx1 | tr -d ' \\n'")
    assert done
    assert bytes.fromhex(found) == {"a.txt": b"alpha\n", "large": LARGE}[name]


def test_who_writes_it_is_not_disturbed(supervised: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    file, add = Skeleton.file, Writers.add
    seen: list[bool] = []
    known: list[bool] = []

    def filing(self: Skeleton, path: str, attr: Attr) -> Node:
        node = file(self, path, attr)
        if path == "/my-mount/new" and not seen:
            seen.append(True)
            other = threading.Thread(target=file, args=(self, path, another(attr)))
            other.start()
            other.join(0.1)  # it may have to wait until the file is known to be written
        return node

    def adding(self: Writers, path: str, writer: Writer) -> None:
        known.append(self._skeleton.node(path) is writer.node)
        add(self, path, writer)

    monkeypatch.setattr(Skeleton, "file", filing)
    monkeypatch.setattr(Writers, "add", adding)
    assert output("sh", "-c", "echo x > /my-mount/new; cat /my-mount/new") == "x\n"
    assert seen
    assert known == [True]
    assert supervised.stored("new") == b"x\n"
