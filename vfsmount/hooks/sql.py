"""Where a statement of DuckDB's SQL names a file, and nowhere else: a path among the values stays what it is.

Pure text. A place is: behind ``FROM``, ``JOIN``, ``USING`` and the commas of such a list, behind ``DESCRIBE``,
``SUMMARIZE``, ``PIVOT`` and ``UNPIVOT``; the first argument of a function that reads files; behind the ``TO`` of
``COPY``; behind ``ATTACH``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    |(?P<text>'(?:[^']|'')*')
    |(?P<dollars>\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$)
    |(?P<marker>\?\d*|\$\w+)
    |(?P<name>"(?:[^"]|"")*")
    |(?P<word>\w+)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)

READERS: Final = frozenset(
    """glob parquet_bloom_probe parquet_file_metadata parquet_full_metadata parquet_kv_metadata parquet_metadata
    parquet_scan parquet_schema read_blob read_csv read_csv_auto read_json read_json_auto read_json_objects
    read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet read_text read_xlsx sniff_csv
    st_read""".split()
)
"""Functions whose first argument names files."""

_BEFORE_FILE: Final = frozenset("DESCRIBE FROM JOIN PIVOT PIVOT_WIDER SUMMARIZE UNPIVOT USING".split())
_END_OF_LIST: Final = frozenset(
    """GROUP HAVING INTO LIMIT OFFSET ON ORDER QUALIFY RETURNING SELECT SET TABLESAMPLE UNION VALUES WHERE WINDOW
    EXCEPT INTERSECT USING""".split()
)
_FROM_IS_NO_CLAUSE: Final = frozenset("EXTRACT OVERLAY POSITION SUBSTRING TRIM".split())
"""Functions in whose arguments ``FROM`` stands for a comma."""

_VERB_FOLLOWS: Final = ("", "ANALYZE", "EXPLAIN")

_TARGET_OPTION: Final = "USE_TMP_FILE false"
_OPTION: Final = re.compile(r"\bUSE_TMP_FILE\b", re.IGNORECASE)
_MANY: Final = re.compile(r"\b(FILE_SIZE_BYTES|PARTITION_BY|PER_THREAD_OUTPUT|ROW_GROUPS_PER_FILE)\b", re.IGNORECASE)
"""Options with which ``COPY`` makes a directory."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A statement whose files are named otherwise."""

    text: str
    markers: frozenset[str]
    """Parameters that name files: their numbers or names."""
    changed: bool
    target: str | None
    """The one file that ``COPY`` writes; None where it writes none, or a directory of them."""


@dataclass(slots=True)
class _Group:
    """What is inside one pair of parentheses, or outside of all."""

    head: str = ""
    """The function whose arguments these are."""
    lists_files: bool = False
    """True where a text is a file: in a list behind ``FROM``, in the first argument of a reader."""


@dataclass(slots=True)
class _State:
    groups: list[_Group] = field(default_factory=lambda: [_Group()])
    before: str = ""
    """The last word or sign, in capitals."""
    two_before: str = ""
    verb: str = ""
    """The word that the statement begins with."""
    markers: int = 0


def rewrite(text: str, place: Callable[[str], str | None]) -> Rewritten:
    """``text`` with each file's name replaced by what ``place`` makes of it; None leaves it.

    A file that ``COPY`` writes is written in one go: one that exists would be written beside itself and renamed.
    """
    pieces: list[str] = []
    markers: set[str] = set()
    state = _State()
    changed = False
    target: str | None = None
    makes_many = _MANY.search(text) is not None
    wants_option = False
    for kind, token in _tokens(text):
        if wants_option and kind != "space":
            wants_option = False
            if token == "(":
                pieces.append(f"({_TARGET_OPTION}, ")
                _advance(state, kind, token)
                continue
            if token.upper() == "WITH":
                wants_option = True
            elif token in (";", ")"):
                pieces.append(f" ({_TARGET_OPTION})")
        if kind in ("text", "escaped", "dollars") and _names_file(state):
            found = place(_value(kind, token))
            if found is not None:
                if state.verb == "COPY" and state.before == "TO":
                    target = None if makes_many else found
                    wants_option = target is not None and _OPTION.search(text) is None
                token, changed = literal(found), True
        elif kind == "marker":
            name = _marker(state, token)
            if _names_file(state):
                markers.add(name)
        pieces.append(token)
        _advance(state, kind, token)
    if wants_option:
        pieces.append(f" ({_TARGET_OPTION})")
    return Rewritten("".join(pieces), frozenset(markers), changed, target)


