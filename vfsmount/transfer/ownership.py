"""Whose a private directory on the local disk is, so that what killed processes have left is removed by the next one.

A file in it names its owners. Where all of them have died, it goes when a process of the same user begins to mount. A
process is told from a later one with its number by when it started; one of another machine, boot or namespace cannot be
looked for from here, and what it owns stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from typing import Final

from vfsmount import real

PREFIXES: Final = ("vfsmount-", ".vfsmount-session-")
"""How the names of such directories begin."""
ALIASES: Final = "aliases"
"""A directory in it: links to links elsewhere that lead back into it, and go with it."""
_OWNERS: Final = ".owners"
_MOST: Final = 4096
"""Bytes of that file."""


def own(directory: str, pid: int | None = None) -> None:
    """``directory`` is used by this process, or by ``pid``, too. Raises: OSError."""
    pid = real.getpid() if pid is None else pid
    line = f"{pid} {(_started(pid) or 0)} {_place()}\n".encode(errors="surrogateescape")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    number = real.fd_open(f"{directory}/{_OWNERS}", flags, 0o600)
    try:
        real.fd_write(number, line)
    finally:
        real.fd_close(number)


def remove_if_empty(directory: str) -> None:
    """Remove ``directory`` where nothing but the names of its owners is in it. Raises: OSError."""
    if real.listdir(directory) != [_OWNERS]:
        return
    aside = f"{directory}-{os.urandom(4).hex()}"
    real.rename(f"{directory}/{_OWNERS}", aside)
    try:
        real.rmdir(directory)
    except OSError:  # others have come to use it
        real.rename(aside, f"{directory}/{_OWNERS}")
        raise
    real.unlink(aside)


def remove_abandoned(where: str) -> None:
    """Remove the directories in ``where`` whose owners have all died. Raises nothing."""
    with contextlib.suppress(OSError), real.passthrough():
        with real.scandir(where) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIXES)]
        place = _place() if names else ""
        for name in names:
            with contextlib.suppress(OSError, ValueError, OverflowError):
                directory = os.path.join(where, name)
                if _is_abandoned(directory, place):
                    _remove(directory)


def _is_abandoned(directory: str, place: str) -> bool:
    """Raises: OSError where it cannot be told."""
    user = os.geteuid()
    found = real.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
        return False
    number = real.fd_open(f"{directory}/{_OWNERS}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = real.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != user:
            return False
        text = real.fd_read(number, _MOST).decode(errors="surrogateescape")
    finally:
        real.fd_close(number)
    lines = text.split("\n")
    return len(text) < _MOST and len(lines) > 1 and not lines.pop() and all(_is_dead(line, place) for line in lines)


def _is_dead(line: str, place: str) -> bool:
    pid, started, where = line.split(" ", 2)
    if where != place:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's by now
        pass
    now = _started(int(pid))
    return now is not None and now != int(started)


def _started(pid: int) -> int | None:
    """When, in clock ticks since boot; 0 for one that has ended and is not waited for; None where it cannot be told.

    Source: proc(5), stat.
    """
    try:
        with real.open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        ended = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
        return 0 if ended else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _place() -> str:
    """What has to be the same for the number of a process to mean the same."""
    found = []
    for namespace in ("pid", "time"):  # which also shifts what /proc tells of times
        try:
            found.append(real.readlink(f"/proc/self/ns/{namespace}"))
        except OSError:
            found.append("-")
    try:
        with real.open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            found.append(file.read().strip())
    except OSError:
        found.append("-")
    return " ".join([*found, os.uname().nodename])


def _remove(directory: str) -> None:
    """Who owned it goes last, so that a removal which is interrupted is begun again."""
    aliases = f"{directory}/{ALIASES}"
    with contextlib.suppress(OSError):
        for name in real.listdir(aliases):
            with contextlib.suppress(OSError):
                alias = real.readlink(f"{aliases}/{name}")
                if real.readlink(alias).startswith(f"{directory}/"):
                    real.unlink(alias)
    for name in real.listdir(directory):
        path = f"{directory}/{name}"
        if name == _OWNERS:
            continue
        if stat.S_ISDIR(real.lstat(path).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            real.unlink(path)
    shutil.rmtree(directory, ignore_errors=True)
