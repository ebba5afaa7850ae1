"""The file system that DuckDB is given: fsspec's interface over Python's own functions, for paths on a mount."""

from __future__ import annotations

import contextlib
import datetime
import errno
import glob
import importlib
import os
import threading
from collections.abc import Iterator
from typing import Any, Final

from vfsmount.clock import RequestLock
from vfsmount.errors import os_error
from vfsmount.hooks.hook import Seam, Target

PREFIX: Final = "vfsmount"
_START: Final = f"{PREFIX}://"

READ_ONLY: Final = "a database on a mount can be read only; make it in a local file and copy that with shutil.copyfile"


def on_mount(seam: Seam, path: str) -> str | None:
    """The address of ``path`` if it is on a mount; None for all else, and for a plain word, which may be a table."""
    if path.startswith(_START) or not ("/" in path or "." in path or "*" in path) or not seam.is_mounted(path):
        return None
    return _START + os.path.abspath(path)


class Files:
    """What DuckDB is to write, by path. A file that it was told to write whole is opened before, and published after
    all went well: DuckDB closes a file whose statement failed as it does any other.
    """

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}

    @contextlib.contextmanager
    def writing(self, address: str | None) -> Iterator[None]:
        """Publish the file after the block; nothing of it where that fails. Raises: what opening it raises."""
        if address is None:
            yield
            return
        path = address[len(_START) :]
        target = self._targets[path] = Target(path, "wb")
        try:
            yield
        except BaseException:
            target.discard()
            raise
        finally:
            del self._targets[path]
        target.close()

    def open(self, path: str, mode: str) -> _Written:
        """A file that is published after its statement, or else when DuckDB closes it."""
        target = self._targets.get(path)
        return _Written(Target(path, mode), closes=True) if target is None else _Written(target, closes=False)

    def is_being_written(self, path: str) -> bool:
        """True for one that is published after its statement."""
        return path in self._targets


class Served:
    """What a file system stands on now: connections keep one for longer than a mount is active."""

    def __init__(self) -> None:
        self.seam: Seam | None = None
        self.files: Final = Files()

    def covers(self, path: str) -> bool:
        """True for a path on an active mount."""
        return self.seam is not None and self.seam.is_mounted(path)


def file_system(served: Served) -> Any:
    """A new one; fsspec, whose class it has to be of, is imported here."""
    fsspec = importlib.import_module("fsspec")
    files = served.files

    class MountFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc,name-defined]
        protocol = PREFIX
        cachable = False

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any:
            return path[len(_START) :] if path.startswith(_START) else path

        def unstrip_protocol(self, name: str) -> str:
            return name if name.startswith(_START) else _START + name

        def _own(self, path: str) -> str:
            own: str = self._strip_protocol(path)
            if not served.covers(own):
                raise os_error(errno.ENOENT, own, hint="nothing is mounted there any more")
            return own

        def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
            own = self._own(path)
            if mode == "rb":
                return _Read(own)
            if "w" not in mode and "x" not in mode:
                raise os_error(errno.EROFS, own, hint=READ_ONLY)
            return files.open(own, mode.replace("+", ""))

        def exists(self, path: str, **_: Any) -> bool:
            return os.path.exists(self._own(path))

        def isfile(self, path: str) -> bool:
            return os.path.isfile(self._own(path))

        def isdir(self, path: str) -> bool:
            return os.path.isdir(self._own(path))

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            own = self._own(path)
            found = os.stat(own)
            kind = "directory" if os.path.isdir(own) else "file"
            return {"name": own, "size": found.st_size, "type": kind, "mtime": found.st_mtime}

        def modified(self, path: str) -> datetime.datetime:
            return datetime.datetime.fromtimestamp(os.stat(self._own(path)).st_mtime, datetime.timezone.utc)

        def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
            own = self._own(path)
            names = [f"{own}/{name}" for name in os.listdir(own)]
            return [self.info(name) for name in names] if detail else names

        def glob(self, path: str, **_: Any) -> list[str]:
            found = sorted(glob.glob(self._own(path), recursive=True))
            return [each for each in found if not os.path.isdir(each)]

        def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
            os.makedirs(self._own(path), exist_ok=True) if create_parents else os.mkdir(self._own(path))

        def rm(self, path: str, recursive: bool = False, maxdepth: Any = None) -> None:
            own = self._own(path)
            if not files.is_being_written(own):
                os.remove(own)

        def rmdir(self, path: str) -> None:
            os.rmdir(self._own(path))

        def mv(self, path1: str, path2: str, **_: Any) -> None:
            os.replace(self._own(path1), self._own(path2))

    return MountFileSystem()


class _Read:
    """A file to read, by several threads of DuckDB at once.

    DuckDB seeks and reads in one go where it wants a range, in any thread; it reads on, without seeking, where it wants
    the file in order, and then whichever thread comes next does. So a thread's read belongs to its own seek where that
    was in the same go, and else to the one position that all share. DuckDB's own threads are new to Python in each go,
    so that what is kept for a thread is gone with it.
    """

    def __init__(self, path: str) -> None:
        self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._lock = RequestLock()
        self._thread = threading.local()
        self._shared = 0
        self._in_order = 0
        """Reads so far that went on at the shared position: a seek from before is nobody's any more."""

    def read(self, size: int = -1) -> bytes:
        sought = getattr(self._thread, "sought", None)
        self._thread.sought = None
        if sought is not None and sought[1] == self._in_order:
            data = self._read_at(sought[0], size)
            self._shared = sought[0] + len(data)
            return data
        with self._lock:
            self._in_order += 1
            data = self._read_at(self._shared, size)
            self._shared += len(data)
            return data

    def _read_at(self, at: int, size: int) -> bytes:
        if size < 0:
            size = max(os.fstat(self._number).st_size - at, 0)
        data = os.pread(self._number, size, at)
        if data and len(data) < size:  # more than one call can give, or the end
            pieces = [data]
            done = len(data)
            while done < size and (data := os.pread(self._number, size - done, at + done)):
                pieces.append(data)
                done += len(data)
            data = b"".join(pieces)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self.tell()
        elif whence == os.SEEK_END:
            offset += os.fstat(self._number).st_size
        self._thread.sought = (offset, self._in_order)
        self._shared = offset
        return offset

    def tell(self) -> int:
        sought = getattr(self._thread, "sought", None)
        return self._shared if sought is None else int(sought[0])

    def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        if getattr(self, "_number", -1) >= 0:
            with contextlib.suppress(OSError):
                self.close()


class _Written:
    """A file to write. Given up by DuckDB without a close, it is not published."""

    def __init__(self, target: Target, *, closes: bool) -> None:
        self._target = target
        self._closes = closes

    def write(self, data: Any) -> int:
        return int(self._target.file.write(data))

    def tell(self) -> int:
        return int(self._target.file.tell())

    def flush(self) -> None:
        """DuckDB asks for it before it closes a file; what is written is published then."""

    def close(self) -> None:
        if self._closes and self._target.is_open:
            self._target.close()

    def __del__(self) -> None:
        if self._closes and self._target.is_open:
            self._target.discard()
