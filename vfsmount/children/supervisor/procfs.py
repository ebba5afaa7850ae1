"""Paths through /proc, where a link leads straight to a directory or an open file of a process, by whatever name.

Source: proc(5).
"""

from __future__ import annotations

import re
from typing import Final

_OWN: Final = re.compile(r"/proc/(?:self|thread-self)(?=/|$)")
_DEVICES: Final = re.compile(r"/dev/(?:fd(?=/)|(stdin|stdout|stderr)(?=/|$))")
_NUMBERS: Final = {"stdin": "/0", "stdout": "/1", "stderr": "/2", None: ""}
_LINK: Final = re.compile(r"(/proc/\d+(?:/task/\d+)?/(?:cwd|root|fd/\d+))(/.*)?")
_OPENS: Final = re.compile(r"/(?:fd|map_files|cwd|root)(?:/|$)")


def is_through(text: str) -> bool:
    """Whether an absolute path begins in /proc, or with one of the names in /dev that lead there."""
    return text.startswith(("/proc/", "/dev/fd/", "/dev/std"))


def own(pid: int, text: str) -> str:
    """The same with the number of the process that ``self`` is, for any other process."""
    text = re.sub(r"/(?:\.?/)+", "/", text)
    text = _DEVICES.sub(lambda match: f"/proc/self/fd{_NUMBERS[match.group(1)]}", text, count=1)
    return _OWN.sub(f"/proc/{pid}", text, count=1)


def link(text: str) -> tuple[str, str] | None:
    """The first part of a path as :func:`own` gives it, where that is such a link, and the rest, which may be empty."""
    match = _LINK.fullmatch(text)
    return (match.group(1), match.group(2) or "") if match else None


def may_open(text: str) -> bool:
    """Whether such a link is in it at all: most of /proc shows nothing of any file."""
    return _OPENS.search(text) is not None
