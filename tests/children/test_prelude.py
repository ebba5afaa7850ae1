"""Taking the root of copies out of a stream of bytes."""

from __future__ import annotations

import os
import random
import re

import pytest

from tests.forks import in_child
from vfsmount.children import prelude
from vfsmount.children.prelude import Renaming

ROOT = b"/tmp/vaa/t"


def renamed(data: bytes, cuts: list[int], *, always: bool = True) -> bytes:
    stream = Renaming(ROOT, always=always)
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return b"".join([*(stream.feed(each) for each in pieces if each), stream.end()])


@pytest.mark.parametrize("seed", range(200))
def test_wherever_the_stream_is_cut(seed: int) -> None:
    chosen = random.Random(seed)
    pieces = [b"/tmp/vaa/t", b"tmp/vaa/t", b"/", b"x", b"tmp/", b"/tmp/va", b"t", b"/my-mount/a\n", b"\0"]
    data = b"".join(chosen.choice(pieces) for _ in range(chosen.randint(0, 15)))
    cuts = sorted(chosen.sample(range(1, len(data)), min(len(data) - 1, chosen.randint(0, 9)))) if len(data) > 1 else []
    assert renamed(data, cuts) == re.sub(rb"tmp/vaa/t/?", b"", data)


def test_names() -> None:
    assert renamed(b"/tmp/vaa/t/my-mount/x\n", []) == b"/my-mount/x\n"
    assert renamed(b"tmp/vaa/t/my-mount/x\n", [3, 9]) == b"my-mount/x\n"
    assert renamed(b"/tmp/vaa/t\n", [4]) == b"/\n"


def test_nothing_is_held_back_that_cannot_be_a_name() -> None:
    stream = Renaming(ROOT, always=False)
    assert stream.feed(b"a prompt: ") == b"a prompt: "
    assert stream.feed(b"/tm") == b"/"
    assert stream.feed(b"x") == b"tmx"
    assert stream.end() == b""


def test_what_is_no_text() -> None:
    data = b"/tmp/vaa/t/a\n\x00/tmp/vaa/t/b"
    assert renamed(data, [], always=False) == data
    assert renamed(data, [13], always=False) == b"/a\n\x00/tmp/vaa/t/b"
    assert renamed(data, [4], always=False) == data


def test_descriptors_are_closed_where_nobody_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without /proc."""

    def nothing(_: str) -> list[str]:
        raise FileNotFoundError

    def close() -> None:
        read, write = os.pipe()
        monkeypatch.setattr(os, "listdir", nothing)
        prelude._close_all_but({0, 1, 2, read})
        os.fstat(read)
        try:
            os.fstat(write)
        except OSError:
            return
        raise AssertionError("it is open")

    in_child(close)
