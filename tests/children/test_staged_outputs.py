"""What programs write to their copies is uploaded when they have ended; what cannot be is kept, and said."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.children.conftest import SEED, Served, stages
from vfsmount.children import stage
from vfsmount.errors import Unavailable
from vfsmount.store.memory import MemoryStore


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with something to copy."""
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "one").write_text("1\n")
    (tmp_path / "tree" / "deep" / "two").write_text("2\n")
    (tmp_path / "x").write_text("local\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kept() -> Iterator[None]:
    """What is kept of outputs is removed."""
    before = stages()
    yield
    for each in stages() - before:
        shutil.rmtree(each)


def run(*argv: Any, **options: Any) -> int:
    """A command in words, or one line or list."""
    command = argv[0] if len(argv) == 1 else argv
    return subprocess.run(command, timeout=60, **options).returncode


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("sort -r /my-mount/a.txt -o /my-mount/new", {"new": b"alpha\n"}),
        ("cp x /my-mount/new", {"new": b"local\n"}),
        ("cp x /my-mount/", {"x": b"local\n"}),
        ("cp x /my-mount/a.txt", {"a.txt": b"local\n"}),
        ("cp -r tree /my-mount/", {"tree/one": b"1\n", "tree/deep/two": b"2\n"}),
        ("cp -r /my-mount/dir /my-mount/copy", {"copy/b c.txt": b"beta\n", "copy/sub/c.txt": b"gamma\n"}),
        ("mv x /my-mount/new", {"new": b"local\n"}),
        ("dd if=/my-mount/a.txt of=/my-mount/new status=none", {"new": b"alpha\n"}),
        ("dd if=x of=/my-mount/a.txt conv=notrunc bs=2 count=1 status=none", {"a.txt": b"lopha\n"}),
        ("touch /my-mount/new", {"new": b""}),
        ("touch /my-mount/a.txt", {"a.txt": b"alpha\n"}),
        ("split -l 1 tree/one /my-mount/part-", {"part-aa": b"1\n"}),
        ("sed -i s/alpha/omega/ /my-mount/a.txt", {"a.txt": b"omega\n"}),
        ("mkdir -p /my-mount/new/deep", {}),
    ],
)
def test_programs_that_write(served: Served, here: Path, line: str, stored: dict[str, bytes]) -> None:
    assert run(*line.split()) == 0
    for key, data in {**SEED, **stored}.items():
        assert served.stored(key) == data
    assert set(served.keys()) == {*SEED, *stored}
    assert not line.startswith("mkdir") or os.path.isdir("/my-mount/new/deep")


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("echo x > /my-mount/new", {"new": b"x\n"}),
        ("echo x >| '/my-mount/a.txt'", {"a.txt": b"x\n"}),
        ("echo x >>/my-mount/a.txt", {"a.txt": b"alpha\nx\n"}),
        ("ls /none 2> /my-mount/new || true", None),
        ("gzip -c /my-mount/a.txt > /my-mount/new && gunzip -c < /my-mount/new > /my-mount/b", {"b": b"alpha\n"}),
        ("tee /my-mount/new < /my-mount/a.txt > /dev/null", {"new": b"alpha\n"}),
        ("echo x > /my-mount/new & wait", {"new": b"x\n"}),
        ("tar -cf /my-mount/new tree && mkdir /my-mount/out && tar -xf /my-mount/new -C /my-mount/out",
         {"out/tree/one": b"1\n", "out/tree/deep/two": b"2\n"}),
        ("echo x > /my-mount/new; exit 3", {"new": b"x\n"}),
        ("echo x > /my-mount/new; kill -9 $$", {"new": b"x\n"}),
    ],
)  # fmt: skip
def test_shell_lines_that_write(served: Served, here: Path, line: str, stored: dict[str, bytes] | None) -> None:
    expected = 3 if "exit" in line else -9 if "kill" in line else 0
    assert run(line, shell=True) == expected
    for key, data in (stored or {}).items():
        assert served.stored(key) == data
    assert stored is not None or b"none" in served.stored("new")


