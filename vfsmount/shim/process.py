"""Starting other programs: what a :class:`ChildPlanner` makes of a command that concerns a mount, and our descriptors
in children.

``subprocess.Popen`` is patched in place, which covers ``run``, ``call``, ``check_output``, ``os.popen`` and asyncio. A
descriptor of ours that a child gets is the content (a reader) or the spool (a writer); the child counts as one who has
it open, so that an upload is committed by whoever closes last, as on a disk.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from vfsmount import real
from vfsmount.shim.collected import interrupts_own_code
from vfsmount.shim.context import Replacement, ShimContext
from vfsmount.shim.rawfile import number_of
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.shim.description import Description
    from vfsmount.shim.descriptors import FdTable
    from vfsmount.shim.route import Router

logger = logging.getLogger(__name__)

_Function = Callable[..., Any]
FAILED: Final = 1
"""Exit code in the stead of 0."""
_ENDED: Final = tuple(getattr(os, name, None) for name in ("CLD_EXITED", "CLD_KILLED", "CLD_DUMPED"))
_ATTRIBUTE: Final = "_vfsmount_child"
"""Where a Popen object keeps its :class:`Child`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program about to be started, as the caller asked for it."""

    argv: Sequence[object] | str | bytes | os.PathLike[Any]
    shell: bool = False
    executable: object = None
    cwd: object = None
    env: Mapping[Any, Any] | None = None
    restore_signals: bool = True
    """Signals that Python ignores are not to be ignored by the program."""


class Plan(Protocol):
    """How to start it instead."""

    @property
    def argv(self) -> list[str]: ...
    @property
    def executable(self) -> object: ...
    @property
    def cwd(self) -> object: ...
    @property
    def env(self) -> Mapping[Any, Any] | None: ...
    @property
    def killed(self) -> bool:
        """Whether, after :meth:`finish`, the program's end by a signal stands for an exit code of 0 that it must not
        have."""

    def in_place(self) -> list[str]:
        """``argv`` for a caller that cannot start it in ``cwd``: the program goes there by itself."""

    def started(self, pid: int) -> None:
        """It has been started as the process ``pid``. Raises: OSError where it could not be executed."""

    def finish(self) -> bool:
        """The program has ended. False where something that it wrote is not where it should be, which was said.

        Raises: OSError where it changed what it was not to change.
        """

    def discard(self) -> None:
        """It never started."""


class ChildPlanner(Protocol):
    """Makes a child see the mounts."""

    def concerns(self, command: Command) -> bool:
        """Whether :meth:`plan` would have anything to do. No request."""

    def plan(self, command: Command) -> Plan | None:
        """None where the command does not concern a mount. Raises: OSError (ENOTSUP) where it does and cannot be
        served."""

    def replacing(self, command: Command) -> contextlib.AbstractContextManager[object]:
        """For the call that makes this process another program, which concerns a mount. Raises: OSError (ENOTSUP)
        where nobody would serve it."""

    def environment(self, env: Mapping[Any, Any] | None, *, inside: bool = True) -> Mapping[Any, Any] | None:
        """``env`` with what a child needs in order to mount the same; None, the inherited one, stays None.

        ``inside``: it starts in this process's current directory.
        """


class Child:
    """What has to be done when one program has ended."""

    __slots__ = ("__weakref__", "_fds", "_held", "_pid", "_plan", "error", "killed", "well")

    def __init__(self, fds: FdTable, plan: Plan | None, held: list[Description]) -> None:
        self._fds = fds
        self._plan = plan
        self._held = held
        self._pid = real.getpid()
        self.well = True
        self.killed = False
        self.error: OSError | None = None

    def finish(self) -> bool:
        """Drain and release what it had open, then look at what it did: False where that failed, and was said.

        Twice is once. A forked child only lets go: to it, every program of its parent seems to have ended.
        Raises: OSError (the first one).
        """
        held, self._held = self._held, []
        plan, self._plan = self._plan, None
        if self._pid != real.getpid():
            plan = None
        with contextlib.ExitStack() as stack:
            if plan is not None:
                stack.callback(self._finish_plan, plan)
            for entry in held:
                stack.callback(self._fds.release, entry)
                stack.callback(entry.publish)
        return self.well

    def _finish_plan(self, plan: Plan) -> None:
        self.well = plan.finish()
        self.killed = plan.killed

    def discard(self) -> None:
        """It never started."""
        held, self._held = self._held, []
        plan, self._plan = self._plan, None
        if plan is not None:
            plan.discard()
        for entry in held:
            self._fds.release(entry)

    def finish_logged(self) -> bool:
        """:meth:`finish` where nobody expects an exception; it is kept in :attr:`error`."""
        try:
            return self.finish()
        except OSError as error:
            logger.error("after a child program: %s", error)
            self.error, self.well = error, False
            return False

    def finish_collected(self) -> None:
        """:meth:`finish_logged`, from a finalizer."""
        if interrupts_own_code(sys._getframe(1)):
            self._fds.later.put(self._finish_late)
        else:
            self.finish_logged()

    def _finish_late(self) -> None:
        self.finish_logged()


def replacements(context: ShimContext) -> Iterable[Replacement]:
    """``Popen``'s start and its two ways to see the end; the functions of ``os`` that start programs."""
    from vfsmount.shim.posix_spawn import posix_spawns  # which stands on this module

    running: dict[int, Child] = {}
    for function in _popen(context, running):
        yield Replacement(subprocess.Popen, function.__name__, function)
    for function in (
        _system(context),
        *_spawns(context),
        *posix_spawns(context, running),
        *_execs(context),
        *_waits(running),
    ):
        if hasattr(os, function.__name__):
            yield Replacement(os, function.__name__, function)


