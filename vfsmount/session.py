"""The composition root: configuration to stores to file systems to a patched process, and back.

All that is process-wide is in one module variable, the :class:`_Process`: the sessions that are active, innermost
last, and what is patched for their mounts together.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from vfsmount import config as configuration
from vfsmount import real
from vfsmount.activation import check_buckets, check_options, describe, fs_options
from vfsmount.clock import RequestLock, SystemClock
from vfsmount.config import CloudBucketMount
from vfsmount.counters import By, Counters, Stats
from vfsmount.errors import os_error
from vfsmount.real import passthrough as passthrough
from vfsmount.shim.occupancy import Occupancy, OnLeak, is_strange_file
from vfsmount.store import unfinished
from vfsmount.store.metered import MeteredStore
from vfsmount.transfer.budget import Budget, default_limit
from vfsmount.transfer.chunkcache import ChunkCache
from vfsmount.transfer.pool import ThreadPool
from vfsmount.transfer.spool import ScratchDirectory
from vfsmount.vfs.filesystem import Filesystem
from vfsmount.vfs.mounts import Mount, MountTable

if TYPE_CHECKING:
    from vfsmount.children.planner import Planner
    from vfsmount.hooks.arrival import Arrivals
    from vfsmount.shim.context import ShimContext
    from vfsmount.shim.install import Installation
    from vfsmount.store.protocol import Store

log = logging.getLogger(__name__)

Children = Literal["auto", "always", "staging", "never"]

_CHUNK: Final = 1 << 20
"""Bytes that :func:`materialize` copies at a time."""


@dataclass(slots=True)
class _Shim:
    """What is patched while any session is active."""

    context: ShimContext
    installed: Installation
    children: Planner
    hooks: Arrivals

    def show(self, mounts: Sequence[Mount]) -> None:
        """Let the patched names serve ``mounts`` and no others; with none, who still holds one meets the original."""
        table, cwd, router = self.context.table, self.context.cwd, self.context.router
        table.set_mounts(mounts)
        if cwd.path is not None and not table.covers(cwd.path):
            cwd.path = None  # the directory that the process stood in is unmounted
        router.refresh()


@dataclass(slots=True)
class _Process:
    lock: RequestLock = field(default_factory=RequestLock)
    sessions: list[Session] = field(default_factory=list)
    shim: _Shim | None = None
    hooked: bool = False
    """Exit and fork handlers are registered."""

    @property
    def table(self) -> MountTable:
        """The mounts of all active sessions."""
        return self.shim.context.table if self.shim is not None else MountTable(())


_numbers: Final = itertools.count(1)


class Session:
    """Some mounts, active until :meth:`close` or the end of the ``with`` block; made by :func:`activate`."""

    def __init__(
        self,
        mounts: Mapping[str, CloudBucketMount],
        stores: Mapping[str, Store],
        *,
        children: Children,
        on_leak: OnLeak,
        memory_limit: int | None,
        configured: Mapping[str, CloudBucketMount] | None = None,
        inherited: bool = False,
    ) -> None:
        self.children: Final = children
        self.id: Final = f"{real.getpid()}-{next(_numbers)}"
        self.configured: Final = configured
        self.inherited: Final = inherited
        self.options: Final = {"children": children, "on_leak": on_leak, "memory_limit": memory_limit}
        self._on_leak: OnLeak = on_leak
        self._clock = SystemClock()
        self._pool = ThreadPool()
        self._budget = Budget(default_limit() if memory_limit is None else memory_limit)
        self._counters = Counters()
        self._chunks = ChunkCache(self._budget, self._counters.reading)
        self._occupancy = Occupancy()
        self._mounts = tuple(Mount(point, self._filesystem(point, mounts[point], stores[point])) for point in mounts)
        self._table = MountTable(self._mounts)
        self._closed = False
        self._pid = real.getpid()

    def _filesystem(self, point: str, mount: CloudBucketMount, store: Store) -> Filesystem:
        return Filesystem(
            MeteredStore(store, self._counters, point),
            fs_options(point, mount),
            submit=self._pool.submit,
            budget=self._budget,
            clock=self._clock,
            chunks=None if mount.is_fsspec else self._chunks,  # its ETags may be made of time and size
        )

    @property
    def mount_points(self) -> tuple[str, ...]:
        """In the order given."""
        return tuple(mount.point for mount in self._mounts)

    def flush(self) -> None:
        """Commit every file being written; nothing can be written to them afterwards. Raises OSError."""
        self._table.flush()

    def invalidate(self, path: str | os.PathLike[str]) -> None:
        """Forget what is remembered at and below ``path``: the next look is at the bucket. No request."""
        self._table.invalidate(_normal(os.fspath(path)))

    def stats(self, by: By = "kind") -> Stats:
        """Requests, bytes and cost since activation, by kind of request, mount point or calling line."""
        return self._counters.snapshot(by)

    def close(self) -> None:
        """Commit what is being written, unmount, and put the process back as it was. May be called again.

        Raises OSError where something could not be committed, RuntimeError where files leaked to the local disk
        (``on_leak="error"``); everything is unmounted all the same.
        """
        with _process.lock:
            if self._closed:
                return
            self._closed = True
        owner = self._pid == real.getpid()  # a forked child only puts itself back; the rest is the parent's
        failure: OSError | None = None
        leaked: list[str] = []
        try:
            failure = self._commit_open_files() if owner else None
        finally:  # also after Ctrl-C: nothing stays mounted that cannot be closed again
            with _process.lock:
                _process.sessions.remove(self)
                if _process.shim is not None:
                    _process.shim.children.handover.forget(self.id)
                _remount()
                if owner:
                    leaked = [path for mount in self._mounts for path in self._occupancy.release(mount.point)]
            if owner:
                self._release()
        self._report(leaked, quietly=failure is not None)
        if failure is not None:
            raise failure

    def _learn(self, proofs: Mapping[str, frozenset[str]]) -> None:
        """Count the requests of the check, and use what they told."""
        for mount in self._mounts:
            if mount.point in proofs:
                self._counters.add("list", mount.point)
                mount.fs.saw_childless(proofs[mount.point])

    def _commit_open_files(self) -> OSError | None:
        """What is still open is closed, so that what is being written is committed with all that Python buffers.

        Both are said in a warning, because the owner did not close it; the first failure is returned.
        """
        shim, has = _process.shim, self._has
        failures = [*shim.context.fds.close_all(has), *shim.children.end(has)] if shim is not None else []
        for mount in self._mounts:
            for writer in mount.fs.open_writers():  # opened below the shim
                log.warning("%s was not closed; committing it now", writer.display)
                try:
                    writer.fsync()
                except OSError as error:
                    log.error("%s could not be committed: %s", writer.display, error)
                    failures.append(error)
        return failures[0] if failures else None

    def _has(self, path: str) -> bool:
        """True where ``path`` is on one of these mounts, and not on another session's nested in it."""
        return (found := _process.table.find(path)) is not None and found[0] in self._mounts

    def _after_fork(self) -> None:
        self._closed = False  # the thread that was closing it is not here
        self._budget.after_fork()
        self._counters.renew_lock()
        for mount in self._mounts:
            mount.fs.after_fork()

    def _release(self) -> None:
        self._pool.close()
        for mount in self._mounts:
            mount.fs.close()

    def _report(self, leaked: list[str], *, quietly: bool) -> None:
        if not leaked or self._on_leak == "ignore":
            return
        message = (
            f"written to the local disk and not to the bucket, by code that bypasses Python: {', '.join(leaked)}; "
            "use vfsmount.materialize(path) for such a library"
        )
        if self._on_leak == "error" and not quietly:
            raise RuntimeError(message)
        log.warning("%s", message)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vfsmount.Session {', '.join(self.mount_points)}: {'closed' if self._closed else 'active'}>"


