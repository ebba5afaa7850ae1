"""Files of a ``writes="staged"`` mount that are open for change: any write pattern, through a local spool.

All handles of one file in this process share one :class:`StagedNode`, as they would share an inode. The object is
uploaded whole when a handle that may write is closed, or on ``fsync``, and only over the version that was opened:
where another client replaced it meanwhile, ESTALE, and the content is kept on the local disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.errors import AlreadyExists, NotFound, PreconditionFailed, StoreError, from_store, os_error
from vfsmount.model import Attr, ObjectMeta
from vfsmount.transfer.spool import CHUNK, SpoolFile
from vfsmount.transfer.uploader import Condition, Uploader
from vfsmount.vfs.keeping import Editors
from vfsmount.vfs.openfile import OpenFile
from vfsmount.vfs.sharing import Hold

_ODD: Final = 1_000_003
"""Nanoseconds: stamps are one over a multiple of this, which the clock's times are not but once in a million."""


def time_of_no_clock(time_ns: int) -> int:
    """One just before ``time_ns`` that a file has which nobody wrote since it was given it. The clock of most kernels
    goes by milliseconds, so that a write does not always change a file's time.
    """
    return time_ns // _ODD * _ODD + 1


def let_go(node: StagedNode | None) -> None:
    """Have others who keep its content hand over what they are only not done with yet."""
    if node is not None:
        node.editors.let_go()


class StagedHost(Protocol):
    """What a node needs of its file system."""

    def load(self, spool: SpoolFile, base: ObjectMeta) -> None:
        """Copy the object into the spool. Raises StoreError."""

    def upload(self, path: str, condition: Condition) -> Uploader:
        """An upload to the key of ``path``."""

    def attr(self, path: str, size: int, mtime_ns: int, etag: str | None) -> Attr: ...

    def now_ns(self) -> int: ...

    def committed(self, path: str, meta: ObjectMeta) -> None: ...

    def released(self, node: StagedNode) -> None:
        """The last handle is gone."""