def _popen(context: ShimContext, running: dict[int, Child]) -> Iterator[_Function]:
    cls = subprocess.Popen
    start, wait_, poll_ = cls.__init__, cls.wait, cls.poll
    names = list(inspect.signature(start).parameters)[2:]
    fds = context.fds
    orphans: list[Child] = []  # still running when their Popen was collected

    def __init__(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, Iterator):
            args = list(args)  # as Popen does, and it is looked at twice
        given = dict(zip(names, rest, strict=False), **options) if rest else options
        if given.get("shell") and isinstance(args, os.PathLike):
            start(self, args, *rest, **options)  # raises: a shell wants a line
        plan = planned(
            context,
            Command(
                args,
                bool(given.get("shell")),
                given.get("executable"),
                given.get("cwd"),
                given.get("env"),
                bool(given.get("restore_signals", True)),
            ),
        )
        entries = _ours(fds, given)
        if plan is None and not entries:
            start(self, args, *rest, **options)
            return
        child = started(fds, plan, entries)
        try:
            if plan is None:
                with _once(given):
                    start(self, args, *rest, **options)
            else:
                changed = {"executable": plan.executable, "cwd": plan.cwd, "env": plan.env, "shell": False}
                given = {**given, **changed}
                with _once(given):
                    start(self, plan.argv, **given)
                self.args = args
                if self.pid is not None:
                    _await_start(self, plan, wait_)
        except BaseException:
            child.discard()
            raise
        if self.pid is None:  # somebody has replaced the method that starts it
            child.discard()
            return
        setattr(self, _ATTRIBUTE, child)
        running[self.pid] = child
        weakref.finalize(self, _collected, child, self.pid, orphans).atexit = False

    if sys.flags.warn_default_encoding:  # Popen warns of the first line outside of the file that it is in
        __init__.__code__ = __init__.__code__.replace(co_filename=start.__code__.co_filename)

    def wait(self: Any, timeout: Any = None) -> int:
        return _finish(self, wait_(self, timeout), running)

    def poll(self: Any) -> int | None:
        code = poll_(self)
        return code if code is None else _finish(self, code, running)

    yield from (__init__, wait, poll)