_process: Final = _Process()


def activate(
    config: configuration.Config = None,
    *,
    children: Children = "auto",
    check: bool = True,
    on_leak: OnLeak = "error",
    memory_limit: int | None = None,
    native: bool = False,
) -> Session:
    """Mount buckets and patch the process, until the session is closed; a context manager.

    ``config``: mount point -> CloudBucketMount or URL, or the path of a TOML file, or None for ``$VFSMOUNT_CONFIG``. A
    second activation adds its mounts to the first one's. ``check`` proves every bucket with one request, all at once.
    ``memory_limit``: bytes for prefetching and uploads together. ``native``: a process that is started for it answers
    native libraries' system calls on mounted paths too; this cannot be undone.

    Raises ValueError and TypeError for a bad configuration, OSError (with the StoreError as its cause) where ``check``
    fails.
    """
    mounts = configuration.load(config)
    check_options(children, on_leak, memory_limit)
    _check_free(mounts)
    from vfsmount.store.factory import open_store

    with passthrough():
        options = {point: mount.store_options() for point, mount in mounts.items()}
        stores: dict[str, Store] = {}
        try:
            for point in mounts:
                stores[point] = open_store(options[point])
            proofs = check_buckets(mounts, stores, options) if check else {}
        except BaseException:
            for store in stores.values():
                store.close()
            raise
    session = _start(mounts, stores, mounts, children=children, on_leak=on_leak, memory_limit=memory_limit)
    session._learn(proofs)
    try:
        if native and _process.shim is not None and _process.shim.children.go_native():
            session._on_leak = "ignore"  # what is there is on the mount, not the disk
    except BaseException:
        session.close()
        raise
    return session


