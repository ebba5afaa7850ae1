"""The filter program and the tables that it is made of, for both architectures."""

from __future__ import annotations

import os
import struct
from typing import Final

import pytest

from vfsmount.children.supervisor import bpf
from vfsmount.children.supervisor.attributes import Look, pack_stat, pack_statx
from vfsmount.children.supervisor.dispatch import ANSWERS
from vfsmount.children.supervisor.notify import Listener
from vfsmount.children.supervisor.syscalls import ARCHITECTURES, BY_PATH

LAZY: Final = range(960, 1024)


def verdict(architecture: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the kernel's interpreter would return. Source: linux/filter.h."""
    found = ARCHITECTURES[architecture]
    program = list(struct.iter_unpack("HBBI", bpf.program(found, LAZY)))
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
    assert verdict(name, 500, 1, 2, 3) == bpf.ALLOW
    assert verdict(name, numbers["openat"], audit=0x40000003) == bpf.ALLOW  # another architecture's number
    assert verdict(name, numbers["io_uring_setup"]) == bpf.ERRNO | 38
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
    assert verdict(name, 500, 970) == bpf.NOTIFY  # whatever it is
    assert verdict(name, numbers["close"], 970) == bpf.ALLOW
    assert verdict(name, numbers["sendmsg"], 5, 0, bpf.HANDOVER) == bpf.ALLOW


def test_every_call_on_a_path_is_answered() -> None:
    assert set(ANSWERS) == set(BY_PATH)
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
