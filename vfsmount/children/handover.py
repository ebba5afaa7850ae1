"""What a child process needs in order to mount the same: a file that only this user can read, and its path in the
child's environment.

The file is made when the first child starts, and is gone when one of the sessions that it describes ends. Python
children find it through ``vfsmount.bootstrap``; other programs only hand the variables on to theirs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vfsmount import real
from vfsmount.transfer.ownership import own, remove_if_empty
from vfsmount.transfer.spool import scratch_directory

if TYPE_CHECKING:
    from vfsmount.shim.cwd import VirtualCwd

FILE: Final = "VFSMOUNT_CHILD"
CWD: Final = "VFSMOUNT_CWD"
SERVED: Final = "VFSMOUNT_SERVED"
"""Set for programs that the kernel shows the mounts to: they need none that only this process can serve."""
_PATH: Final = "PYTHONPATH"
_EARLY: Final = 120.0
"""Seconds before its values expire that a file is written anew."""
BOOTSTRAP: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "bootstrap")


class Described(NamedTuple):
    """The mounts of all active sessions, as children are to have them."""

    key: tuple[str, ...]
    """Which sessions: others make another file. Each begins with the number of the process that opened it."""
    points: tuple[str, ...]
    """All mount points."""
    refused: frozenset[str]
    """Those of them that only this process can serve."""
    document: Callable[[], tuple[dict[str, Any], float | None]]
    """What the file holds, as JSON, and when it is of no use any more."""


class Handover:
    """The files of one process, and the environment that names them."""

    def __init__(self, cwd: VirtualCwd, libraries: Sequence[str]) -> None:
        self._cwd = cwd
        self._libraries = tuple(libraries)
        self.described: Described | None = None
        """None: children get nothing."""
        self._files: dict[tuple[str, ...], tuple[str, float | None]] = {}
        # Known before a fork, so that a file that a forked child makes is found and removed by its parent.
        self._directory: Final = f"{scratch_directory()}/.vfsmount-session-{real.getpid()}-{os.urandom(8).hex()}"
        self._pid: Final = real.getpid()
        self._remove = weakref.finalize(self, _remove, self._directory, self._pid)
        self._published = False
        self._served = False

    def adopt(self, key: tuple[str, ...], path: str, *, served: bool) -> None:
        """This process got its mounts from the parent's file ``path``: its own children get them from there too.

        ``served``: and from the kernel.
        """
        self._files[key] = (path, None)
        self._served = served
        self._published = True

    def serves(self, point: str) -> bool:
        """Whether a Python child sees ``point`` as this process does."""
        return self.described is not None and point not in self.described.refused

    def environment(self, env: Mapping[Any, Any] | None, *, inside: bool = True) -> Mapping[Any, Any] | None:
        """``env`` for a child; None, the inherited one, stays None. ``inside``: it starts where this process stands.

        Costs no request; writes the file if there is none. Raises: OSError where the disk refuses it.
        """
        if env is not None and env.get(FILE) == "":
            return {name: value for name, value in env.items() if name != FILE}
        if self.described is None:
            return env
        path = self._path(self.described)
        cwd = f"{self._cwd.path}\n{real.getcwd()}" if inside and self._cwd.path is not None else None
        if env is None:
            self._publish(path, cwd)
            return None
        extended = {os.fsdecode(name): value for name, value in env.items()}
        extended[_PATH] = _first(os.fsdecode(extended.get(_PATH) or ""))
        extended[FILE] = path
        if self._served:
            extended[SERVED] = "1"
        if cwd is not None:
            extended.setdefault(CWD, cwd)
        return extended

    @contextlib.contextmanager
    def handed(self) -> Iterator[str | None]:
        """A file that describes the mounts, for a process that reads it within the block, after which it is gone.

        None: there are none. Raises: OSError.
        """
        if self.described is None:
            yield None
            return
        path = f"{self._directory}/{os.urandom(8).hex()}"
        try:
            self._write(path, self._content(self.described)[0])
            yield path
        finally:
            _remove_file(path, real.getpid())

    def withdraw(self) -> None:
        """Programs that inherit the environment get nothing more by it."""
        self._unpublish()

    def served(self) -> dict[str, str]:
        """Variables of a program that the kernel shows the mounts to."""
        return {} if self.described is None else {SERVED: "1"}

    def none(self) -> dict[str, str]:
        """Variables of a program that is to get nothing."""
        return {FILE: ""}

    def at(self, env: Mapping[Any, Any] | None, directory: str) -> Mapping[Any, Any]:
        """The environment of a child that is to start in the mounted ``directory``."""
        found = self.environment(os.environ if env is None else env, inside=False)
        assert found is not None
        return {**found, CWD: f"{directory}\n{real.getcwd()}"}

    def forget(self, session: str) -> None:
        """``session`` ends here: the files that describe it are removed, unless it is the parent's still."""
        for key in [key for key in self._files if session in key]:
            del self._files[key]
        if session.partition("-")[0] == str(real.getpid()):
            with contextlib.suppress(OSError):  # gone, or the supervisor of this process is
                for name in real.listdir(self._directory):
                    if session in name.split("+"):
                        real.unlink(f"{self._directory}/{name}")

    def close(self) -> None:
        """Nothing is mounted any more: children inherit nothing, and nothing is left on the disk."""
        self.described = None
        self._files.clear()
        self._unpublish()
        self._remove()

    def _path(self, described: Described) -> str:
        import time

        path, expires = self._files.get(described.key, (None, None))
        if path is not None and (expires is None or time.time() < expires - _EARLY) and not _is_gone(path):
            return path
        content, expires = self._content(described)
        path = f"{self._directory}/{'+'.join(described.key)}"
        if self._pid != real.getpid():  # a file of its own, which goes when this process ends
            path = f"{path}+{real.getpid()}"
            weakref.finalize(self, _remove_file, path, real.getpid())
        draft = f"{path}.{os.urandom(4).hex()}"
        self._write(draft, content)
        real.replace(draft, path)
        self._files[described.key] = (path, expires)
        return path

    def _content(self, described: Described) -> tuple[bytes, float | None]:
        document, expires = described.document()
        refused = described.refused
        head = (_line(described.points), _line(refused), _line(places()), " ".join(self._libraries))
        return "\n".join((*head, json.dumps(document))).encode(), expires

    def _write(self, path: str, content: bytes) -> None:
        number = self._create(path)
        try:
            view = memoryview(content)
            while view:
                view = view[real.fd_write(number, view) :]
        finally:
            real.fd_close(number)

    def _create(self, draft: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for _ in range(3):
            # There already, by ourselves or a fork (nobody else knows the name), or gone with a fork that has ended.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                real.mkdir(self._directory, 0o700)
                for pid in {self._pid, real.getpid()}:
                    own(self._directory, pid)
            with contextlib.suppress(FileNotFoundError):  # a fork that ended removed it, empty
                return real.fd_open(draft, flags, 0o600)
        return real.fd_open(draft, flags, 0o600)

    def _publish(self, path: str, cwd: str | None) -> None:
        """Set the variables for what inherits them, without showing them in ``os.environ``."""
        os.putenv(_PATH, _first(os.environ.get(_PATH, "")))
        os.putenv(FILE, path)
        if self._served:
            os.putenv(SERVED, "1")
        if cwd is not None:
            os.putenv(CWD, cwd)
        elif self._published:
            os.unsetenv(CWD)
        self._published = True

    def _unpublish(self) -> None:
        if not self._published:
            return
        self._published = False
        for name in (_PATH, FILE, CWD, SERVED):
            if name in os.environ:
                os.putenv(name, os.environ[name])
            else:
                os.unsetenv(name)


def _line(texts: Iterable[str]) -> str:
    return " ".join(text.encode("utf-8", "surrogateescape").hex() for text in texts)


def places() -> list[str]:
    """The directories that vfsmount and what it requires were found in."""
    import importlib.util

    found = [os.path.dirname(os.path.dirname(BOOTSTRAP))]
    with real.passthrough():
        for name in ("obstore", "fsspec"):
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin is not None:
                found.append(os.path.dirname(os.path.dirname(spec.origin)))
    return list(dict.fromkeys(found))


def _first(path: str) -> str:
    """A ``PYTHONPATH`` that begins with the bootstrap directory."""
    rest = [entry for entry in path.split(os.pathsep) if entry != BOOTSTRAP] if path else []
    return os.pathsep.join([BOOTSTRAP, *rest])


def _remove(directory: str, owner: int) -> None:
    if owner != real.getpid():
        return
    with real.passthrough():
        import shutil

        shutil.rmtree(directory, ignore_errors=True)


def _is_gone(path: str) -> bool:
    """True where the process that made it has ended its session, and this one goes on."""
    try:
        real.lstat(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def _remove_file(path: str, owner: int) -> None:
    if owner == real.getpid():
        with contextlib.suppress(OSError):
            real.unlink(path)
        with contextlib.suppress(OSError):  # others may use it
            remove_if_empty(path.rpartition("/")[0])
