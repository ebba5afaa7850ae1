"""The functions of ``os`` by path, against what the kernel does in a real directory."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import stat
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shim.conftest import Mounted
from vfsmount import real

Call = Callable[[str], object]


def _outcome(call: Call, path: str) -> tuple[object, ...]:
    try:
        call(path)
    except OSError as error:
        return type(error), error.errno, error.strerror, error.filename, error.filename2
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)
    return (None,)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The seed of the mount, on the disk."""
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"alpha")
    (tmp_path / "dir" / "b.txt").write_bytes(b"beta")
    (tmp_path / "dir" / "sub" / "c.txt").write_bytes(b"gamma")
    return tmp_path


# Calls that fail in the same way in a real directory and on a mount; or succeed in both.
SAME: list[Call] = [
    lambda at: os.stat(f"{at}/none"),
    lambda at: os.stat(f"{at}/a.txt/x"),
    lambda at: os.stat(f"{at}/a.txt/"),
    lambda at: os.stat(os.fsencode(f"{at}/none")),
    lambda at: os.stat(Path(f"{at}/none")),
    lambda at: os.lstat(f"{at}/none"),
    lambda at: os.stat(f"{at}/a\0b"),
    lambda at: os.stat(f"{at}/{'n' * 256}"),
    lambda at: os.stat(f"{at}/a.txt", 1),  # type: ignore[call-arg,misc]
    lambda at: os.stat(f"{at}/a.txt", bogus=1),  # type: ignore[call-arg]
    lambda at: os.stat(),  # type: ignore[call-arg]
    lambda at: os.stat(f"{at}/a.txt", dir_fd="x"),  # type: ignore[arg-type]
    lambda at: os.stat(path=f"{at}/a.txt"),
    lambda at: os.stat(f"{at}/a.txt", follow_symlinks=False),
    lambda at: os.access(f"{at}/a.txt"),  # type: ignore[call-arg]
    lambda at: os.access(f"{at}/a.txt", "r"),  # type: ignore[arg-type]
    lambda at: os.listdir(f"{at}/none"),
    lambda at: os.listdir(f"{at}/a.txt"),
    lambda at: os.listdir(f"{at}/a.txt", 1),  # type: ignore[call-arg]
    lambda at: os.scandir(f"{at}/none"),
    lambda at: os.scandir(f"{at}/a.txt"),
    lambda at: os.mkdir(f"{at}/dir"),
    lambda at: os.mkdir(f"{at}/a.txt"),
    lambda at: os.mkdir(f"{at}/none/x"),
    lambda at: os.mkdir(f"{at}/a.txt/x"),
    lambda at: os.mkdir(f"{at}/new", "mode"),  # type: ignore[arg-type]
    lambda at: os.mkdir(f"{at}/new/"),
    lambda at: os.makedirs(f"{at}/p/q/r"),
    lambda at: os.makedirs(f"{at}/dir/sub", exist_ok=True),
    lambda at: os.makedirs(f"{at}/dir/sub"),
    lambda at: os.rmdir(f"{at}/none"),
    lambda at: os.rmdir(f"{at}/a.txt"),
    lambda at: os.unlink(f"{at}/none"),
    lambda at: os.unlink(f"{at}/dir"),
    lambda at: os.unlink(f"{at}/a.txt"),
    lambda at: os.remove(f"{at}/dir/b.txt"),
    lambda at: os.remove(1.5),  # type: ignore[arg-type]
    lambda at: os.readlink(f"{at}/a.txt"),
    lambda at: os.readlink(f"{at}/none"),
    lambda at: os.symlink("x", f"{at}/a.txt"),
    lambda at: os.symlink("x"),  # type: ignore[call-arg]
    lambda at: os.link(f"{at}/none", f"{at}/x"),
    lambda at: os.link(f"{at}/a.txt", f"{at}/dir"),
    lambda at: os.rename(f"{at}/a.txt"),  # type: ignore[call-arg]
    lambda at: os.rename(f"{at}/a.txt", 1.5),  # type: ignore[arg-type]
    lambda at: os.chmod(f"{at}/none", 0o600),
    lambda at: os.chmod(f"{at}/a.txt", "x"),  # type: ignore[arg-type]
    lambda at: os.chmod(f"{at}/a.txt"),  # type: ignore[call-arg]
    lambda at: os.chown(f"{at}/none", 1, 1),
    lambda at: os.utime(f"{at}/a.txt", (1,)),  # type: ignore[arg-type]
    lambda at: os.utime(f"{at}/a.txt", (1, 2), ns=(1, 2)),  # type: ignore[call-overload]
    lambda at: os.truncate(f"{at}/none", 0),
    lambda at: os.truncate(f"{at}/dir", 0),
    lambda at: os.statvfs(f"{at}/none"),
    lambda at: os.statvfs(f"{at}/a.txt"),
    lambda at: os.pathconf(f"{at}/none", "PC_NAME_MAX"),
    lambda at: os.pathconf(f"{at}/a.txt", "PC_NONSENSE"),
    lambda at: os.chdir(f"{at}/none"),
    lambda at: os.chdir(f"{at}/a.txt"),
    lambda at: os.getxattr(f"{at}/none", "user.x"),
    lambda at: os.getxattr(f"{at}/a.txt"),  # type: ignore[call-arg]
    lambda at: os.path.getsize(f"{at}/none"),
]


