"""A program and all that it starts, supervised together."""

from __future__ import annotations

import errno
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from vfsmount import real
from vfsmount.children.supervisor.call import INSTALLED, PROCEED, Call
from vfsmount.children.supervisor.closing import CLOSES, RELIES, Closing
from vfsmount.children.supervisor.compat import compat
from vfsmount.children.supervisor.dispatch import ANSWERS
from vfsmount.children.supervisor.lazy import lazy
from vfsmount.children.supervisor.memory import Unreadable
from vfsmount.children.supervisor.notify import Cancelled, Listener, Notification
from vfsmount.children.supervisor.paths import Outside, Resolver
from vfsmount.children.supervisor.skeleton import Skeleton
from vfsmount.children.supervisor.syncing import SYNCS, sync
from vfsmount.children.supervisor.view import View
from vfsmount.children.supervisor.writers import Writers
from vfsmount.errors import os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfsmount.children.supervisor.skeleton import Node
    from vfsmount.children.supervisor.syscalls import Architecture
    from vfsmount.model import Attr
    from vfsmount.vfs.mounts import MountTable

logger = logging.getLogger(__name__)

_THREADS: Final = 16
"""Calls of one family that are answered at the same time, at most."""
_SWEEP: Final = 0.05
"""Seconds after which a file that was closed is looked for, while nothing else happens."""


