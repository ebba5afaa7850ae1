"""The filter program and the tables that it is made of, for both architectures."""

from __future__ import annotations

import os
import struct
from typing import Final

import pytest

from vfsmount.children.supervisor import bpf
from vfsmount.children.supervisor.attributes import Look, pack_stat, pack_statx
from vfsmount.children.supervisor.closing import CLOSES, RELIES
from vfsmount.children.supervisor.dispatch import ANSWERS
from vfsmount.children.supervisor.notify import Listener
from vfsmount.children.supervisor.syscalls import ARCHITECTURES, BY_OTHER_MEANS, BY_PATH, MISSING, NEWER

LAZY: Final = range(960, 1024)


def verdict(
    architecture: str, number: int, *arguments: int, audit: int | None = None, lazy: range = LAZY, stdin: bool = False
) -> int:
    """What the kernel's interpreter would return. Source: linux/filter.h."""
    found = ARCHITECTURES[architecture]
    program = list(struct.iter_unpack("HBBI", bpf.program(found, lazy, stdin=stdin)))
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("IIQ6Q", number, found.audit if audit is None else audit, 0, *six)
    at = accumulator = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("I", data, k)[0]
        elif code == 0x15:
            at += yes if accumulator == k else no
        elif code == 0x05:
            at += k
        elif code == 0x45:
            at += yes if accumulator & k else no
        elif code == 0x35:
            at += yes if accumulator >= k else no
        else:
            assert code == 0x06
            return int(k)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_calls_on_paths_are_sent_and_others_are_not(name: str) -> None:
    numbers = ARCHITECTURES[name].numbers
    for call in BY_PATH:
        if call in numbers:
            assert verdict(name, numbers[call]) == bpf.NOTIFY, call
    for call in ("read", "write", "close", "mmap", "ioctl", "sendmsg", "lseek"):
        wanted = bpf.NOTIFY if call == "sendmsg" else bpf.ALLOW
        assert verdict(name, numbers[call], 3, 0, 0) == wanted, call
    assert verdict(name, NEWER - 3, 1, 2, 3) == bpf.NOTIFY
    assert verdict(name, numbers["openat"], audit=0x40000003) == bpf.ALLOW  # another architecture's number
    for call in MISSING:
        assert verdict(name, numbers[call], 5) == bpf.ERRNO | 38, call
    for number in (NEWER, 500):  # nobody knows what they do
        assert verdict(name, number, 1, 2, 3) == bpf.ERRNO | 38
    assert verdict(name, 0x40000000 | numbers["openat"]) == bpf.ERRNO | 38  # x32
    assert verdict(name, 0xFFFFFFFF) == bpf.ERRNO | 38


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_whatever_could_show_the_content_of_a_lazy_file_is_sent(name: str) -> None:
    numbers = ARCHITECTURES[name].numbers
    for call in ("read", "pread64", "readv", "preadv", "preadv2", "lseek"):
        assert verdict(name, numbers[call], LAZY.start) == bpf.NOTIFY
        assert verdict(name, numbers[call], LAZY.stop - 1) == bpf.NOTIFY
        assert verdict(name, numbers[call], LAZY.stop) == bpf.ALLOW
        assert verdict(name, numbers[call], LAZY.start - 1) == bpf.ALLOW
    assert verdict(name, numbers["mmap"], 0, 100, 1, 2, 970) == bpf.NOTIFY
    assert verdict(name, numbers["sendfile"], 1, 970) == bpf.NOTIFY
    assert verdict(name, numbers["ioctl"], 5, 0x40049409, 970) == bpf.NOTIFY  # FICLONE
    for request in (0x4020940D, 0xC0189436, 0x4C0A):  # FICLONERANGE, FIDEDUPERANGE, LOOP_CONFIGURE
        assert verdict(name, numbers["ioctl"], 5, request, 1 << 40) == bpf.NOTIFY
    for call in ("io_submit", "pidfd_getfd", "sendmmsg"):
        assert verdict(name, numbers[call], 5, 6, 7) == bpf.NOTIFY
    assert verdict(name, 456, 970) == bpf.NOTIFY  # whatever it is
    assert verdict(name, numbers["close"], 970) == bpf.ALLOW
    assert verdict(name, numbers["sendmsg"], 5, 0, bpf.HANDOVER) == bpf.ALLOW


