"""IPython and Jupyter: ``!command`` in a cell starts its program with fork and exec in a terminal of its own, where
nobody could serve it; a command that names a mount is started with ``subprocess`` instead.
"""

from __future__ import annotations

import codecs
import os
import select
import signal
import subprocess
import sys
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam


def _commands(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        handler: Any = getattr(original, "__self__", None)  # IPython captures the method of one object

        def system(cmd: Any) -> int:
            if not seam.concerns_children(cmd):
                return int(original(cmd))
            with subprocess.Popen(
                cmd,
                shell=True,
                executable=getattr(handler, "sh", None),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as child:
                try:
                    _show(child)
                except KeyboardInterrupt:
                    child.send_signal(signal.SIGINT)
                    _show(child)
                return child.wait()

        return system

    seam.wrap(module, "system", make)


def _show(child: subprocess.Popen[bytes]) -> None:
    """Print what the program prints, as it comes."""
    assert child.stdout is not None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    number = child.stdout.fileno()
    while select.select([number], [], [])[0] and (data := os.read(number, 1 << 16)):  # Ctrl-C always ends a select
        sys.stdout.write(decoder.decode(data))
        sys.stdout.flush()


HOOKS: Final = (Hook("IPython.utils._process_posix", (8, 9), _commands),)
