"""Real programs on a mount, each under the supervisor, and under staging where that can serve it.

What staging cannot serve it refuses, with ENOTSUP before the program starts, and nothing in the bucket is changed then.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.children.conftest import SEED, Served, serving
from vfsmount.children.supervisor.detect import supervision

SOURCE: Final = b'#include "answer.h"\n#include <stdio.h>\nint main(void) { printf("%d\\n", ANSWER); return 0; }\n'
FILES: Final = {
    "src/main.c": SOURCE,
    "src/answer.h": b"#define ANSWER 42\n",
    "src/Makefile": b"all:\n\t@cat answer.h\n",
    "data.json": b'{"a": [1, 2]}\n',
    "numbers": b"3\n1\n2\n",
}


@dataclass(frozen=True)
class Case:
    """One command line, in a directory on the disk."""

    line: str
    output: str | None = ""
    """Standard output; None: not looked at."""
    stored: dict[str, bytes] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    local: dict[str, bytes] = field(default_factory=dict)
    """Files left in the directory that it runs in."""
    staged: bool = True
    """Whether staging serves it too. (A Python program sees a bucket in memory only under the supervisor.)"""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the mount."""

    @property
    def program(self) -> str:
        return self.line.split()[0]


RENAMING: Final = {"allow_rename": True}
STAGED: Final = {"writes": "staged", "allow_rename": True, "metadata_ops": "ignore", "keep_dirs": True}
CASES: Final = [
    Case("ls -la /my-mount", None),
    Case("ls -R /my-mount/dir", "/my-mount/dir:\nb c.txt\nsub\n\n/my-mount/dir/sub:\nc.txt\n"),
    Case("cat /my-mount/a.txt", "alpha\n"),
    Case("head -c 3 /my-mount/a.txt", "alp"),
    Case("tail -n 1 /my-mount/numbers", "2\n"),
    Case("wc -c /my-mount/big.bin", "1000000 /my-mount/big.bin\n"),
    Case("stat -c '%n %s %F' /my-mount/a.txt", "/my-mount/a.txt 6 regular file\n"),
    Case("sort -n /my-mount/numbers", "1\n2\n3\n"),
    Case("sort /my-mount/numbers -o /my-mount/sorted", stored={"sorted": b"1\n2\n3\n"}),
    Case("sha256sum /my-mount/src/answer.h", None),
    Case("cmp /my-mount/a.txt /my-mount/a.txt"),
    Case("diff -r /my-mount/dir /my-mount/dir"),
    Case("find /my-mount/dir -type f -name 'c*'", "/my-mount/dir/sub/c.txt\n"),
    Case("find /my-mount/dir -name c.txt -delete", gone=("dir/sub/c.txt",)),
    Case("find /my-mount/dir -type f -exec cat {} +", None),
    Case("find /my-mount -name '*.txt' -print0 | xargs -0 cat | sort", "alpha\nbeta\ngamma\n"),
    Case("grep -rh gamma /my-mount", "gamma\n"),
    Case("grep -c . /my-mount/numbers", "3\n"),
    Case("du -sb --apparent-size /my-mount/src", None),
    Case("cp /my-mount/a.txt here", local={"here": b"alpha\n"}),
    Case("cp -r /my-mount/dir here", local={"here/b c.txt": b"beta\n", "here/sub/c.txt": b"gamma\n"}),
    Case("cp -a /my-mount/dir here", local={"here/sub/c.txt": b"gamma\n"}),
    Case("cp -r tree /my-mount/", stored={"tree/one": b"1\n", "tree/deep/two": b"2\n"}),
    Case("cp -r /my-mount/dir /my-mount/copy", stored={"copy/b c.txt": b"beta\n", "copy/sub/c.txt": b"gamma\n"}),
    Case("mv /my-mount/a.txt here", local={"here": b"alpha\n"}, gone=("a.txt",)),
    Case("mv tree/one /my-mount/one", stored={"one": b"1\n"}),
    Case("mv /my-mount/a.txt /my-mount/z", stored={"z": b"alpha\n"}, gone=("a.txt",), options=RENAMING),
    Case("rm -rf /my-mount/dir", gone=("dir/b c.txt", "dir/sub/c.txt")),
    Case("mkdir -p /my-mount/new/deep", options={"keep_dirs": True}, stored={"new/deep/": b""}),
    Case("touch /my-mount/new", stored={"new": b""}),
    Case("tar -C /my-mount -cf out.tar dir && tar -tf out.tar | sort", "dir/\ndir/b c.txt\ndir/sub/\ndir/sub/c.txt\n"),
    Case("tar -C tree -cf - . | tar -C /my-mount -xf - ./one", stored={"one": b"1\n"}),
    Case("tar -czf /my-mount/t.tgz tree && tar -xzOf /my-mount/t.tgz tree/one", "1\n"),
    Case("gzip -c /my-mount/a.txt | gunzip", "alpha\n"),
    Case("gzip /my-mount/a.txt && zcat /my-mount/a.txt.gz", "alpha\n", gone=("a.txt",)),
    Case("tee /my-mount/t < /my-mount/a.txt", "alpha\n", stored={"t": b"alpha\n"}),
    Case("dd if=/my-mount/a.txt of=/my-mount/t bs=3 count=1 status=none", stored={"t": b"alp"}),
    Case("sed s/alpha/omega/ /my-mount/a.txt", "omega\n"),
    Case("sed -i s/alpha/omega/ /my-mount/a.txt", stored={"a.txt": b"omega\n"}, options=STAGED),
    Case("awk '{ s += $1 } END { print s }' /my-mount/numbers", "6\n"),
    Case("split -l 1 /my-mount/numbers /my-mount/part-", stored={"part-aa": b"3\n", "part-ac": b"2\n"}),
    Case("gcc -I/my-mount/src /my-mount/src/main.c -o prog && ./prog", "42\n"),
    Case("gcc -I/my-mount/src /my-mount/src/main.c -o /my-mount/prog && cp /my-mount/prog . && chmod +x prog && ./prog",
         "42\n"),
    Case("make -s -C /my-mount/src", "#define ANSWER 42\n"),
    Case("python3 -c 'import pathlib; print(sorted(p.name for p in pathlib.Path(\"/my-mount/dir\").iterdir()))'",
         "['b c.txt', 'sub']\n", staged=False),
    Case("jq -c .a /my-mount/data.json", "[1,2]\n"),
    Case("xxd -l 2 -p /my-mount/a.txt", "616c\n"),
    Case("zip -q /my-mount/z.zip tree/one && unzip -p /my-mount/z.zip", "1\n", options=STAGED),
    Case("git clone -q repository /my-mount/clone && git -C /my-mount/clone log --format=%s && "
         "git -C /my-mount/clone status --short && cat /my-mount/clone/file", "first\ncontent\n", options=STAGED),
]  # fmt: skip


