"""stat, access, readlink, statfs and their kin."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from vfsmount import real
from vfsmount.children.supervisor.call import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, PROCEED, Call
from vfsmount.children.supervisor.paths import Outside
from vfsmount.errors import os_error
from vfsmount.model import BLOCK, PREFERRED_IO

if TYPE_CHECKING:
    from vfsmount.model import Attr

_FUSE: Final = 0x65735546
"""``f_type``: what mounts of buckets say that they are elsewhere. Source: linux/magic.h."""
_STATX_BASIC: Final = 0x7FF
_NANO: Final = 1_000_000_000


def stat_(call: Call) -> int:
    return _by_path(call, 0, None, 1, follow=True)


def lstat(call: Call) -> int:
    return _by_path(call, 0, None, 1, follow=False)


def fstat(call: Call) -> int:
    return _by_descriptor(call, call.integer(0), 1)


def newfstatat(call: Call) -> int:
    flags = call.integer(3)
    if flags & AT_EMPTY_PATH and (not call.args[1] or not call.text(1)):
        return _by_descriptor(call, call.integer(0), 2)
    return _by_path(call, 1, 0, 2, follow=not flags & AT_SYMLINK_NOFOLLOW)


def statx(call: Call) -> int:
    flags = call.integer(2)
    if flags & AT_EMPTY_PATH and (not call.args[1] or not call.text(1)):
        look = _look_of_descriptor(call, call.integer(0))
    else:
        look = _look(call, 1, 0, follow=not flags & AT_SYMLINK_NOFOLLOW)
    if look is None:
        return PROCEED
    call.write(4, pack_statx(look))
    return 0


def access(call: Call) -> int:
    return _access(call, 0, None, 1, follow=True)


def faccessat(call: Call) -> int:
    return _access(call, 1, 0, 2, follow=True)


def faccessat2(call: Call) -> int:
    flags = call.integer(3)
    if flags & AT_EMPTY_PATH and not call.text(1):
        return PROCEED
    return _access(call, 1, 0, 2, follow=not flags & AT_SYMLINK_NOFOLLOW)


def readlink(call: Call) -> int:
    return _readlink(call, 0, None)


def readlinkat(call: Call) -> int:
    return _readlink(call, 1, 0)


def statfs(call: Call) -> int:
    path = call.resolve(0)
    if path is None:
        return PROCEED
    table = call.family.view.table
    found = table.statvfs(path if table.covers(path) else table.points[0])
    call.write(
        1,
        struct.pack(
            "2q5Q2i3q4q", _FUSE, found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files,
            found.f_ffree, 0, 0, found.f_namemax, found.f_frsize, found.f_flag, 0, 0, 0, 0,
        ),
    )  # fmt: skip
    return 0


def getxattr(call: Call) -> int:
    """ENOTSUP, for all of its kind whose path is the first argument."""
    path = call.resolve(0)
    if path is None:
        return PROCEED
    call.family.attr(path)
    raise os_error(errno.ENOTSUP, path)


def inotify_add_watch(call: Call) -> int:
    if call.resolve(1) is None:
        return PROCEED
    raise os_error(errno.ENOTSUP)


def name_to_handle_at(call: Call) -> int:
    if call.integer(4) & AT_EMPTY_PATH and not call.text(1):  # a handle would open the file anew, by no path
        if call.family.node_of(call.pid, call.integer(0)) is None:
            return PROCEED
    elif call.resolve(1, 0) is None:
        return PROCEED
    raise os_error(errno.ENOTSUP)


def _by_path(call: Call, path: int, dirfd: int | None, out: int, *, follow: bool) -> int:
    look = _look(call, path, dirfd, follow=follow)
    if look is None:
        return PROCEED
    call.write(out, pack_stat(call.family.architecture.name, look))
    return 0


def _by_descriptor(call: Call, number: int, out: int) -> int:
    look = _look_of_descriptor(call, number)
    if look is None:
        return PROCEED
    call.write(out, pack_stat(call.family.architecture.name, look))
    return 0


def _look(call: Call, path: int, dirfd: int | None, *, follow: bool) -> Look | None:
    try:
        found = call.resolve(path, dirfd, follow=follow)
    except Outside as outside:
        return _look_of(real.stat(outside.path) if follow else real.lstat(outside.path))
    return None if found is None else _look_of_attr(*call.family.attr(found))


def _look_of_descriptor(call: Call, number: int) -> Look | None:
    """None where the kernel's own answer is right: not ours, a directory, or being written."""
    node = call.family.node_of(call.pid, number)
    if node is None or node.writing:
        return None
    return _look_of_attr(node.attr, real.stat(f"/proc/{call.pid}/fd/{number}"))


