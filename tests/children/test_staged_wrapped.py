"""Copies serve shells with options, what other programs start, and paths in URLs, as they serve the plain forms."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.children.conftest import Served, output, serving
from tests.children.test_staging import refused
from vfsmount.children.commands import Kind, archived_by, entries_into, program_at, removed_by, script_at, use_of


@pytest.mark.parametrize(
    "shell",
    [
        ["bash", "-euo", "pipefail", "-c"],
        ["sh", "-ec"],
        ["bash", "--norc", "-x", "-c"],
        ["bash", "-c", "--"],
        ["/usr/bin/env", "A=b", "bash", "-c"],
        ["timeout", "-k", "1", "30", "sh", "-c"],
        ["nice", "-n", "5", "stdbuf", "-oL", "bash", "-O", "extglob", "-c"],
    ],
    ids=" ".join,
)
def test_a_line_is_found_behind_options_and_wrappers(served: Served, shell: list[str]) -> None:
    line = 'cat /my-mount/a.txt; for f in /my-mount/dir/*.txt; do cat "$f"; done > /my-mount/all; cat "$0"'
    assert output(*shell, line, "/my-mount/dir/sub/c.txt") == "alpha\ngamma\n"
    assert served.stored("all") == b"beta\n"
    assert output(*shell, "cat a.txt > copied; ls", cwd="/my-mount").split() == [
        "a.txt", "all", "big.bin", "copied", "dir",
    ]  # fmt: skip
    assert served.stored("copied") == b"alpha\n"


def test_what_a_wrapper_starts_is_treated_as_it_is_without(served: Served) -> None:
    assert "/my-mount/dir\n" in output("nice", "du", "-b", "/my-mount")
    assert output("sh", "-c", "env A=b du -b /my-mount/big.bin") == "1000000\t/my-mount/big.bin\n"
    output("timeout", "30", "rm", "/my-mount/big.bin")
    assert served.keys() == ["a.txt", "dir/b c.txt", "dir/sub/c.txt"]
    assert refused(["nice", "tar", "-cf", "/my-mount/t.tar", "/my-mount/dir"]).errno == errno.ENOTSUP


def test_a_wrapper_does_not_hide_what_a_mount_forbids(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for served in serving("staging", tmp_path_factory, monkeypatch, allow_delete=False):
        error = refused(["nice", "-n", "1", "rm", "/my-mount/a.txt"])
        assert (error.errno, error.filename) == (errno.EPERM, "/my-mount/a.txt")
        assert "a.txt" in served.keys()


def test_urls_and_options_of_curl_are_served(served: Served) -> None:
    def last(*argv: str) -> str:
        """What a program sees as its last argument is a file that it can read."""
        return output("sh", "-c", 'for word; do :; done; word=${word#*@}; cat "/${word#*:*/}"', "name", *argv)

    assert last("file:///my-mount/a.txt") == "alpha\n"
    assert last("file:/my-mount/a.txt") == "alpha\n"
    assert last("@/my-mount/a.txt") == "alpha\n"
    assert last("--data-binary=@/my-mount/a.txt") == "alpha\n"
    assert output("sh", "-c", "cp /my-mount/a.txt /my-mount/b; echo file:///my-mount/b") == "file:///my-mount/b\n"
    assert refused(["cat", "file:///my-mount/dir/b%20c.txt"]).errno == errno.ENOTSUP


def test_a_program_that_no_mode_lets_be_executed_is_named_as_its_caller_named_it(served: Served) -> None:
    for options in ({}, {"executable": "/my-mount/a.txt"}):
        error = refused(["/my-mount/a.txt" if not options else "name"], **options)
        assert (error.errno, error.filename) == (errno.EACCES, "/my-mount/a.txt")
        if sys.version_info >= (3, 11):  # exceptions have notes
            assert "file_mode" in "".join(error.__notes__)


def test_an_executable_program_without_arguments_starts(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for served in serving("staging", tmp_path_factory, monkeypatch, file_mode=0o755):
        served.store.put("run", b"#!/bin/sh\necho ran $1\n")
        assert output("/my-mount/run") == "ran\n"
        assert output("env", "/my-mount/run", "x") == "ran x\n"


@pytest.mark.parametrize(
    ("argv", "at"),
    [
        (["sh", "-c", "x"], 2),
        (["bash", "-x", "-c", "x", "y"], 3),
        (["bash", "-c", "-e", "x"], 3),
        (["bash", "-euo", "pipefail", "-c", "x"], 4),
        (["bash", "--rcfile", "f", "-ic", "x"], 4),
        (["bash", "+e", "-c", "--", "x"], 4),
        (["env", "-i", "A=-c", "timeout", "5", "sh", "-c", "x"], 7),
        (["xargs", "-n", "1", "sh", "-c", "x"], 5),
        (["bash", "script", "-c", "x"], None),
        (["bash", "-c"], None),
        (["grep", "bash", "-c", "x"], None),
        (["timeout", "5"], None),
        ([], None),
    ],
)
def test_where_a_shells_line_stands(argv: list[str], at: int | None) -> None:
    assert script_at(argv) == at


def test_programs_behind_wrappers() -> None:
    assert program_at(["nice", "ls"]) == 1
    assert program_at(["nice"]) == 0
    assert use_of(["timeout", "5", "ls", "/m"]) == use_of(["ls", "/m"])
    assert use_of(["flock", "/m/lock", "cat", "/m/a"]).kind is Kind.OTHER
    assert use_of(["xargs", "cat", "/m/a"]).kind is Kind.OTHER
    assert removed_by(["sudo", "-n", "mv", "/m/a", "/m/b"]) == ["/m/a"]
    assert archived_by(["env", "A=/b", "tar", "-cf", "t", "/m/d"]) == ["/m/d"]
    assert entries_into(["xargs", "cp", "a", "/m"]) is None


def test_a_caller_of_a_wrapped_shell_sees_its_own_arguments(served: Served) -> None:
    options: dict[str, Any] = {"capture_output": True, "text": True}
    argv = ["bash", "-e", "-c", "cat /my-mount/missing; echo never"]
    done = subprocess.run(argv, timeout=60, **options)
    assert (done.args, done.returncode, done.stdout) == (argv, 1, "")
    assert done.stderr == "cat: /my-mount/missing: No such file or directory\n"


def test_a_line_inside_a_line_is_served(served: Served) -> None:
    line = """bash -c 'cat /my-mount/a.txt > /my-mount/inner; echo "it is"'; eval "cat /my-mount/inner" """
    assert output("sh", "-c", line) == "it is\nalpha\n"
    assert served.stored("inner") == b"alpha\n"
    line = "trap 'rm -f /my-mount/lock' EXIT; echo x > /my-mount/lock; cat /my-mount/lock"
    assert output("bash", "-euc", line) == "x\n"
    assert "lock" not in served.keys()
    error = refused(["sh", "-c", "bash -c 'cat /my-mount/a.txt > /my-mount/b &'"])
    assert error.errno == errno.ENOTSUP


def test_lines_that_go_up_find_what_is_there(served: Served) -> None:
    assert output("sh", "-c", "cd /my-mount/dir/sub && cat ../../a.txt && cat ../b*.txt") == "alpha\nbeta\n"
    assert output("sh", "-c", "cd /my-mount/dir/sub; cd ..; cd ..; cat a.txt; pwd") == "alpha\n/my-mount\n"
    assert output("sh", "-c", "cd sub && cat ../../a.txt", cwd="/my-mount/dir") == "alpha\n"
    output("sh", "-c", "cd /my-mount/dir && echo new > ../a.txt && cd ..")
    assert served.stored("a.txt") == b"new\n"


def test_files_with_a_number_are_served_by_their_pattern(served: Served) -> None:
    for number in range(3):
        served.store.put(f"dir/f[1]_{number:02}.png", b"%d\n" % number)
    show = (
        "f = __import__('sys').argv[1]; print(*(open(f % n).read() for n in range(3))); open(f % 1, 'w').write('new')"
    )
    python = [sys.executable, "-I", "-c", show]
    assert output(*python, "/my-mount/dir/f[1]_%02d.png").split() == ["0", "1", "2"]
    assert served.stored("dir/f[1]_01.png") == b"new"
    assert served.stored("dir/f[1]_02.png") == b"2\n"


@pytest.mark.parametrize(
    ("line", "operands"),
    [
        ("tar c /m/d", ["/m/d"]),
        ("tar -c /m/d", ["/m/d"]),
        ("tar -c -v /m/d", ["/m/d"]),
        ("tar --create --verbose /m/d", ["/m/d"]),
        ("tar --create --file t /m/d", ["/m/d"]),
        ("tar --create --file=t /m/d e", ["/m/d", "e"]),
        ("tar cfC t /m d", ["d"]),
        ("tar -czf t -C /m d /m/e", ["d", "/m/e"]),
        ("tar -czft /m/d", ["/m/d"]),
        ("tar -cf t /m/d --exclude /m/e", ["/m/d"]),
        ("tar xf t -C /m d", []),
        ("tar tf t", []),
    ],
)
def test_what_tar_stores(line: str, operands: list[str]) -> None:
    assert archived_by(line.split()) == operands


def test_no_archive_has_local_names(served: Served, tmp_path: Path) -> None:
    for argv in (["tar", "-c"], ["tar", "c"], ["tar", "-c", "-v"], ["tar", "--create", "--verbose"]):
        assert refused([*argv, "/my-mount/dir"]).errno == errno.ENOTSUP
        assert refused(["sh", "-c", f"{' '.join(argv)} /my-mount/dir > {tmp_path}/t"]).errno == errno.ENOTSUP
    output("tar", "-c", "-C", "/my-mount", "-f", tmp_path / "t", "dir")
    assert output("tar", "tf", tmp_path / "t").splitlines()[0] == "dir/"