def names(cases: list[Case]) -> list[str]:
    return [f"{index}-{case.line[:40]}" for index, case in enumerate(cases)]


@pytest.fixture
def serve(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Served]]:
    running: list[Iterator[Served]] = []
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "one").write_text("1\n")
    (tmp_path / "tree" / "deep" / "two").write_text("2\n")

    def start(children: Any, **options: Any) -> Served:
        running.append(serving(children, tmp_path_factory, monkeypatch, **options))
        served = next(running[-1])
        for key, data in FILES.items():
            served.store.put(key, data)
        return served

    yield start
    for each in running:
        assert next(each, None) is None


def run(case: Case, directory: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(case.program) is None:
        pytest.skip(f"no {case.program} here")
    if case.program == "git":
        make_repository(directory / "repository")
    return subprocess.run(case.line, shell=True, capture_output=True, text=True, cwd=directory, timeout=100)


def make_repository(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("content\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for arguments in (["init", "-q"], ["add", "file"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=path, check=True)


def look(case: Case, served: Served, directory: Path) -> None:
    keys = served.keys()
    for key, data in case.stored.items():
        assert served.stored(key) == data
    assert not set(case.gone) & set(keys)
    for name, data in case.local.items():
        assert (directory / name).read_bytes() == data
    untouched = {**SEED, **FILES}
    for key in set(untouched) - set(case.gone) - set(case.stored):
        assert served.stored(key) == untouched[key]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_supervised(serve: Callable[..., Served], case: Case, tmp_path: Path) -> None:
    if supervision() is None:
        pytest.skip("no seccomp user notification here")
    served = serve("auto", **case.options)
    done = run(case, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert case.output is None or done.stdout == case.output
    look(case, served, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_staged_or_refused(serve: Callable[..., Served], case: Case, tmp_path: Path) -> None:
    served = serve("staging", **case.options)
    if case.staged:
        done = run(case, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert case.output is None or done.stdout == case.output
        look(case, served, tmp_path)
        return
    with pytest.raises(OSError) as caught:
        run(case, tmp_path)
    assert caught.value.errno == errno.ENOTSUP
    assert {key: served.stored(key) for key in served.keys()} == {**SEED, **FILES}