def activate_stores(
    mounts: Mapping[str, tuple[CloudBucketMount, Store]],
    *,
    children: Children = "auto",
    on_leak: OnLeak = "error",
    memory_limit: int | None = None,
) -> Session:
    """As :func:`activate`, with stores made by the caller (for tests: memory, faulty, counting). They are closed at
    the end.
    """
    checked = configuration.load({point: mount for point, (mount, _) in mounts.items()})
    _check_free(checked)
    by_point = {configuration.mount_point(point): store for point, (_, store) in mounts.items()}
    return _start(checked, by_point, children=children, on_leak=on_leak, memory_limit=memory_limit)


def inherit(
    mounts: Mapping[str, tuple[CloudBucketMount, Store]],
    handover: str,
    served: bool,
    ready: Callable[[], object] | None,
    *,
    children: Children,
    on_leak: OnLeak,
    memory_limit: int | None,
) -> Session:
    """As :func:`activate_stores`, in a process whose parent described its mounts in the file ``handover``.

    A program that activates one of the mount points itself gets its own mount there.
    """
    if ready is not None:
        ready()
    session = _start(
        {point: mount for point, (mount, _) in mounts.items()},
        {point: store for point, (_, store) in mounts.items()},
        children=children,
        on_leak=on_leak,
        memory_limit=memory_limit,
        inherited=True,
    )
    if _process.shim is not None:
        _process.shim.children.handover.adopt((session.id,), handover, served=served)
    return session


def mounted(
    mounts: Mapping[str, CloudBucketMount], stores: Mapping[str, Store], memory_limit: int | None
) -> tuple[Sequence[Mount], Callable[[], None]]:
    """The mounts, for a process that is not patched for them, and a function that lets go of them."""
    session = Session(mounts, stores, children="never", on_leak="ignore", memory_limit=memory_limit)
    return session._mounts, session._release


def deactivate() -> None:
    """Close the innermost session; nothing happens where none is active. Raises what ``Session.close`` raises."""
    with _process.lock:
        session = _process.sessions[-1] if _process.sessions else None
    if session is not None:
        session.close()


def is_active() -> bool:
    """True while some session is active."""
    return bool(_process.sessions)


def stats(by: By = "kind") -> Stats:
    """The innermost session's. Raises RuntimeError where none is active."""
    with _process.lock:
        if not _process.sessions:
            raise RuntimeError("no session is active; call vfsmount.activate first")
        return _process.sessions[-1].stats(by)


