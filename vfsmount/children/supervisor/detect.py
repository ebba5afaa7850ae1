"""Whether this kernel, in this sandbox, lets a child be supervised: by trying it once."""

from __future__ import annotations

import errno
import logging
import os
import resource
import subprocess
import sys
from typing import Final

from vfsmount import real
from vfsmount.children.supervisor import bpf, memory
from vfsmount.children.supervisor.launch import Rendezvous
from vfsmount.children.supervisor.notify import Cancelled, Listener
from vfsmount.children.supervisor.syscalls import Architecture, this_architecture
from vfsmount.errors import os_error
from vfsmount.transfer.spool import ScratchDirectory

logger = logging.getLogger(__name__)

TRIAL: Final = b"/vfsmount-supervisor-trial"
WELL: Final = 3
"""Exit status of a trial in which all went well."""
_PATIENCE: Final = 30.0
"""Seconds."""


def lazy_numbers() -> range:
    """Descriptor numbers for files that are fetched while they are read: the last ones that a child may have, below
    1024, which is as far as ``select`` sees.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = 1024 if soft == resource.RLIM_INFINITY else min(soft, 1024)
    return range(limit - 64, limit) if limit >= 256 else range(0)


_known: list[Architecture | None] = []


def supervision() -> Architecture | None:
    """What to supervise with; None where that cannot be done. The first call starts a program to find out."""
    if not _known:
        architecture = this_architecture() if sys.platform == "linux" and sys.executable else None
        if architecture is not None:
            try:
                with real.passthrough():
                    _try(architecture)
            except (OSError, subprocess.SubprocessError, Cancelled, EOFError) as error:
                logger.debug("child programs cannot be supervised here: %s", error)
                architecture = None
        _known.append(architecture)
    return _known[0]


def _try(architecture: Architecture) -> None:
    """A child opens a path that is nowhere. Raises: OSError and the like where it does not get what it is given."""
    with ScratchDirectory() as base:
        rendezvous = Rendezvous(base, bpf.program(architecture, lazy_numbers()))
        child = subprocess.Popen(rendezvous.command("", [], restore_signals=True), stdin=subprocess.DEVNULL)
        try:
            rendezvous.meet(child.pid, lambda descriptor, _: _serve(Listener(descriptor), architecture))
            if child.wait(_PATIENCE) != WELL:  # with 0 it could not end: nobody would answer that
                raise os_error(errno.ENOSYS)
        finally:
            rendezvous.close()
            child.kill()
            child.wait()


def _serve(listener: Listener, architecture: Architecture) -> None:
    try:
        while (note := listener.receive(_PATIENCE)) is not None:
            if note.number == architecture.numbers["openat"] and memory.read_string(note.pid, note.args[1]) == TRIAL:
                number = real.fd_open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    listener.install(note.ident, number, cloexec=True)
                finally:
                    real.fd_close(number)
                return  # not before the end, which on old kernels comes only when the child is waited for
            else:
                listener.proceed(note.ident)
    except EOFError:
        return
    finally:
        listener.close()