@pytest.mark.parametrize("number", range(len(SAME)))
def test_as_in_a_real_directory(mounted: Mounted, disk: Path, number: int) -> None:
    call = SAME[number]
    expected = _outcome(call, str(disk))
    assert [str(part).replace(str(disk), mounted.point) for part in expected] == [
        str(part) for part in _outcome(call, mounted.point)
    ]


# Refused on a mount: errno. Source: DESIGN section 4.
REFUSED: list[tuple[Call, int]] = [
    (lambda at: os.chmod(f"{at}/a.txt", 0o600), errno.EPERM),
    (lambda at: os.chown(f"{at}/a.txt", 1, 1), errno.EPERM),
    (lambda at: os.lchown(f"{at}/a.txt", 1, 1), errno.EPERM),
    (lambda at: os.utime(f"{at}/a.txt"), errno.EPERM),
    (lambda at: os.truncate(f"{at}/a.txt", 0), errno.EPERM),
    (lambda at: os.symlink("x", f"{at}/new"), errno.EPERM),
    (lambda at: os.link(f"{at}/a.txt", f"{at}/new"), errno.EPERM),
    (lambda at: os.link("/etc/passwd", f"{at}/new"), errno.EXDEV),
    (lambda at: os.mkfifo(f"{at}/new"), errno.EPERM),
    (lambda at: os.mknod(f"{at}/new"), errno.EPERM),
    (lambda at: os.chroot(at), errno.EPERM),
    (lambda at: os.getxattr(f"{at}/a.txt", "user.x"), errno.ENOTSUP),
    (lambda at: os.setxattr(f"{at}/a.txt", "user.x", b""), errno.ENOTSUP),
    (lambda at: os.listxattr(f"{at}/a.txt"), errno.ENOTSUP),
    (lambda at: os.removexattr(f"{at}/a.txt", "user.x"), errno.ENOTSUP),
    (lambda at: os.rename(f"{at}/a.txt", f"{at}/new"), errno.ENOSYS),
    (lambda at: os.replace(f"{at}/a.txt", f"{at}/new"), errno.ENOSYS),
    (lambda at: os.rename("/etc/passwd", f"{at}/new"), errno.EXDEV),
    (lambda at: os.rename(f"{at}/a.txt", "/tmp/new"), errno.EXDEV),
    (lambda at: os.rename(at, f"{at}/dir/x"), errno.EBUSY),
    (lambda at: os.rmdir(at), errno.EBUSY),
    (lambda at: os.rmdir(f"{at}/dir"), errno.EPERM),
    # CPython leaves the path out of these three; a mount names it.
    (lambda at: os.utime(f"{at}/none"), errno.ENOENT),
    (lambda at: os.mkfifo(f"{at}/a.txt"), errno.EEXIST),
    (lambda at: os.mknod(f"{at}/dir"), errno.EEXIST),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(mounted: Mounted, number: int) -> None:
    call, expected = REFUSED[number]
    keys = mounted.keys()
    with pytest.raises(OSError) as caught:
        call(mounted.point)
    assert (caught.value.errno, caught.value.strerror) == (expected, os.strerror(expected))
    assert caught.value.filename is not None
    assert mounted.keys() == keys


def test_a_refusal_keeps_its_hint(mounted: Mounted) -> None:
    with pytest.raises(OSError) as caught:
        os.rename(mounted.path("a.txt"), mounted.path("new"))
    notes = getattr(caught.value, "__notes__", [])
    assert any("allow_rename" in note for note in notes) == (sys.version_info >= (3, 11))


def test_both_filenames_are_as_given(mounted: Mounted) -> None:
    with pytest.raises(OSError) as caught:
        os.rename(Path("/vfs-bucket/a.txt"), b"/vfs-bucket//new")
    assert (caught.value.filename, caught.value.filename2) == ("/vfs-bucket/a.txt", b"/vfs-bucket//new")


def test_symlink_names_its_text_first(mounted: Mounted) -> None:
    with pytest.raises(PermissionError) as caught:
        os.symlink("text", "/vfs-bucket//new")
    assert (caught.value.filename, caught.value.filename2) == ("text", "/vfs-bucket//new")


def test_a_local_link_to_a_mounted_file_can_be_made(mounted: Mounted, tmp_path: Path) -> None:
    os.symlink("/vfs-bucket/a.txt", tmp_path / "link")
    assert os.stat(tmp_path / "link").st_size == 5


def test_access(mounted: Mounted, tmp_path: Path) -> None:
    assert os.access("/vfs-bucket/a.txt", os.R_OK | os.W_OK)
    assert not os.access("/vfs-bucket/a.txt", os.X_OK)
    assert not os.access("/vfs-bucket/none", os.F_OK)
    assert not os.access("/vfs-bucket/a.txt/", os.F_OK)
    assert not os.access("/vfs-none", os.F_OK)
    assert os.access("/", os.X_OK)
    os.symlink("/vfs-bucket/a.txt", tmp_path / "link")
    assert os.access(tmp_path / "link", os.R_OK)


def test_os_path(mounted: Mounted) -> None:
    at = mounted.path
    assert os.path.exists(at("a.txt"))
    assert os.path.lexists(at("a.txt"))
    assert not os.path.exists(at("none"))
    assert os.path.isfile(at("a.txt"))
    assert os.path.isdir(at("dir"))
    assert not os.path.isdir(at("a.txt"))
    assert not os.path.islink(at("a.txt"))
    assert os.path.getsize(at("dir/b.txt")) == 4
    assert os.path.samefile(at("a.txt"), at("dir", "..", "a.txt"))
    assert not os.path.samefile(at("a.txt"), at("dir/b.txt"))
    assert os.path.ismount(mounted.point)
    assert not os.path.ismount(at("dir"))
    assert os.path.realpath(at("dir", "..", "a.txt")) == at("a.txt")
    assert os.path.abspath(at("dir", "..", "a.txt")) == at("a.txt")
    assert os.path.getmtime(at("a.txt")) == os.stat(at("a.txt")).st_mtime


def test_stat_by_descriptor_is_stat_by_path(mounted: Mounted) -> None:
    descriptor = os.open(mounted.path("dir"), os.O_RDONLY)
    try:
        assert os.stat(descriptor).st_ino == os.stat(mounted.path("dir")).st_ino
        assert stat.S_ISDIR(os.stat(descriptor).st_mode)
        assert os.statvfs(descriptor).f_bsize == os.statvfs(mounted.point).f_bsize
        with pytest.raises(PermissionError):
            os.chmod(descriptor, 0o700)
        with pytest.raises(OSError) as caught:
            os.listxattr(descriptor)
        assert caught.value.errno == errno.ENOTSUP
    finally:
        os.close(descriptor)


def test_local_calls_are_untouched(mounted: Mounted, tmp_path: Path) -> None:
    name = str(tmp_path / "local")
    with open(name, "w") as file:
        file.write("x")
    assert os.stat(name) == real.stat(name)
    os.chmod(name, 0o600)
    os.utime(name, (1, 2))
    assert real.stat(name).st_mtime == 2
    os.rename(name, name + "2")
    os.truncate(name + "2", 0)
    os.mkdir(str(tmp_path / "d"), 0o700)
    os.symlink("d", str(tmp_path / "l"), target_is_directory=True)
    assert os.readlink(str(tmp_path / "l")) == "d"
    os.link(name + "2", name + "3")
    os.remove(name + "2")
    os.rmdir(tmp_path / "d")
    with pytest.raises(FileNotFoundError) as caught:
        os.rename(name, name + "4")
    assert (caught.value.filename, caught.value.filename2) == (name, name + "4")


@pytest.mark.parametrize("where", ["disk", "mount"])
def test_a_failed_call_keeps_no_frame_alive(mounted: Mounted, disk: Path, where: str) -> None:
    # An exception and a frame of its traceback that knew each other would keep what the callers' frames own.
    class Owned:
        pass

    def outcome(call: Call) -> weakref.ref[Owned]:
        owned = Owned()
        with contextlib.suppress(Exception):
            call(str(disk) if where == "disk" else mounted.point)
        return weakref.ref(owned)

    gc.disable()
    try:
        kept = [index for index, call in enumerate([*SAME, *FAILING]) if outcome(call)() is not None]
    finally:
        gc.enable()
    assert kept == []


FAILING: list[Call] = [
    lambda at: os.rename(f"{at}/none", f"{at}/x"),
    lambda at: os.rename(f"{at}/none", "/nowhere/x"),
    lambda at: os.open(f"{at}/none", os.O_RDONLY),
    lambda at: open(f"{at}/none"),
    lambda at: open(f"{at}/dir"),
    lambda at: io.FileIO(f"{at}/none"),
    lambda at: io.open_code(f"{at}/none"),
    lambda at: os.chdir(f"{at}/none"),
    lambda at: os.symlink(f"{at}/none", f"{at}/dir"),
    lambda at: os.truncate(f"{at}/none", 1),
    lambda at: os.rmdir(f"{at}/dir"),
]