@pytest.mark.parametrize("shell", [True, False])
def test_copying_into_a_directory_of_any_size(
    served: Served, here: Path, monkeypatch: pytest.MonkeyPatch, shell: bool
) -> None:
    """Only what may be replaced in it is copied."""
    monkeypatch.setattr(stage, "MAX_COPIED", 3)
    (here / "a.txt").write_text("new\n")
    assert run("cp a.txt x /my-mount/" if shell else ["cp", "a.txt", "x", "/my-mount/"], shell=shell) == 0
    assert run("cp -r tree /my-mount" if shell else ["cp", "-r", "tree", "/my-mount"], shell=shell) == 0
    expected = {**SEED, "a.txt": b"new\n", "x": b"local\n", "tree/one": b"1\n", "tree/deep/two": b"2\n"}
    assert {key: served.stored(key) for key in served.keys()} == expected


def test_a_compiler(served: Served, here: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    (here / "x.c").write_text("int main(void) { return 0; }")
    assert run("gcc", "x.c", "-o", "/my-mount/prog") == 0
    assert served.stored("prog").startswith((b"\x7fELF", b"\xcf\xfa"))


def test_a_program_in_a_mounted_directory(served: Served, here: Path) -> None:
    assert run("sh", "-c", "mkdir made; echo x > made/new; echo y >> a.txt", cwd="/my-mount") == 0
    assert (served.stored("made/new"), served.stored("a.txt")) == (b"x\n", b"alpha\ny\n")


def test_a_file_that_was_only_touched_is_not_uploaded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "put", unavailable)
    assert run("touch", "/my-mount/a.txt") == 0


def test_other_ways_to_start_a_program(served: Served, here: Path) -> None:
    argv = ["cp", "x", "/my-mount/spawned"]
    pid = os.posix_spawn(shutil.which("cp") or "", argv, os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    assert served.stored("spawned") == b"local\n"
    assert os.system("cp x /my-mount/system") == 0
    assert served.stored("system") == b"local\n"

    async def start() -> int:
        child = await asyncio.create_subprocess_exec("cp", "x", "/my-mount/awaited")
        return await asyncio.wait_for(child.wait(), 60)

    assert asyncio.run(start()) == 0
    assert served.stored("awaited") == b"local\n"


def test_two_at_once_in_one_directory(served: Served) -> None:
    lines = [f"read line; mkdir -p /my-mount/both/deep; echo {n} > /my-mount/both/deep/{n}" for n in "12"]
    children = [subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE) for line in lines]
    for child in children:
        child.communicate(b"\n", timeout=60)
        assert child.returncode == 0
    assert (served.stored("both/deep/1"), served.stored("both/deep/2")) == (b"1\n", b"2\n")


# What cannot be uploaded ----------------------------------------------------------------------------------------------


def unavailable(*_: object, **__: object) -> None:
    raise Unavailable("no route", operation="put", bucket="bucket", key="new")


def the_kept(caplog: pytest.LogCaptureFixture) -> Path:
    return Path([each for each in caplog.messages if " is kept in " in each][-1].rpartition(" is kept in ")[2])


