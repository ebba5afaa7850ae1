"""The command line: ``vfsmount run`` and ``vfsmount iam-policy``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

EXIT_USAGE: Final = 2
"""What a wrong command line, configuration or mount ends with; as argparse's."""

_RUN: Final = """\
COMMAND is run with the mounts active; its output and exit code are its own:
  PROGRAM.py ARGS, -m MODULE ARGS, -c CODE ARGS     Python, in this very process
  python ARGS                                       the same: bare `python`, `python3` and `python3.X` of this version
                                                    are the interpreter that vfsmount is installed in
  a script whose first line names this interpreter  the same (pytest, jupyter ... of this environment)
  anything else                                     a child process, other interpreters too
With --native everything is a child process and is supervised (Linux): native libraries in it need no hook.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if arguments[:1] == ["run"]:
        own, command = split_command(arguments[1:])
        arguments = ["run", *own]
    options = _parser().parse_args(arguments)
    if options.action == "iam-policy":
        from vfsmount.cli import policy

        return policy.main(options.bucket, options.prefix, options.read_only)
    from vfsmount.cli import run

    return run.main(options, command, arguments)


_WITH_VALUE: Final = ("--config", "--mount", "--children", "--on-leak")


def split_command(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of ``run``, and the command behind them, with or without ``--`` between."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return list(arguments[:position]), list(arguments[position + 1 :])
        if not word.startswith("-") or word[:2] in ("-m", "-c"):
            break
        position += 2 if word in _WITH_VALUE else 1
    return list(arguments[:position]), list(arguments[position:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("vfsmount", description="Cloud buckets as directories.", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser(
        "run",
        help="run a program that sees the mounts",
        usage="vfsmount run [--config FILE] [--mount POINT=URL]... [--no-check] [--] COMMAND [ARGS]...",
        epilog=_RUN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument("--config", metavar="FILE", help="a TOML file of mounts; default: $VFSMOUNT_CONFIG")
    run.add_argument("--mount", metavar="POINT=URL", action="append", default=[], help="e.g. /data=s3://bucket/prefix/")
    run.add_argument("--no-check", dest="check", action="store_false", help="do not ask every bucket first")
    run.add_argument(
        "--children", choices=("auto", "always", "staging", "never"), default="auto", help="which children see mounts"
    )
    run.add_argument(
        "--native", action="store_true", help="run it as a child whose system calls see the mounts, Python too"
    )
    run.add_argument(
        "--on-leak", choices=("error", "warn", "ignore"), default="error", help="when files bypass a mount"
    )
    policy = actions.add_parser("iam-policy", help="print the permissions that a mount needs", allow_abbrev=False)
    policy.add_argument("bucket", metavar="BUCKET", help="its name, or s3://BUCKET/PREFIX/")
    policy.add_argument("--prefix", help="the mount's key_prefix, ending in '/'")
    policy.add_argument("--read-only", action="store_true", help="for mounts with read_only=True")
    return parser


def complain(message: object) -> int:
    """One line on stderr; the exit code for it."""
    line = " ".join(str(message).split())
    sys.stderr.write(f"vfsmount: {line}\n")
    return EXIT_USAGE
