"""Functions that take a path and open nothing."""

from __future__ import annotations

import errno
import filecmp
import fnmatch
import glob
import os
import pathlib
import posix
import posixpath
import shutil
import stat
from typing import Any

from tests.ways.opening import Named
from tests.ways.way import Place, way

GROUP = "os by path"


def _facts(found: os.stat_result) -> tuple[object, ...]:
    return found.st_size, stat.S_IFMT(found.st_mode), found.st_nlink > 0, type(found)


def _number(call: Any, *args: Any, **kwargs: Any) -> int | None:
    try:
        call(*args, **kwargs)
    except OSError as error:
        return error.errno
    return None


@way(GROUP, "stat and lstat")
def _(at: Place) -> object:
    return _facts(os.stat(at("data.bin"))), _facts(os.lstat(at("text.txt"))), _number(os.stat, at("none"))


@way(GROUP, "posix.stat and posix.listdir")
def _(at: Place) -> object:
    return _facts(posix.stat(at("data.bin"))), sorted(posix.listdir(at("dir")))


@way(GROUP, "access")
def _(at: Place) -> object:
    return [os.access(at("text.txt"), mode) for mode in (os.F_OK, os.R_OK, os.W_OK)], os.access(at("none"), os.F_OK)


@way(GROUP, "listdir")
def _(at: Place) -> object:
    return sorted(os.listdir(at.root)), _number(os.listdir, at("text.txt")), _number(os.listdir, at("none"))


@way(GROUP, "scandir")
def _(at: Place) -> object:
    with os.scandir(at("dir")) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    return [
        (e.name, e.is_dir(), e.is_file(), e.is_symlink(), e.is_dir() or e.stat().st_size, isinstance(e, os.DirEntry))
        for e in found
    ], [os.path.basename(os.fspath(e)) for e in found]


@way(GROUP, "scandir entries agree with stat")
def _(at: Place) -> object:
    with os.scandir(at.root) as entries:
        return all((e.inode(), e.stat().st_mode) == (os.stat(e.path).st_ino, os.stat(e).st_mode) for e in entries)


@way(GROUP, "walk")
def _(at: Place) -> object:
    found = [(at.without_root(top), sorted(dirs), sorted(files)) for top, dirs, files in os.walk(at.root)]
    up = [at.without_root(top) for top, _, _ in os.walk(at("dir"), topdown=False)]
    return sorted(found), up


@way(GROUP, "fwalk")
def _(at: Place) -> object:
    found = []
    for top, dirs, files, number in os.fwalk(at("dir")):
        sizes = [os.stat(name, dir_fd=number).st_size for name in sorted(files)]
        found.append((at.without_root(top), sorted(dirs), sorted(files), sizes))
    return found


@way(GROUP, "mkdir and rmdir")
def _(at: Place) -> object:
    os.mkdir(at("made"))
    there = os.path.isdir(at("made")), os.listdir(at("made")), _number(os.mkdir, at("made"))
    return there, os.rmdir(at("made")), os.path.exists(at("made")), _number(os.rmdir, at("none"))


@way(GROUP, "makedirs and removedirs")
def _(at: Place) -> object:
    os.makedirs(at("p/q/r"))
    os.makedirs(at("p/q"), exist_ok=True)
    with open(at("dir/keep"), "w"):
        pass
    os.removedirs(at("p/q/r"))
    return os.path.exists(at("p"))


@way(GROUP, "remove and unlink")
def _(at: Place) -> object:
    os.remove(at("text.txt"))
    os.unlink(at("dir/one.txt"))
    return os.path.exists(at("text.txt")), _number(os.remove, at("text.txt")), os.listdir(at("dir"))


@way(GROUP, "rename and replace")
def _(at: Place) -> object:
    os.rename(at("text.txt"), at("moved.txt"))
    os.replace(at("moved.txt"), at("data.bin"))
    return at.bytes_of("data.bin"), _number(os.rename, at("none"), at("x"))


@way(GROUP, "renames")
def _(at: Place) -> object:
    os.renames(at("dir/sub/two.txt"), at("fresh/place/two.txt"))
    return at.bytes_of("fresh/place/two.txt"), os.path.exists(at("dir/sub"))


@way(GROUP, "rename of a directory")
def _(at: Place) -> object:
    os.rename(at("dir"), at("other"))
    return at.names("other"), os.path.exists(at("dir"))


