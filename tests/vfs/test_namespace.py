"""Keys to names and back."""

from __future__ import annotations

import doctest
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import World, raises
from vfsmount.vfs import mounts, namespace
from vfsmount.vfs.namespace import ancestors_of, child_of, key_of, name_in, parent_of, path_error, prefix_of, visible


@pytest.mark.parametrize("module", [namespace, mounts], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("a", True),
        ("", False),
        (".", False),
        ("..", False),
        ("...", True),
        (".a", True),
        ("a\0b", False),
        ("a\nb\t%2F \\", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("é" * 127 + "x", True),
        ("é" * 128, False),
        ("😀" * 63 + "abc", True),
        ("😀" * 64, False),
        ("e\u0301", True),
        ("x" * 63, True),
        ("😀" * 63, True),
    ],
)
def test_what_can_be_a_name(name: str, seen: bool) -> None:
    assert visible(name) is seen


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("", "x" * 255, None),
        ("", "x" * 256, errno.ENAMETOOLONG),
        ("", "é" * 127 + "x", None),
        ("", "é" * 128, errno.ENAMETOOLONG),
        ("", "a/" + "x" * 256 + "/b", errno.ENAMETOOLONG),
        ("", "/".join(["x" * 203] * 5) + "/abcd", None),  # 1,024 bytes
        ("", "/".join(["x" * 203] * 5) + "/abcde", errno.ENAMETOOLONG),
        ("p/", "/".join(["x" * 203] * 5) + "/ab", None),
        ("p/", "/".join(["x" * 203] * 5) + "/abc", errno.ENAMETOOLONG),
        ("é/", "/".join(["x" * 203] * 5) + "/a", None),
        ("é/", "/".join(["x" * 203] * 5) + "/ab", errno.ENAMETOOLONG),
        ("", "\udc80", errno.EILSEQ),
        ("", "", None),
    ],
)
def test_which_paths_no_file_can_be_at(prefix: str, path: str, expected: int | None) -> None:
    assert path_error(prefix, path) == expected


def test_the_longest_key_is_used_in_earnest(world: World) -> None:
    longest = "/".join(["x" * 203] * 5) + "/abcd"
    assert len(longest) == 1024
    world.put(longest)
    assert world.stat(longest) == (False, 4)
    assert world.read(longest) == b"data"
    with raises(errno.ENAMETOOLONG):
        world.stat(longest + "e")


@pytest.mark.parametrize("call", ["stat", "read", "names", "mkdir", "unlink"])
def test_too_long_a_name_costs_no_request(world: World, call: str) -> None:
    with world.store.expect(), raises(errno.ENAMETOOLONG, path="/m/" + "x" * 256):
        getattr(world, call)("x" * 256)


def test_a_name_that_is_not_text_is_missing_but_cannot_be_made(world: World) -> None:
    with world.store.expect():
        for call in (world.stat, world.read, world.names):
            with raises(errno.ENOENT):
                call("\udc80")
        with raises(errno.EILSEQ):
            world.write("\udc80", b"")
        with raises(errno.EILSEQ):
            world.mkdir("\udc80")


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


@given(prefix=st.sampled_from(["", "p/", "a/b/"]), names=st.lists(NAMES, min_size=1, max_size=4))
def test_a_path_and_its_key_are_inverse(prefix: str, names: list[str]) -> None:
    path = ""
    for name in names:
        path = child_of(path, name)
    parent = parent_of(path)
    assert name_in(prefix_of(prefix, parent), key_of(prefix, path)) == names[-1]
    assert name_in(prefix_of(prefix, parent), prefix_of(prefix, path)) == names[-1]
    assert child_of(parent, names[-1]) == path
    assert ancestors_of(path) == ["/".join(names[:count]) for count in range(len(names) - 1, 0, -1)]


HOSTILE = [
    "a//b",
    "/lead",
    "./x",
    "x/../y",
    "x/./y",
    "tab\tkey",
    "line\nkey",
    "dir/",
    "a",
    "a-",
    "a-/z",
    "100%/50%25",
    "with space",
    "ünï",
    "nfc-é",
    "nfd-e\u0301",
    "back\\slash",
    "x" * 256,
    "long/" + "y" * 300 + "/z",
    "nul\0nul",
    "+plus&amp;",
]


def test_one_odd_key_never_breaks_a_listing(world: World) -> None:
    world.put(*HOSTILE)
    assert world.names() == sorted(
        [
            "a", "a-", "x", "tab\tkey", "line\nkey", "dir", "100%", "with space", "ünï", "nfc-é", "nfd-e\u0301",
            "back\\slash", "long", "+plus&amp;",
        ]
    )  # fmt: skip
    assert world.stat("a") == (True, 0)
    assert world.names("a") == []
    assert world.names("x") == []
    assert world.names("dir") == []
    assert world.names("long") == []
    assert world.names("a-") == ["z"]
    assert world.names("100%") == ["50%25"]
    for key in ("tab\tkey", "line\nkey", "with space", "ünï", "nfc-é", "nfd-e\u0301", "back\\slash", "+plus&amp;"):
        assert world.read(key) == b"data"


def test_hidden_keys_are_told_once_a_mount(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.put(*HOSTILE)
    for _ in range(3):
        world.names()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
