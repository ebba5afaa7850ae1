"""The table of descriptor numbers that lead to open files on a mount.

A number is trusted only while the kernel still shows our inode behind it: native code may close a number unseen, and
the kernel then gives it to somebody else. For a number that is not ours the table costs one dict look-up.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.shim import kernelfiles
from vfsmount.shim.collected import Later, interrupts_own_code
from vfsmount.shim.description import Description
from vfsmount.shim.rawfile import raw_of

if TYPE_CHECKING:
    from vfsmount.vfs.openfile import OpenFile

logger = logging.getLogger(__name__)


class FdTable:
    """Descriptor number -> open file description. Thread-safe; the lock covers the tables only, never a request."""

    def __init__(self) -> None:
        self._entries: dict[int, Description] = {}
        self._open: set[Description] = set()
        self._lock = threading.RLock()
        self.later = Later()
        """For finalizers that interrupt own code."""
        _forget_locks_after_fork(self)
        self.before_close_all: list[Callable[[Callable[[str], bool] | None], None]] = []
        """Called with what :meth:`close_all` was given, before it closes anything."""

    # -- look-up

    def get(self, number: object) -> Description | None:
        """The description behind ``number``, or None if it is not (or no longer) ours."""
        try:
            entry = self._entries.get(number)  # type: ignore[call-overload]
        except TypeError:  # unhashable: the original says so
            return None
        if entry is None or not isinstance(number, int):
            return None
        assert isinstance(entry, Description)
        if self._is_ours(number, entry):
            return entry
        self._lost(number, entry)
        return None

    def __contains__(self, number: object) -> bool:
        return self.get(number) is not None

    def __bool__(self) -> bool:
        return bool(self._entries)

    def directory(self, number: object) -> str | None:
        """The path of the mounted directory behind ``number``; None if it is not ours.

        Raises: ENOTDIR where it is a file of ours.
        """
        entry = self.get(number)
        if entry is None:
            return None
        if not entry.is_dir:
            raise os_error(errno.ENOTDIR, entry.path)
        return entry.path

    # -- opening and duplicating

    def describe(self, file: OpenFile) -> Description:
        """Take over ``file`` (one reference to it) for a file object, which has to call :meth:`release`."""
        entry = Description(file)
        with self._lock:
            entry.holders = 1
            self._open.add(entry)
        return entry

    def install(self, file: OpenFile) -> int:
        """Take over ``file`` (one reference to it) and give it a number, not inheritable. Raises: EMFILE, ENFILE."""
        entry = self.describe(file)
        try:
            number = self.number_for(entry)
        except BaseException:
            self.release(entry, abort=True)
            raise
        entry.holders -= 1
        return number

    def number_for(self, entry: Description) -> int:
        """One more number, not inheritable, that leads to ``entry``."""
        number = entry.new_number()
        with self._lock:
            stale = self._entries.get(number)
            self._entries[number] = entry
            self._open.add(entry)
        if stale is not None and stale is not entry:
            self._drop(number, stale)
        return number

    def duplicate(self, number: int, entry: Description, at_least: int = 0, *, inheritable: bool = False) -> int:
        """``dup`` of one of our numbers, the lowest one from ``at_least`` on; the content escapes. Raises: EMFILE."""
        import fcntl

        entry.escape()
        new = real.fcntl(number, fcntl.F_DUPFD if inheritable else fcntl.F_DUPFD_CLOEXEC, at_least)
        self._adopt(new, entry)
        return new

    def duplicate_onto(self, number: int, entry: Description | None, target: int, *, inheritable: bool) -> int:
        """``dup2``: either number may be ours. What the target led to is closed; the kernel drops its errors, here they
        are logged."""
        stale = self.get(target)
        if number == target:
            return real.dup2(number, target, inheritable)
        if entry is not None:
            entry.escape()
        real.dup2(number, target, inheritable)
        if entry is not None:
            self._adopt(target, entry)
        else:
            with self._lock:
                self._entries.pop(target, None)
        if stale is not None and stale is not entry:
            try:
                self._drop(target, stale)
            except OSError as error:
                logger.error("%s could not be committed: %s", stale.path, error)
        return target

    # -- closing

    def close(self, number: int, entry: Description, *, abort: bool = False) -> None:
        """Close one of our numbers; the last one commits. Raises: OSError where that failed."""
        with self._lock:
            if self._entries.get(number) is not entry:
                raise os_error(errno.EBADF)
            del self._entries[number]
        real.fd_close(number)
        self._drop(number, entry, abort=abort)

    def close_logged(self, number: int, entry: Description) -> None:
        """:meth:`close` for callers that have no way to report a failure: it is logged."""
        try:
            self.close(number, entry)
        except OSError as error:
            logger.error("%s could not be committed: %s", entry.path, error)

    def numbers(self, low: int, high: int) -> list[int]:
        """Our numbers in ``[low, high)``."""
        with self._lock:
            return [number for number in self._entries if low <= number < high]

    def hold(self, entry: Description) -> None:
        """Keep ``entry`` open for a file object or a child process, until :meth:`release`."""
        with self._lock:
            entry.holders += 1

    def release(self, entry: Description, *, abort: bool = False) -> None:
        """Undo one :meth:`hold` or :meth:`describe`; the last reference commits. Raises: OSError where that failed."""
        with self._lock:
            entry.holders -= 1
        self._settle(entry, abort=abort)

    def release_logged(self, entry: Description) -> None:
        """:meth:`release` for finalizers, which have no way to report a failure: it is logged."""
        if interrupts_own_code(sys._getframe(1)):
            self.later.put(functools.partial(self.release_logged, entry))
            return
        try:
            self.release(entry)
        except OSError as error:
            logger.error("%s could not be committed: %s", entry.path, error)

    def open_writers(self) -> list[str]:
        """Paths that are being written now, sorted."""
        with self._lock:
            return sorted({entry.path for entry in list(self._open) if entry.writable and not entry.file.closed})

    def close_all(self, belongs: Callable[[str], bool] | None = None) -> list[OSError]:
        """Close everything that is still open (at the paths that ``belongs`` admits): writers are committed, which is
        said in a warning; failures are logged, and returned."""
        failures: list[OSError] = []
        self.later.run()
        for callback in self.before_close_all:
            callback(belongs)
        with self._lock:
            entries = [entry for entry in list(self._open) if belongs is None or belongs(entry.path)]
        for entry in entries:
            owner = entry.owner() if entry.owner is not None else None
            inherited = entry.file.owner_pid != real.getpid()  # the parent commits it
            if entry.writable and not inherited:
                raw = raw_of(owner)
                if raw is not None and raw.is_held_back:
                    logger.error("%s was not closed by the library that writes it; nothing was uploaded", entry.path)
                else:
                    logger.warning("%s was still open for writing; it is committed as it stands", entry.path)
            try:
                if owner is not None:
                    owner.close()  # so that what Python still buffers is in it
                self._retire(entry)
                entry.holders = 0
                entry.close()
            except OSError as error:
                if inherited and error.errno == errno.EBADF:
                    continue  # what Python buffered before the fork is the parent's to write, too
                logger.error("%s could not be committed: %s", entry.path, error)
                failures.append(error)
            except ValueError as error:  # the file object was detached from its descriptor
                logger.error("%s could not be committed: %s", entry.path, error)
                failures.append(OSError(errno.EIO, str(error), entry.path))
        with self._lock:
            self._open.difference_update(entries)
        return failures

    def _retire(self, entry: Description) -> None:
        """What still has its numbers will close them: until then they are open, on nothing, and no stranger's."""
        for number in list(entry.numbers):
            if self.get(number) is not entry:
                continue
            try:
                dead = kernelfiles.placeholder()
            except OSError:  # none to be had: it is closed
                real.fd_close(number)
            else:
                real.dup2(dead, number, real.get_inheritable(number))
                real.fd_close(dead)
            with self._lock:
                self._entries.pop(number, None)
                entry.numbers.discard(number)

    def reap(self) -> None:
        """Notice numbers that native code closed: what they led to is closed (and committed) if nothing else refers
        to it."""
        for number in list(self._entries):
            self.get(number)

    # -- how

    def _adopt(self, number: int, entry: Description) -> None:
        with self._lock:
            stale = self._entries.get(number)
            self._entries[number] = entry
            entry.numbers.add(number)
        if stale is not None and stale is not entry:
            self._drop(number, stale)

    def _is_ours(self, number: int, entry: Description) -> bool:
        return kernelfiles.leads_to(number, entry.identity)

    def _lost(self, number: int, entry: Description) -> None:
        """Native code closed ``number`` (it may be somebody else's by now)."""
        with self._lock:
            if self._entries.get(number) is entry:
                del self._entries[number]
        try:
            self._drop(number, entry)
        except OSError as error:
            logger.error("%s, closed by native code, could not be committed: %s", entry.path, error)

    def _drop(self, number: int, entry: Description, *, abort: bool = False) -> None:
        with self._lock:
            entry.numbers.discard(number)
        self._settle(entry, abort=abort)

    def _settle(self, entry: Description, *, abort: bool) -> None:
        """Close ``entry`` if nothing refers to it any more."""
        with self._lock:
            for number in list(entry.numbers):
                if self._entries.get(number) is not entry or not self._is_ours(number, entry):
                    entry.numbers.discard(number)
                    if self._entries.get(number) is entry:
                        del self._entries[number]
            last = not entry.numbers and entry.holders <= 0
            if last:
                self._open.discard(entry)
        if last:
            entry.close(abort=abort)


def _forget_locks_after_fork(table: FdTable) -> None:
    reference = weakref.ref(table)

    def renew() -> None:
        alive = reference()
        if alive is not None:
            alive._lock = threading.RLock()
            alive.later = Later()
            for entry in (*alive._open, *alive._entries.values()):
                entry.after_fork()

    def remember() -> None:
        alive = reference()
        if alive is not None:
            for entry in list(alive._open):
                entry.forked = True

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew, after_in_parent=remember)
