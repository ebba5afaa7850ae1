"""``os.posix_spawn`` and ``posix_spawnp``: programs that see the mounts, start inside one, and get mounted files.

The kernel opens nothing on a mount, so a POSIX_SPAWN_OPEN of a mounted path is done here, before the start, and becomes
a POSIX_SPAWN_DUP2. Nor can this function start a program in another directory than the kernel's current one, so a
program that is to start in a mounted one is made to go there by itself.
"""

from __future__ import annotations

import fcntl
import operator
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vfsmount import real
from vfsmount.shim.context import ShimContext
from vfsmount.shim.process import Child, Command, environment_for, planned, started
from vfsmount.shim.route import follow_up
from vfsmount.vfs.ending import opening

if TYPE_CHECKING:
    from vfsmount.shim.description import Description

_Function = Callable[..., Any]


def posix_spawns(context: ShimContext, running: dict[int, Child]) -> Iterator[_Function]:
    """``running``: the programs whose end the functions that wait are to notice."""
    for name in ("posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            yield _posix_spawn(context, name, running)


def _posix_spawn(context: ShimContext, name: str, running: dict[int, Child]) -> _Function:
    original = getattr(os, name)
    waitpid = os.waitpid

    def spawn(_: object, path: Any, argv: Any, env: Any, /, **options: Any) -> int:
        actions = options.get("file_actions")
        if isinstance(actions, Iterator):
            actions = options["file_actions"] = list(actions)  # it is looked at twice
        if real.in_passthrough():  # by Popen, which has done all this
            return int(original(path, argv, environment_for(context, env), **options))
        with _Actions(context, actions) as served:
            if served.changed:
                options["file_actions"] = served.actions
            plan = None
            if isinstance(argv, (tuple, list)) and argv and argv[0]:
                command = _command(path, argv, env, options, searched=name.endswith("p"))
                try:
                    plan = planned(context, command)
                except OSError as error:
                    if error.filename in (command.executable, command.argv[0]):  # type: ignore[index]
                        follow_up(error, path)
                    raise
            if plan is None and not served.entries:
                return int(original(path, argv, environment_for(context, env), **options))
            child = started(context.fds, plan, served.entries)
            try:
                if plan is None:
                    pid = int(original(path, argv, environment_for(context, env), **options))
                else:
                    words = plan.in_place()
                    program = words[0] if plan.executable is None or plan.cwd is not None else plan.executable
                    pid = int(original(program, words, environment_for(context, plan.env), **options))
                    try:
                        plan.started(pid)
                    except BaseException as error:
                        os.kill(pid, signal.SIGKILL)
                        waitpid(pid, 0)
                        if isinstance(error, OSError):
                            raise follow_up(error, path) from error.__cause__
                        raise
            except BaseException:
                child.discard()
                raise
            running[pid] = child
            return pid

    spawn.__name__ = name
    return spawn


def _command(path: Any, argv: Sequence[Any], env: Any, options: dict[str, Any], *, searched: bool) -> Command:
    """``searched``: a name without a slash is looked for in PATH, and not in the current directory."""
    program = _text(path)
    if not searched and program and "/" not in program:
        program = f"./{program}"
    first = _text(argv[0])
    same = program is None or (first is not None and first.rpartition("/")[2] == program.rpartition("/")[2])
    defaults = options.get("setsigdef")
    return Command(
        [path if program is None else program, *argv[1:]] if same else argv,
        executable=None if same else program,
        env=env if isinstance(env, Mapping) else None,
        restore_signals=isinstance(defaults, (tuple, list, set)) and signal.SIGPIPE in defaults,
    )


def _text(path: Any) -> str | None:
    try:
        return real.fsdecode(path)
    except TypeError:
        return None


class _Actions:
    """File actions with what concerns our open files in them replaced; in its block the numbers of those are open."""

    __slots__ = ("_closing", "_context", "_given", "_opened", "_stand_ins", "actions", "entries")

    def __init__(self, context: ShimContext, given: object) -> None:
        self._context = context
        self._given = list(given) if isinstance(given, (tuple, list)) else []
        self._opened: list[tuple[int, Description]] = []
        self._stand_ins: list[int] = []
        self._closing: dict[object, None] = {}  # numbers that were opened with O_CLOEXEC, and not used again since
        self.actions: list[object] = []
        self.entries: list[Description] = []
        """Our open files that the program gets."""

    @property
    def changed(self) -> bool:
        return any(one is not other for one, other in zip(self.actions, self._given, strict=False))

    def __enter__(self) -> _Actions:
        try:
            for action in self._given:
                self.actions.append(self._served(action))
            self.actions += [(os.POSIX_SPAWN_CLOSE, number) for number in self._closing]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._stand_ins:
            real.fd_close(number)
        for number, entry in self._opened:
            self._context.fds.close_logged(number, entry)  # the program still has it

    def _served(self, action: object) -> object:
        if not isinstance(action, tuple) or len(action) < 2:
            return action  # a wrong one is the original's to judge
        if action[0] == os.POSIX_SPAWN_DUP2 and len(action) == 3:
            self._closing.pop(action[2], None)
            entry = self._context.fds.get(action[1])
            if entry is not None:
                self.entries.append(entry)
        elif action[0] == os.POSIX_SPAWN_CLOSE:
            self._closing.pop(action[1], None)
        elif action[0] == os.POSIX_SPAWN_OPEN and len(action) == 5:
            _, number, path, flags, mode = action
            self._closing.pop(number, None)
            try:
                target, local = self._place(path, flags)
            except OSError as error:
                raise follow_up(error, path) from error.__cause__
            if target is not None:
                try:
                    stand_in = self._open(target, flags, mode)
                except OSError as error:
                    raise follow_up(error, path) from error.__cause__
                if flags & os.O_CLOEXEC:
                    self._closing[number] = None
                return (os.POSIX_SPAWN_DUP2, stand_in, number)
            if local is not path:
                return (os.POSIX_SPAWN_OPEN, number, local, flags, mode)
        return action

    def _place(self, path: Any, flags: Any) -> tuple[str | None, object]:
        """The mounted path, also behind links on the disk, or None and the local one. Raises: OSError."""
        router, purpose = self._context.router, opening(flags)
        follow = not (isinstance(flags, int) and flags & os.O_NOFOLLOW)
        target = router.route(path, follow=follow, purpose=purpose)
        local = path if target is not None else router.local(path)
        if target is None and isinstance(local, (str, bytes, os.PathLike)):
            try:
                (real.stat if follow else real.lstat)(local)
            except ValueError:
                pass  # the original's to judge
            except OSError as error:
                target = router.retry(error, path, follow=follow, purpose=purpose)
        return target, local

    def _open(self, target: str, flags: Any, mode: Any) -> int:
        """Open it here, and give a number that no action mentions. Raises: OSError."""
        fds = self._context.fds
        file = self._context.table.open(target, operator.index(flags), mode)
        number = fds.install(file)
        entry = fds.get(number)
        assert entry is not None
        self._opened.append((number, entry))
        entry.escape()
        self.entries.append(entry)
        mentioned = {part for action in self._given if isinstance(action, tuple) for part in action[1:]}
        while True:
            found = real.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 0)
            self._stand_ins.append(found)
            if found not in mentioned:
                return found
