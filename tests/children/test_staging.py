"""Child programs see mounted paths through local copies, and what cannot be so is refused before they start."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import resource
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.children.conftest import SEED, Served, stages
from tests.forks import in_child
from vfsmount import CloudBucketMount
from vfsmount.children import stage
from vfsmount.session import activate_stores
from vfsmount.store.memory import MemoryStore


def output(*argv: Any, **options: Any) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, **options).stdout


def refused(*arguments: Any, **options: Any) -> OSError:
    before = stages()
    with pytest.raises(OSError) as caught:
        subprocess.run(*arguments, **options)
    assert stages() == before
    return caught.value


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_by_its_path(served: Served) -> None:
    assert output("cat", "/my-mount/a.txt") == "alpha\n"
    assert output("cat", "/my-mount/a.txt", "/my-mount/dir/b c.txt") == "alpha\nbeta\n"
    digest = hashlib.sha256(SEED["big.bin"]).hexdigest()
    assert output("sha256sum", "/my-mount/big.bin") == f"{digest}  /my-mount/big.bin\n"
    assert output("cat", Path("/my-mount/a.txt")) == "alpha\n"
    assert output(b"cat", b"/my-mount/a.txt") == "alpha\n"


def test_an_option_with_a_path_is_served(served: Served) -> None:
    assert output("dd", "if=/my-mount/a.txt", "status=none") == "alpha\n"
    assert output("grep", "-f/my-mount/a.txt", "/my-mount/a.txt") == "alpha\n"
    assert output("cat", "//my-mount//a.txt") == "alpha\n"


def test_the_caller_sees_its_own_arguments(served: Served) -> None:
    with subprocess.Popen(["cat", "/my-mount/a.txt"], stdout=subprocess.PIPE) as child:
        assert child.communicate()[0] == b"alpha\n"
    assert child.args == ["cat", "/my-mount/a.txt"]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run(["grep", "nothing", "/my-mount/a.txt"], check=True)
    assert caught.value.cmd == ["grep", "nothing", "/my-mount/a.txt"]
    assert caught.value.returncode == 1


def test_a_forked_child_that_ends_takes_no_stage_with_it(served: Served) -> None:
    """An interpreter runs its finalizers when it ends, and the stage's is one of them."""
    before = stages()
    with subprocess.Popen(["cat", "-", "/my-mount/a.txt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        (made,) = stages() - before
        in_child(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
        assert made in stages()
        assert child.communicate(b"in ")[0] == b"in alpha\n"
    assert stages() == before


def test_a_forked_child_that_waits_for_its_parents_program_judges_nothing(served: Served) -> None:
    """Python takes a program that is not this process's child for one that has ended with 0."""
    argv = ["sh", "-c", "ln -s x $0.link; echo; read line", "/my-mount/a.txt"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        in_child(lambda: child.wait(10))
        with pytest.raises(OSError) as caught:
            child.communicate(b"\n", timeout=30)
        assert caught.value.errno == errno.EPERM


def test_stages_are_gone_when_the_child_ends(served: Served) -> None:
    before = stages()
    child = subprocess.Popen(["cat", "/my-mount/a.txt"], stdout=subprocess.PIPE)
    assert stages() > before
    assert child.stdout is not None
    child.stdout.read()
    child.wait()
    child.stdout.close()
    assert stages() == before


def test_nothing_is_kept_of_a_program_that_has_ended(served: Served) -> None:
    child = subprocess.Popen(["true", "/my-mount/a.txt"])
    kept = weakref.ref(child.__dict__["_vfsmount_child"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.poll() == 0
    del child
    gc.collect()
    assert kept() is None


def test_a_program_that_cannot_start_leaves_nothing(served: Served) -> None:
    error = refused(["/no/such/program", "/my-mount/a.txt"])
    assert error.errno == errno.ENOENT


# Directories ----------------------------------------------------------------------------------------------------------


def test_ls_shows_the_listing(served: Served) -> None:
    assert output("ls", "/my-mount").split("\n") == ["a.txt", "big.bin", "dir", ""]
    long = output("ls", "-l", "/my-mount").split("\n")
    assert long[1].split()[0] == "-rw-r--r--"
    assert long[1].split()[4] == "6"
    assert long[2].split()[4] == "1000000"
    assert long[3].startswith("drwxr-xr-x")
    assert output("ls", "-l", "--time-style=+%s", "/my-mount/a.txt").split()[5] == str(
        int(os.stat("/my-mount/a.txt").st_mtime)
    )


def test_programs_that_print_names_print_the_mounted_ones(served: Served) -> None:
    assert output("ls", "-d", "/my-mount/dir") == "/my-mount/dir\n"
    assert output("ls", "/my-mount/dir/sub", "/my-mount/a.txt") == "/my-mount/a.txt\n\n/my-mount/dir/sub:\nc.txt\n"
    assert sorted(output("find", "/my-mount", "-name", "*.txt").split("\n")) == [
        "",
        "/my-mount/a.txt",
        "/my-mount/dir/b c.txt",
        "/my-mount/dir/sub/c.txt",
    ]
    assert output("ls", "-R", "/my-mount/dir") == "/my-mount/dir:\nb c.txt\nsub\n\n/my-mount/dir/sub:\nc.txt\n"
    assert output("stat", "-c", "%n %s", "/my-mount/big.bin") == "/my-mount/big.bin 1000000\n"
    assert output("wc", "-c", "/my-mount/a.txt") == "6 /my-mount/a.txt\n"


def test_du_counts_what_is_there(served: Served) -> None:
    size = int(output("du", "-sb", "/my-mount").split()[0])
    assert 1_000_000 < size < 1_050_000


def test_tests_and_missing_names(served: Served) -> None:
    assert subprocess.run(["test", "-d", "/my-mount/dir"]).returncode == 0
    assert subprocess.run(["test", "-e", "/my-mount/none"]).returncode == 1
    assert subprocess.run(["[", "-f", "/my-mount/a.txt", "]"]).returncode == 0
    missing = subprocess.run(["ls", "/my-mount/none"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "No such file" in missing.stderr


def test_a_directory_for_any_program_is_copied_whole(served: Served) -> None:
    assert output("grep", "-rh", "gamma", "/my-mount/dir") == "gamma\n"
    code = "import os, sys; print(sorted(open(e.path).read() for e in os.scandir(sys.argv[1]) if e.is_file()))"
    assert output(sys.executable, "-c", code, "/my-mount/dir") == "['beta\\n']\n"


def test_a_directory_too_big_to_copy_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MAX_COPIED_BYTES", 1000)
    error = refused(["tar", "-cf", "-", "/my-mount"])
    assert (error.errno, error.filename) == (errno.ENOTSUP, "/my-mount")
    monkeypatch.setattr(stage, "MAX_LISTED", 2)
    assert refused(["ls", "/my-mount"]).errno == errno.ENOTSUP


def test_a_disk_without_room_is_said_with_the_path(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = stages()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Python ignores the signal
    try:
        for path in ("/my-mount/big.bin", "/my-mount"):
            with pytest.raises(OSError) as caught:
                subprocess.run(["sort", path])
            assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "/my-mount/big.bin")
            assert sys.version_info < (3, 11) or "TMPDIR" in "".join(caught.value.__notes__)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stages() == before


# What would be written ------------------------------------------------------------------------------------------------


def test_paths_inside_larger_arguments_are_refused(served: Served) -> None:
    assert refused(["prog", "--files=/my-mount/a.txt,/my-mount/b"]).errno == errno.ENOTSUP
    assert refused([sys.executable, "-c", "open('/my-mount/a.txt')"]).errno == errno.ENOTSUP
    assert served.keys() == sorted(SEED)


# Shell lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cat /my-mount/a.txt", "alpha\n"),
        ("cat '/my-mount/dir/b c.txt' | tr a-z A-Z", "BETA\n"),
        ("ls /my-mount | wc -l", "3\n"),
        ("cat < /my-mount/a.txt", "alpha\n"),
        ("test -f /my-mount/a.txt && echo yes", "yes\n"),
        ('for f in /my-mount/a.txt "/my-mount/dir/b c.txt"; do cat "$f"; done', "alpha\nbeta\n"),
        ("ls -d /my-mount/dir | xargs ls", "b c.txt\nsub\n"),
        ("echo /my-mount/a.txt", "/my-mount/a.txt\n"),
        ("cat /my-mount/*.txt /my-mount/dir/[b-d]*.txt", "alpha\nbeta\n"),
        ("cat /my-mount/d?r/sub/* /my-mount/dir/'b c'.*", "gamma\nbeta\n"),
        ("echo /my-mount/*.txt /my-mount/none*", "/my-mount/a.txt /my-mount/none*\n"),
        ("cat //my-mount//a.txt", "alpha\n"),
        ("N=a.txt; cat /my-mount/$N", "alpha\n"),
        ('D=/my-mount/dir; ls "$D"', "b c.txt\nsub\n"),
        ("cat $(echo /my-mount/a.txt)", "alpha\n"),
        ("cat `echo /my-mount/a.txt` # /my-mount/none", "alpha\n"),
        ("find /my-mount/dir -name 'c*'", "/my-mount/dir/sub/c.txt\n"),
        ("find /my-mount/dir -name 'c*' -exec echo {} \\;", "/my-mount/dir/sub/c.txt\n"),
        ("stat -c '%n: %s' /my-mount/a.txt", "/my-mount/a.txt: 6\n"),
        ("grep -c 'a b' /my-mount/a.txt; true", "0\n"),
        ("du -s --block-size=1 /my-mount/a.txt", "6\t/my-mount/a.txt\n"),
        ("cat <<END /my-mount/a.txt -\ntext\nEND", "alpha\ntext\n"),
        ("echo $((1 + 2)) > /dev/null && cat /my-mount/a.txt", "alpha\n"),
        ('while read -r x; do echo "$x"; done < /my-mount/a.txt', "alpha\n"),
    ],
)
def test_shell_lines(served: Served, line: str, expected: str) -> None:
    assert output("sh", "-c", line) == expected
    assert subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout == expected
    assert subprocess.check_output(line, shell=True, text=True) == expected


def test_errors_name_the_mounted_path(served: Served, tmp_path: Path) -> None:
    for argv in (["cat", "/my-mount/none"], ["sh", "-c", "cat /my-mount/none"], ["sort", "/my-mount/none"]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert ": /my-mount/none: No such file" in done.stderr
    for argv, path in (
        (["cat", "/my-mount/dir"], "/my-mount/dir"),
        (["rm", "/my-mount/dir"], "'/my-mount/dir'"),
        (["rmdir", "/my-mount/dir"], "'/my-mount/dir'"),
        (["ls", "/my-mount/a.txt/"], "'/my-mount/a.txt/'"),
    ):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C"})
        assert done.returncode != 0
        assert path in done.stderr
        assert "vfsmount-" not in done.stderr


def test_names_in_a_local_file(served: Served, tmp_path: Path) -> None:
    """What is known to print names is waited for until all has arrived."""
    with (tmp_path / "list").open("w+") as file:
        subprocess.run(["find", "/my-mount", "-name", "*.txt"], stdout=file, check=True)
    assert sorted((tmp_path / "list").read_text().split("\n"))[1:] == [
        "/my-mount/a.txt", "/my-mount/dir/b c.txt", "/my-mount/dir/sub/c.txt"]  # fmt: skip


def test_names_in_a_local_file_that_a_line_makes(served: Served, tmp_path: Path) -> None:
    """Nobody takes them out of there."""
    line = f"echo /my-mount/new > {tmp_path}/list; sort -o /my-mount/new /my-mount/a.txt"
    assert subprocess.run(line, shell=True, timeout=60).returncode == 0
    assert (tmp_path / "list").read_text() == "/my-mount/new\n"
    assert served.stored("new") == b"alpha\n"


def test_a_line_may_name_programs_that_are_not_there(served: Served) -> None:
    done = subprocess.run("/my-mount/none || cat /my-mount/a.txt", shell=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"alpha\n")
    assert b": /my-mount/none: not found" in done.stderr or b": /my-mount/none: No such file" in done.stderr


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_standard_streams_that_are_closed(served: Served, numbers: tuple[int, ...]) -> None:
    def close() -> None:
        for number in numbers:
            os.close(number)

    for argv in (["head", "-n1", "/my-mount/a.txt"], ["sh", "-c", "cat $0; echo e >&2", "/my-mount/a.txt"]):
        with subprocess.Popen(argv, stdin=-1, stdout=-1, stderr=-1, preexec_fn=close) as child:
            out, errors = child.communicate(b"", timeout=60)
        assert out == (b"" if 1 in numbers else b"alpha\n")
        assert 2 not in numbers or errors == b""


def test_what_is_no_text_is_left_alone(served: Served) -> None:
    """It may hold lengths of what is in it; as a program that is not known writes it, so it arrives."""
    code = "import os, sys; os.write(1, os.fsencode(sys.argv[1]) + bytes(1))"
    done = subprocess.run([sys.executable, "-I", "-c", code, "/my-mount/a.txt"], capture_output=True, timeout=60)
    assert done.stdout.endswith(b"/my-mount/a.txt\0")
    assert len(done.stdout) > len(b"/my-mount/a.txt\0")


def test_a_program_that_is_killed(served: Served) -> None:
    assert subprocess.run(["sh", "-c", "kill -9 $$; cat /my-mount/a.txt"], timeout=60).returncode == -9
    with subprocess.Popen(["sh", "-c", "echo; read x; cat $0", "/my-mount/a.txt"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.terminate()
        assert child.wait(60) == -15
        assert child.stdout.read() == b""
    with subprocess.Popen(["tail", "-f", "/my-mount/a.txt"], stdout=-1) as child:  # one that prints names
        assert child.stdout is not None
        assert child.stdout.readline() == b"alpha\n"
        child.kill()
        assert child.wait(60) == -9


def test_signals_are_as_they_would_be(served: Served) -> None:
    line = "cat /my-mount/a.txt > /dev/null; yes | head -n 1; echo ${PIPESTATUS[0]}"
    assert subprocess.run(["bash", "-c", line], capture_output=True, timeout=60).stdout == b"y\n141\n"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, restore_signals=False)
    assert done.stdout == b"y\n1\n"


def test_a_program_has_no_children_but_its_own(served: Served) -> None:
    code = (
        "import os, sys\n"
        "if os.fork() == 0: os._exit(0)\n"
        "try:\n"
        "    while True: os.wait()\n"
        "except ChildProcessError: print(open(sys.argv[1]).read())\n"
    )
    program = [sys.executable, "-I", "-S", "-c", code, "/my-mount/a.txt"]
    assert subprocess.run(program, stdout=-1, timeout=60).stdout == b"alpha\n\n"


def test_programs_are_served_while_ended_ones_are_not_waited_for(served: Served) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        for line in ("head -n 1 /my-mount/a.txt", "sort /my-mount/a.txt", "sh -c trap"):
            done = subprocess.run([*line.split(), "/my-mount/a.txt"], capture_output=True, timeout=60)
            assert (done.returncode, done.stderr, done.stdout.count(b"alpha")) == (0, b"", line.count("my-mount") * 2)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_program_that_is_told_to_end(served: Served, number: signal.Signals) -> None:
    """Whether or not it is one that prints names; nothing of it goes on, or says anything."""
    for program in (["tail", "-f"], ["sh", "-c", "cat $0; read x"]):
        with subprocess.Popen([*program, "/my-mount/a.txt"], stdin=-1, stdout=-1, stderr=-1, bufsize=0) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == b"alpha\n"
            child.send_signal(number)
            assert child.wait(60) == -number
            assert (child.stdout.read(), child.stderr.read()) == (b"", b"")


def test_relative_names_in_a_mounted_directory(served: Served) -> None:
    for line, expected in (
        ("cat a.txt", "alpha\n"),
        ("ls *.txt", "a.txt\n"),
        ("cat dir/*.txt", "beta\n"),
        ("sort < a.txt", "alpha\n"),
        ("pwd", "/my-mount\n"),
        ("realpath a.txt", "/my-mount/a.txt\n"),
        ("for f in *.txt; do cat $f; done", "alpha\n"),
    ):
        assert subprocess.run(line, shell=True, cwd="/my-mount", capture_output=True, text=True).stdout == expected
    assert output("rm", "a.txt", cwd="/my-mount") == ""
    subprocess.run("rm dir/*.txt", shell=True, cwd="/my-mount", check=True)
    assert served.keys() == ["big.bin", "dir/sub/c.txt"]


def test_the_output_of_a_listing_never_leads_to_empty_content(served: Served) -> None:
    assert output("sh", "-c", "find /my-mount/dir -type f -print0 | xargs -0 cat") in ("beta\ngamma\n", "gamma\nbeta\n")


@pytest.mark.parametrize(
    "line",
    [
        "cat x:/my-mount/a.txt",
        "cat /my-mount$NAME",
        "cat ${NAME:-/my-mount/a.txt}",
        "cat $NAME/my-mount:/my-mount/a.txt",
        "cat /my-mount/$NAME:/my-mount/a.txt",
        "perl -e 'open F, \"/my-mount/a.txt\"'",
        "cat '/my-mount/a.txt",
        "cat <<END\n/my-mount/a.txt\nEND",
        "cat `cat <<END\n/my-mount/a.txt\nEND\n`",
        "x=$(case y in (y) cat /my-mount/a.txt;; esac)",
        "echo x > /my-mount/new &",
        "echo x > /my-mount/$NAME &",
    ],
)
def test_shell_lines_that_cannot_be_served_are_refused(served: Served, line: str) -> None:
    for argv, options in ((line, {"shell": True}), (["sh", "-c", line], {})):
        assert refused(argv, **options).errno == errno.ENOTSUP  # type: ignore[arg-type]
    assert served.keys() == sorted(SEED)


# Where it starts ------------------------------------------------------------------------------------------------------


def test_cwd_in_a_mount(served: Served) -> None:
    assert output("ls", cwd="/my-mount/dir") == "b c.txt\nsub\n"
    assert output("cat", "a.txt", cwd="/my-mount") == "alpha\n"
    assert output("cat", "sub/c.txt", cwd=Path("/my-mount/dir")) == "gamma\n"
    assert output("sh", "-c", "cat *.txt", cwd="/my-mount/dir") == "beta\n"
    subprocess.run(["touch", "new"], cwd="/my-mount/dir", check=True)
    assert served.stored("dir/new") == b""
    with pytest.raises(FileNotFoundError):
        subprocess.run(["ls"], cwd="/my-mount/none")


def test_the_virtual_cwd_holds_for_children(served: Served) -> None:
    before = os.getcwd()
    os.chdir("/my-mount/dir")
    try:
        assert output("ls") == "b c.txt\nsub\n"
        assert output("cat", "b c.txt", "../a.txt") == "beta\nalpha\n"
        assert output("cat", "/etc/hostname") == Path("/etc/hostname").read_text()
        assert output("pwd", cwd="/") == "/\n"  # a cwd of its own, outside the mount
    finally:
        os.chdir(before)


def test_an_environment_that_names_a_mounted_path(served: Served) -> None:
    env = {**os.environ, "DATA": "/my-mount/dir", "NEW": "/my-mount/new"}
    assert output("sh", "-c", 'ls "$DATA"; echo x > "$NEW"', env=env) == "b c.txt\nsub\n"
    assert served.stored("new") == b"x\n"
    assert output("env", env={b"DATA": b"/my-mount/dir"}).startswith("DATA=/my-mount/dir\n")
    line = 'IFS=:; for each in $LIST; do ls -d "$each"; done'
    env = {**os.environ, "LIST": "/my-mount/dir:/usr:/my-mount/a.txt"}
    assert output("sh", "-c", line, env=env) == "/my-mount/dir\n/usr\n/my-mount/a.txt\n"
    error = refused(["env"], env={"FILES": "/my-mount/a.txt,/my-mount/b"})
    assert (error.errno, error.filename) == (errno.ENOTSUP, "/my-mount/a.txt,/my-mount/b")


def test_an_inherited_environment_that_names_a_mount(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/my-mount")
    assert "DATA=/my-mount" in output("env", env={**os.environ})


# Streams --------------------------------------------------------------------------------------------------------------


def test_standard_streams_on_a_mount(served: Served) -> None:
    with open("/my-mount/a.txt", "rb") as stdin, open("/my-mount/out", "wb") as stdout:
        subprocess.run(["tr", "a-z", "A-Z"], stdin=stdin, stdout=stdout, check=True)
        stdout.write(b"from the parent\n")
        stdout.flush()
        subprocess.run("echo out; echo err >&2", shell=True, stdout=stdout, stderr=stdout, check=True)
    assert served.stored("out") == b"ALPHA\nfrom the parent\nout\nerr\n"


def test_a_child_that_outlives_the_file_object_writes_on(served: Served) -> None:
    with open("/my-mount/out", "wb") as stdout:
        child = subprocess.Popen(["sh", "-c", "read line; echo $line"], stdin=subprocess.PIPE, stdout=stdout)
    assert "out" not in served.keys()
    child.communicate(b"late\n")
    assert served.stored("out") == b"late\n"


def test_raw_descriptors_as_streams(served: Served) -> None:
    reader = os.open("/my-mount/a.txt", os.O_RDONLY)
    writer = os.open("/my-mount/out", os.O_WRONLY | os.O_CREAT)
    assert subprocess.call(["cat"], stdin=reader, stdout=writer) == 0
    os.close(reader)
    os.close(writer)
    assert served.stored("out") == b"alpha\n"


def test_pass_fds(served: Served) -> None:
    reader = os.open("/my-mount/a.txt", os.O_RDONLY)
    code = f"import os; print(os.read({reader}, 99))"
    assert output(sys.executable, "-c", code, pass_fds=[reader]) == "b'alpha\\n'\n"
    os.close(reader)


def test_a_programs_text_is_no_path(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/my-mount/dir")
    for text in ("print(1)", f"x = 1\n{'# long' * 100}\nprint(x)", "a=1\nprint(a)"):
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.returncode) == ("1\n", 0)
    done = subprocess.run(["cat", "b c.txt"], capture_output=True, text=True, cwd="/my-mount/dir", timeout=60)
    assert done.stdout == "beta\n"
    done = subprocess.run(["echo", "b c.txt", "x=sub"], capture_output=True, text=True, cwd="/", timeout=60)
    assert done.stdout == "b c.txt x=sub\n"


def test_mounts_of_a_later_session_are_served_in_shell_lines(served: Served, tmp_path: Path) -> None:
    """The pattern that finds mount points in larger arguments used to be that of the first session."""
    later = MemoryStore()
    later.put("x", b"later\n")
    with activate_stores({f"{tmp_path}/later": (CloudBucketMount("bucket"), later)}, children="staging"):
        assert output(f"cat {tmp_path}/later/x | cat", shell=True) == "later\n"
    assert output("cat /my-mount/a.txt | cat", shell=True) == "alpha\n"
