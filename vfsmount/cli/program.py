"""Being a Python program: what ``python prog.py``, ``-m`` and ``-c`` do, in a process that is already running."""

from __future__ import annotations

import builtins
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType, TracebackType
from typing import Literal

from vfsmount.cli import EXIT_USAGE, complain

_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True, slots=True)
class Program:
    """What stands behind the options of a ``python`` command line."""

    kind: Literal["script", "module", "code", "stdin"]
    target: str
    arguments: tuple[str, ...]

    def words(self) -> list[str]:
        """The command line again, without ``python``."""
        letter = {"module": ["-m"], "code": ["-c"]}.get(self.kind, [])
        return [*letter, self.target, *self.arguments]


def parse_word(path: str, arguments: Sequence[str]) -> Program:
    return Program("script", path, tuple(arguments))


def parse_python(words: Sequence[str]) -> tuple[Program, list[str]]:
    """The program of ``python WORDS``, and the interpreter's own options. Raises: ValueError for a missing argument."""
    options: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            break
        if word == "-" or not word.startswith("-"):
            position -= 1
            break
        if word.startswith("--"):
            options.append(word)
            if word == "--check-hash-based-pycs":
                options.extend(words[position : position + 1])
                position += 1
            continue
        for index, letter in enumerate(word[1:], 1):
            if letter not in "cmWX":
                continue
            value = word[index + 1 :]
            if not value:
                if position >= len(words):
                    raise ValueError(f"python: argument expected for the -{letter} option")
                value = words[position]
                position += 1
            if letter in "WX":
                options.append(word[:index] + letter + value)
                break
            if index > 1:
                options.append(word[:index])
            return Program("module" if letter == "m" else "code", value, tuple(words[position:])), options
        else:
            options.append(word)
    if position >= len(words) or words[position] == "-":
        return Program("stdin", "-", tuple(words[position + 1 :])), options
    return parse_word(words[position], words[position + 1 :]), options


def run_program(program: Program) -> None:
    """Run it to its end; whatever it raises passes through, told as the interpreter would tell it.

    Raises: SystemExit where there is nothing to run.
    """
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins, __annotations__={}, __loader__=importlib.machinery.BuiltinImporter)
    sys.modules["__main__"] = main
    try:
        if program.kind == "module":
            sys.argv = ["-m", *program.arguments]
            _set_path(os.getcwd())
            _run_module(program.target, alter_argv=True)
        elif program.kind == "code":
            sys.argv = ["-c", *program.arguments]
            _set_path("")
            exec(compile(program.target, "<string>", "exec", dont_inherit=True), vars(main))
        elif program.kind == "stdin":
            sys.argv = ["-", *program.arguments]
            _set_path("")
            exec(compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True), vars(main))
        else:
            sys.argv = [program.target, *program.arguments]
            _run_script(program.target, main)
    except SystemExit:
        raise
    except BaseException as error:
        _tell(error)
        raise


def _run_script(path: str, main: ModuleType) -> None:
    import pkgutil

    full = os.path.join(os.getcwd(), path)  # not normalised, as the interpreter's own
    if pkgutil.get_importer(full) is not None:  # a directory or zip file with a __main__ in it
        _set_path(full)
        _run_module("__main__", alter_argv=False)
        return
    _set_path(os.path.dirname(os.path.realpath(path)))
    try:
        code = _code_of(full)
    except OSError as error:
        complain(f"can't open file {full!r}: [Errno {error.errno}] {error.strerror}")
        raise SystemExit(EXIT_USAGE) from None
    loader = importlib.machinery.SourceFileLoader("__main__", full)
    vars(main).update(__file__=full, __cached__=None, __loader__=loader)
    exec(code, vars(main))


def _code_of(path: str) -> CodeType:
    import io
    import pkgutil

    with io.open_code(path) as file:
        # Compiled code is told by its magic number, not by its name.
        code: CodeType | None = pkgutil.read_code(file)
        if code is not None:
            return code
        file.seek(0)
        return compile(file.read(), path, "exec", dont_inherit=True)


def _run_module(name: str, *, alter_argv: bool) -> None:
    """As the interpreter's own ``-m``: it calls this very function, which has no public name."""
    import runpy

    run = getattr(runpy, "_run_module_as_main")  # noqa: B009
    run(name, alter_argv)


def _set_path(first: str) -> None:
    """Put the program's own place first in ``sys.path``, in the stead of ours."""
    if getattr(sys.flags, "safe_path", False) or sys.flags.isolated:
        return
    sys.path[0:1] = [first]


def _tell(error: BaseException) -> None:
    """Report ``error`` as the interpreter does, without our frames, and keep it from being told again."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _HERE:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    sys.excepthook = _silent


def _silent(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The interpreter still ends by the exception: exit code 1, or SIGINT for KeyboardInterrupt."""