def _await_start(popen: Any, plan: Plan, wait_: _Function) -> None:
    """Raises: OSError where the program could not be executed; nothing of the process is left then."""
    try:
        plan.started(popen.pid)
    except BaseException:
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()
        popen.kill()
        wait_(popen)
        raise


def _once(given: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Keeps the ``posix_spawn`` that Popen may end in (never with a ``preexec_fn``) from doing all this again."""
    return real.passthrough() if given.get("preexec_fn") is None else contextlib.nullcontext()


def _collected(child: Child, pid: int, orphans: list[Child]) -> None:
    """The Popen object is gone; asyncio, for one, never calls its ``wait``."""
    if _is_alive(pid):
        orphans.append(child)
    else:
        child.finish_collected()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _finish(popen: Any, code: int, running: dict[int, Child]) -> int:
    """The exit code: that of a program whose output could not be uploaded is not 0."""
    child = popen.__dict__.pop(_ATTRIBUTE, None)
    if child is None:
        return code
    if running.get(popen.pid) is child:  # the next program may be given the same number
        running.pop(popen.pid, None)
    if not child.finish() and (code == 0 or child.killed):
        popen.returncode = code = FAILED
    if child.error is not None:
        raise child.error
    return code


def _waits(running: dict[int, Child]) -> Iterator[_Function]:
    """The functions that tell by its number that a program has ended: what it wrote is uploaded by then."""
    for name in ("wait", "wait3", "wait4", "waitpid"):
        if hasattr(os, name):
            yield _wait(name, running)
    yield _waitid(running)


def _wait(name: str, running: dict[int, Child]) -> _Function:
    original = getattr(os, name)

    def wait(_: object, /, *arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        pid, status = found[:2]
        if pid not in running or not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            return found
        child = running.pop(pid)
        if child.finish_logged() or (status != 0 and not child.killed):
            return found
        return (pid, FAILED << 8, *found[2:])

    wait.__name__ = name
    return wait


def _waitid(running: dict[int, Child]) -> _Function:
    """With WNOWAIT the program stays to be waited for; what it wrote is uploaded all the same."""
    original = getattr(os, "waitid", None)

    def waitid(_: object, /, *arguments: Any, **named: Any) -> Any:
        assert original is not None
        found = original(*arguments, **named)
        if found is None or found.si_code not in _ENDED:
            return found
        child = running.get(found.si_pid)
        if child is None:
            return found
        options = arguments[2]
        if not options & os.WNOWAIT:
            del running[found.si_pid]
        if child.finish_logged() or (found.si_status != 0 and not child.killed):
            return found
        return type(found)((*found[:3], FAILED, os.CLD_EXITED))

    return waitid


def ended(popen: Any) -> None:
    """For who learns of the end of a program otherwise than by ``wait`` and ``poll``; failures are logged."""
    child = popen.__dict__.pop(_ATTRIBUTE, None)
    if child is not None:
        child.finish_logged()


def planned(context: ShimContext, command: Command) -> Plan | None:
    if context.children is None:
        return None
    found = _behind_links(context, command)
    try:
        return context.children.plan(found)
    except OSError as error:
        if found.cwd is not command.cwd and error.filename == found.cwd:
            raise follow_up(error, command.cwd) from error.__cause__
        raise


def _behind_links(context: ShimContext, command: Command) -> Command:
    """With the directory, or a program that can be executed, where a link on the disk leads to on a mount."""
    cwd, argv = command.cwd, command.argv
    behind = None if cwd is None else _mounted(context.router, cwd)
    if behind is not None:
        return replace(command, cwd=behind)
    program = argv[0] if isinstance(argv, (tuple, list)) and argv and command.executable is None else None
    if isinstance(program, (str, bytes, os.PathLike)) and "/" in real.fsdecode(program) and not command.shell:
        found = _mounted(context.router, program)
        if found is not None and context.table.covers(found) and context.table.access(found, os.X_OK):
            command = replace(command, executable=found)
    return command


def _mounted(router: Router, path: object) -> str | None:
    """None where it is mounted by its text, too."""
    try:
        return router.behind_links(path) if router.route(path) is None else None
    except (OSError, TypeError, ValueError):
        return None  # the original's to judge


def _ours(fds: FdTable, given: Mapping[str, Any]) -> list[Description]:
    """Our open files among the child's standard streams (it has this process's where none are given) and
    ``pass_fds``."""
    streams = [given.get(name) for name in ("stdin", "stdout", "stderr")]
    things = [number if stream is None else stream for number, stream in enumerate(streams)]
    things.extend(given.get("pass_fds") or ())
    found = (fds.get(number_of(thing)) for thing in things if thing is not None)
    return [entry for entry in found if entry is not None]


def started(fds: FdTable, plan: Plan | None, entries: Iterable[Description]) -> Child:
    """A program that is about to be started by ``plan`` and gets our open files ``entries``.

    Raises: OSError where the content of one cannot be fetched; nothing is left to do then.
    """
    held: list[Description] = []
    child = Child(fds, plan, held)
    try:
        for entry in entries:
            entry.escape()
            entry.shared = True
            fds.hold(entry)
            held.append(entry)
    except BaseException:
        child.discard()
        raise
    return child


def _system(context: ShimContext) -> _Function:
    original = os.system

    def system(_: object, /, command: Any) -> int:
        if isinstance(command, (str, bytes)) and _concerned(context, Command(command, shell=True)):
            code = subprocess.call(command, shell=True)
            return code << 8 if code >= 0 else -code  # a wait status, as system(3) gives it
        environment_for(context, None)
        return int(original(command))

    return system


def _concerned(context: ShimContext, command: Command) -> bool:
    return context.children is not None and context.children.concerns(command)


def environment_for(context: ShimContext, env: Any) -> Any:
    """``env`` as a child is to have it; what is no mapping is the original's to judge."""
    if context.children is None or not (env is None or isinstance(env, Mapping)):
        return env
    return context.children.environment(env)


