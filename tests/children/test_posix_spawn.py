"""``os.posix_spawn``: in a mounted directory, and with mounted files, whichever way children are served."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.children.conftest import Served, serving
from vfsmount.children.supervisor.detect import supervision

WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@pytest.fixture(params=["staging", "auto"])
def either(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """Children are staged, or supervised."""
    if request.param == "auto" and supervision() is None:
        pytest.skip("no seccomp user notification here")
    yield from serving(request.param, tmp_path_factory, monkeypatch)


@pytest.fixture
def staged(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """On a mount that takes any pattern of writes."""
    yield from serving("staging", tmp_path_factory, monkeypatch, writes="staged")


@contextlib.contextmanager
def standing_in(path: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def printed(argv: Sequence[str], actions: Sequence[Any] = (), **options: Any) -> bytes:
    """What a program that ends well prints."""
    reader, writer = os.pipe()
    try:
        into = [(os.POSIX_SPAWN_DUP2, writer, 1), *actions]
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=into, **options)
        os.close(writer)
        writer = -1
        with open(reader, "rb", closefd=False) as pipe:
            data = pipe.read()
        assert ended(pid) == 0
        return data
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def test_a_program_starts_in_the_mounted_directory(either: Served) -> None:
    with standing_in("/my-mount/dir"):
        assert printed(["cat", "b c.txt"]) == b"beta\n"
        assert printed(["ls"]) == b"b c.txt\nsub\n"
        assert printed([sys.executable, "-I", "-S", "-c", "import os; print(os.listdir())"]).startswith(b"['b c")
        pid = os.posix_spawn("/bin/sh", ["another name", "-c", "test -f 'b c.txt'"], os.environ)
        assert ended(pid) == 0


def test_what_it_writes_there_is_uploaded(supervised: Served) -> None:
    with standing_in("/my-mount/dir"):
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo new > ../new; pwd"], os.environ, setsigdef=[signal.SIGPIPE])
        assert ended(pid) == 0
    assert supervised.stored("new") == b"new\n"


def test_signals_have_the_disposition_asked_for(supervised: Served) -> None:
    with standing_in("/my-mount"):
        for asked, ignored in (([signal.SIGPIPE], False), ([], True)):
            mask = int(printed(["grep", "SigIgn", "/proc/self/status"], setsigdef=asked).split()[1], 16)
            assert bool(mask >> signal.SIGPIPE - 1 & 1) == ignored


def test_files_opened_for_it(either: Served) -> None:
    opening = (os.POSIX_SPAWN_OPEN, 0, "/my-mount/a.txt", os.O_RDONLY, 0)
    assert printed(["cat"], [opening]) == b"alpha\n"
    pid = os.posix_spawnp(
        "echo", ["echo", "hello"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/my-mount/o", WRITING, 0o644)]
    )
    assert ended(pid) == 0
    assert either.stored("o") == b"hello\n"
    with standing_in("/my-mount/dir"):
        actions = (
            (os.POSIX_SPAWN_OPEN, 0, "b c.txt", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "../p", WRITING, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        )
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "cat; echo more >&2"], os.environ, file_actions=actions)
        assert ended(pid) == 0
    assert either.stored("p") == b"beta\nmore\n"


FLAGS = {
    "new": os.O_CREAT | os.O_WRONLY,
    "new, exclusively": os.O_CREAT | os.O_WRONLY | os.O_EXCL,
    "new, to append": os.O_CREAT | os.O_WRONLY | os.O_APPEND,
    "there, exclusively": os.O_CREAT | os.O_WRONLY | os.O_EXCL,
    "there, anew": os.O_WRONLY | os.O_TRUNC,
    "there, to append": os.O_WRONLY | os.O_APPEND,
    "there": os.O_WRONLY,
    "there, no link": os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW,
    "a directory": os.O_RDONLY | os.O_DIRECTORY,
    "there, as a directory": os.O_RDONLY | os.O_DIRECTORY,
    "there, to be closed": os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC,
    "none": os.O_WRONLY,
}


@pytest.mark.parametrize("case", FLAGS)
def test_flags_mean_what_they_mean_on_a_disk(staged: Served, tmp_path: Path, case: str) -> None:
    def outcome(top: str) -> tuple[object, ...]:
        """Exit code or errno, what the program said, and the file's content."""
        path = f"{top}/{case.split(',')[0]}"
        if "there" in case:
            Path(path).write_bytes(b"0123456789")
        elif "directory" in case:
            os.mkdir(path)
        complaint = tmp_path / "complaint"
        actions = [
            (os.POSIX_SPAWN_OPEN, 5, path, FLAGS[case], 0o644),
            (os.POSIX_SPAWN_OPEN, 2, str(complaint), WRITING, 0o644),
        ]
        code: int | None = None
        try:
            code = ended(os.posix_spawn("/bin/sh", ["sh", "-c", "printf ab >&5"], os.environ, file_actions=actions))
        except OSError as error:
            code = error.errno
        said = complaint.read_bytes() if complaint.exists() else b""
        return code, said, Path(path).read_bytes() if os.path.isfile(path) else None

    assert outcome("/my-mount") == outcome(str(tmp_path))


