"""Runs what the interpreter could not find by itself: a script or a module on a mount."""

from __future__ import annotations

import sys


def run() -> None:
    """Be the program that ``sys.argv`` names as ``python`` would take it: ``SCRIPT ARGS`` or ``-m MODULE ARGS``."""
    from vfsmount.cli.program import parse_python, run_program

    program, _ = parse_python(sys.argv[1:])
    run_program(program)
