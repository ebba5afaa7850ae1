"""Making a call of a child go to another path, where it has to be the kernel that does it (chdir, execve).

Registers cannot be changed from here, only memory: the path is overwritten where it stands, the kernel reads it, and
the old bytes are put back before any thread that shares the memory runs again; they are all stopped meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import os
import posixpath
import signal
import time
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.call import INSTALLED, not_supported

if TYPE_CHECKING:
    from vfsmount.children.supervisor.call import Call

_PATIENCE: Final = 5.0
"""Seconds for a process to stop."""
_KCMP: Final = {"x86_64": 312, "aarch64": 272}
_KCMP_VM: Final = 1
_BUSY: Final = "a program cannot be led to a mounted path while others share its memory and run"


def redirect(call: Call, position: int, path: str, *, guarded: tuple[range, ...] = (), execs: bool = False) -> int:
    """Let the kernel do the call with the local ``path`` for the argument at ``position``. Answers the call itself.

    ``guarded``: addresses that the kernel reads for the same call, which stay as they are. ``execs``: the program will
    be told the path, so the longest spelling is the best.
    Raises: ENOTSUP where it cannot be done safely; what was changed is back by then.
    """
    family = call.family
    if not family.killable:
        raise not_supported(
            "Linux 5.19 or later is needed to change into a mounted directory or execute a mounted file"
        )
    given = call.text(position)
    address = call.args[position]
    spellings = [path]
    if family.resolver.mounted(path) is not None:
        directory, _, name = path.rpartition("/")
        spellings += [f"{family.skeleton.alias(directory)}/{name}", family.skeleton.alias(path)]
    encoded = [os.fsencode(each) for each in spellings]
    if not execs:  # best where nothing is written behind the path's end
        encoded.sort(key=len)
    wanted = next((each for each in encoded if _fits(call.pid, each, given, address, guarded)), None)
    if wanted is None:
        raise not_supported("the path is too short to be replaced by a local one")
    sharing = _sharers(call.pid)
    call.check()  # else they may be strangers
    stopped: list[int] = []
    try:
        for pid in sharing:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        _await_stop(stopped, but=call.pid)
        old = memory.read(call.pid, address, len(wanted) + 1)
        call.check()
        memory.write(call.pid, address, wanted + b"\0")
        try:
            family.listener.proceed(call.note.ident)
            _await_stop(sharing[:1], but=None)
        finally:
            _put_back(sharing, address, wanted, old, execs=execs)
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)
    return INSTALLED


def _fits(pid: int, new: bytes, given: bytes, address: int, guarded: tuple[range, ...]) -> bool:
    """Within what stands there, or over nothing that the call reads too."""
    if len(new) <= len(given):
        return True
    beyond = range(address + len(given) + 1, address + len(new) + 1)
    if any(each.start < beyond.stop and beyond.start < each.stop for each in guarded):
        return False
    try:
        memory.read(pid, address, len(new) + 1)
    except OSError:
        return False
    return True


def leads_there(call: Call, given: bytes, local: str) -> bool:
    """Whether the kernel would find ``local`` by itself: the process stands in the skeleton."""
    if given.startswith(b"/"):
        return os.fsdecode(given) == local
    try:
        here = real.readlink(f"/proc/{call.pid}/cwd")
    except OSError:
        return False
    return (
        call.family.resolver.mounted(here) is not None
        and posixpath.normpath(posixpath.join(here, os.fsdecode(given))) == local
    )


def _put_back(sharing: list[int], address: int, new: bytes, old: bytes, *, execs: bool) -> None:
    """Where the old memory still is: not in a process that has become another program."""
    for pid in sharing:
        try:
            if memory.read(pid, address, len(new) + 1) == new + b"\0":
                memory.write(pid, address, old)
                return
        except OSError:
            if not execs:
                raise


def _sharers(pid: int) -> list[int]:
    """The process, and the one that waits in vfork for it, with whose memory it runs. Raises: ENOTSUP, OSError."""
    group, parent = _status(pid, "Tgid:"), _status(pid, "PPid:")
    if parent <= 0:
        return [group]
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        same = libc.syscall(_KCMP[os.uname().machine], group, parent, _KCMP_VM, 0, 0)
    except (OSError, KeyError) as error:
        raise not_supported(_BUSY) from error
    if same < 0 and ctypes.get_errno() != errno.ESRCH:
        if parent == real.getpid() or _status(parent, "Threads:") == 1:
            return [group]  # no kcmp: this one was not made by vfork, or its maker sleeps until it is done
        raise not_supported(_BUSY)
    return [group, parent] if same == 0 else [group]


def _await_stop(pids: list[int], *, but: int | None) -> None:
    """Until every thread has stopped, or sleeps in the kernel where it will stop before it runs on.

    Raises: ENOTSUP after some seconds.
    """
    deadline = time.monotonic() + _PATIENCE
    while not all(_is_stopped(pid, but) for pid in pids):
        if time.monotonic() > deadline:
            raise not_supported(_BUSY)
        time.sleep(0.0002)


def _is_stopped(pid: int, but: int | None) -> bool:
    try:
        threads = [int(name) for name in real.listdir(f"/proc/{pid}/task")]
    except OSError:
        return True
    states = {thread: _state(pid, thread) for thread in threads if thread != but}
    # One that waits for an answer of ours, or in vfork, cannot stop yet, and runs on only to stop: "D" or "S" of a
    # thread that a stop signal is pending for.
    return all(state in "TtZX" or (but is not None and state == "D") for state in states.values())


def _state(pid: int, thread: int) -> str:
    try:
        with real.open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
            text: bytes = file.read()
    except OSError:
        return "X"
    return chr(text[text.rindex(b")") + 2])


def _status(pid: int, name: str) -> int:
    with real.open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(name.encode()):
                return int(line.split()[1])
    raise not_supported(f"no {name} of a process")


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return