@way(GROUP, "truncate", mode="staged")
def _(at: Place) -> object:
    os.truncate(at("data.bin"), 1000)
    return os.path.getsize(at("data.bin"))


@way(GROUP, "statvfs and pathconf")
def _(at: Place) -> object:
    return type(os.statvfs(at.root)), os.statvfs(at.root).f_namemax, os.pathconf(at("text.txt"), "PC_NAME_MAX")


@way(GROUP, "readlink of what is no link")
def _(at: Place) -> object:
    return _number(os.readlink, at("text.txt")), _number(os.readlink, at("none")), errno.EINVAL


@way(GROUP, "chmod, chown and utime where they are ignored")
def _(at: Place) -> object:
    return os.chmod(at("text.txt"), 0o644), os.chown(at("text.txt"), -1, -1), os.utime(at("text.txt"))


@way(GROUP, "chdir, getcwd and getcwdb")
def _(at: Place) -> object:
    before = os.getcwd()
    os.chdir(at("dir"))
    try:
        where = at.without_root(os.getcwd()), os.getcwdb() == os.fsencode(at("dir")), sorted(os.listdir("."))
        os.chdir("sub")
        return where, at.without_root(os.getcwd()), os.path.abspath("two.txt") == at("dir/sub/two.txt")
    finally:
        os.chdir(before)


@way("os.path", "exists, isfile, isdir, islink, ismount")
def _(at: Place) -> object:
    names = ("text.txt", "dir", "none")
    return [[f(at(name)) for f in (os.path.exists, os.path.lexists, os.path.isfile, os.path.isdir)] for name in names]


@way("os.path", "getsize, getmtime, samefile, realpath")
def _(at: Place) -> object:
    return (
        os.path.getsize(at("data.bin")),
        os.path.getmtime(at("data.bin")) > 0,
        os.path.samefile(at("text.txt"), at("dir/../text.txt")),
        os.path.samefile(at("text.txt"), at("data.bin")),
        at.without_root(os.path.realpath(at("dir/sub/../one.txt"))),
        posixpath.isfile(Named(at("text.txt"))),
    )


