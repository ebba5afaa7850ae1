"""open and its kin: a child gets a descriptor of a real local file or directory that stands for the mounted one."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor import memory
from vfsmount.children.supervisor.call import INSTALLED, PROCEED, Call, not_supported
from vfsmount.children.supervisor.notify import Cancelled
from vfsmount.children.supervisor.paths import Outside
from vfsmount.children.supervisor.processes import Listeners, Process, descriptors
from vfsmount.children.supervisor.skeleton import Replaced
from vfsmount.children.supervisor.writers import Writer
from vfsmount.errors import os_error
from vfsmount.vfs.ending import opening
from vfsmount.vfs.keeping import kept_by
from vfsmount.vfs.staged import StagedFile

if TYPE_CHECKING:
    from vfsmount.children.supervisor.skeleton import Node
    from vfsmount.vfs.openfile import OpenFile

EAGER: Final = 2 << 20
"""Bytes up to which a file is fetched when it is opened; a larger one while it is read."""
_APART: Final = 32
"""Numbers below those of files that have to be free: a process may be opening others meanwhile."""
_ATTEMPTS: Final = 8
_HOW: Final = struct.Struct("3Q")
"""``struct open_how``. Source: linux/openat2.h, as the next two."""
_BENEATH, _IN_ROOT = 0x08, 0x10
_SYNC: Final = os.O_SYNC | os.O_DSYNC
_KNOWN: Final = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_DIRECTORY | _SYNC | os.O_TMPFILE
_KEPT: Final = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK


def open_(call: Call) -> int:
    return _open(call, 0, None, call.integer(1), call.integer(2))


def creat(call: Call) -> int:
    return _open(call, 0, None, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, call.integer(1))


def openat(call: Call) -> int:
    return _open(call, 1, 0, call.integer(2), call.integer(3))


def openat2(call: Call) -> int:
    if call.args[3] < _HOW.size:
        return PROCEED
    flags, mode, resolve = _HOW.unpack(memory.read(call.pid, call.args[2], _HOW.size))
    if resolve & (_BENEATH | _IN_ROOT) and call.text(1).startswith(b"/"):  # it does not start at the root
        if resolve & _IN_ROOT and call.family.resolver.is_inside(call.pid, call.integer(0)):
            raise not_supported("a mounted directory cannot be the root of a path")
        return PROCEED
    return _open(call, 1, 0, flags, mode)


def _open(call: Call, position: int, dirfd: int | None, flags: int, mode: int) -> int:
    cloexec = bool(flags & os.O_CLOEXEC)
    try:
        path = call.resolve(position, dirfd, follow=not flags & os.O_NOFOLLOW, purpose=opening(flags))
    except Outside as outside:
        number = real.fd_open(outside.path, flags | os.O_CLOEXEC | os.O_NOCTTY, mode & 0o7777)
        return _given(call, number, cloexec=cloexec)
    family = call.family
    if path is None:
        node = call.reopened() if flags & (os.O_ACCMODE | os.O_TRUNC) else None
        if node is None or node.writing:
            call.may_reopen()
            return PROCEED
        path = node.path  # what it stands for is what is to be written
        family.take_time()
    if flags & os.O_PATH:
        return _by_name(call, path, flags)
    if not family.view.table.covers(path):
        local = family.skeleton.listed(path)
        return _given(call, real.fd_open(local, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), cloexec=cloexec)
    if flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC):
        family.skeleton.release_unused()
    opened = _opened(call, path, flags)
    try:
        if opened.is_dir:
            opened.close()
            local = family.skeleton.listed(path)
            return _given(call, real.fd_open(local, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), cloexec=cloexec)
    except BaseException:
        opened.close()
        raise
    if opened.writable:
        return _write(call, path, opened, flags)
    return _read(call, path, opened, flags)


def _opened(call: Call, path: str, flags: int) -> OpenFile:
    """Another thread of this process that is starting a program holds, until its exec, a copy of what was open."""
    family = call.family
    for attempt in range(_ATTEMPTS):
        try:
            with kept_by(family):
                return family.view.table.open(path, flags & _KNOWN)
        except PermissionError:
            node = family.skeleton.node(path)
            if attempt == _ATTEMPTS - 1 or node is None or not (node.writing or node.is_open):
                raise
            time.sleep(0.005)
            family.settle()
            family.skeleton.release_unused()
    raise AssertionError


def _by_name(call: Call, path: str, flags: int) -> int:
    """For O_PATH: a descriptor for reading, because the kernel hands over no other."""
    attr, _ = call.family.attr(path)
    if not attr.is_dir:
        if flags & os.O_DIRECTORY:
            raise os_error(errno.ENOTDIR, path)
        return _read(call, path, _opened(call, path, os.O_RDONLY), flags & os.O_CLOEXEC)
    number = real.fd_open(call.family.skeleton.local(path), os.O_RDONLY | os.O_CLOEXEC)
    return _given(call, number, cloexec=bool(flags & os.O_CLOEXEC))


def fetch(call: Call, path: str) -> Node:
    """The file with all of its content. Raises: OSError."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(Replaced):
            node = _node(call, path, call.family.view.table.open(path, os.O_RDONLY))
            node.fill()
            return node
    raise Replaced(path)


