"""Shell command lines, as far as one must understand them to find the paths in them; pure.

Source: POSIX.1-2017, Shell Command Language, 2.2 (quoting), 2.3 (tokens), 2.6 (expansions), 2.7 (redirections); bash(1)
for ``&>``, ``<<<``, ``<(...)`` and ``{a,b}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_BLANK: Final = " \t"
_ENDS_WORD: Final = " \t\n|&;()<>"
_GLOB: Final = "*?["
_REDIRECTION: Final = re.compile(r"&>>|&>|<<<|<<-|<<|<>|<&|<|>>|>&|>\||>")
_OPERATOR: Final = re.compile(r"&&|\|\||\|&|;;&|;;|;&|[\n;&|()]")
_EXPANSION: Final = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])")
_BRACES: Final = re.compile(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}")
_NAMED: Final = re.compile(r"[A-Za-z_]\w*\+?=")
_RESERVED: Final = frozenset("! { } if then elif else fi while until do done time".split())
"""Words before a command that are not its name."""
_COMPOUND: Final = frozenset({"for", "case", "select", "function", "esac", "in"})
_OUTPUTS: Final = frozenset({">", ">|", ">>", "&>", "&>>", "<>", ">&"})


class NotUnderstoodError(Exception):
    """A quote, a parenthesis or a here-document has no end."""


@dataclass(slots=True)
class Word:
    """One word of a command, with where each of its characters stands in the line."""

    start: int
    stop: int = 0
    text: str = ""
    """Without quotes; expansions as they are spelled, but that a command substitution is ``$()``."""
    patterns: list[str] = field(default_factory=list)
    """Each character of ``text``, in brackets where quotes keep it from being a wildcard."""
    fixed: int = -1
    """How many characters of ``text`` come before the first that is expanded; -1: all."""
    dynamic: bool = False
    """True where more than wildcards is expanded."""
    places: list[int] = field(default_factory=list)
    """Of each character of ``text``, its offset in the line."""
    quotes: str = ""
    """Of each character of ``text``, the quote that it stands in, a backslash, or a blank."""

    @property
    def is_literal(self) -> bool:
        return self.fixed < 0

    @property
    def prefix(self) -> str:
        """What is before the first expansion."""
        return self.text if self.fixed < 0 else self.text[: self.fixed]

    def inserted(self, at: int, what: str) -> tuple[int, str]:
        """Where in the line, and how quoted, ``what`` is to be put so that it comes before ``text[at]``.

        ``what`` is quoted already, as by :func:`shlex.quote`.
        """
        if at >= len(self.text):
            return self.stop, what
        quote = self.quotes[at]
        return self.places[at], f"{quote}{what}{quote}" if quote in ("'", '"') else what

    def _add(self, character: str, place: int, quote: str = " ") -> None:
        self.text += character
        self.patterns.append(f"[{character}]" if quote != " " and character in _GLOB else character)
        self.places.append(place)
        self.quotes += quote

    def _expands(self, spelled: str, place: int, quote: str = " ", *, dynamic: bool = True) -> None:
        if self.fixed < 0:
            self.fixed = len(self.text)
        self.dynamic |= dynamic
        self.text += spelled
        self.patterns += spelled
        self.places += [place] * len(spelled)
        self.quotes += quote * len(spelled)


@dataclass(frozen=True, slots=True)
class Redirection:
    operator: str
    word: Word

    @property
    def writes(self) -> bool:
        """Whether it names a file that is opened to be written."""
        if self.operator == ">&" and (self.word.text.isdigit() or self.word.text == "-"):
            return False
        return self.operator in _OUTPUTS


@dataclass(slots=True)
class Simple:
    """A simple command: a program with its arguments."""

    words: list[Word] = field(default_factory=list)
    assignments: list[Word] = field(default_factory=list)
    redirections: list[Redirection] = field(default_factory=list)
    piped: bool = False
    """Whether it reads what the one before it prints."""
    compound: bool = False
    """Whether it is the head of a loop or a choice, whose words are no arguments of a program."""

    @property
    def argv(self) -> list[str]:
        return [word.text for word in self.words]

    def all_words(self) -> Iterator[Word]:
        yield from self.assignments
        yield from self.words
        for each in self.redirections:
            yield each.word


@dataclass(slots=True)
class Line:
    """A command line."""

    commands: list[Simple] = field(default_factory=list)
    nested: bool = False
    """Whether it has a command substitution."""
    documents: list[tuple[int, int]] = field(default_factory=list)
    """Here-documents, ``[start, stop)``."""
    background: bool = False
    """Whether something may go on after it."""

    @property
    def is_static(self) -> bool:
        """Whether what each program is told can be seen: nothing but wildcards is expanded, and there are no loops."""
        if self.nested or self.documents:
            return False
        return not any(each.compound or any(word.dynamic for word in each.all_words()) for each in self.commands)


def parsed(line: str) -> Line:
    """Raises: NotUnderstoodError.

    >>> [each.argv for each in parsed("cat '/m/a b' | wc -l > n").commands]
    [['cat', '/m/a b'], ['wc', '-l']]
    """
    found = Line()
    _Scanner(line, found).commands(0, closing="")
    if found.background and any(each.argv[:1] == ["wait"] for each in found.commands):
        found.background = False
    found.commands = [each for each in found.commands if each.words or each.assignments or each.redirections]
    return found


class _Scanner:
    def __init__(self, line: str, found: Line) -> None:
        self._line = line
        self._found = found
        self._documents: list[tuple[str, bool]] = []
        """Delimiters of here-documents that the next line begins, and whether tabs before them are dropped."""

    def commands(self, at: int, closing: str) -> int:
        """Scan up to ``closing``, a parenthesis, or the end. Returns the offset after it."""
        line, depth = self._line, 0
        current = self._begin(piped=False)
        while at < len(line):
            character = line[at]
            if character in _BLANK:
                at += 1
            elif line.startswith("\\\n", at):
                at += 2
            elif character == "#":
                end = line.find("\n", at)
                at = len(line) if end < 0 else end
            elif line.startswith(("<(", ">("), at):
                self._found.nested = True
                at = self._process(at, current)
            elif (match := _REDIRECTION.match(line, at)) is not None:
                at = self._redirection(match.end(), match.group(), current)
            elif (match := _OPERATOR.match(line, at)) is not None:
                operator = match.group()
                if operator == ")":
                    if closing and depth == 0:
                        return match.end()
                    depth -= 1
                depth += operator == "("
                self._found.background |= operator == "&"
                at = match.end()
                if operator == "\n":
                    at = self._read_documents(at)
                current = self._begin(piped=operator in ("|", "|&"))
            else:
                word = self._word(at)
                at = word.stop
                self._take(word, current)
        if closing or self._documents:
            raise NotUnderstoodError
        return at

    def _begin(self, *, piped: bool) -> Simple:
        self._found.commands.append(Simple(piped=piped))
        return self._found.commands[-1]

    def _take(self, word: Word, current: Simple) -> None:
        bare = self._line[word.start : word.stop]
        follows = self._line[word.stop : word.stop + 1]
        if bare.isdigit() and follows and follows in "<>":
            return  # the number of the descriptor that is redirected
        if not current.words:
            if bare in _RESERVED:
                return
            if bare in _COMPOUND:
                current.compound = True
            elif _NAMED.match(bare):
                current.assignments.append(word)
                return
        current.words.append(word)

    def _redirection(self, at: int, operator: str, current: Simple) -> int:
        at = self._skip_blanks(at)
        word = self._word(at)
        if word.stop == word.start:
            raise NotUnderstoodError
        if operator in ("<<", "<<-"):
            self._documents.append((word.text, operator == "<<-"))
        else:
            current.redirections.append(Redirection(operator, word))
        return word.stop

    def _process(self, at: int, current: Simple) -> int:
        """``<(...)``: a name that the shell makes."""
        word = Word(at)
        word._expands("$()", at)
        word.stop = self.commands(at + 2, closing=")")
        current.words.append(word)
        return word.stop

    def _skip_blanks(self, at: int) -> int:
        while self._line[at : at + 1] in (" ", "\t"):
            at += 1
        return at

    def _read_documents(self, at: int) -> int:
        for delimiter, tabs in self._documents:
            start = at
            while True:
                if at >= len(self._line):
                    raise NotUnderstoodError
                end = self._line.find("\n", at)
                end = len(self._line) if end < 0 else end
                text = self._line[at:end]
                at = min(end + 1, len(self._line))
                if (text.lstrip("\t") if tabs else text) == delimiter:
                    break
            self._found.documents.append((start, at))
        self._documents.clear()
        return at

    # -- words

    def _word(self, at: int) -> Word:
        line, word = self._line, Word(at)
        while at < len(line) and line[at] not in _ENDS_WORD:
            character = line[at]
            if character == "'":
                end = self._find("'", at + 1)
                for place in range(at + 1, end):
                    word._add(line[place], place, "'")
                at = end + 1
            elif character == '"':
                at = self._double(at + 1, word)
            elif character == "\\":
                if line[at + 1 : at + 2] != "\n" and at + 1 < len(line):
                    word._add(line[at + 1], at, "\\")
                at += 2
            elif character in "$`":
                at = self._expansion(at, word, " ")
            elif character in _GLOB:
                word._expands(character, at, dynamic=False)
                at += 1
            elif (character == "~" and not word.text) or (character == "{" and _BRACES.match(line, at)):
                word._expands(character, at)
                at += 1
            else:
                word._add(character, at)
                at += 1
        word.stop = min(at, len(line))
        return word

    def _double(self, at: int, word: Word) -> int:
        line = self._line
        while True:
            if at >= len(line):
                raise NotUnderstoodError
            character = line[at]
            if character == '"':
                return at + 1
            if character == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
                if line[at + 1] != "\n":
                    word._add(line[at + 1], at, '"')
                at += 2
            elif character in "$`":
                at = self._expansion(at, word, '"')
            else:
                word._add(character, at, '"')
                at += 1

    def _expansion(self, at: int, word: Word, quote: str) -> int:
        line = self._line
        if line[at] == "`":
            end = self._find("`", at + 1)
            if "\\" in line[at:end]:
                raise NotUnderstoodError
            self._nested(line[at + 1 : end], at + 1)
            word._expands("$()", at, quote)
            return end + 1
        if line.startswith("$((", at):
            end = line.find("))", at)
            if end < 0 or "$(" in line[at + 3 : end] or "`" in line[at + 3 : end]:
                raise NotUnderstoodError
            word._expands(line[at : end + 2], at, quote)
            return end + 2
        if line.startswith("$(", at):
            self._found.nested = True
            word._expands("$()", at, quote)
            inner = _Scanner(line, self._found)
            stop = inner.commands(at + 2, closing=")")
            if any(each.argv[:1] == ["case"] for each in self._found.commands):
                raise NotUnderstoodError  # the parentheses of its patterns have no beginning
            return stop
        if line.startswith("${", at):
            end = self._find("}", at)
            if any(character in line[at + 2 : end] for character in "$`{'\"\\"):
                raise NotUnderstoodError
            word._expands(line[at : end + 1], at, quote)
            return end + 1
        if line.startswith("$'", at) and quote == " ":
            end = at + 2
            while line[end : end + 1] != "'":
                end += 2 if line[end : end + 1] == "\\" else 1
                if end >= len(line):
                    raise NotUnderstoodError
            word._expands(line[at : end + 1], at)
            return end + 1
        match = _EXPANSION.match(line, at)
        if match is None:
            if line.startswith('$"', at) and quote == " ":
                return at + 1  # a text to be translated: its quotes follow
            word._add("$", at, quote)
            return at + 1
        word._expands(match.group(), at, quote)
        return match.end()

    def _nested(self, text: str, at: int) -> None:
        """The commands between backquotes."""
        inner = Line()
        _Scanner(text, inner).commands(0, closing="")
        for each in inner.commands:
            for word in each.all_words():
                word.start, word.stop = word.start + at, word.stop + at
                word.places = [place + at for place in word.places]
        self._found.nested = True
        self._found.background |= inner.background
        self._found.documents += ((start + at, stop + at) for start, stop in inner.documents)
        self._found.commands[-1:-1] = inner.commands

    def _find(self, character: str, at: int) -> int:
        end = self._line.find(character, at)
        if end < 0:
            raise NotUnderstoodError
        return end
