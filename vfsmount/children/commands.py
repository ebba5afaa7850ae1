"""What well-known programs do with the paths that they are given; pure.

``LISTING`` programs look at names and attributes, or remove, and never open a file; ``READING`` ones read the files
that are named and write none. Of any other program anything must be expected.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from vfsmount.children.shell import Line


class Kind(enum.Enum):
    """How a program treats a path argument."""

    IGNORING = enum.auto()
    LISTING = enum.auto()
    READING = enum.auto()
    OTHER = enum.auto()


class Use(NamedTuple):
    """One program with one set of options."""

    kind: Kind
    depth: int | None = None
    """Levels of a directory that it looks at: 0 for the directory itself, None for all below it."""
    names: bool = False
    """True where it prints the names that it was given."""


_OTHER: Final = Use(Kind.OTHER)
_IGNORING: Final = frozenset({"echo", "printf", "true", "false", "basename", "dirname", "sleep", ":"})
_READING: Final = frozenset(
    "cat tac head tail nl od xxd hexdump strings wc cut tr uniq cmp comm join rev column md5sum sha1sum sha224sum "
    "sha256sum sha384sum sha512sum b2sum cksum sum grep egrep fgrep file zcat base64 jq".split()
)
_PRINTING: Final = frozenset(
    "head tail wc cmp file grep egrep fgrep md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum".split()
)
_TAKING_FROM_STDIN: Final = frozenset(
    "cat tac head tail nl wc cut tr uniq sort rev column grep egrep fgrep md5sum sha256sum".split()
)
"""Filters that open nothing whose name they read."""
_FIND_ACTIONS: Final = ("-exec", "-ok", "-delete", "-fprint", "-fls", "-files0-from")
_REMOVING: Final = frozenset({"rm", "rmdir", "unlink"})
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})


def use_of(argv: Sequence[str]) -> Use:
    """What ``argv`` will do with its path arguments.

    >>> use_of(["ls", "-lR", "/m"])
    Use(kind=<Kind.LISTING: 2>, depth=None, names=True)
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    options = [argument for argument in argv[1:] if argument.startswith("-")]
    operands = len(argv) - 1 - len(options)
    if name in _IGNORING:
        return Use(Kind.IGNORING)
    if any(option.startswith("--files0-from") for option in options):
        return _OTHER  # it opens what a listing may have named
    if name in ("ls", "dir", "vdir"):
        return _use_of_ls(options, operands)
    if name == "find":
        writes = any(option.startswith(_FIND_ACTIONS) for option in argv[1:])
        return _OTHER if writes else Use(Kind.LISTING, None, True)
    if name == "du":
        return Use(Kind.LISTING, None, True)
    if name in _REMOVING:
        return Use(Kind.LISTING, None, any(_short(option, "v") or option == "--verbose" for option in options))
    if name == "tree":
        return (
            _OTHER
            if "-o" in options or any("--fromfile" in option for option in options)
            else Use(Kind.LISTING, None, True)
        )
    if name in ("stat", "test", "[", "realpath", "readlink"):
        return Use(Kind.LISTING, 0, name not in ("test", "["))
    if name in _READING:
        recursive = name.endswith("grep") and any(_short(option, "rR") or "recurs" in option for option in options)
        return _OTHER if recursive else Use(Kind.READING, 0, name in _PRINTING)
    return _OTHER


def _use_of_ls(options: Sequence[str], operands: int) -> Use:
    if any(_short(option, "d") or option == "--directory" for option in options):
        return Use(Kind.LISTING, 0, True)
    if any(_short(option, "R") or option == "--recursive" for option in options):
        return Use(Kind.LISTING, None, True)
    return Use(Kind.LISTING, 1, operands > 1)


def _short(option: str, letters: str) -> bool:
    return not option.startswith("--") and any(letter in option for letter in letters)


def is_shell(argv: Sequence[str]) -> bool:
    """True for ``sh -c ...``."""
    return len(argv) >= 3 and argv[0].rpartition("/")[2] in _SHELLS and argv[1] == "-c"


def archived_by(argv: Sequence[str]) -> list[str]:
    """The operands whose names a well-known program stores with their content.

    >>> archived_by(["tar", "-czf", "/m/t.tgz", "-C", "/m", "/m/dir"])
    ['/m/dir']
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    if name == "zip":
        return [word for word in argv[1:] if not word.startswith("-")][1:]
    if name not in ("tar", "bsdtar", "gtar") or len(argv) < 3:
        return []
    makes = any(_short(option, "cru") for option in (argv[1], *argv[2:]) if option is argv[1] or option[:1] == "-")
    if not makes and not {"--create", "--append", "--update"} & set(argv):
        return []
    taken = {2} | {at + 1 for at, word in enumerate(argv) if len(word) > 1 and word.startswith("-")}
    return [word for at, word in enumerate(argv) if at > 1 and at not in taken and not word.startswith("-")]


def entries_into(argv: Sequence[str]) -> tuple[str, ...] | None:
    """The names that ``cp`` or ``mv`` may touch in the directory that is its last argument; None: any may be.

    >>> entries_into(["cp", "-r", "/tmp/a", "b/", "/m"])
    ('a', 'b')
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    if name not in ("cp", "mv") or len(argv) < 3 or argv[-1].startswith("-"):
        return None
    for option in argv[1:-1]:
        if option.startswith("--") or (option.startswith("-") and not set(option[1:]) <= set("afiLnpPRruvxd")):
            return None
    names = tuple(word.rstrip("/").rpartition("/")[2] for word in argv[1:-1] if not word.startswith("-"))
    return None if set(names) & {"", ".", ".."} else names


def removed_by(argv: Sequence[str]) -> list[str]:
    """The operands that a well-known program removes from where they are.

    >>> removed_by(["mv", "-f", "/m/a", "/m/b"])
    ['/m/a']
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    operands = [argument for argument in argv[1:] if not argument.startswith("-")]
    if name == "mv":
        aside = any(_short(option, "t") or option.startswith("--target") for option in argv[1:] if option[:1] == "-")
        return operands if aside and len(operands) == 1 else operands[:-1]
    return operands if name in _REMOVING else []


def uses_in(line: Line) -> list[Use] | None:
    """For each command of ``line``, what it will do; None where anything must be expected of all.

    With a loop, a variable, a substitution or an unknown program in it, a listing's output could come back as names of
    files to read.
    """
    if not line.is_static:
        return None
    uses = []
    for command in line.commands:
        argv = command.argv
        use = use_of(argv) if argv else Use(Kind.IGNORING)
        known = use.kind is not Kind.OTHER or (command.piped and argv[0] in _TAKING_FROM_STDIN)
        if not known or any(argument.startswith("--files0-from") for argument in argv):
            return None
        uses.append(use)
    return uses
