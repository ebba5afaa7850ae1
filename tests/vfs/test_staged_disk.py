"""A staged file whose local disk is in trouble."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NoReturn

import pytest

from tests.vfs.world import World, raises
from vfsmount import real
from vfsmount.errors import Unavailable


@pytest.mark.parametrize("call", ["write", "append", "truncate", "read"])
def test_trouble_with_the_local_disk_names_the_file_on_the_mount(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    world = make_world(writes="staged")
    world.write("f", b"content")
    flags = os.O_RDWR | (os.O_APPEND if call == "append" else 0)
    handle = world.open("f", flags)
    assert handle.read(1) == b"c"

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        for name in ("pwrite", "ftruncate", "pread"):
            patched.setattr(real, name, full)
        with raises(errno.ENOSPC, path="/m/f"):
            if call == "truncate":
                handle.truncate(3)
            elif call == "read":
                handle.read(1)
            else:
                handle.write(b"more")
    handle.close()
    assert world.memory.objects() == {"f": b"content"}


def test_what_could_not_be_fetched_for_native_code_is_not_published_as_zeros(make_world: Callable[..., World]) -> None:
    world = make_world(writes="staged")
    world.write("f", b"content")
    handle = world.open("f", os.O_RDWR)
    world.faulty.fail("get_range", Unavailable("down"), times=None)
    with raises(errno.EIO, path="/m/f"):
        handle.backing()
    with raises(errno.EIO, path="/m/f"):
        handle.close()
    assert world.memory.objects() == {"f": b"content"}
    handle = world.open("f", os.O_RDWR)
    with raises(errno.EIO, path="/m/f"):
        handle.backing()
    world.faulty.heal()
    handle.close()
    assert world.memory.objects() == {"f": b"content"}
    world.nothing_left()