class StagedNode:
    """The local content of one file, and what it has to become in the bucket. Thread-safe."""

    def __init__(self, path: str, display: str, base: ObjectMeta | None, host: StagedHost) -> None:
        self.path = path
        """Mount-relative; a rename changes it."""
        self.display = display
        self._host: Final = host
        self._base = base
        with self._on_disk():
            self._spool = SpoolFile()
        self._pid = real.getpid()
        self._loaded = base is None or base.size == 0
        self._dirty = base is None
        self._deleted = False
        self._mtime_ns = host.now_ns() if base is None else base.mtime_ns
        self._lock = RequestLock()
        self._stamp: tuple[int, int] | None = None
        self._closed_size: int | None = None
        """Bytes, for whoever found this node just before its last handle was closed."""
        self.hold: Hold | None = None
        """That others are told of, while it is open."""
        self.editors: Final = Editors()
        self.handles = 0
        """Open file descriptions, readers too; the file system counts them under its own lock."""
        self.is_outlived = False
        """True where native code or another process can still write to the spool, and this is closed."""
        self._authors: set[object] = set()
        """Handles with changes that the bucket does not have; this node itself, for native code's."""

    @property
    def size(self) -> int:
        """Bytes."""
        with self._lock:
            if self._closed_size is not None:
                return self._closed_size
            return self._spool.size if self._loaded or self._base is None else self._base.size

    @property
    def dirty(self) -> bool:
        """True while the bucket does not have what is here."""
        return self._dirty

    @property
    def is_detached(self) -> bool:
        """True where it was unlinked or replaced: open handles go on, and nothing is uploaded."""
        return self._deleted

    def stat(self) -> Attr:
        return self._host.attr(
            self.path, self.size, self._mtime_ns, None if self._dirty or not self._base else self._base.etag
        )

    def read_into(self, offset: int, out: memoryview) -> int:
        with self._lock:
            self._load()
            with self._on_disk():
                return self._spool.read_into(offset, out)

    def read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._load()
            with self._on_disk():
                return self._spool.read(offset, size)

    def write(self, offset: int, data: memoryview) -> int:
        if not data:
            return 0
        with self._lock:
            self._load()
            with self._on_disk():
                self._spool.write(offset, data)
            self._touch()
            self._stamp_again()
            return len(data)

    def append(self, data: memoryview) -> int:
        """Write at the end; returns where the end is now."""
        with self._lock:
            self._load()
            self.write(self._spool.size, data)
            return self._spool.size

    def truncate(self, length: int) -> None:
        """By its path. Raises: EPERM where others keep its content elsewhere."""
        with self.editors.editing(self.display):
            self.cut(length)

    def cut(self, length: int) -> None:
        """By a handle that may write."""
        if length < 0:
            raise self.error(errno.EINVAL)
        with self._lock:
            if length == 0:
                self._loaded = True  # nothing of the object is needed any more
            else:
                self._load()
            with self._on_disk():
                self._spool.truncate(length)
            self._touch()
            self._stamp_again()

    def utime(self, mtime_ns: int) -> None:
        """Shown until the commit; the store then sets its own time."""
        self._mtime_ns = mtime_ns

    def descriptor(self) -> int:
        """The spool's own descriptor, for native code; whoever may write through it calls :meth:`mark`."""
        with self._lock:
            self._load()
            return self._spool.descriptor

    def mark(self) -> None:
        """Native code may have changed the spool, through whichever handle."""
        with self._lock:
            self._authors.add(self)
            self._touch()

    def watch(self) -> None:
        """Notice what native code wrote since the last time, through whichever handle."""
        with self._lock:
            if self._stamp is not None:
                found = real.fstat(self._spool.descriptor)
                if (found.st_size, found.st_mtime_ns) == self._stamp:
                    return
                self.mark()
            self._stamp_now()

    def _stamp_now(self) -> None:
        """Give the spool a time that no clock gives, so that any native write from now on shows."""
        found = real.fstat(self._spool.descriptor)
        time = time_of_no_clock(found.st_mtime_ns)
        real.utime(self._spool.descriptor, ns=(time, time))
        self._stamp = (found.st_size, time)

    def fsync(self) -> None:
        """Upload what is here if the bucket does not have it; more may be written afterwards.

        Raises ESTALE where another client replaced, made or removed the object, EIO and what else the store answers.
        """
        with self._lock:
            if self._stamp is not None and not self._deleted:
                self.watch()  # a number that native code made leads to no handle; and what it writes from now on shows
            if not self._dirty or self._deleted:
                return
            try:
                meta = self._publish()
            except StoreError as error:
                raise self._failed(error) from error
            self._base = meta
            self._dirty = self._stamp is not None and self._spool.is_mapped()
            self._authors.clear()
            self._mtime_ns = meta.mtime_ns
        self._host.committed(self.path, meta)

    def detach(self) -> None:
        """The object is about to go: open handles go on with its content, which is fetched if it is not here yet."""
        with self._lock:
            with contextlib.suppress(OSError):  # then it can be neither read nor written any more: ESTALE
                self._load()
            self.forget()

    def forget(self) -> None:
        """The file is unlinked: open handles go on, and nothing is uploaded."""
        with self._lock:
            self._deleted = True

    def changed_by(self, handle: StagedFile) -> None:
        """What is here and not in the bucket is (also) this handle's."""
        with self._lock:
            self._authors.add(handle)

    def abort(self, handle: StagedFile) -> None:
        """Drop what ``handle`` changed since the last commit.

        Changes of several handles lie in one place and cannot be told apart: where another open handle made some too,
        all stay, and its close publishes them.
        """
        with self._lock:
            self._authors.discard(handle)
            if self.handles == 1:
                self.forget()
                return
            if self._authors or self._deleted:
                return
            self._spool.truncate(0)
            self._loaded = self._base is None or self._base.size == 0
            self._dirty = False

    def move(self, path: str, display: str, base: ObjectMeta | None) -> None:
        """The file is renamed to where ``base`` was: what is here goes there."""
        with self._lock:
            self._load()
            self.path, self.display, self._base = path, display, base
            self._dirty = True

    def close(self) -> None:
        with self._lock:
            self._closed_size = self.size
            if self._stamp is None or self._deleted:
                self._spool.close()
            else:
                self.is_outlived = self._spool.close_and_tell()

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = RequestLock()
        self.editors.renew_lock()

    def error(self, number: int, hint: str | None = None, cause: BaseException | None = None) -> OSError:
        return os_error(number, self.display, hint=hint, cause=cause)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Around work on the spool, whose errors name no file, or one that the caller does not know."""
        try:
            yield
        except OSError as error:
            raise self._disk_error(error) from error

    def _disk_error(self, error: OSError) -> OSError:
        return self.error(error.errno or errno.EIO, f"the local disk, where open files are kept: {error}", error)

    def _stamp_again(self) -> None:
        if self._stamp is not None:
            self._stamp_now()

    def _touch(self) -> None:
        self._dirty = True
        self._mtime_ns = self._host.now_ns()

    def _load(self) -> None:
        if self._loaded or self._base is None:
            return
        if self._pid != real.getpid():  # a forked child: the parent may be filling or changing that file
            self._spool, self._pid = SpoolFile(), real.getpid()
        try:
            self._host.load(self._spool, self._base)
        except (PreconditionFailed, NotFound) as error:
            hint = "another client changed the object since it was opened"
            raise self.error(errno.ESTALE, f"{hint} [{error}]", error) from error
        except StoreError as error:
            raise from_store(error, self.display) from error
        except OSError as error:
            raise self._disk_error(error) from error
        self._loaded = True

    def _publish(self) -> ObjectMeta:
        if self._base is None:
            condition = Condition(if_none_match=True)
        else:
            condition = Condition(if_match=self._base.etag)
        upload = self._host.upload(self.path, condition)
        try:
            offset = 0
            while block := self.read(offset, CHUNK):
                upload.write(block)
                offset += len(block)
            return upload.commit()
        except BaseException:
            upload.abort()
            raise

    def _failed(self, error: StoreError) -> OSError:
        """What was written is not lost: it is kept on the local disk, and the note says where."""
        kept = self._spool.rescue(self.path.rpartition("/")[2])
        where = f"; what was written here is kept in {kept}" if kept else ""
        self._dirty = False
        if isinstance(error, (PreconditionFailed, AlreadyExists, NotFound)):
            hint = f"another client changed the object since it was opened{where} [{error}]"
            return self.error(errno.ESTALE, hint, error)
        return from_store(error, self.display, hint=f"the upload failed{where}")


class StagedFile(OpenFile):
    """One handle of a :class:`StagedNode`."""

    def __init__(self, path: str, flags: int, node: StagedNode, on_close: Callable[[], None]) -> None:
        super().__init__(path, flags)
        access = flags & os.O_ACCMODE
        self.readable = access != os.O_WRONLY
        self.writable = access != os.O_RDONLY
        if self.writable:
            node.editors.enter(path)
        self.node: Final = node
        self._on_close = on_close

    def stat(self) -> Attr:
        return self.node.stat()

    def _size(self) -> int:
        return self.node.size

    def _read_at(self, offset: int, out: memoryview) -> int:
        if not self.readable:
            raise self.error(errno.EBADF)
        return self.node.read_into(offset, out)

    def _read_all_from(self, offset: int, size: int) -> bytes:
        if not self.readable:
            raise self.error(errno.EBADF)
        left = max(0, self.node.size - offset)
        return self.node.read(offset, left if size < 0 else min(size, left))

    def _write_at(self, offset: int, data: memoryview) -> int:
        if not self.writable:
            raise self.error(errno.EBADF)
        self.require_owner()
        self.node.changed_by(self)
        return self.node.write(offset, data)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """O_APPEND writes at the end atomically, whatever other handles of this process do."""
        if not self.flags & os.O_APPEND or not self.writable:
            return super().write(data)
        self.require_owner()
        with self._position_lock:
            view = memoryview(data).cast("B")
            if not view:
                return 0
            self.node.changed_by(self)
            self._position = self.node.append(view)
            return len(view)

    def truncate(self, length: int) -> None:
        if not self.writable:
            raise self.error(errno.EINVAL)
        self.require_owner()
        self.node.changed_by(self)
        self.node.cut(length)

    def utime(self, mtime_ns: int) -> None:
        self.node.utime(mtime_ns)

    def renew_locks(self) -> None:
        super().renew_locks()
        self.node.renew_lock()

    def fsync(self) -> None:
        self.require_owner()
        self.node.fsync()

    def backing(self) -> int:
        """The descriptor of the local file that holds the content, for native code; it stays the node's."""
        if self.writable:
            self.node.mark()
        return self.node.descriptor()

    def _finish(self, *, abort: bool) -> None:
        try:
            if abort and self.writable:
                self.node.abort(self)
            elif self.writable:
                self.node.fsync()
        finally:
            if self.writable:
                self.node.editors.leave()
            self._on_close()
