"""Every combination of flags on everything that can be at a path.

The table is written from DESIGN section 4, TRAPS 1 and 2 and open(2), not from the code.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable

import pytest

from tests.vfs.world import WRITE, World, raises
from vfsmount.vfs.openfile import OpenFile

MakeWorld = Callable[..., World]

ACCESS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
EXTRA = {
    "creat": os.O_CREAT,
    "excl": os.O_EXCL,
    "trunc": os.O_TRUNC,
    "append": os.O_APPEND,
    "directory": os.O_DIRECTORY,
    "sync": os.O_DSYNC,
}
STATES = ("missing", "file", "empty", "directory", "local directory", "writing", "reading")
MOUNTS = {"default": {}, "read_only": {"read_only": True}, "no overwrite": {"allow_overwrite": False}}

READER, WRITER, DIRECTORY = "reader", "writer", "directory"


def expected(state: str, mount: str, access: str, extra: frozenset[str]) -> str | int:
    """A kind of handle, or an errno."""
    creat, trunc = "creat" in extra, "trunc" in extra
    exclusive = creat and "excl" in extra
    writing = access != "r"
    if "sync" in extra:
        return errno.EINVAL  # even with O_RDONLY
    if creat and "directory" in extra:
        return errno.EINVAL  # open(2): since Linux 6.4
    # What is there comes before what is allowed, as in the kernel.
    if state == "missing":
        if not creat:
            return errno.ENOENT
        if mount == "read_only":
            return errno.EROFS
        return WRITER if writing else READER
    if exclusive:
        return errno.EEXIST
    if state in ("directory", "local directory"):
        return errno.EISDIR if writing or creat or trunc else DIRECTORY
    if "directory" in extra:
        return errno.ENOTDIR
    if state == "writing":
        return errno.EPERM
    if not writing:
        if not trunc:
            return READER
        # POSIX leaves O_RDONLY with O_TRUNC open; never a silent success.
        return errno.EROFS if mount == "read_only" else errno.EINVAL
    if mount == "read_only":
        return errno.EROFS
    if not trunc:
        return READER if access == "rw" else errno.EPERM  # O_RDWR on an existing file opens a reader
    if mount == "no overwrite" or state == "reading":
        return errno.EPERM
    return WRITER


def kind(handle: OpenFile) -> str:
    return DIRECTORY if handle.is_dir else WRITER if handle.writable else READER


def outcome(world: World, flags: int) -> str | int:
    """What opening ``d/p`` gives."""
    try:
        handle = world.open("d/p", flags)
    except OSError as error:
        return error.errno or 0
    handle.close(abort=True)
    return kind(handle)


def arrange(world: World, state: str) -> list[OpenFile]:
    """Bring ``d/p`` into ``state``; what must stay open."""
    world.put("d/other")
    if state in ("file", "reading"):
        world.put("d/p")
    elif state == "empty":
        world.put("d/p", data=b"")
    elif state == "directory":
        world.put("d/p/x")
    elif state == "local directory":
        world.mkdir("d/p")
    held = []
    if state == "writing":
        held.append(world.open("d/p", WRITE))
    elif state == "reading":
        held.append(world.open("d/p"))
    return held


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "listed"])
@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("state", STATES)
def test_the_matrix(make_world: MakeWorld, state: str, mount: str, known: bool) -> None:
    if mount == "read_only" and state in ("local directory", "writing"):
        with raises(errno.EROFS):
            arrange(make_world(read_only=True), state)
        return
    world = make_world(**MOUNTS[mount])
    held = arrange(world, state)
    before = world.memory.objects()
    for access, count in itertools.product(ACCESS, range(len(EXTRA) + 1)):
        for chosen in itertools.combinations(EXTRA, count):
            extra = frozenset(chosen)
            flags = ACCESS[access]
            for name in chosen:
                flags |= EXTRA[name]
            if known:
                world.names("d")
            else:
                world.forget()
            said = f"{state}, {mount}: {access} {'|'.join(chosen)}"
            wanted = expected(state, mount, access, extra)
            got = outcome(world, flags)
            if state == "missing":
                world.memory.delete("d/p")
            shown = errno.errorcode.get(got, got) if isinstance(got, int) else got
            assert got == wanted, f"{said}: {shown}, and not {errno.errorcode.get(wanted, wanted)}"  # type: ignore[call-overload]
            assert world.memory.objects() == before, said
    for handle in held:
        handle.close(abort=True)
    world.nothing_left()


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDONLY | os.O_CREAT, os.O_RDONLY | os.O_DIRECTORY])
def test_the_root_opens_as_a_directory_without_a_request(world: World, flags: int) -> None:
    with world.store.expect():
        if flags & os.O_CREAT:
            with raises(errno.EISDIR):
                world.open("", flags)
        else:
            assert world.open("", flags).is_dir
        with raises(errno.EISDIR):
            world.open("", os.O_RDWR)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux")
def test_a_file_without_a_name_is_refused(world: World) -> None:
    with raises(errno.ENOTSUP):
        world.open("", os.O_TMPFILE | os.O_RDWR)


@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC])
def test_synchronous_writes_are_refused_without_a_request(world: World, flag: int) -> None:
    with world.store.expect(), raises(errno.EINVAL):
        world.open("f", flag)


def test_creating_for_reading_makes_an_empty_object(world: World) -> None:
    handle = world.open("f", os.O_RDONLY | os.O_CREAT)
    assert handle.read(-1) == b""
    with raises(errno.EBADF):
        handle.write(b"x")
    handle.close()
    assert world.memory.objects() == {"f": b""}


def test_o_rdwr_on_an_existing_file_counts_as_reading(world: World) -> None:
    world.put("f")
    handle = world.open("f", os.O_RDWR)
    with raises(errno.EBADF, path="/m/f"):
        handle.write(b"x")
    with raises(errno.EPERM):
        world.open("f", WRITE)
    assert handle.read(10) == b"data"
    handle.close()
    world.write("f", b"new")


def test_o_rdwr_on_a_new_file_writes_and_does_not_read(world: World) -> None:
    handle = world.open("f", os.O_RDWR | os.O_CREAT)
    for read in (lambda: handle.read(1), lambda: handle.pread(1, 0), lambda: handle.readinto(memoryview(bytearray(1)))):
        with raises(errno.EBADF, path="/m/f"):
            read()
    handle.write(b"x")
    handle.close()
    assert world.read("f") == b"x"


@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_TRUNC | os.O_EXCL, os.O_WRONLY | os.O_TRUNC])
def test_o_excl_without_o_creat_means_nothing(world: World, flags: int) -> None:
    world.put("f")
    world.write("f", b"new", flags)
    assert world.memory.objects() == {"f": b"new"}


def test_nothing_is_made_in_a_directory_that_is_missing(world: World) -> None:
    with raises(errno.ENOENT, path="/m/no/f"):
        world.open("no/f", WRITE)
    with raises(errno.ENOENT):
        world.mkdir("no/d")
    with raises(errno.ENOENT):
        world.open("no/deep/er/f", WRITE)


def test_the_cost_of_an_open_for_writing(world: World) -> None:
    world.put("d/f", "d/g")
    with world.store.expect(list_page=2):  # is `new` a directory, is `d` one; side by side, and no HEAD
        handle = world.open("d/new", WRITE)
    with world.store.expect(put=1):
        handle.write(b"x")
        handle.close()
    with world.store.expect(list_page=1, put=1):  # `d` is known now
        world.write("d/new2", b"x")
    world.names("d")
    with world.store.expect(put=1):  # and of a listed file everything
        world.write("d/f", b"x")
