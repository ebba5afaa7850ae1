"""What well-known programs do with the paths that they are given; pure.

``LISTING`` programs look at names and attributes, or remove, and never open a file; ``READING`` ones read the files
that are named and write none. Of any other program anything must be expected.
"""

from __future__ import annotations

import enum
import re
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


OTHER: Final = Use(Kind.OTHER)
READ: Final = Use(Kind.READING, 0)
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
_OPENING: Final = tuple(
    (re.compile(names), re.compile(options))
    for names, options in (
        ("[efz]?grep", r"-\w*[rR]|-\w*f.|--(r|de|di|fi|exclude-f)|.*recurse"),
        (r"(md5|b2|sha\d+|ck)sum", r"-\w*c|--c"),
        ("file", r"-\w*[fmC]|--(f|m|c)"),
        ("du", r"-\w*X|--(exclude-f|f)"),
        ("tree", r"-\w*o|--(from|git|info)"),
        ("hexdump", r"-\w*f"),
        ("strings", "@"),
        ("sort", "--r[a-z-]*="),
        ("jq", r"-\w*L|.*(import|include)"),
    )
)
"""By program, arguments with which it opens files that are no words."""
_FIND_ACTIONS: Final = ("-exec", "-ok", "-delete", "-fprint", "-fls", "-files0-from")
_REMOVING: Final = frozenset({"rm", "rmdir", "unlink"})
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_WRAPPERS: Final = {
    "env": ("uCS", 0), "nice": ("n", 0), "nohup": ("", 0), "setsid": ("", 0), "stdbuf": ("ioe", 0),
    "time": ("fo", 0), "timeout": ("ks", 1), "ionice": ("cnpPu", 0), "chrt": ("TPD", 1), "taskset": ("", 1),
    "flock": ("wE", 1), "sudo": ("ugpChrtTUDR", 0), "doas": ("uC", 0), "xvfb-run": ("nsefpw", 0),
    "unbuffer": ("", 0), "xargs": ("adEIiLnPs", 0),
}  # fmt: skip
"""Programs that become, or start, the one after their options and operands: the letters of options whose value is a
word of its own, and how many operands come first."""
_TAR_VALUED: Final = "fCTXbgKNVIFHL"
"""Letters of tar's options that have a value."""
_TAR_VALUED_LONG: Final = frozenset(
    "--file --directory --files-from --exclude-from --exclude --transform --xform --use-compress-program --add-file "
    "--owner --group --mode --mtime --newer --label --format --sort --listed-incremental --blocking-factor".split()
)
_ELSEWHERE: Final = re.compile(r"-\w*[CDS]|--(ch|sp)")
"""What has a wrapper start its program in another directory, or with other words."""
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")


def use_of(argv: Sequence[str]) -> Use:
    """What ``argv`` will do with its path arguments.

    >>> use_of(["ls", "-lR", "/m"])
    Use(kind=<Kind.LISTING: 2>, depth=None, names=True)
    """
    given = argv
    name, argv = _wrapped(given)
    if any("/" in word or _ELSEWHERE.match(word) for word in given[1 : len(given) - len(argv)]):
        return OTHER  # it may be a file that the wrapper writes; or names are relative to another directory
    options = [argument for argument in argv[1:] if argument.startswith("-")]
    operands = len(argv) - 1 - len(options)
    if name in _IGNORING:
        return Use(Kind.IGNORING)
    if _opens_others(name, argv[1:]):
        return OTHER
    if name in ("ls", "dir", "vdir"):
        return _use_of_ls(options, operands)
    if name == "find":
        writes = any(option.startswith(_FIND_ACTIONS) for option in argv[1:])
        return OTHER if writes else Use(Kind.LISTING, None, True)
    if name == "du":
        return Use(Kind.LISTING, None, True)
    if name in _REMOVING:
        return Use(Kind.LISTING, None, True)  # of what it cannot remove
    if name == "tree":
        return Use(Kind.LISTING, None, True)
    if name in ("stat", "test", "[", "realpath", "readlink"):
        return Use(Kind.LISTING, 0, name not in ("test", "["))
    if name in _READING:
        return Use(Kind.READING, 0, name in _PRINTING)
    return OTHER


def _opens_others(name: str, arguments: Sequence[str]) -> bool:
    """Whether a program that is known otherwise opens files, with these options, that are not words of their own: those
    that a list names, or that are below a directory, or whose name is glued to the option.

    >>> _opens_others("md5sum", ["-c", "sums"])
    True
    """
    return any(option.startswith("--files0-from") for option in arguments) or any(
        re.match(expression, argument) is not None
        for names, expression in _OPENING
        if names.fullmatch(name) is not None
        for argument in arguments
    )


