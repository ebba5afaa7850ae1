"""The command line: programs run as their own interpreter would run them, and see the mounts."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.servers import Server
from vfsmount import cli
from vfsmount.children.supervisor.detect import supervision
from vfsmount.cli.policy import policy
from vfsmount.cli.program import Program, parse_python

ROOT: Final = Path(__file__).resolve().parent.parent
MOUNTED: Final = ("-m", "vfsmount", "run", "--mount", "/vfs-cli=memory://cli", "--")
IDLE: Final = (
    "-m",
    "vfsmount",
    "run",
    "--no-check",
    "--mount",
    "/vfs-idle=s3://idle?endpoint_url=http://127.0.0.1:9",
    "--",
)
"""A mount that no program looks at, and that costs no request."""
EARLY_SIGNAL: Final = """
import os, signal, subprocess, time

class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        deadline = time.monotonic() + 20
        while not os.path.exists("up") and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Popen
"""
"""A signal arrives when the child is at work and Popen has not returned yet."""


def run(*words: str, cwd: Path | None = None, stdin: str = "", env: Mapping[str, str] = {}) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of this interpreter with ``words``."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, input=stdin, env=environ, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


class TestIamPolicy:
    def printed(self, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
        assert cli.main(["iam-policy", *words]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    def test_allows_exactly_the_actions_of_the_page(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.printed(capsys, "my-bucket") == {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "VfsmountListBucketAccess",
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket"],
                    "Resource": ["arn:aws:s3:::my-bucket"],
                },
                {
                    "Sid": "VfsmountBucketAccess",
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"],
                    "Resource": ["arn:aws:s3:::my-bucket/*"],
                },
            ],
        }

    def test_read_only_leaves_out_what_writes(self) -> None:
        text = json.dumps(policy("my-bucket", read_only=True))
        assert "GetObject" in text
        assert [word for word in ("Put", "Abort", "Delete") if word in text] == []

    def test_a_prefix_bounds_listing_and_objects(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = self.printed(capsys, "my-bucket", "--prefix", "a/b/")
        assert found == self.printed(capsys, "s3://my-bucket/a/b/")
        assert '"Condition": {"StringLike": {"s3:prefix": ["a/b/*"]}}' in json.dumps(found)
        assert '"Resource": ["arn:aws:s3:::my-bucket/a/b/*"]' in json.dumps(found)
        assert "a${*}/*" in json.dumps(policy("my-bucket", "a*/"))

    @pytest.mark.parametrize("words", [["a/b"], ["my-bucket", "--prefix", "a"], ["memory://x"]])
    def test_what_is_wrong_is_said_in_one_line(self, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
        assert cli.main(["iam-policy", *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("vfsmount: ")
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.py"], ([], ["a.py"])),
        (["--", "a.py", "--", "-x"], ([], ["a.py", "--", "-x"])),
        (["--config", "f", "ls", "-l"], (["--config", "f"], ["ls", "-l"])),
        (["--config=f", "--no-check", "-m", "mod", "-x"], (["--config=f", "--no-check"], ["-m", "mod", "-x"])),
        (["--mount", "/a=s3://b", "-c", "pass"], (["--mount", "/a=s3://b"], ["-c", "pass"])),
        (["--help"], (["--help"], [])),
    ],
)
def test_the_command_begins_where_our_options_end(words: list[str], expected: tuple[list[str], list[str]]) -> None:
    assert cli.split_command(words) == expected


@pytest.mark.parametrize(
    ("words", "program", "options"),
    [
        (["a.py", "-x"], Program("script", "a.py", ("-x",)), []),
        (["-u", "-W", "error", "a.py"], Program("script", "a.py", ()), ["-u", "-Werror"]),
        (["-uB", "-Xdev", "-m", "mod", "-x"], Program("module", "mod", ("-x",)), ["-uB", "-Xdev"]),
        (["-mmod", "a"], Program("module", "mod", ("a",)), []),
        (["-uc", "pass", "-c"], Program("code", "pass", ("-c",)), ["-u"]),
        (
            ["--check-hash-based-pycs", "never", "--", "-a"],
            Program("script", "-a", ()),
            ["--check-hash-based-pycs", "never"],
        ),
        (["-"], Program("stdin", "-", ()), []),
        ([], Program("stdin", "-", ()), []),
    ],
)
def test_a_python_command_line(words: list[str], program: Program, options: list[str]) -> None:
    assert parse_python(words) == (program, options)


SHOW: Final = """
import sys
print(sys.argv, sys.path[:2], __name__, globals().get("__file__"), __spec__ and __spec__.name, __package__)
print(sorted(name for name in globals()), sys.modules["__main__"].__dict__ is globals(), type(__loader__).__name__)
"""
FAIL: Final = """
def inner():
    raise ValueError("on purpose")