@contextlib.contextmanager
def materialize(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of a real local copy of the file, for a library that vfsmount cannot reach; gone after the ``with``
    block.

    A path that is not on a mount is given back as it is. Changes to the copy are not uploaded. Costs what reading the
    file costs. Raises what opening it raises; IsADirectoryError for a directory.
    """
    text = os.fspath(path)
    absolute = _normal(text)
    table = _process.table
    if not table.covers(absolute) and _process.shim is not None:
        absolute = _process.shim.context.router.behind_links(text) or absolute
    if not table.covers(absolute):
        yield text
        return
    with ScratchDirectory() as directory:
        local = f"{directory}/{absolute.rpartition('/')[2]}"
        source = table.open(absolute, os.O_RDONLY)
        try:
            if source.is_dir:
                raise os_error(errno.EISDIR, text)
            with real.open(local, "wb") as copy:
                while block := source.read(_CHUNK):
                    copy.write(block)
        finally:
            source.close()
        yield local


def _start(
    mounts: Mapping[str, CloudBucketMount],
    stores: Mapping[str, Store],
    configured: Mapping[str, CloudBucketMount] | None = None,
    inherited: bool = False,
    **options: Any,
) -> Session:
    with _process.lock:
        _check_free(mounts)
        session = Session(mounts, stores, configured=configured, inherited=inherited, **options)
        _process.sessions.append(session)
        try:
            for point in mounts:
                session._occupancy.occupy(point)
            _remount()
        except BaseException:
            _process.sessions.remove(session)
            for point in mounts:
                session._occupancy.release(point)
            session._release()
            _remount()
            raise
        if not _process.hooked:
            _process.hooked = True
            atexit.register(_at_exit)
            os.register_at_fork(after_in_child=_after_fork)
    return session


def _remount() -> None:
    """Make the process show the mounts of all active sessions together; patch it for the first, undo it with the last.

    In between only the table changes: were the names put back and patched anew, another thread's call in the gap would
    reach the local disk.
    """
    mounts = list({mount.point: mount for session in _process.sessions for mount in session._mounts}.values())
    if _process.shim is None and mounts:
        _process.shim = _patch(mounts)
    elif _process.shim is not None:
        if not mounts:
            _process.shim.installed.undo(then=_process.shim.hooks.undo)
            _process.shim.children.close()
        _process.shim.show(mounts)
        if not mounts:
            _process.shim.context.fds.close_all()
            _process.shim = None
    if _process.shim is not None:
        _process.shim.children.mode = _process.sessions[-1].children
        _process.shim.children.handover.described = describe(_process.sessions)
        _process.shim.children.show()


def _patch(mounts: Sequence[Mount]) -> _Shim:
    from vfsmount.children.planner import Planner
    from vfsmount.hooks.arrival import NATIVE, Arrivals
    from vfsmount.shim.context import ShimContext
    from vfsmount.shim.cwd import VirtualCwd
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.install import install
    from vfsmount.shim.route import Router

    table, cwd, fds = MountTable(mounts, SystemClock().time_ns()), VirtualCwd(), FdTable()
    router = Router(table, cwd, fds)
    children = Planner(table, router, cwd, fds, NATIVE)
    context = ShimContext(table=table, router=router, cwd=cwd, fds=fds, children=children)
    hooks = Arrivals(router, fds, children)
    try:
        installed = install(context, then=hooks.start)
    except BaseException:
        hooks.undo()
        raise
    return _Shim(context, installed, children, hooks)


def _check_free(mounts: Mapping[str, CloudBucketMount]) -> None:
    taken = {point for each in _process.sessions if not each.inherited for point in each.mount_points}
    for point in mounts:
        if point in taken:
            raise ValueError(f"mount point {point!r}: taken by an active session; vfsmount.deactivate() ends it")
        if _process.table.find(point) is None and is_strange_file(point):
            raise ValueError(f"mount point {point!r}: taken by a file on the disk; give a directory or a new path")
        where = mounts[point].cache_dir
        if any(where is not None and f"{where}/".startswith(f"{other}/") for other in [*mounts, *taken]):
            raise ValueError(f"mount point {point!r}: cache_dir: {where!r} is on a mount; give a local directory")


def _normal(path: str) -> str:
    import posixpath

    inside = _process.shim.context.cwd.path if _process.shim is not None else None
    base = inside or real.getcwd()
    return "/" + posixpath.normpath(posixpath.join(base, path)).lstrip("/")


def _after_fork() -> None:
    unfinished.begin_anew()
    _process.lock = RequestLock()
    for session in _process.sessions:
        session._after_fork()


def _at_exit() -> None:
    """Commit and unmount what is left; failures are told, because nobody can catch them any more."""
    while _process.sessions:
        session = _process.sessions[-1]
        try:
            session.close()
        except (OSError, RuntimeError) as error:
            log.error("at exit: %s", error)