class Family:
    """Threads take turns: one waits for the next call and answers it, if that takes no request; if it does, another
    one waits meanwhile."""

    def __init__(
        self, table: MountTable, architecture: Architecture, lazy_numbers: range, *, stdin: bool = False
    ) -> None:
        self.view: Final = View(table)
        self.skeleton: Final = Skeleton(self.view)
        self.resolver: Final = Resolver(table, self.skeleton.root, self.skeleton.by_alias)
        self.writers: Final = Writers(self.skeleton)
        self.architecture: Final = architecture
        self.lazy: Final = lazy_numbers
        self.stdin: Final = stdin and bool(lazy_numbers)
        """Descriptor 0 is one of them too."""
        self.closing: Final = Closing(self)
        self.listener: Listener = Listener.__new__(Listener)
        self._names: Final = {number: name for name, number in architecture.numbers.items()}
        self._compat_names: Final = {number: name for name, number in architecture.compat_numbers.items()}
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._waiting = 0
        self._threads: list[threading.Thread] = []
        self._local = threading.local()
        self._over = threading.Event()
        self._closed = False
        self.killable = False
        self.is_started = False
        self.lets_unreadable_pass = False
        """A process whose memory cannot be read sees no mounts; else all its calls on paths fail."""
        self.placing: Final = threading.Lock()
        """Held from the look for a number that is free and known to the filter until a file has it."""
        self._pid = real.getpid()

    # -- life --

    def start(self, descriptor: int, killable: bool) -> None:
        """Answer what arrives at the listener ``descriptor``, until the last process has ended.

        ``killable``: a call that is being answered is not cancelled by signals.
        """
        self.killable = killable
        self.listener = Listener(descriptor)
        self.is_started = True
        self._add_thread()

    def has_processes(self) -> bool:
        """Whether some are left, which this process supervises."""
        return (
            self._pid == real.getpid()
            and self.is_started
            and not self._over.is_set()
            and self.listener.descriptor >= 0
            and not self.listener.is_over()
        )

    def wait(self) -> None:
        """Until the last process has ended, where one was there at all."""
        if self.is_started:
            self._over.wait()

    def settle(self) -> None:
        """Upload what the family has closed, if anything. Raises nothing; see :attr:`failures`."""
        if len(self.writers) and self._pid == real.getpid():
            self.writers.sweep()

    @property
    def failures(self) -> list[OSError]:
        """What could not be uploaded."""
        return self.writers.failures

    def ended(self) -> None:
        """A process of the family has: what it wrote is uploaded; where it was the last, nothing of it is left."""
        if self._pid != real.getpid():
            return
        self.settle()
        if self._over.is_set() or self.listener.is_over():
            self._over.wait(60)

    def release(self, goes: Callable[[str], bool]) -> None:
        """The mounts of these paths go: what is still being written there is dropped, which is told."""
        if self._pid != real.getpid():
            return
        self.settle()
        for path in self.writers.drop(goes):
            logger.error("a child program still writes %s, which is not uploaded: its mount is gone", path)

    def close(self) -> None:
        """The mounts go: calls on paths that come now fail; processes that are left may end. Raises nothing."""
        if self._pid != real.getpid():
            return
        self._closed = True
        self.release(lambda _: True)
        if self._threads and not self._over.is_set() and not self.listener.is_over():
            self.skeleton.remove()
            return
        if self._threads and not self._over.is_set():
            self.listener.wake()
        for thread in list(self._threads):
            thread.join(10)
        self.discard()

    def after_fork(self) -> None:
        """In a forked child: the family is the parent's, whose death must be seen by it."""
        if self._threads and not self._over.is_set():
            self.listener.after_fork()

    def discard(self) -> None:
        """It never started, or all is done."""
        if self._threads:
            self.listener.close()
        self.skeleton.remove()

    # -- what calls need --

    def attr(self, path: str) -> tuple[Attr, os.stat_result]:
        """Of a mounted path, and of what stands for it. Costs what stat costs. Raises: OSError."""
        writer = self.writers.get(path)
        if writer is not None:
            found = real.lstat(writer.node.local)
            attr = writer.handles[0].stat()
            return _sized(attr, found), found
        attr = self.view.stat(path)
        return attr, self.skeleton.place(path, attr)

    def node_of(self, pid: int, number: int) -> Node | None:
        """The file of ours that a process's descriptor leads to; None also where nobody may look."""
        try:
            return self.behind(pid, number)
        except PermissionError:
            return None

    def behind(self, pid: int, number: int) -> Node | None:
        """As :meth:`node_of`. Raises: PermissionError where the process lets nobody look."""
        link = f"/proc/{pid}/fd/{number}"
        try:
            leads_to = real.readlink(link)
            if not leads_to.startswith(self.skeleton.root):
                return None
            return self.skeleton.behind(leads_to, real.stat(link))
        except PermissionError:
            raise
        except OSError:
            if not real.access(f"/proc/{pid}", 0):  # hidden, where /proc is mounted with hidepid
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            return None

    def is_lazy(self, number: int) -> bool:
        """Whether the filter knows that number: a file behind it may be read while it is fetched."""
        return number in self.lazy or (self.stdin and number == 0)

    def fill_open(self, call: Call) -> None:
        """Have the whole of every such file that the process has open. Raises: Cancelled where it has ended."""
        if not self.skeleton.open_nodes():
            return
        for number in (*self.lazy, *([0] * self.stdin)):
            try:
                node = self.behind(call.pid, number)
            except PermissionError:
                call.check()
                return self.fill_all()
            if node is not None and node.is_open:
                self.take_time()
                node.fill()

    def fill_all(self) -> None:
        """Have the whole of every file that is being read, because one may be opened again behind our back."""
        for node in self.skeleton.open_nodes():
            self.take_time()
            node.release_unused()
            node.fill()

    def take_time(self) -> None:
        """This call may cost a request: let another thread take the calls that follow."""
        if not getattr(self._local, "leads", False):
            return
        with self._lock:
            if not self._waiting and len(self._threads) >= _THREADS:
                return
            spare = self._waiting > 0
        self._local.leads = False
        self._turn.release()
        if not spare:
            self._add_thread()

    # -- threads --

    def _add_thread(self) -> None:
        with self._lock:
            thread = threading.Thread(target=self._work, daemon=True, name=f"vfsmount-child-{len(self._threads)}")
            self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            while self._lead():
                pass
        except Exception:
            logger.exception("the supervisor of a child program has failed")
            self._fail()

    def _fail(self) -> None:
        """Calls that come now fail with ENOSYS; what is being written is lost, which is told."""
        for path in self.writers.drop(lambda _: True):
            self.writers.failures.append(os_error(errno.EIO, path, hint="the supervisor has failed"))
        self._over.set()
        self.listener.wake()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(10)
        self.skeleton.remove()
        self.listener.close()

    def _lead(self) -> bool:
        with self._lock:
            if self._waiting > 1 and len(self._threads) > 2:
                self._threads.remove(threading.current_thread())
                return False
            self._waiting += 1
        self._turn.acquire()
        with self._lock:
            self._waiting -= 1
        self._local.leads = True
        try:
            while self._local.leads:
                if self._over.is_set():
                    return False
                try:
                    note = self.listener.receive(_SWEEP if len(self.writers) else None)
                except EOFError:
                    self._end()
                    return False
                if note is not None:
                    self._answer(note)
                elif len(self.writers):
                    self.take_time()
                    self.settle()
            return True
        finally:
            if self._local.leads:
                self._local.leads = False
                self._turn.release()

    def _end(self) -> None:
        if not self._over.is_set():
            if self._closed:
                self.writers.drop(lambda _: True)
            self.writers.finish()
            self.skeleton.remove()
            self.listener.close()
            self._over.set()

    def _answer(self, note: Notification) -> None:
        is_compat = note.audit == self.architecture.compat
        name = (self._compat_names if is_compat else self._names).get(note.number)
        call = Call(self, note)
        try:
            answers = ANSWERS.get(name or "") if note.audit == self.architecture.audit else None
            if self._closed and name is not None and name not in CLOSES and (answers is not None or is_compat):
                self.listener.refuse(note.ident, errno.ENOSYS)
                return
            if answers is not None and not self.view.table.points:  # a filter cannot be removed
                self.listener.proceed(note.ident)
                return
            try:
                if len(self.writers):
                    self.writers.follow()
                if name in RELIES and self.closing.is_held_back(call, name or ""):
                    return
                if is_compat:
                    answer = compat(call, name)
                elif answers is not None:
                    answer = answers(call)
                elif name in CLOSES:
                    answer = self.closing.answer(call, name)
                else:
                    answer = sync(call) if name in SYNCS else lazy(call, name)
            except Outside as outside:
                logger.debug("%s of %s from inside a mount", name, outside.path)
                self.listener.refuse(note.ident, errno.ENOTSUP)
            except Unreadable as error:
                if self.lets_unreadable_pass:
                    self.listener.proceed(note.ident)
                else:
                    self.listener.refuse(note.ident, error.errno or errno.EACCES)
            except OSError as error:
                self.listener.refuse(note.ident, error.errno or errno.EIO)
            except Cancelled:
                raise
            except Exception:
                logger.exception("%s of a child program failed here", name)
                self.listener.refuse(note.ident, errno.EIO)
            else:
                if answer == PROCEED:
                    self.listener.proceed(note.ident)
                elif answer != INSTALLED:
                    self.listener.answer(note.ident, answer)
        except Cancelled:
            pass


def _sized(attr: Attr, found: os.stat_result) -> Attr:
    return attr._replace(size=found.st_size, mtime_ns=found.st_mtime_ns)