try:
    inner()
except ValueError as error:
    raise RuntimeError("seen") from error
"""

PROGRAMS: Final = {
    "argv": SHOW,
    "raises": FAIL,
    "syntax": "x = = 1\n",
    "exit-3": "import sys; sys.exit(3)",
    "exit-text": "import sys; sys.exit('sorry')",
    "exit-none": "raise SystemExit",
    "atexit": "import atexit; atexit.register(print, 'bye'); print('hi'); 1 / 0",
    "hook": "import sys; sys.excepthook = lambda *a: print('hook', a[0].__name__, a[2].tb_lineno); 1 / 0",
    "thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()",
    "interrupt": "raise KeyboardInterrupt",
    "pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)",
    "future": "def f(x: not_a_name): pass\n",
    "bytes": "import sys; sys.stdout.buffer.write(b'\\x00\\xff'.hex().encode()); sys.stderr.write('err')",
}


class TestAProgramRunsAsItsOwnInterpreterRunsIt:
    """The same command with and without us; every byte of output and the exit code are equal."""

    def compare(self, cwd: Path, *words: str, stdin: str = "") -> tuple[int, str, str]:
        bare = run(*words, cwd=cwd, stdin=stdin)
        ours = run(*IDLE, "python", *words, cwd=cwd, stdin=stdin)
        assert ours == bare
        return bare

    @pytest.mark.slow
    @pytest.mark.parametrize("name", list(PROGRAMS))
    def test_a_script(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "prog.py").write_text(PROGRAMS[name])
        self.compare(tmp_path, "prog.py", "a", "--b", "-c")

    @pytest.mark.slow
    def test_a_script_elsewhere_and_by_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "prog.py").write_text(SHOW)
        (tmp_path / "link.py").symlink_to("real/prog.py")
        for path in ("real/prog.py", "link.py", "./link.py", "real/.././link.py", str(tmp_path / "link.py")):
            assert self.compare(tmp_path, path)[0] == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["argv", "raises", "exit-3"])
    def test_a_module_and_a_package(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "mod.py").write_text(PROGRAMS[name])
        (tmp_path / "pkg").mkdir()
        (tmp_path / "pkg" / "__init__.py").touch()
        (tmp_path / "pkg" / "__main__.py").write_text(PROGRAMS[name])
        self.compare(tmp_path, "-m", "mod", "x")
        self.compare(tmp_path, "-mpkg", "-x")

    @pytest.mark.slow
    def test_a_missing_module(self, tmp_path: Path) -> None:
        assert "No module named" in self.compare(tmp_path, "-m", "no_such_module_anywhere")[2]

    @pytest.mark.slow
    @pytest.mark.parametrize("code", [SHOW, "import sys; sys.exit(7)"])
    def test_code(self, tmp_path: Path, code: str) -> None:
        self.compare(tmp_path, "-c", code, "-x", "y")

    @pytest.mark.slow
    def test_standard_input_as_program_and_as_data(self, tmp_path: Path) -> None:
        self.compare(tmp_path, "-", "x", stdin="import sys; print(sys.argv)")
        self.compare(tmp_path, "-c", "print(input() + '!')", stdin="hello\n")

    @pytest.mark.slow
    def test_a_directory_and_a_zip_file(self, tmp_path: Path) -> None:
        (tmp_path / "dir").mkdir()
        (tmp_path / "dir" / "__main__.py").write_text(SHOW)
        with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
            archive.writestr("__main__.py", SHOW)
        for path in ("dir", "./dir/", "dir/../dir"):
            self.compare(tmp_path, path, "x")
        self.compare(tmp_path, "app.pyz", "x")

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [["-O"], ["-X", "dev", "-B"], ["-Werror"], ["-I"], ["-uE"]])
    def test_options_of_the_interpreter(self, tmp_path: Path, options: list[str]) -> None:
        code = "import sys; print(sys.flags, sys.warnoptions, __debug__, sys.argv); sys.exit(5)"
        self.compare(tmp_path, *options, "-c", code, "x")

    @pytest.mark.slow
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        code, out, err = run(*IDLE, "none.py", cwd=tmp_path)
        assert (code, out) == (2, "")
        assert err == f"vfsmount: can't open file '{tmp_path}/none.py': [Errno 2] No such file or directory\n"

    @pytest.mark.slow
    def test_a_script_that_names_this_interpreter(self, tmp_path: Path) -> None:
        tool = tmp_path / "tool"
        tool.write_text(f"#!{sys.executable}\nimport os, vfsmount\nprint(vfsmount.is_active(), os.getpid())\n")
        tool.chmod(0o755)
        code, out, err = run(*IDLE, str(tool))
        assert (code, out.split()[0], err) == (0, "True", "")


class TestMounts:
    @pytest.mark.slow
    @pytest.mark.parametrize("command", [["python", "-c"], ["-c"], [sys.executable, "-c"]])
    def test_are_seen(self, command: list[str]) -> None:
        code = "open('/vfs-cli/a', 'w').write('hello'); import os; print(os.listdir('/vfs-cli'))"
        assert run(*MOUNTED, *command, code) == (0, "['a']\n", "")

    @pytest.mark.slow
    def test_a_program_in_a_mount(self, tmp_path: Path) -> None:
        (tmp_path / "prog.py").write_text("import sys, other; print(other.x, sys.path[0], __file__)")
        (tmp_path / "other.py").write_text("x = 5")
        mount = f"/vfs-prog=file://{tmp_path}"
        found = run("-m", "vfsmount", "run", "--mount", mount, "/vfs-prog/prog.py")
        assert found == (0, "5 /vfs-prog /vfs-prog/prog.py\n", "")

    @pytest.mark.slow
    def test_from_a_file_from_the_environment_and_both(self, tmp_path: Path) -> None:
        (tmp_path / "vfs.toml").write_text('[mounts]\n"/vfs-one" = "memory://one"\n')
        code = "import os; print([os.path.ismount(p) for p in ('/vfs-one', '/vfs-two')])"
        config = ["--config", str(tmp_path / "vfs.toml")]
        start = ["-m", "vfsmount", "run"]
        assert run(*start, *config, "-c", code) == (0, "[True, False]\n", "")
        assert run(*start, *config, "--mount", "/vfs-two=memory://two", "-c", code) == (0, "[True, True]\n", "")
        env = {"VFSMOUNT_CONFIG": str(tmp_path / "vfs.toml")}
        assert run(*start, "-c", code, env=env) == (0, "[True, False]\n", "")

    @pytest.mark.slow
    def test_what_is_open_at_the_end_is_committed(self, tmp_path: Path) -> None:
        mount = f"/vfs-end=file://{tmp_path}"
        code = "f = open('/vfs-end/a', 'w'); f.write('kept')"
        assert run("-m", "vfsmount", "run", "--mount", mount, "-c", code)[0] == 0
        assert (tmp_path / "a").read_text() == "kept"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--mount", "/a=s3://my-bucket/p", "true"], "key_prefix: .*must end in '/'"),
            (["--mount", "a=memory://x", "true"], "mount point 'a': must be absolute"),
            (["--mount", "/a", "true"], "--mount /a: expected POINT=URL"),
            (["--mount", "/a=memory://x", "--mount", "/a=memory://y", "true"], "--mount /a: given twice"),
            (["--config", "/nowhere.toml", "true"], "/nowhere.toml: No such file"),
            (["true"], r"\$VFSMOUNT_CONFIG is not set"),
            (["--mount", "/a=memory://x"], "run: no command"),
            (["--mount", "/a=memory://x", "python", "-c"], "argument expected for the -c option"),
        ],
    )
    def test_that_cannot_be_are_one_line_and_exit_code_2(self, words: list[str], message: str) -> None:
        code, out, err = run("-m", "vfsmount", "run", *words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("vfsmount: ")
        assert re.search(message, err), err

    @pytest.mark.slow
    def test_a_bucket_that_is_not_there(self, moto: Server) -> None:
        keys = {"AWS_ACCESS_KEY_ID": moto.access_key_id, "AWS_SECRET_ACCESS_KEY": moto.secret_access_key}
        mount = f"/vfs-none=s3://no-such-bucket?endpoint_url={moto.endpoint_url}"
        code, out, err = run("-m", "vfsmount", "run", "--mount", mount, "-c", "print(1)", env=keys)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "/vfs-none" in err
        assert "no-such-bucket" in err

    @pytest.mark.slow
    def test_a_bucket_on_a_real_server(self, moto: Server, moto_bucket: str) -> None:
        keys = {"AWS_ACCESS_KEY_ID": moto.access_key_id, "AWS_SECRET_ACCESS_KEY": moto.secret_access_key}
        mount = f"/vfs-s3=s3://{moto_bucket}/p/?endpoint_url={moto.endpoint_url}"
        code = "open('/vfs-s3/a', 'w').write('hello')"
        assert run("-m", "vfsmount", "run", "--mount", mount, "-c", code, env=keys) == (0, "", "")
        assert moto.get(moto_bucket, "p/a") == b"hello"


class TestNativePrograms:
    """Children: their output and their ends are their own."""

    @pytest.mark.slow
    def test_exit_code_output_and_input(self) -> None:
        assert run(*IDLE, "sh", "-c", "cat; echo err >&2; exit 9", stdin="in") == (9, "in", "err\n")

    @pytest.mark.slow
    def test_not_found_and_not_executable(self, tmp_path: Path) -> None:
        assert run(*IDLE, "no-such-program") == (127, "", "vfsmount: no-such-program: command not found\n")
        plain = tmp_path / "plain"
        plain.write_text("#!/bin/sh\n")
        plain.chmod(stat.S_IRUSR)
        code, out, err = run(*IDLE, str(plain))
        assert (code, out, err) == (126, "", f"vfsmount: {plain}: Permission denied\n")

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
    def test_death_by_a_signal(self, number: signal.Signals) -> None:
        assert run(*IDLE, "sh", "-c", f"kill -{number.value} $$")[0] == -number

    @pytest.mark.slow
    @pytest.mark.parametrize("early", [False, True], ids=["while it runs", "while it starts"])
    def test_a_signal_to_us_reaches_the_child(self, early: bool, tmp_path: Path) -> None:
        # It ends by itself: a lost signal is a failure, not a hang.
        script = "trap 'echo got; exit 4' TERM; : >up; i=0; while [ $i -lt 300 ]; do sleep 0.05; i=$((i+1)); done"
        boot = (EARLY_SIGNAL if early else "") + "import sys, vfsmount.cli\nsys.exit(vfsmount.cli.main())"
        words = [sys.executable, "-c", boot, *IDLE[2:], "sh", "-c", script]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environ, text=True, cwd=tmp_path) as process:
            assert process.stdout is not None
            if not early:
                deadline = time.monotonic() + 20
                while not (tmp_path / "up").exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
                process.terminate()
            assert process.stdout.read() == "got\n"
        assert process.returncode == 4

    @pytest.mark.slow
    def test_ls_sees_the_mount(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        mount = f"/vfs-ls=file://{tmp_path}"
        assert run("-m", "vfsmount", "run", "--mount", mount, "ls", "/vfs-ls") == (0, "a\n", "")

    @pytest.mark.slow
    def test_native_supervises_python_itself(self, tmp_path: Path) -> None:
        if supervision() is None:
            pytest.skip("no seccomp user notification here")
        (tmp_path / "a").write_text("x")
        mount = f"/vfs-native=file://{tmp_path}"
        code = (
            "import os, sys; print(os.listdir('/vfs-native'), 'vfsmount' in sys.modules, open('/vfs-native/a').read())"
        )
        options = ("-m", "vfsmount", "run", "--native", "--mount", mount, "--")
        assert run(*options, "python", "-c", code) == (0, "['a'] False x\n", "")
        (tmp_path / "prog.py").write_text("open('/vfs-native/b', 'w').write('new'); raise SystemExit(4)")
        assert run(*options, str(tmp_path / "prog.py")) == (4, "", "")
        assert (tmp_path / "b").read_text() == "new"