def _spawns(context: ShimContext) -> Iterator[_Function]:
    for name in ("spawnv", "spawnve", "spawnvp", "spawnvpe"):
        if hasattr(os, name):
            yield _spawn(context, name)


def _spawn(context: ShimContext, name: str) -> _Function:
    """``spawnl`` and its like are Python and end here."""
    original = getattr(os, name)

    def spawn(mode: Any, file: Any, args: Any, *env: Any) -> int:
        if not isinstance(args, (tuple, list)) or not args or not args[0] or len(env) != name.endswith("e"):
            return int(original(mode, file, args, *env))
        command = Command([file, *args[1:]], env=env[0] if env else None)
        if not _concerned(context, command):
            return int(original(mode, file, args, *env))
        child: Any = subprocess.Popen([file, *args[1:]], env=command.env)
        if mode == os.P_WAIT:
            return int(child.wait())
        child.returncode = 0  # the caller waits for it by its number
        return int(child.pid)

    spawn.__name__ = name
    return spawn


def _execs(context: ShimContext) -> Iterator[_Function]:
    for name in ("execv", "execve"):
        yield _exec(context, name)


def _exec(context: ShimContext, name: str) -> _Function:
    """``execl``, ``execvp`` and their like are Python and end here. The new program would have nobody to clear up
    after it, unless this process is supervised itself."""
    original = getattr(os, name)

    def execute(_: object, /, path: Any, argv: Any, *env: Any) -> Any:
        given = [environment_for(context, env[0])] if len(env) == 1 else env
        if not env:
            environment_for(context, None)
        if context.children is not None and isinstance(argv, (tuple, list)) and argv and argv[0]:
            command = Command([path, *argv[1:]], env=env[0] if env else None)
            if context.children.concerns(command):
                with context.children.replacing(command):
                    return original(path, argv, *given)
        return original(path, argv, *given)

    execute.__name__ = name
    return execute