def _node(call: Call, path: str, opened: OpenFile) -> Node:
    skeleton = call.family.skeleton
    try:
        if isinstance(opened, StagedFile):  # it may change from one moment to the next
            known = skeleton.node(path)
            if known is None or not known.writing:
                skeleton.drop(path)
        node = skeleton.file(path, opened.stat())
    except BaseException:
        opened.close()
        raise
    if node.writing:
        opened.close()
    else:
        node.lend(opened)
        if isinstance(opened, StagedFile):
            node.fill()
    return node


def _read(call: Call, path: str, opened: OpenFile, flags: int) -> int:
    for _ in range(_ATTEMPTS):
        try:
            return _read_version(call, path, opened, flags)
        except Replaced:  # another call has seen another version
            opened = _opened(call, path, flags)
            if opened.is_dir:
                opened.close()
                break
    raise Replaced(path)


def _read_version(call: Call, path: str, opened: OpenFile, flags: int) -> int:
    node = _node(call, path, opened)
    cloexec = bool(flags & os.O_CLOEXEC)
    with node.lock:  # until our own descriptor is closed: whoever asks whether the file is in use waits
        number = node.reopen(os.O_RDONLY | flags & os.O_NONBLOCK)
        try:
            if node.attr.size > EAGER and node.is_open and _placed(call, number, call.family.lazy, cloexec=cloexec):
                return INSTALLED
            node.fill()
            return call.install(number, cloexec=cloexec)
        finally:
            real.fd_close(number)


def _placed(call: Call, number: int, numbers: range, *, cloexec: bool) -> bool:
    """Give the process the file by one of the numbers that the filter knows; False where none is free."""
    with call.family.placing:  # another thread of the process may be opening one too
        place = _free(call, numbers)
        if place is None:
            return False
        try:
            call.install(number, cloexec=cloexec, at=place)
        except OSError:  # beyond the limit that the process has set itself
            return False
        return True


def _free(call: Call, numbers: range) -> int | None:
    """One of ``numbers`` that the process does not use; None: there is none. Under :attr:`Family.placing`.

    None also where so many others are open that the kernel could be about to give away one of these.
    """
    taken = set(descriptors(call.pid))
    if not {0, 1, 2} <= taken:  # whoever has closed one of these means to get it
        return None
    if not numbers or sum(number < numbers.start for number in taken) > numbers.start - _APART:
        return None
    reusable = call.family.closing.is_reusable
    return next((number for number in numbers if number not in taken or reusable(call.pid, number)), None)


def _write(call: Call, path: str, opened: OpenFile, flags: int) -> int:
    family = call.family
    family.writers.follow()
    writer = family.writers.get(path)
    if writer is not None:  # another open of a file on a staged mount
        with writer.lock:
            if not writer.done:
                writer.join(opened, emptied=bool(flags & os.O_TRUNC))
                if flags & os.O_TRUNC:
                    real.truncate(writer.node.local, 0)
                number = real.fd_open(writer.node.local, flags & _KEPT | os.O_CLOEXEC)
                return _given_to_write(call, number, flags)
    node = None
    try:
        node = family.skeleton.written(path, opened.stat())
        if isinstance(opened, StagedFile) and opened.stat().size:
            _load(call, path, node)
        changed = not isinstance(opened, StagedFile) or bool(flags & os.O_TRUNC)
        writer = Writer(opened, node, Process.of(call.pid), Listeners.of(call.pid), changed=changed)
    except BaseException:
        opened.close(abort=True)
        if node is not None:
            node.writing = False
            family.skeleton.drop(path)
        raise
    with writer.lock:  # as above: the child may have closed it before we have closed ours
        family.writers.add(path, writer)
        try:
            number = real.fd_open(node.local, flags & _KEPT | os.O_CLOEXEC)
            return _given_to_write(call, number, flags)
        except (OSError, Cancelled):
            family.writers.abort(writer)
            raise


def _given_to_write(call: Call, number: int, flags: int) -> int:
    """By a number whose ``close`` comes here, where one is free."""
    cloexec = bool(flags & os.O_CLOEXEC)
    try:
        if _placed(call, number, call.family.closing.numbers, cloexec=cloexec):
            return INSTALLED
        return call.install(number, cloexec=cloexec)
    finally:
        real.fd_close(number)


def _load(call: Call, path: str, node: Node) -> None:
    """What a staged file holds already."""
    source = call.family.view.table.open(path, os.O_RDONLY)
    number = real.fd_open(node.local, os.O_WRONLY | os.O_CLOEXEC)
    try:
        while data := source.read(1 << 20):
            while data:
                data = data[real.fd_write(number, data) :]
    finally:
        real.fd_close(number)
        source.close()


def _given(call: Call, number: int, *, cloexec: bool) -> int:
    try:
        return call.install(number, cloexec=cloexec)
    finally:
        real.fd_close(number)