@way("dir_fd", "open, stat, access and readlink")
def _(at: Place) -> object:
    number = os.open(at("dir"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        file = os.open("one.txt", os.O_RDONLY, dir_fd=number)
        data = os.read(file, 10)
        os.close(file)
        return (
            data,
            os.stat("sub", dir_fd=number).st_mode & 0o170000,
            os.access("one.txt", os.R_OK, dir_fd=number),
            _number(os.readlink, "one.txt", dir_fd=number),
            os.stat(at("text.txt"), dir_fd=number).st_size,
        )
    finally:
        os.close(number)


@way("dir_fd", "mkdir, rename, unlink and rmdir")
def _(at: Place) -> object:
    number = os.open(at("dir"), os.O_RDONLY)
    try:
        os.mkdir("made", dir_fd=number)
        os.rename("one.txt", "made/uno.txt", src_dir_fd=number, dst_dir_fd=number)
        os.replace("made/uno.txt", "one.txt", src_dir_fd=number, dst_dir_fd=number)
        os.rmdir("made", dir_fd=number)
        os.unlink("one.txt", dir_fd=number)
        os.utime("sub/two.txt", dir_fd=number)
        return sorted(os.listdir(number))
    finally:
        os.close(number)


@way("dir_fd", "a descriptor of a local directory beside the mount")
def _(at: Place) -> object:
    number = os.open(os.path.dirname(at.root), os.O_RDONLY)
    try:
        name = os.path.basename(at.root)
        return os.stat(f"{name}/data.bin", dir_fd=number).st_size, name in os.listdir(number)
    finally:
        os.close(number)


@way("dir_fd", "descriptors of directories: listdir, scandir, stat, fchdir, statvfs")
def _(at: Place) -> object:
    before = os.getcwd()
    number = os.open(at("dir"), os.O_RDONLY)
    try:
        with os.scandir(number) as entries:
            scanned = sorted((entry.name, entry.path, entry.is_dir()) for entry in entries)
        os.fchdir(number)
        return sorted(os.listdir(number)), scanned, os.path.isdir(number), os.listdir("sub"), type(os.statvfs(number))
    finally:
        os.chdir(before)
        os.close(number)


@way("pathlib", "questions")
def _(at: Place) -> object:
    root = pathlib.Path(at.root)
    file = root / "dir" / "one.txt"
    return (
        file.exists(),
        file.is_file(),
        (root / "dir").is_dir(),
        file.stat().st_size,
        file.samefile(root / "dir/../dir/one.txt"),
        at.without_root(str((root / "dir/sub/..").resolve())),
    )


@way("pathlib", "iterdir, glob and rglob")
def _(at: Place) -> object:
    root = pathlib.Path(at.root)
    return (
        sorted(path.name for path in (root / "dir").iterdir()),
        sorted(at.without_root(str(path)) for path in root.glob("*/*.txt")),
        sorted(at.without_root(str(path)) for path in root.rglob("t*.txt")),
    )


@way("pathlib", "mkdir, rename, replace, unlink and rmdir")
def _(at: Place) -> object:
    root = pathlib.Path(at.root)
    (root / "a/b").mkdir(parents=True)
    (root / "text.txt").rename(root / "a/b/t.txt")
    (root / "a/b/t.txt").replace(root / "t.txt")
    (root / "a/b").rmdir()
    (root / "a").rmdir()
    (root / "data.bin").unlink()
    return (root / "a").exists()


@way("glob", "glob and iglob")
def _(at: Place) -> object:
    return (
        sorted(map(at.without_root, glob.glob(at("**/*.txt"), recursive=True))),
        sorted(map(at.without_root, glob.iglob(at("dir/*")))),
        sorted(glob.glob("*.txt", root_dir=at.root)),
        fnmatch.filter(sorted(os.listdir(at.root)), "*.bin"),
    )


@way("glob", "relative to a descriptor")
def _(at: Place) -> object:
    number = os.open(at("dir"), os.O_RDONLY)
    try:
        return sorted(glob.glob("**", dir_fd=number, recursive=True))
    finally:
        os.close(number)


@way("shutil", "copyfile, copy and copy2 inside the directory")
def _(at: Place) -> object:
    copies = (
        shutil.copyfile(at("data.bin"), at("a.bin")),
        shutil.copy(at("data.bin"), at("dir")),
        shutil.copy2(at("text.txt"), at("b.txt")),
    )
    return [at.without_root(copy) for copy in copies]


@way("shutil", "copies out to the disk and in from it")
def _(at: Place) -> object:
    out = shutil.copy2(at("data.bin"), f"{at.local}/data.bin")
    back = shutil.copy(out, at("back.bin"))
    return pathlib.Path(out).read_bytes(), at.without_root(back)


@way("shutil", "copytree out and in")
def _(at: Place) -> object:
    shutil.copytree(at("dir"), f"{at.local}/tree")
    shutil.copytree(f"{at.local}/tree", at("again"))
    return sorted(os.listdir(f"{at.local}/tree")), at.names("again")


@way("shutil", "copyfileobj")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as source, open(at("copied.bin"), "wb") as target:
        return shutil.copyfileobj(source, target)


@way("shutil", "move inside, out and in")
def _(at: Place) -> object:
    shutil.move(at("text.txt"), at("dir"))
    shutil.move(at("dir/text.txt"), f"{at.local}/text.txt")
    shutil.move(f"{at.local}/text.txt", at("home.txt"))
    return at.names("dir"), os.listdir(at.local)


@way("shutil", "rmtree")
def _(at: Place) -> object:
    return shutil.rmtree(at("dir")), os.path.exists(at("dir")), shutil.rmtree(at("none"), ignore_errors=True)


@way("shutil", "make_archive and unpack_archive", same_bytes=False)
def _(at: Place) -> object:
    made = [at.without_root(shutil.make_archive(at("packed"), kind, at("dir"))) for kind in ("tar", "gztar", "zip")]
    for number, name in enumerate(("packed.tar", "packed.tar.gz", "packed.zip")):
        shutil.unpack_archive(at(name), at(f"unpacked{number}"), filter="data") if name != "packed.zip" else (
            shutil.unpack_archive(at(name), at(f"unpacked{number}"))
        )
    return made, at.names("unpacked0"), at.bytes_of("unpacked2/sub/two.txt")


@way("shutil", "disk_usage and which")
def _(at: Place) -> object:
    return type(shutil.disk_usage(at.root)).__name__, shutil.which("text.txt", path=at.root)


@way("shutil", "filecmp.cmp and dircmp")
def _(at: Place) -> object:
    shutil.copytree(at("dir"), at("twin"))
    filecmp.clear_cache()
    compared = filecmp.dircmp(at("dir"), at("twin"))
    return filecmp.cmp(at("text.txt"), at("data.bin"), shallow=False), compared.same_files, compared.common_dirs