@pytest.mark.parametrize("start", [run, lambda *argv: os.system(" ".join(argv)) >> 8])
def test_an_upload_that_fails_is_kept_and_said(
    served: Served,
    here: Path,
    kept: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    start: Any,
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(MemoryStore, "put", unavailable)
        assert start("mv", "x", "/my-mount/new") == 1
    assert caplog.messages[-1].startswith("/my-mount/new was not uploaded: Input/output error: ")
    assert the_kept(caplog).read_text() == "local\n"
    assert served.keys() == sorted(SEED)


def test_an_upload_that_is_interrupted_is_kept(
    served: Served, here: Path, kept: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as failing:
        failing.setattr(MemoryStore, "put", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("mv", "x", "/my-mount/new")
    assert the_kept(caplog).read_text() == "local\n"


def test_a_file_that_this_process_reads_is_not_replaced(
    served: Served, here: Path, kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    with open("/my-mount/a.txt") as file:
        assert run("cp", "x", "/my-mount/a.txt") == 1
        assert file.read() == "alpha\n"
    assert "/my-mount/a.txt was not uploaded: Operation not permitted" in caplog.text
    assert the_kept(caplog).read_text() == "local\n"
    assert served.stored("a.txt") == b"alpha\n"


def test_a_line_that_goes_on_in_a_mounted_directory_is_refused(served: Served) -> None:
    with pytest.raises(OSError) as caught:
        run("(read line; echo x > new) &", shell=True, cwd="/my-mount")
    assert caught.value.errno == errno.ENOTSUP


@pytest.mark.parametrize(
    ("line", "content"),
    [
        ("echo /my-mount/a.txt > /my-mount/new", b"/my-mount/a.txt\n"),
        ("find /my-mount/dir -name c.txt > /my-mount/new", b"/my-mount/dir/sub/c.txt\n"),
        ("for f in /my-mount/*.txt; do echo $f; done > /my-mount/new", b"/my-mount/a.txt\n"),
        ("cd /my-mount && pwd > new", b"/my-mount\n"),
        ("echo /my-mount/a.txt >> /my-mount/a.txt", b"alpha\n/my-mount/a.txt\n"),
        ("wc -c /my-mount/a.txt | tee /my-mount/new", b"6 /my-mount/a.txt\n"),
    ],
)
def test_names_in_text_that_is_uploaded(served: Served, line: str, content: bytes) -> None:
    assert run(line, shell=True) == 0
    assert served.stored("a.txt" if ">>" in line else "new") == content


def test_what_is_no_text_and_names_the_copies_is_not_uploaded(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert run("find /my-mount -print0 > /my-mount/new", shell=True) == 1
    assert b"/my-mount/a.txt\0" in the_kept(caplog).read_bytes()
    assert served.keys() == sorted(SEED)


@pytest.mark.parametrize("line", ["tar -czf /my-mount/t.tgz /my-mount/dir", "tar czf t.tgz -C / /my-mount/dir",
                                  "zip -r /my-mount/z.zip /my-mount/dir"])  # fmt: skip
def test_archives_do_not_store_the_names_of_copies(served: Served, here: Path, line: str) -> None:
    for argv in ([line], line.split()):
        with pytest.raises(OSError) as caught:
            run(*argv, shell=len(argv) == 1)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOTSUP, "/my-mount/dir")


def test_waitid(served: Served, here: Path, kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "waitid"):
        pytest.skip("no waitid here")
    with monkeypatch.context() as failing:
        failing.setattr(MemoryStore, "put", unavailable)
        child = os.posix_spawn(shutil.which("cp") or "", ["cp", "x", "/my-mount/new"], os.environ)
        told = os.waitid(os.P_PID, child, os.WEXITED)
    assert told is not None
    assert told.si_status == 1


@pytest.mark.parametrize(
    ("line", "key", "why", "content"),
    [
        ("echo x >> /my-mount/a.txt", "a.txt", "Stale file handle", "alpha\nx\n"),
        ("echo x > /my-mount/new", "new", "File exists", "x\n"),
    ],
)
def test_what_another_wrote_meanwhile_is_not_overwritten(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture, line: str, key: str, why: str, content: str
) -> None:
    child = subprocess.Popen(["sh", "-c", f"read line; {line}"], stdin=subprocess.PIPE)
    Path(f"/my-mount/{key}").write_text("of another\n")
    child.communicate(b"\n", timeout=60)
    assert child.returncode == 1
    assert why in caplog.text
    assert the_kept(caplog).read_text() == content
    assert served.stored(key) == b"of another\n"


@pytest.mark.parametrize("what", ["ln -s x $0.new; echo $0 > $0", "mkfifo $0.new", "rm $0; mkdir $0", "ln $0 $0.new",
                                  "chmod 600 $0"])  # fmt: skip
def test_what_copies_cannot_serve_uploads_nothing(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    with pytest.raises(OSError) as caught:
        run("sh", "-c", f"echo x > $1; {what}", "/my-mount/a.txt", "/my-mount/new")
    assert caught.value.errno in (errno.EROFS, errno.EPERM)
    assert caught.value.filename.startswith("/my-mount/a.txt")
    assert the_kept(caplog).is_file()
    assert any(" /my-mount/new was" in f" {message}" for message in caplog.messages)
    assert {key: served.stored(key) for key in served.keys()} == SEED


# Removals and renames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("rm /my-mount/a.txt", ["a.txt"]),
        ("rm -f /my-mount/a.txt /my-mount/none", ["a.txt"]),
        ("rm -r /my-mount/dir", ["dir/b c.txt", "dir/sub/c.txt"]),
        ("rm -r /my-mount/dir/", ["dir/b c.txt", "dir/sub/c.txt"]),
        ("rm /my-mount/*.txt /my-mount/dir/*.txt", ["a.txt", "dir/b c.txt"]),
        ("find /my-mount/dir -name 'c*' -delete", ["dir/sub/c.txt"]),
        ("mv /my-mount/a.txt .", ["a.txt"]),
        ("mv /my-mount/dir/sub .", ["dir/sub/c.txt"]),
        ("cp x /my-mount/x && rm /my-mount/x", []),
        ("sh -c 'rm $0' /my-mount/a.txt", ["a.txt"]),
    ],
)
def test_programs_that_remove(served: Served, here: Path, line: str, gone: list[str]) -> None:
    assert run(line, shell=True) == 0
    assert {key: served.stored(key) for key in served.keys()} == {k: v for k, v in SEED.items() if k not in gone}
    assert [os.path.exists(f"/my-mount/{key}") for key in gone] == [False] * len(gone)
    if line.startswith("mv"):
        assert (here / os.path.basename(line.split()[1])).exists()


def test_a_directory_of_any_size_is_removed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied for it, whatever it holds."""
    monkeypatch.setattr(stage, "MAX_COPIED", 0)
    monkeypatch.setattr(stage, "MAX_COPIED_BYTES", 0)
    monkeypatch.setattr(MemoryStore, "get_range", unavailable)
    assert run("rm", "-r", "/my-mount/dir") == 0
    assert served.keys() == ["a.txt", "big.bin"]


@pytest.mark.parametrize("restricted", [{"allow_rename": True}], indirect=True)
@pytest.mark.parametrize("argv", ["mv /my-mount/a.txt /my-mount/dir/new", "mv -f /my-mount/a.txt /my-mount/big.bin",
                                  "perl -e rename(shift,shift) /my-mount/a.txt /my-mount/new"])  # fmt: skip
def test_a_renamed_file_is_not_uploaded(restricted: Served, monkeypatch: pytest.MonkeyPatch, argv: str) -> None:
    if shutil.which(argv.split()[0]) is None:
        pytest.skip("no perl here")
    monkeypatch.setattr(MemoryStore, "put", unavailable)
    assert run(*argv.split()) == 0
    target = argv.rpartition("/my-mount/")[2]
    assert {key: restricted.stored(key) for key in restricted.keys()} == {
        **{key: data for key, data in SEED.items() if key not in ("a.txt", target)}, target: b"alpha\n"}  # fmt: skip


def test_a_mount_without_renaming(served: Served, here: Path) -> None:
    """What cannot be renamed there cannot be by a program either; what it makes anew and removes can."""
    with pytest.raises(OSError) as caught:
        run("mv", "/my-mount/a.txt", "/my-mount/new")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSYS, "/my-mount/a.txt")
    assert run("gzip", "-n", "/my-mount/a.txt") == 0
    assert run("sh", "-c", "mv $0 $0.new", "/my-mount/a.txt.gz") == 0
    assert "a.txt.gz.new" in served.keys()
    assert not {"a.txt", "a.txt.gz"} & set(served.keys())


@pytest.mark.parametrize("restricted", [{"allow_delete": False}, {"read_only": True}], indirect=True)
def test_a_mount_without_removing(restricted: Served, here: Path, caplog: pytest.LogCaptureFixture) -> None:
    for line in ("rm /my-mount/a.txt", "mv /my-mount/a.txt here", "rm -r /my-mount/dir"):
        with pytest.raises(OSError) as caught:
            run(line, shell=True)
        assert caught.value.errno in (errno.EPERM, errno.EROFS)
    assert run("sh", "-c", "rm $0", "/my-mount/a.txt") == 1
    assert "/my-mount/a.txt was not removed: " in caplog.text
    assert {key: restricted.stored(key) for key in restricted.keys()} == SEED


def test_the_mount_point_stays(served: Served, kept: None) -> None:
    with pytest.raises(OSError) as caught:
        run("rm", "-rf", "/my-mount")
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/my-mount")
    with pytest.raises(OSError) as caught:
        run("sh", "-c", "rm -r $0", "/my-mount")
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/my-mount")
    assert {key: served.stored(key) for key in served.keys()} == SEED


def test_nothing_is_removed_where_something_could_not_be_uploaded(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(MemoryStore, "put", unavailable)
        assert run("gzip", "/my-mount/a.txt") == 1
    assert "/my-mount/a.txt was not removed: " in caplog.text
    assert the_kept(caplog).name == "a.txt.gz"
    assert {key: served.stored(key) for key in served.keys()} == SEED


def test_what_another_changed_meanwhile_is_not_removed(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    child = subprocess.Popen(["sh", "-c", "read line; rm $0", "/my-mount/a.txt"], stdin=subprocess.PIPE)
    Path("/my-mount/a.txt").write_text("of another\n")
    child.communicate(b"\n", timeout=60)
    assert child.returncode == 1
    assert "/my-mount/a.txt was not removed: Stale file handle" in caplog.text
    assert served.stored("a.txt") == b"of another\n"


def test_copies_that_somebody_else_clears_away_are_not_removals(
    served: Served, kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    before = stages()
    child = subprocess.Popen(["sh", "-c", "read line; cat $0", "/my-mount/dir"], stdin=subprocess.PIPE, stderr=-1)
    (made,) = stages() - before
    shutil.rmtree(made)
    with pytest.raises(OSError) as caught:
        child.communicate(b"\n", timeout=60)
    assert caught.value.errno == errno.ESTALE
    assert {key: served.stored(key) for key in served.keys()} == SEED


def test_many_files_travel_at_once(served: Served, here: Path) -> None:
    """Each store request of the first ones waits for the others."""
    together = threading.Barrier(4, timeout=60)
    put, get = MemoryStore.put, MemoryStore.get_range
    for number in range(4):
        (here / "tree" / f"n{number}").write_text(f"{number}\n")

    def slow(original: Any) -> Any:
        def request(self: Any, key: str, *rest: Any, **options: Any) -> Any:
            if "/n" in key:
                together.wait()
            return original(self, key, *rest, **options)

        return request

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(MemoryStore, "put", slow(put))
        assert run("cp", "-r", "tree", "/my-mount/") == 0
        patching.setattr(MemoryStore, "get_range", slow(get))
        assert run("cp", "-r", "/my-mount/tree", "back") == 0
    assert [(here / "back" / f"n{number}").read_text() for number in range(4)] == ["0\n", "1\n", "2\n", "3\n"]


def test_a_missing_parent_is_the_programs_to_find(served: Served, here: Path) -> None:
    done = subprocess.run(["cp", "x", "/my-mount/none/new"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert served.keys() == sorted(SEED)


@pytest.mark.parametrize("restricted", [{"read_only": True}], indirect=True)
def test_read_only(restricted: Served, here: Path, kept: None) -> None:
    before = stages()
    for line in ("cp x /my-mount/new", "echo > /my-mount/a.txt", "dd if=x of=/my-mount/a.txt", "cp x /my-mount/"):
        assert stages() == before
        with pytest.raises(OSError) as caught:
            run(line, shell=True)
        assert caught.value.errno == errno.EROFS
    assert {key: restricted.stored(key) for key in restricted.keys()} == SEED


@pytest.mark.parametrize("restricted", [{"allow_overwrite": False}], indirect=True)
def test_no_overwriting(restricted: Served, here: Path) -> None:
    with pytest.raises(OSError) as caught:
        run("echo x > /my-mount/a.txt", shell=True)
    assert (caught.value.errno, caught.value.filename) == (errno.EPERM, "/my-mount/a.txt")
    assert run("echo x > /my-mount/new", shell=True) == 0
    assert restricted.stored("new") == b"x\n"
    assert restricted.stored("a.txt") == SEED["a.txt"]


def test_a_session_that_ends_before_the_program(served: Served, kept: None, caplog: pytest.LogCaptureFixture) -> None:
    child = subprocess.Popen(["sh", "-c", "read line; echo x > /my-mount/new"], stdin=subprocess.PIPE)
    served.session.close()
    child.communicate(b"\n", timeout=60)
    del child
    gc.collect()
    assert the_kept(caplog).read_text() == "x\n"
    assert "new" not in served.keys()


def test_a_program_that_nobody_waits_for(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time, vfsmount
with vfsmount.activate({"/my-mount": f"file://{sys.argv[1]}"}, children="staging"):
    child = subprocess.Popen("echo x > /my-mount/new; echo", shell=True, stdout=subprocess.PIPE)
    child.stdout.read()
"""
    (tmp_path / "bucket").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", code, str(tmp_path / "bucket")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    (line,) = [each for each in done.stderr.splitlines() if "/my-mount/new was not uploaded" in each]
    assert Path(line.rpartition(" is kept in ")[2]).read_text() == "x\n"
