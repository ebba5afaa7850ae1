"""The filter: which system calls of a child are sent to the supervisor. Pure.

Source: linux/filter.h, linux/bpf_common.h, linux/seccomp.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Final

from vfsmount.children.supervisor.syscalls import BY_DESCRIPTOR, BY_OTHER_MEANS, BY_PATH, MISSING, NEWER, Architecture

NOTIFY: Final = 0x7FC00000
"""SECCOMP_RET_USER_NOTIF."""
ALLOW: Final = 0x7FFF0000
ERRNO: Final = 0x00050000

HANDOVER: Final = 0x4010
"""MSG_NOSIGNAL | MSG_PROXY; the second one means nothing to Linux, so nobody else sets it."""

SHARING_IOCTLS: Final = (0x4020940D, 0xC0189436, 0x4C0A)
"""FICLONERANGE, FIDEDUPERANGE, LOOP_CONFIGURE: descriptors stand in what the third argument points to.

Source: linux/fs.h, linux/loop.h.
"""
SHOWING_IOCTLS: Final = (0x40049409, 0x4C00, 0x4C06, 0xC020660B, 1)
"""FICLONE, LOOP_SET_FD, LOOP_CHANGE_FD (all of the descriptor in the third argument), FIEMAP, FIBMAP."""
_MAP_ANONYMOUS: Final = 0x20

_LOAD: Final = 0x20
"""BPF_LD | BPF_W | BPF_ABS."""
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ALWAYS: Final = 0x05
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER, _ARCH = 0, 4
_ARGUMENT: Final = 16
"""Offset of the first argument; 8 bytes each, the low half first on both architectures."""


def _step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def program(architecture: Architecture, lazy: range, *, stdin: bool = False) -> bytes:
    """The filter's instructions, eight bytes each.

    Calls on paths are sent here; so is every call whose first argument (for ``mmap``, ``sendfile`` and ``ioctl``
    another one too) is a number in ``lazy``, the descriptors of files that are fetched while they are read, but the
    few calls that need no content, and calls that name descriptors in memory. ``stdin``: so are calls whose argument
    is 0, where it is a descriptor. ``io_uring`` is not there (ENOSYS), because its calls would pass by a filter, nor
    are calls that are newer than what is known here, and those of the x32 ABI.
    """
    numbers = architecture.numbers
    steps = [
        _step(_LOAD, _ARCH),
        *_compat(architecture, lazy, stdin=stdin),
        _step(_EQUAL, architecture.audit, 1, 0),
        _step(_RETURN, ALLOW),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, NEWER, 0, 1),  # the x32 ABI's too, which has the architecture of x86_64 and bit 30
        _step(_RETURN, ERRNO | errno.ENOSYS),
    ]
    for name in BY_PATH:
        if name in numbers:
            steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, NOTIFY)]
    for name in MISSING:
        steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, ERRNO | errno.ENOSYS)]
    steps += _closing(numbers, written_numbers(lazy))
    steps += _lazily_read(numbers, lazy, stdin=stdin) if lazy else []
    steps.append(_step(_RETURN, ALLOW))
    return b"".join(steps)


def _compat(architecture: Architecture, lazy: range, *, stdin: bool) -> list[bytes]:
    """32-bit programs: whatever may concern a mount, in few words, because it is only refused or waited for."""
    numbers = architecture.compat_numbers
    steps = [
        _step(_LOAD, _NUMBER),
        _step(_EQUAL, numbers["io_uring_setup"], 0, 1),
        _step(_RETURN, ERRNO | errno.ENOSYS),
    ]
    sent = sorted(set(numbers.values()) - {numbers["io_uring_setup"]})
    for at, number in enumerate(sent):
        steps.append(_step(_EQUAL, number, len(sent) - at, 0))
    steps.append(_step(_ALWAYS, 1))
    steps.append(_step(_RETURN, NOTIFY))
    if lazy:
        steps += _in_range(0, lazy)
    if stdin:
        steps += [_step(_EQUAL, 0, 0, 1), _step(_RETURN, NOTIFY)]
    steps.append(_step(_RETURN, ALLOW))
    return [_step(_EQUAL, architecture.compat, 0, len(steps)), *steps]


def written_numbers(lazy: range) -> range:
    """Descriptor numbers for files that are being written: as many, below those of ``lazy``."""
    return range(lazy.start - len(lazy), lazy.start)


def _closing(numbers: Mapping[str, int], written: range) -> list[bytes]:
    """What may end the writing of a file: closing one of the numbers ``written``, or 1; replacing any; ending well.
    What has it published: ``fsync`` of such a number.
    """
    test = [_step(_LOAD, _ARGUMENT), _step(_EQUAL, 1, 0, 1), _step(_RETURN, NOTIFY)]
    test += _in_range(0, written) if written else []
    steps = []
    for name in ("close", "fsync", "fdatasync"):
        steps += [_step(_EQUAL, numbers[name], 0, len(test) + 1), *test, _step(_RETURN, ALLOW)]
    for name in ("dup2", "dup3"):
        if name in numbers:
            steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, NOTIFY)]
    return [
        *steps,
        _step(_EQUAL, numbers["exit_group"], 0, 4),
        _step(_LOAD, _ARGUMENT),
        _step(_ANY_BIT, 0xFF, 0, 1),
        _step(_RETURN, ALLOW),
        _step(_RETURN, NOTIFY),
    ]


def _lazily_read(numbers: Mapping[str, int], lazy: range, *, stdin: bool) -> list[bytes]:
    """What concerns files that are fetched while they are read."""
    steps = []
    for name in "close close_range futex write writev prctl fadvise64 readahead flock".split():
        steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, ALLOW)]
    for name in BY_OTHER_MEANS:
        steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, NOTIFY)]
    # May carry a descriptor; the launcher's own, which carries the listener, is told by its flags.
    steps += [
        _step(_EQUAL, numbers["sendmsg"], 0, 4),
        _step(_LOAD, _ARGUMENT + 8 * 2),
        _step(_EQUAL, HANDOVER, 0, 1),
        _step(_RETURN, ALLOW),
        _step(_RETURN, NOTIFY),
    ]
    requests = len(SHARING_IOCTLS) + len(SHOWING_IOCTLS) * stdin
    steps += [_step(_EQUAL, numbers["ioctl"], 0, 2 + 2 * requests), _step(_LOAD, _ARGUMENT + 8)]
    for request in (*SHARING_IOCTLS, *(SHOWING_IOCTLS if stdin else ())):
        steps += [_step(_EQUAL, request, 0, 1), _step(_RETURN, NOTIFY)]
    steps.append(_step(_LOAD, _NUMBER))
    for name, position in (("mmap", 4), ("sendfile", 1), ("ioctl", 2)):
        test = _in_range(position, lazy)
        steps += [_step(_EQUAL, numbers[name], 0, len(test)), *test, _step(_LOAD, _NUMBER)]
    return [*steps, *(_by_standard_input(numbers) if stdin else ()), *_in_range(0, lazy)]


def _by_standard_input(numbers: Mapping[str, int]) -> list[bytes]:
    """The number is 0, which for most calls is anything but a descriptor: these are told by name."""
    steps = [
        _step(_EQUAL, numbers["mmap"], 0, 6),
        _step(_LOAD, _ARGUMENT + 8 * 3),
        _step(_ANY_BIT, _MAP_ANONYMOUS, 3, 0),
        _step(_LOAD, _ARGUMENT + 8 * 4),
        _step(_EQUAL, 0, 0, 1),
        _step(_RETURN, NOTIFY),
        _step(_RETURN, ALLOW),
        _step(_EQUAL, numbers["sendfile"], 0, 4),
        _step(_LOAD, _ARGUMENT + 8),
        _step(_EQUAL, 0, 0, 1),
        _step(_RETURN, NOTIFY),
        _step(_RETURN, ALLOW),
    ]
    calls = []
    for name in BY_DESCRIPTOR:
        if name in numbers:
            calls += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, NOTIFY)]
    calls.append(_step(_RETURN, ALLOW))
    return [*steps, _step(_LOAD, _ARGUMENT), _step(_EQUAL, 0, 0, len(calls) + 1), _step(_LOAD, _NUMBER), *calls]


def nothing() -> bytes:
    """A filter that lets everything pass."""
    return _step(_RETURN, ALLOW)


def _in_range(position: int, numbers: range) -> list[bytes]:
    """Notify where the argument is one of ``numbers`` (its high half is not looked at: a descriptor is an int)."""
    return [
        _step(_LOAD, _ARGUMENT + 8 * position),
        _step(_AT_LEAST, numbers.start, 0, 2),
        _step(_AT_LEAST, numbers.stop, 1, 0),
        _step(_RETURN, NOTIFY),
    ]