def _access(call: Call, path: int, dirfd: int | None, mode: int, *, follow: bool) -> int:
    wanted = call.integer(mode)
    if wanted & ~7:
        raise os_error(errno.EINVAL)
    try:
        found = call.resolve(path, dirfd, follow=follow)
    except Outside as outside:
        real.stat(outside.path)
        if not real.access(outside.path, wanted):
            raise os_error(errno.EACCES, outside.path) from None
        return 0
    if found is None:
        return PROCEED
    if wanted == 0:
        call.family.attr(found)
    elif not call.family.view.access(found, wanted):
        mount = call.family.view.table.find(found)
        read_only = mount is not None and mount[0].fs.options.read_only
        raise os_error(errno.EROFS if wanted & os.W_OK and read_only else errno.EACCES, found)
    return 0


def _readlink(call: Call, path: int, dirfd: int | None) -> int:
    raw = call.text(path)
    if raw.startswith(b"/proc/"):
        text = os.fsdecode(raw)
        for name in ("/proc/self/", "/proc/thread-self/"):
            if text.startswith(name):
                text = f"/proc/{call.pid}/{text[len(name) :]}"
        try:
            inside = call.family.resolver.mounted(real.readlink(text))
        except OSError:
            return PROCEED
        if inside is None:
            return PROCEED
        data = os.fsencode(inside)[: call.args[path + 2]]
        call.write(path + 1, data)
        return len(data)
    try:
        found = call.resolve(path, dirfd, follow=False)
    except Outside as outside:
        data = os.fsencode(real.readlink(outside.path))[: call.args[path + 2]]
        call.write(path + 1, data)
        return len(data)
    if found is None:
        return PROCEED
    call.family.attr(found)
    raise os_error(errno.EINVAL, found)


class Look(NamedTuple):
    """What both forms of stat tell."""

    dev: int
    ino: int
    nlink: int
    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    times_ns: tuple[int, int, int]
    """Access, modification, change."""


def _look_of_attr(attr: Attr, found: os.stat_result) -> Look:
    """With the identity of what stands for it; directories have one link, which says that nobody counts them."""
    times = (attr.mtime_ns,) * 3
    blocks = -(-attr.size // BLOCK)
    return Look(found.st_dev, found.st_ino, 1, attr.mode, attr.uid, attr.gid, 0, attr.size, PREFERRED_IO, blocks, times)


def _look_of(found: os.stat_result) -> Look:
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return Look(
        found.st_dev, found.st_ino, found.st_nlink, found.st_mode, found.st_uid, found.st_gid, found.st_rdev,
        found.st_size, found.st_blksize, found.st_blocks, times,
    )  # fmt: skip


def pack_stat(architecture: str, look: Look) -> bytes:
    """``struct stat``. Source: asm/stat.h of both architectures."""
    times = [part for time in look.times_ns for part in divmod(time, _NANO)]
    if architecture == "x86_64":
        return struct.pack(
            "3Q4IQ3q6q3q", look.dev, look.ino, look.nlink, look.mode, look.uid, look.gid, 0, look.rdev, look.size,
            look.blksize, look.blocks, *times, 0, 0, 0,
        )  # fmt: skip
    return struct.pack(
        "2Q4I2Qq2iq6q2I", look.dev, look.ino, look.mode, look.nlink, look.uid, look.gid, look.rdev, 0, look.size,
        look.blksize, 0, look.blocks, *times, 0, 0,
    )  # fmt: skip


def pack_statx(look: Look) -> bytes:
    """``struct statx``, without the time of birth. Source: linux/stat.h."""
    access, modified, changed = (struct.pack("qIi", *divmod(time, _NANO), 0) for time in look.times_ns)
    data = struct.pack(
        "2IQ3I2H4Q", _STATX_BASIC, look.blksize, 0, look.nlink, look.uid, look.gid, look.mode, 0, look.ino, look.size,
        look.blocks, 0,
    )  # fmt: skip
    data += access + bytes(16) + changed + modified
    data += struct.pack("4I", os.major(look.rdev), os.minor(look.rdev), os.major(look.dev), os.minor(look.dev))
    return data.ljust(256, b"\0")