SHOWS: Final = {
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "preadv": (295, 69), "preadv2": (327, 286),
    "lseek": (8, 62), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "fcntl": (72, 25), "splice": (275, 76),
    "tee": (276, 77), "copy_file_range": (326, 285), "finit_module": (313, 273), "kexec_file_load": (320, 294),
    "execveat": (322, 281), "linkat": (265, 37), "name_to_handle_at": (303, 264), "open_tree": (428, 428),
    "open_tree_attr": (467, 467), "move_mount": (429, 429), "statx": (332, 291), "newfstatat": (262, 79),
}  # fmt: skip
"""Calls that show, by the descriptor that is their first argument, the content or what tells of it, or that make
another name or descriptor for the file; all of Linux 6.17. Numbers on x86_64 and aarch64."""
NAMES_ELSEWHERE: Final = {
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "io_submit": (209, 2), "fsconfig": (431, 431),
    "pidfd_getfd": (438, 438), "mount": (165, 40), "openat": (257, 56), "openat2": (437, 437),
}  # fmt: skip
"""Reach the file by a descriptor in memory, or by another process's, or by a path through /proc: whatever they are
called with, they are looked at. Of io_uring there is nothing, and handles of files are not given out."""
SHOWS_NOTHING: Final = {
    "close": (3, 57), "close_range": (436, 436), "write": (1, 64), "writev": (20, 66), "pwrite64": (18, 68),
    "pwritev": (296, 70), "pwritev2": (328, 287), "fsync": (74, 82), "fdatasync": (75, 83), "ftruncate": (77, 46),
    "fchdir": (81, 50), "fchmod": (91, 52), "fchown": (93, 55), "flock": (73, 32), "getdents64": (217, 61),
    "fstatfs": (138, 44), "fgetxattr": (193, 10), "flistxattr": (196, 13), "fsetxattr": (190, 7),
    "fremovexattr": (199, 16), "readahead": (187, 213), "fadvise64": (221, 223), "sync_file_range": (277, 84),
    "fallocate": (285, 47), "vmsplice": (278, 75), "syncfs": (306, 267), "setns": (308, 268), "cachestat": (451, 451),
    "epoll_ctl": (233, 21), "signalfd4": (289, 74), "fanotify_mark": (301, 263), "quotactl_fd": (443, 443),
    "mount_setattr": (442, 442), "fspick": (433, 433), "fsmount": (432, 432), "pidfd_send_signal": (424, 424),
    "landlock_restrict_self": (446, 446), "io_uring_enter": (426, 426), "accept4": (288, 242), "recvmsg": (47, 212),
    "recvfrom": (45, 207), "sendto": (44, 206), "connect": (42, 203),
    "brk": (12, 214), "munmap": (11, 215), "rt_sigprocmask": (14, 135), "prlimit64": (302, 261),
}  # fmt: skip
"""By a descriptor for reading a regular file they fail, or tell and move nothing; the last ones have none."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_standard_input_that_is_fetched_while_it_is_read(name: str) -> None:
    numbers = ARCHITECTURES[name].numbers
    column = list(ARCHITECTURES).index(name)
    for call, both in SHOWS.items():
        number = both[column]
        if number is not None:
            assert numbers[call] == number
            assert verdict(name, number, 0, 0, stdin=True) == bpf.NOTIFY, call
            assert verdict(name, number, LAZY[3], stdin=True) == bpf.NOTIFY, call
            if call not in BY_PATH and call not in BY_OTHER_MEANS and call not in CLOSES:
                assert verdict(name, number, 0, 0) == verdict(name, number, 1, 0, stdin=True) == bpf.ALLOW, call
    for call, both in NAMES_ELSEWHERE.items():
        assert numbers[call] == both[column]
        assert verdict(name, numbers[call], 5, 6, 7, stdin=True) == verdict(name, numbers[call], 5) == bpf.NOTIFY, call
    for call, both in SHOWS_NOTHING.items():
        assert verdict(name, both[column], 0, 0, 0, stdin=True) == bpf.ALLOW, call
    anonymous, shared = 0x22, 0x01
    assert verdict(name, numbers["mmap"], 0, 100, 3, anonymous, 0, stdin=True) == bpf.ALLOW
    assert verdict(name, numbers["mmap"], 0, 100, 1, shared, 0, stdin=True) == bpf.NOTIFY
    assert verdict(name, numbers["mmap"], 0, 100, 1, shared, 3, stdin=True) == bpf.ALLOW
    assert verdict(name, numbers["mmap"], 0, 100, 1, shared, LAZY[0], stdin=True) == bpf.NOTIFY
    assert verdict(name, numbers["sendfile"], 1, 0, stdin=True) == bpf.NOTIFY
    assert verdict(name, numbers["sendfile"], 0, 3, stdin=True) == bpf.ALLOW
    for request in (0x40049409, 0xC020660B):  # FICLONE, FIEMAP
        assert verdict(name, numbers["ioctl"], 0, request, 0, stdin=True) == bpf.NOTIFY
    assert verdict(name, numbers["ioctl"], 0, 0x5401, 1 << 40, stdin=True) == bpf.ALLOW  # isatty
    for number in range(NEWER):  # nothing else is slower for it
        if number not in numbers.values():
            assert verdict(name, number, 0, stdin=True) == bpf.ALLOW


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_calls_of_32_bit_programs(name: str) -> None:
    found = ARCHITECTURES[name]
    numbers = found.compat_numbers
    assert len(numbers) == len(set(numbers.values()))
    for call, number in numbers.items():
        wanted = bpf.ERRNO | 38 if call == "io_uring_setup" else bpf.NOTIFY
        assert verdict(name, number, 5, 6, 7, audit=found.compat) == wanted, call
    read, brk, exit_group = 3, 45, 248 if name == "aarch64" else 252
    assert verdict(name, read, 3, audit=found.compat) == bpf.ALLOW
    assert verdict(name, read, LAZY[5], audit=found.compat) == bpf.NOTIFY
    assert verdict(name, read, 0, audit=found.compat) == verdict(name, brk, 0, audit=found.compat) == bpf.ALLOW
    assert verdict(name, read, 0, audit=found.compat, stdin=True) == bpf.NOTIFY
    assert verdict(name, exit_group, 1, audit=found.compat, stdin=True) == bpf.ALLOW


@pytest.mark.parametrize("lazy", [LAZY, range(0)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_whatever_may_end_the_writing_of_a_file_is_sent(name: str, lazy: range) -> None:
    """And no other ``close`` than of the numbers that written files get, and of 1."""
    numbers = ARCHITECTURES[name].numbers
    written = bpf.written_numbers(lazy)
    assert len(written) == len(lazy)
    for number in (0, 1, 2, 3, 100, 895, 896, 959, 960, 1023, 1024, (1 << 32) - 1):
        wanted = bpf.NOTIFY if number == 1 or number in written else bpf.ALLOW
        for call in ("close", "fsync", "fdatasync"):
            assert verdict(name, numbers[call], number, lazy=lazy) == wanted, (call, number)
        assert verdict(name, numbers["write"], number, lazy=lazy) == bpf.ALLOW
    assert ("dup2" in numbers) == (name == "x86_64")
    for call in {"dup2", "dup3"} & set(numbers):
        assert verdict(name, numbers[call], 3, 1, lazy=lazy) == bpf.NOTIFY
    for status in (0, 256):
        assert verdict(name, numbers["exit_group"], status, lazy=lazy) == bpf.NOTIFY
    for status in (1, 5, 257, (1 << 32) - 1):
        assert verdict(name, numbers["exit_group"], status, lazy=lazy) == bpf.ALLOW


def test_every_call_on_a_path_is_answered() -> None:
    assert set(ANSWERS) == set(BY_PATH)
    assert set(ANSWERS) > RELIES
    assert not set(ANSWERS) & CLOSES
    assert all(CLOSES - {"dup2"} <= set(architecture.numbers) for architecture in ARCHITECTURES.values())
    for architecture in ARCHITECTURES.values():
        values = list(architecture.numbers.values())
        assert len(values) == len(set(values))


def test_the_tables_are_the_kernels() -> None:
    """A few numbers of each, by heart; aarch64 has none of the calls that came before ``openat``."""
    assert [ARCHITECTURES["x86_64"].numbers[name] for name in ("openat", "newfstatat", "statx")] == [257, 262, 332]
    generic = ARCHITECTURES["aarch64"].numbers
    assert [generic[name] for name in ("openat", "newfstatat", "statx", "execve", "mmap")] == [56, 79, 291, 221, 222]
    assert not {"open", "stat", "lstat", "access", "mkdir", "rename", "unlink", "readlink"} & set(generic)


def test_the_structs_have_the_kernels_sizes() -> None:
    look = Look(0xFE00, 12345, 1, 0o100644, 1, 2, 0, 6, 4096, 1, (1_000_000_001, 2_000_000_002, 3_000_000_003))
    native, generic, statx = pack_stat("x86_64", look), pack_stat("aarch64", look), pack_statx(look)
    assert (len(native), len(generic), len(statx)) == (144, 128, 256)
    assert struct.unpack_from("q", native, 48) == struct.unpack_from("q", generic, 48) == (6,)  # st_size
    assert struct.unpack_from("I", native, 24) == struct.unpack_from("I", generic, 16) == (0o100644,)  # st_mode
    assert struct.unpack_from("2q", native, 88) == struct.unpack_from("2q", generic, 88) == (2, 2)  # st_mtim
    assert struct.unpack_from("2Q", statx, 32) == (12345, 6)  # stx_ino, stx_size


def test_a_closed_listener_wakes_nobody() -> None:
    """Its numbers may be other files by then: a byte would end up in them."""
    reading, writing = os.pipe()
    listener = Listener(reading)
    before = listener._wake
    listener.close()
    os.close(writing)
    again, taken = os.pipe()
    stranger = os.dup2(taken, before) if before not in (again, taken) else taken
    try:
        os.set_blocking(again, False)
        listener.wake()
        listener.close()
        with pytest.raises(BlockingIOError):
            os.read(again, 1)
    finally:
        for number in {again, taken, stranger}:
            os.close(number)
