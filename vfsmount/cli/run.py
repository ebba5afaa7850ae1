"""``vfsmount run``: activate the mounts, then be the program, or its parent."""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vfsmount.cli import EXIT_USAGE, complain
from vfsmount.cli.program import Program, parse_python, parse_word, run_program
from vfsmount.errors import StoreError

if TYPE_CHECKING:
    from vfsmount.config import CloudBucketMount
    from vfsmount.session import Session

EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127
"""As the shell's."""


def main(options: argparse.Namespace, command: Sequence[str], arguments: Sequence[str]) -> int:
    """``arguments`` are our own, ``run`` first, for the case that the interpreter must start again."""
    if not command:
        return complain("run: no command; give e.g. vfsmount run --mount /data=s3://bucket -- python prog.py")
    if options.native:
        return _run_native(options, command)
    try:
        program, interpreter_options = _python_program(command)
    except ValueError as error:
        return complain(error)
    if interpreter_options:
        _restart(interpreter_options, arguments, command)
    try:
        session = _activate(options)
    except (ValueError, TypeError) as error:
        return complain(error)
    except OSError as error:
        return complain(_describe(error))
    if program is None:
        return _run_child(command, session)
    ending = _Ending(session)
    atexit.register(ending)  # after the program's own handlers, which may still use the mounts
    try:
        run_program(program)
    except SystemExit as end:
        ending.well = end.code in (None, 0)
        raise
    ending.well = True
    return 0


def _run_native(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Supervise the whole program, Python or not."""
    from vfsmount.children.supervisor.detect import supervision

    if supervision() is None:
        return complain("run: --native: this kernel or sandbox lets no process supervise its children")
    if os.sep not in command[0] and command[0] in _bare_names():
        command = [sys.executable, *command[1:]]
    elif command[0][:2] in ("-m", "-c") or command[0].endswith((".py", ".pyw", ".pyz")):
        command = [sys.executable, *command]
    options.children = "always"
    try:
        session = _activate(options)
    except (ValueError, TypeError) as error:
        return complain(error)
    except OSError as error:
        return complain(_describe(error))
    return _run_child(command, session)


class _Ending:
    """Unmounts when the interpreter ends; a program that ended well but whose files cannot be committed did not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.well = False

    def __call__(self) -> None:
        try:
            self._session.close()
        except (OSError, RuntimeError) as error:
            complain(_describe(error) if isinstance(error, OSError) else error)
            if self.well:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(EXIT_USAGE)  # the only way to another exit code from here


def _activate(options: argparse.Namespace) -> Session:
    from vfsmount.config import load
    from vfsmount.session import activate

    mounts: dict[str, CloudBucketMount] = {}
    if options.config is not None or not options.mount:
        mounts.update(load(options.config))
    for point, mount in load(_urls(options.mount)).items() if options.mount else ():
        if point in mounts:
            raise ValueError(f"--mount {point}: taken by a mount of the configuration file")
        mounts[point] = mount
    return activate(mounts, check=options.check, children=options.children, on_leak=options.on_leak)


def _urls(mounts: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in mounts:
        point, equals, url = text.partition("=")
        if not equals or not url:
            raise ValueError(f"--mount {text}: expected POINT=URL, e.g. /data=s3://bucket/prefix/")
        if point in found:
            raise ValueError(f"--mount {point}: given twice")
        found[point] = url
    return found


def _describe(error: OSError) -> str:
    """What failed, for one line: the store's own words stand in the cause or the notes."""
    text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    notes = [note.removeprefix("vfsmount: ") for note in getattr(error, "__notes__", ())]
    if notes:
        return f"{text}: {'; '.join(notes)}"
    return f"{text}: {error.__cause__}" if isinstance(error.__cause__, StoreError) else text


def _python_program(command: Sequence[str]) -> tuple[Program | None, list[str]]:
    """The Python program that ``command`` is, with options for its interpreter; None for a child process."""
    word = command[0]
    if word[:2] in ("-m", "-c"):
        return parse_python(command)
    if word.endswith((".py", ".pyw", ".pyz")):
        return parse_word(word, command[1:]), []
    if os.sep not in word and word in _bare_names():
        return parse_python(command[1:])
    path = word if os.sep in word else shutil.which(word)
    if path is None:
        return None, []
    if _is_this_python(path):
        return parse_python(command[1:])
    if _runs_on_this_python(path):
        return parse_word(path, command[1:]), []
    return None, []


def _bare_names() -> tuple[str, ...]:
    major, minor = sys.version_info[:2]
    return ("python", f"python{major}", f"python{major}.{minor}")


def _is_this_python(path: str) -> bool:
    """The same binary of the same environment (a link elsewhere to the same binary is another environment)."""
    here, there = os.path.abspath(sys.executable), os.path.abspath(path)
    return here == there or (
        os.path.dirname(here) == os.path.dirname(there) and os.path.realpath(here) == os.path.realpath(there)
    )


def _runs_on_this_python(path: str) -> bool:
    """True for a script whose ``#!`` line names this interpreter, without options."""
    try:
        with open(path, "rb") as file:
            line = file.readline(4096)
    except OSError:
        return False
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if len(words) == 2 and os.path.basename(words[0]) == "env":
        words = [shutil.which(words[1]) or ""]
    return len(words) == 1 and _is_this_python(words[0])


def _restart(interpreter_options: Sequence[str], arguments: Sequence[str], command: Sequence[str]) -> None:
    """Become this interpreter with other options (``-O``, ``-X dev`` ... cannot be set once it runs)."""
    program, _ = _python_program(command)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # Options such as -I may hide the directory that vfsmount is in.
    boot = (
        "import sys\n"
        "try:\n import vfsmount.cli\n"
        f"except ImportError:\n sys.path.append({root!r})\n import vfsmount.cli\n"
        "sys.exit(vfsmount.cli.main())"
    )
    rest = program.words() if program is not None else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(
        sys.executable,
        [sys.executable, *interpreter_options, "-c", boot, *arguments, "--", "python", *rest],
    )


def _run_child(command: Sequence[str], session: Session) -> int:
    import subprocess

    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []  # came before Popen gave us the child, which may well be at work already

    def pass_on(number: int, _frame: object) -> None:
        # The terminal sends these to the child itself.
        if number in (signal.SIGINT, signal.SIGQUIT):
            return
        if running:
            running[0].send_signal(number)
        else:
            early.append(number)

    # Functions, not SIG_IGN: a child inherits what is ignored.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        running.append(subprocess.Popen(list(command)))
        for missed in early:
            running[0].send_signal(missed)
        code = running[0].wait()
    except FileNotFoundError:
        complain(f"{command[0]}: command not found")
        code = EXIT_NOT_FOUND
    except OSError as error:
        complain(_describe(error))
        code = EXIT_NOT_EXECUTABLE
    try:
        session.close()
    except (OSError, RuntimeError) as error:
        complain(_describe(error) if isinstance(error, OSError) else error)
        code = code or EXIT_USAGE
    return code if code >= 0 else _die_by(-code)


def _die_by(number: int) -> int:
    """End as the child did, so that whoever waits for us sees the signal; 128 + number where we survive it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