def test_a_number_opened_to_be_closed_can_be_duplicated_before(either: Served) -> None:
    closing = (os.POSIX_SPAWN_OPEN, 5, "/my-mount/a.txt", os.O_RDONLY | os.O_CLOEXEC, 0)
    assert printed(["cat"], [closing, (os.POSIX_SPAWN_DUP2, 5, 0)]) == b"alpha\n"
    seen = "cat <&5 || echo closed"
    assert printed(["sh", "-c", seen], [closing]) == b"closed\n"
    assert printed(["sh", "-c", seen], [closing, (os.POSIX_SPAWN_DUP2, 5, 5)]) == b"alpha\n"
    again = (os.POSIX_SPAWN_OPEN, 5, "/my-mount/a.txt", os.O_RDONLY, 0)
    assert printed(["sh", "-c", seen], [closing, again]) == b"alpha\n"
    assert printed(["sh", "-c", seen], [closing, (os.POSIX_SPAWN_CLOSE, 5)]) == b"closed\n"


def test_a_local_link_into_a_mount_is_followed_unless_it_is_not_to_be(either: Served, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/my-mount/a.txt")
    (tmp_path / "new").symlink_to("/my-mount/made")
    assert printed(["cat"], [(os.POSIX_SPAWN_OPEN, 0, str(tmp_path / "link"), os.O_RDONLY, 0)]) == b"alpha\n"
    with pytest.raises(OSError) as caught:
        printed(["cat"], [(os.POSIX_SPAWN_OPEN, 0, str(tmp_path / "link"), os.O_RDONLY | os.O_NOFOLLOW, 0)])
    assert caught.value.errno == errno.ELOOP
    assert printed(["echo", "x"], [(os.POSIX_SPAWN_OPEN, 1, str(tmp_path / "new"), WRITING, 0o644)]) == b""
    assert either.stored("made") == b"x\n"


def test_numbers_that_the_actions_mention_are_not_in_the_way(either: Served) -> None:
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    before = os.listdir("/proc/self/fd")
    actions = [(os.POSIX_SPAWN_DUP2, 2, number) for number in range(free, free + 20)]
    actions.append((os.POSIX_SPAWN_OPEN, 0, "/my-mount/a.txt", os.O_RDONLY, 0))  # type: ignore[arg-type]
    assert printed(["cat"], actions) == b"alpha\n"
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_regression_what_it_writes_after_its_parent_has_closed_is_uploaded(either: Served) -> None:
    reader, writer = os.pipe()
    number = os.open("/my-mount/late", WRITING)
    os.write(number, b"first ")
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, number, 1)]
    pid = os.posix_spawnp("sh", ["sh", "-c", "read line; echo $line"], os.environ, file_actions=actions)
    os.close(number)
    assert "late" not in either.keys()
    os.close(reader)
    os.write(writer, b"then\n")
    os.close(writer)
    assert ended(pid) == 0
    assert either.stored("late") == b"first then\n"


def test_failures_leave_nothing_behind(either: Served) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError) as caught:
        os.posix_spawnp("cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/my-mount/none", os.O_RDONLY, 0)])
    assert caught.value.filename == "/my-mount/none"
    with pytest.raises(TypeError):
        os.posix_spawnp("cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/my-mount/a.txt", "r", 0)])
    with pytest.raises(FileNotFoundError) as caught:
        os.posix_spawn("/none", ["none"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/my-mount/e", WRITING, 0o644)])
    assert caught.value.filename == "/none"
    assert either.stored("e") == b""  # as on a disk
    with standing_in("/my-mount/dir"):
        with pytest.raises(TypeError):
            os.posix_spawn("/bin/true", ["true", 5], os.environ)  # type: ignore[list-item]
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_program_that_is_not_there(either: Served) -> None:
    with standing_in("/my-mount/dir"):
        for path in ("true", "./none"):
            with pytest.raises(FileNotFoundError) as caught:
                os.posix_spawn(path, [path], os.environ)
            assert caught.value.filename == path
            with pytest.raises(FileNotFoundError) as caught:
                subprocess.Popen(["./none"])
            assert caught.value.filename == "./none"


def test_a_program_that_cannot_be_started(supervised: Served) -> None:
    with standing_in("/my-mount/dir"):
        with pytest.raises(FileNotFoundError) as caught:
            os.posix_spawnp("no-such-program", ["no-such-program"], os.environ)
        assert caught.value.filename == "no-such-program"
        with pytest.raises(OSError) as other:
            os.posix_spawn("./b c.txt", ["b"], os.environ)
        assert other.value.errno == errno.EACCES
