"""Run as a program of its own in the child: goes to a directory, and becomes the program that was asked for.

``python -I -S prelude.py HOW CWD ROOT PROGRAM ARGV0 ARG...``. Letters in HOW: ``s``: signals that Python ignores are
not to be ignored by the program; ``t``: the names of copies, which begin with ROOT, are taken out of text that it
writes to pipes; ``a``: out of all that it writes, wherever that goes. CWD and PROGRAM may be empty: stay here; ARGV0.
Imports nothing of vfsmount: all that it loads is paid for by every child.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the module around it costs ten milliseconds
import os
import sys

_CHUNK = 1 << 16
_MOST = 1 << 16
"""Descriptors that are looked at where nobody tells which are open."""


class Renaming:
    """Takes a stage's root out of a stream, byte for byte, and holds back only what may be the beginning of one.

    ``/t/my-mount/x``, where ``/t`` is the root, becomes ``/my-mount/x``, and ``t/my-mount/x`` (as tar has it)
    ``my-mount/x``. Unless
    ``always``, a stream is left alone from the first NUL byte on: that is no text, and may hold lengths.
    """

    def __init__(self, root: bytes, *, always: bool) -> None:
        self._needle = root.strip(b"/")
        self._always = always
        self._binary = False
        self._rest = b""
        self._slash = False  # the next byte is left out if it is a slash

    def feed(self, data: bytes) -> bytes:
        """What can be told of the stream's content now."""
        if self._binary:
            return data
        data = self._rest + data
        self._rest = b""
        if not self._always and b"\0" in data:
            self._binary = True
            return data
        first, *others = data.split(self._needle)
        pieces = [first.removeprefix(b"/") if self._slash else first, *(each.removeprefix(b"/") for each in others)]
        self._slash = bool(others) and not others[-1]
        kept = self._beginning(pieces[-1])
        if kept:
            self._rest = pieces[-1][-kept:]
            pieces[-1] = pieces[-1][:-kept]
        return b"".join(pieces)

    def end(self) -> bytes:
        """What was held back."""
        rest, self._rest = self._rest, b""
        return rest

    def _beginning(self, data: bytes) -> int:
        """How many bytes at the end of ``data`` the needle may begin with."""
        longest = min(len(data), len(self._needle) - 1)
        for length in range(longest, 0, -1):
            if self._needle.startswith(data[len(data) - length :]):
                return length
        return 0


def _write(number: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:  # whoever gave it to us has made it so
            import select

            select.select([], [number], [])


def _filter(streams: dict[int, int], root: bytes, *, always: bool) -> None:
    """Copy each stream to where it goes until nobody has it open any more; ``streams``: by the end that is read."""
    import select

    poll = select.poll()
    renaming = {}
    for number in streams:
        poll.register(number, select.POLLIN)
        renaming[number] = Renaming(root, always=always)
    while renaming:
        for number, _ in poll.poll():
            data = os.read(number, _CHUNK)
            told = renaming[number].feed(data) if data else renaming[number].end()
            try:
                _write(streams[number], told)
            except OSError:  # nobody reads it any more, which the program is to find out
                data = b""
            if not data:
                del renaming[number]
                poll.unregister(number)
                os.close(number)


def _streams(*, always: bool) -> dict[int, list[int]]:
    """Of standard output and error, those whose content is looked at; the same stream twice is one."""
    found: dict[tuple[int, int], list[int]] = {}
    for number in (1, 2):
        try:
            told = os.fstat(number)
        except OSError:  # closed
            continue
        kind = told.st_mode & 0o170000
        if kind in (0o010000, 0o140000) or (always and (kind == 0o100000 or os.isatty(number))):
            found.setdefault((told.st_dev, told.st_ino), []).append(number)
    return {numbers[0]: numbers for numbers in found.values()}


def _close_all_but(kept: set[int]) -> None:
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:  # no /proc here
        numbers = list(range(min(os.sysconf("SC_OPEN_MAX"), _MOST)))
    for number in numbers:
        if number not in kept:
            try:
                os.close(number)
            except OSError:  # that of the listing itself, or none
                continue


def _replace(streams: dict[int, list[int]], root: bytes, *, always: bool) -> int | None:
    """Give the program pipes in the stead of ``streams``, which are filtered.

    The program goes on in the process that it was started as, and this returns None; what filters is no child of it,
    for a program may wait until it has none. With ``always``, it is the new one that becomes the program: who waits is
    told of its end when all that it wrote has been passed on. Its number is returned in the process that waits for it
    then.
    """
    pipes = {number: os.pipe() for number in streams}
    ignored = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # what is ignored cannot be waited for
    child = os.fork()
    if child and not always:
        os.waitpid(child, 0)
    if (child == 0) == always:
        _signal.signal(_signal.SIGCHLD, ignored)
        for number, numbers in streams.items():
            for each in numbers:
                os.dup2(pipes[number][1], each)
        for pair in pipes.values():
            for each in pair:
                os.close(each)
        return None
    for signal in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM):
        if not always:
            _signal.signal(signal, _signal.SIG_IGN)
        elif _signal.getsignal(signal) != _signal.SIG_IGN:
            _signal.signal(signal, lambda number, _: os.kill(child, number))
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    if not always:
        if os.fork():
            os._exit(0)
        os.chdir("/")
    told = {2} if always and 2 not in (write for _, write in pipes.values()) else set()  # where errors are printed
    _close_all_but({*(read for read, _ in pipes.values()), *streams} | told)
    _filter({pipes[number][0]: number for number in streams}, root, always=always)
    if not always:
        os._exit(0)
    return child


def _environment() -> dict[bytes, bytes]:
    """As it was given: the interpreter itself may have added to it."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = (pair.partition(b"=") for pair in file.read().split(b"\0") if pair)
            return {name: value for name, _, value in pairs if name}
    except OSError:
        return dict(os.environb)


def main() -> None:
    """Exits 126 or 127 where the program cannot be started, as a shell does."""
    how, cwd, root, program, *argv = sys.argv[1:]
    environment = _environment()
    always = "a" in how
    try:
        if cwd:
            os.chdir(cwd)
        streams = _streams(always=always) if "a" in how or "t" in how else {}
        child = _replace(streams, os.fsencode(root), always=always) if streams else None
        if child is not None:
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                _signal.signal(os.WTERMSIG(status), _signal.SIG_DFL)
                os.kill(os.getpid(), os.WTERMSIG(status))
            os._exit(os.WEXITSTATUS(status))
        if "s" in how:
            for signal in (_signal.SIGPIPE, _signal.SIGXFSZ):
                _signal.signal(signal, _signal.SIG_DFL)
        name = program or argv[0]
        os.execve(name, argv, environment) if "/" in name else os.execvpe(name, argv, environment)
    except OSError as error:
        sys.stderr.write(f"{program or argv[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
