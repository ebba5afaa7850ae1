"""Awkward keys as numbered cases, and what some servers are known to do to them.

A server that keeps a key verbatim needs no entry. Where a server rewrites or rejects a key, its table says so, and the
suite asserts exactly that, so that a change in the server shows.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class KeyCase(NamedTuple):
    """One awkward key."""

    number: int
    name: str
    key: str


class Quirk(NamedTuple):
    """What one server does to one key."""

    reason: str
    stored_as: str | None = None
    """The key that the object gets; None: the put is refused."""
    drops_body: bool = False
    """The put succeeds, and the object is empty."""
    no_upload: bool = False
    """A put succeeds, an upload in parts cannot begin."""
    lost: bool = False
    """The put succeeds, and there is no such object."""


_RAW: Final[tuple[tuple[str, str], ...]] = (
    ("plain", "plain.txt"),  # 1
    ("nested", "a/b/c.txt"),
    ("empty segment", "a//b"),
    ("leading dot segment", "./x"),
    ("dot segment", "a/./b"),
    ("dot-dot segment", "x/../y"),
    ("leading dot-dot", "../up"),
    ("tab", "tab\there"),
    ("newline", "new\nline"),
    ("carriage return", "carriage\rreturn"),  # 10
    ("marker", "dir/"),
    ("nested marker", "deep/dir/"),
    ("leading slash", "/lead"),
    ("only a slash", "/"),
    ("double trailing slash", "twice//"),
    ("percent twenty", "a%20b"),
    ("bare percent", "100%"),
    ("encoded slash", "a%2Fb"),
    ("plus", "a+b"),
    ("hash", "a#b"),  # 20
    ("question mark", "a?b=c"),
    ("ampersand", "a&b"),
    ("star", "a*b"),
    ("single quote", "it's"),
    ("double quote", 'say "x"'),
    ("backslash", "back\\slash"),
    ("inner space", "a b"),
    ("leading space", " lead"),
    ("trailing space", "trail "),
    ("space beside slash", "a /b"),  # 30
    ("NFC", "caf\u00e9"),
    ("NFD", "cafe\u0301"),
    ("CJK", "\u65e5\u672c\u8a9e/\u30d5\u30a1\u30a4\u30eb"),
    ("emoji", "\U0001f600.txt"),
    ("1,024 bytes", "k" * 1024),
    ("1,024 bytes of two", "\u00e9" * 512),
    ("control character", "bell\x07"),
    ("delete character", "del\x7f"),
    ("XML special", "<a>&amp;]]>"),
    ("tilde", "~home"),  # 40
    ("colon", "c:d"),
    ("at sign", "user@host"),
    ("equals", "year=2024/m=1"),
    ("semicolon and comma", "a;b,c"),
    ("brackets", "a[0]{1}(2)"),
    ("pipe and caret", "a|b^c`d"),
    ("dollar and bang", "$HOME!"),
    ("three dots", "..."),
    ("hidden file", ".hidden/.x"),
    ("name of a dot", "d/."),  # 50
    ("name of two dots", "d/.."),
    ("right to left", "\u202ertl"),
    ("zero width", "zero\u200bwidth"),
)

KEYS: Final = tuple(KeyCase(number, name, key) for number, (name, key) in enumerate(_RAW, 1))
"""Every case; those of one number keep their number."""

TOO_LONG: Final = "k" * 1025
"""One byte over what S3 takes."""