def with_places(values: Any, markers: Iterable[str], place: Callable[[str], str | None]) -> Any:
    """The parameters of a statement, with what ``place`` makes of the named ones."""
    if isinstance(values, dict):
        chosen = {name.lower() for name in markers}
        return {key: _placed(value, place) if str(key).lower() in chosen else value for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_placed(value, place) if str(at) in markers else value for at, value in enumerate(values, 1)]
    return values


def _placed(value: Any, place: Callable[[str], str | None]) -> Any:
    if isinstance(value, str):
        found = place(value)
        return value if found is None else found
    if isinstance(value, (list, tuple)):
        return [_placed(each, place) for each in value]
    return value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(text):
        assert found.lastgroup is not None
        yield ("dollars" if found["dollars"] is not None else found.lastgroup), found[0]


def _names_file(state: _State) -> bool:
    group = state.groups[-1]
    if state.verb in ("FORCE", "INSTALL"):  # FROM is followed by a repository
        return False
    if state.before in _BEFORE_FILE:
        if state.before == "FROM":
            return state.two_before != "DISTINCT" and group.head not in _FROM_IS_NO_CLAUSE
        return True
    if state.before == "TO":
        return state.verb == "COPY" and len(state.groups) == 1
    if state.verb == "ATTACH" and len(state.groups) == 1:
        return state.before in ("ATTACH", "DATABASE", "EXISTS")
    return group.lists_files and state.before in (",", "(", "[")


def _advance(state: _State, kind: str, token: str) -> None:
    """Take one token over."""
    if kind == "space":
        return
    word = token.upper() if kind in ("word", "sign") else kind
    group = state.groups[-1]
    if word in ("(", "["):
        reads = word == "(" and state.before.lower() in READERS and _may_be_reader(state)
        inner = reads or (word == "[" and group.lists_files)
        state.groups.append(_Group(state.before if word == "(" else group.head, inner))
    elif word in (")", "]"):
        if len(state.groups) > 1:
            state.groups.pop()
    elif word == ";":
        state.groups = [_Group()]
        state.verb = ""
        state.before = state.two_before = ""
        return
    elif word == "," and group.head.lower() in READERS and group.lists_files and len(state.groups) > 1:
        group.lists_files = _is_list(state)
    elif word == "FROM":
        group.lists_files = state.before != "DISTINCT" and group.head not in _FROM_IS_NO_CLAUSE
    elif word in _END_OF_LIST and group.head.lower() not in READERS:
        group.lists_files = False
    if state.verb in _VERB_FOLLOWS:
        state.verb = word
    state.two_before, state.before = state.before, word


def _is_list(state: _State) -> bool:
    """True inside the brackets of a reader's first argument, where a comma does not end it."""
    return len(state.groups) > 2 and state.groups[-2].head == state.groups[-1].head and state.groups[-2].lists_files


def _may_be_reader(state: _State) -> bool:
    """``glob`` is an operator, too."""
    return state.before != "GLOB" or state.two_before in ("FROM", "JOIN", ",")


def _marker(state: _State, token: str) -> str:
    if token != "?":
        name = token[1:]
        if name.isdigit():
            state.markers = max(state.markers, int(name))
        return name
    state.markers += 1
    return str(state.markers)


def _value(kind: str, token: str) -> str:
    if kind == "text":
        return token[1:-1].replace("''", "'")
    if kind == "dollars":
        length = token.index("$", 1) + 1
        return token[length:-length]
    return "" if "\\" in token else token[2:-1].replace("''", "'")


def literal(value: str) -> str:
    """The SQL literal of a text."""
    return "'" + value.replace("'", "''") + "'"