def _use_of_ls(options: Sequence[str], operands: int) -> Use:
    if any(_short(option, "d") or option == "--directory" for option in options):
        return Use(Kind.LISTING, 0, True)
    if any(_short(option, "R") or option == "--recursive" for option in options):
        return Use(Kind.LISTING, None, True)
    return Use(Kind.LISTING, 1, operands > 1)


def _short(option: str, letters: str) -> bool:
    return not option.startswith("--") and any(letter in option for letter in letters)


def program_at(argv: Sequence[str]) -> int:
    """Where the program stands that ``argv`` is about: behind ``env``, ``timeout`` and their like.

    >>> program_at(["env", "-u", "A", "B=c", "nice", "-n", "5", "bash", "-c", "ls"])
    7
    """
    at = 0
    while (wrapper := _WRAPPERS.get(argv[at].rpartition("/")[2]) if at < len(argv) else None) is not None:
        valued, operands = wrapper
        found = at + 1
        while found < len(argv) and (operands or argv[found].startswith("-") or _ASSIGNMENT.match(argv[found])):
            option = argv[found]
            if not option.startswith("-") and not _ASSIGNMENT.match(option):
                operands -= 1
            elif len(option) == 2 and option[1] in valued:
                found += 1
            found += 1
        if found >= len(argv):
            break
        at = found
    return at


def script_at(argv: Sequence[str]) -> int | None:
    """Where the command line stands that a shell is told with ``-c``, if it is.

    >>> script_at(["timeout", "5", "bash", "-euo", "pipefail", "-c", "ls /m", "name"])
    6
    """
    at = program_at(argv)
    if at >= len(argv) or argv[at].rpartition("/")[2] not in _SHELLS:
        return None
    told = False
    at += 1
    while at < len(argv) and argv[at][:1] in ("-", "+") and len(argv[at]) > 1:
        option = argv[at]
        at += 1
        if option == "--":
            break
        if option.startswith("--"):
            at += option in ("--rcfile", "--init-file")
            continue
        told |= option[0] == "-" and "c" in option
        at += option.count("o") + option.count("O")
    return at if told and at < len(argv) else None


def _wrapped(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The name of the program that ``argv`` is about, and its own arguments; what ``xargs`` starts is told others."""
    at = program_at(argv)
    if any(word.rpartition("/")[2] == "xargs" for word in argv[:at]):
        at = 0
    return (argv[at].rpartition("/")[2], argv[at:]) if argv else ("", argv)


def archived_by(argv: Sequence[str]) -> list[str]:
    """The operands whose names a well-known program stores with their content.

    >>> archived_by(["tar", "-czf", "/m/t.tgz", "-C", "/m", "/m/dir"])
    ['/m/dir']
    """
    name, argv = _wrapped(argv)
    if name == "zip":
        return [word for word in argv[1:] if not word.startswith("-")][1:]
    if name not in ("tar", "bsdtar", "gtar") or len(argv) < 3:
        return []
    makes = any(_short(option, "cru") for option in (argv[1], *argv[2:]) if option is argv[1] or option[:1] == "-")
    if not makes and not {"--create", "--append", "--update"} & set(argv):
        return []
    found, taken = [], 0
    for at, word in enumerate(argv[1:], 1):
        if taken:
            taken -= 1
        elif word.startswith("--"):
            taken = word in _TAR_VALUED_LONG
        elif word.startswith("-") and len(word) > 1:
            valued = re.search(f"[{_TAR_VALUED}]", word)
            taken = valued is not None and valued.end() == len(word)
        elif at == 1:
            taken = len(re.findall(f"[{_TAR_VALUED}]", word))
        else:
            found.append(word)
    return found


def entries_into(argv: Sequence[str]) -> tuple[str, ...] | None:
    """The names that ``cp`` or ``mv`` may touch in the directory that is its last argument; None: any may be.

    >>> entries_into(["cp", "-r", "/tmp/a", "b/", "/m"])
    ('a', 'b')
    """
    name, argv = _wrapped(argv)
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
    name, argv = _wrapped(argv)
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
        filters = command.piped and argv[:1] and argv[0] in _TAKING_FROM_STDIN and not _opens_others(argv[0], argv[1:])
        if use.kind is Kind.OTHER and not filters:
            return None
        uses.append(use)
    return uses
