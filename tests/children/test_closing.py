"""A failed upload reaches the program that wrote the file, when it closes it; a successful one is done by then."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import pytest

from tests.children.conftest import Faulty
from vfsmount.errors import PermissionDenied, StoreError, Unavailable

PYTHON: Final = f"{sys.executable} -I -S -c"
REFUSALS: Final = {
    PermissionDenied: ("Permission denied", "credentials' permissions refuse"),
    Unavailable: ("Input/output error", "could not be reached"),
}


# What programs do about it


TELLING: Final = {
    "mv": ("mv src /my-mount/new", 1, "mv: "),
    "cp": ("cp src /my-mount/new && rm src", 1, "cp: "),
    "cp -r": ("mkdir d && cp src d && cp -r d /my-mount/d && rm src", 1, "cp: "),
    "sort": ("sort -o /my-mount/new src && rm src", 2, "sort: "),
    "tar": ("tar -cf /my-mount/new src && rm src", 2, "tar: "),
    "tee": ("tee /my-mount/new < src && rm src", 1, "tee: "),
    "dd": ("dd if=src of=/my-mount/new && rm src", 1, "dd: "),
    "cat, in bash": ("bash -c 'cat src > /my-mount/new && rm src'", 1, "cat: "),
    "gzip, in bash": ("bash -c 'gzip -c src > /my-mount/new && rm src'", 1, "gzip: "),
    "python": (f"{PYTHON} \"open('/my-mount/new', 'w').close()\" && rm src", 1, "OSError: [Errno"),
}
"""Shell lines, the status that they end with, and the beginning of what the program itself says."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("program", TELLING)
def test_a_program_sees_that_its_close_has_failed(faulty: Faulty, program: str, kind: type[StoreError]) -> None:
    line, status, said = TELLING[program]
    faulty.refuse(kind)
    done = faulty.run(line)
    reason, hint = REFUSALS[kind]
    assert done.returncode == status
    own, others = [], []
    for text in done.stderr.splitlines():
        (own if text.startswith("vfsmount: ") else others).append(text)
    assert len(own) == 1
    assert f" was not uploaded: {reason}: " in own[0]
    assert hint in own[0]
    assert any(text.startswith(said.replace("OSError", "PermissionError" if kind is PermissionDenied else "OSError"))
               and reason in text for text in others)  # fmt: skip
    assert (faulty.directory / "src").read_bytes() == b"source\n"
    assert faulty.objects == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "gzip -c src > /my-mount/new && rm src",
        "echo x > /my-mount/new && rm src",
        "{ cat src; cat src; } > /my-mount/new && rm src",
        "(cat src; echo x) > /my-mount/new && rm src",
        "bash -c '{ cat src; echo x; } > /my-mount/new && rm src'",
        "exec 3> /my-mount/new; echo x >&3; exec 3>&- && rm src",
        "echo x > /my-mount/new; (true; rm src)",
        "echo x > /my-mount/new; sh -c 'rm src; rm src'",
        "echo x > /my-mount/new; : > src",
        "exec 3> /my-mount/new; echo x >&3; exec 3>&-; : > src",
        f"exec 4> /my-mount/new; exec {PYTHON} \"import os; os.closerange(3, 100); os.unlink('src')\"",
    ],
)
def test_a_program_that_cannot_see_it_gets_no_further(faulty: Faulty, line: str) -> None:
    """The shell has its output back before it looks at what the program says, or closes it by a number of its own."""
    faulty.refuse()
    done = faulty.run(f"sh -c '{line}'" if "'" not in line else line)
    assert done.returncode != 0
    assert (faulty.directory / "src").read_bytes() == b"source\n"
    assert done.stderr.count("vfsmount: /my-mount/new was not uploaded: Input/output error: ") == 1
    assert faulty.objects == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("(cat src; echo x) > /my-mount/new; echo $?", "137"),
        (f"{PYTHON} \"print('x')\" > /my-mount/new; echo $?", "137"),
        ("sh -c 'echo x > /my-mount/new'; echo $?", "137"),
        ("sh -c 'echo x > /my-mount/new; exit 5'; echo $?", "5"),
        ("sh -c 'echo x > /my-mount/new || true; exit 0'; echo $?", "137"),
    ],
)
def test_no_process_ends_well(faulty: Faulty, line: str, status: str) -> None:
    """Seen by the shell above it; this process sees 1."""
    faulty.refuse()
    done = faulty.run(f'bash -c "{line.replace(chr(34), chr(92) + chr(34)).replace("$", chr(92) + "$")}"')
    assert done.stdout.splitlines()[-1:] == [status]
    assert done.returncode == 1
    assert "vfsmount: /my-mount/new was not uploaded" in done.stderr


@pytest.mark.slow
def test_a_shell_tries_again_where_a_program_writes(faulty: Faulty) -> None:
    """As the README has it. What got there in the end has not failed, whoever asks."""
    faulty.store.fail("put", Unavailable("in this test", operation="put", bucket="bucket", key="new"), times=2)
    done = faulty.run("until echo x | dd of=/my-mount/new 2> /dev/null; do echo again; done; echo done")
    assert (done.returncode, done.stdout) == (0, "again\nagain\ndone\n")
    assert faulty.objects == {"new": b"x\n"}
    faulty.store.fail("put", Unavailable("in this test", operation="put", bucket="bucket", key="new"), times=2)
    assert faulty.run("cp src /my-mount/new; cp src /my-mount/other; cp src /my-mount/new").returncode == 1
    assert faulty.objects == {"new": b"source\n"}


@pytest.mark.slow
def test_one_of_three(faulty: Faulty) -> None:
    faulty.refuse(key="two")
    done = faulty.run("tee /my-mount/one /my-mount/two /my-mount/three < src > /dev/null && rm src")
    assert done.returncode == 1
    assert faulty.objects == {"one": b"source\n", "three": b"source\n"}
    assert done.stderr.count("vfsmount: ") == 1
    assert "tee: /my-mount/two: Input/output error" in done.stderr
    assert (faulty.directory / "src").exists()


@pytest.mark.slow
def test_a_large_file_that_fails_at_its_last_request(serve_faulty: Callable[..., Faulty]) -> None:
    faulty = serve_faulty(part_size=5 << 20)
    (faulty.directory / "src").write_bytes(bytes(11 << 20))
    faulty.refuse(verb="complete")
    done = faulty.run("mv src /my-mount/new")
    assert done.returncode == 1
    assert "mv: " in done.stderr
    assert (faulty.directory / "src").stat().st_size == 11 << 20
    assert faulty.objects == {}
    assert faulty.memory.uploads() == ()


@pytest.mark.slow
def test_a_staged_file(serve_faulty: Callable[..., Faulty]) -> None:
    faulty = serve_faulty(writes="staged")
    faulty.memory.put("new", b"before\n")
    faulty.refuse()
    done = faulty.run("cat src 1<> /my-mount/new; exec 3>> /my-mount/new 4>> /my-mount/new; echo x >&3; exec 3>&- 4>&-")
    assert done.returncode == 1
    assert "vfsmount: /my-mount/new was not uploaded" in done.stderr
    assert faulty.objects == {"new": b"before\n"}


MAPPED: Final = """
import mmap, os, sys
new = os.open("/my-mount/new", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(new, 5)
memory = mmap.mmap(new, 5)
os.close(new)
memory[:] = b"early"
"""


@pytest.mark.slow
@pytest.mark.parametrize("writes", ["staged", "sequential"])
@pytest.mark.parametrize("fails", [True, False])
def test_what_is_written_in_memory_is_there_when_the_program_has_ended(
    serve_faulty: Callable[..., Faulty], unswept: None, writes: str, fails: bool
) -> None:
    """Where that fails, it does not end well."""
    faulty = serve_faulty(writes=writes)
    (faulty.directory / "a.py").write_text(f"{MAPPED}memory[:] = b'alone'; os._exit(0)")
    if fails:
        faulty.refuse()
    done = faulty.run(f"{sys.executable} -I -S a.py && rm src")
    assert (done.returncode == 0, (faulty.directory / "src").exists()) == (not fails, fails)
    assert faulty.objects == ({} if fails else {"new": b"alone"})
    assert done.stderr.count("vfsmount: /my-mount/new was not uploaded") == fails


@pytest.mark.slow
def test_what_two_programs_have_in_memory_is_there_when_the_second_one_has_ended(faulty: Faulty, unswept: None) -> None:
    code = "r, w = os.pipe()\nif os.fork(): os._exit(0)\nos.close(w); os.read(r, 1); memory[:] = b'later'; os._exit(0)"
    argv = [sys.executable, "-I", "-S", "-c", MAPPED + code, "/my-mount"]
    subprocess.run(argv, check=True, stdout=subprocess.PIPE, timeout=60)  # whose end is that of both
    faulty.session.close()
    assert faulty.objects == {"new": b"later"}


# What has been uploaded when a call returns


STEPS: Final = """
import os, sys
def step(word):
    os.write(2, word.encode() + b"\\n")
    os.read(0, 1)
new = os.open("/my-mount/new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(new, b"text")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "steps"),
    [
        ("os.close(new); step('there')", "there"),
        ("os.dup2(new, 1); os.close(new); step('open'); os.close(1); step('there')", "open there"),
        ("os.dup2(new, 1); os.close(new); step('open'); os.dup2(2, 1); step('there')", "open there"),
        ("os.dup2(0, new); step('there')", "there"),
        ("os.dup2(new, new); step('open'); os.close(new); step('there')", "open there"),
        ("copy = os.dup(new); os.close(copy); step('open'); os.close(new); step('there')", "open there"),
        (
            "pid = os.fork() or os._exit(0); os.waitpid(pid, 0); step('open'); os.close(new); step('there')",
            "open there",
        ),
        (
            (
                "r, w = os.pipe()\n"
                "if os.fork() == 0: os.close(w); os.read(r, 1); os.close(new); step('there'); os._exit(0)\n"
                "os.close(new); step('open'); os.close(w); os.wait()"
            ),
            "open there",
        ),
        (
            (
                "r, w = os.pipe()\nif os.fork() == 0: os.close(w); os.read(r, 1); os._exit(0)\n"
                "os.close(new); step('open'); os.close(w); os.wait(); step('there')"
            ),
            "open there",
        ),
        (
            "import posix; posix.posix_spawn('/bin/true', ['true'], {}); os.wait(); os.close(new); step('there')",
            "there",
        ),
    ],
)
def test_what_is_there_when_a_call_returns(faulty: Faulty, unswept: None, code: str, steps: str) -> None:
    argv = [sys.executable, "-I", "-S", "-c", STEPS + code, "/my-mount"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        for step in steps.split():
            assert child.stderr.readline().decode().strip() == step
            assert faulty.objects == ({"new": b"text"} if step == "there" else {})
            child.stdin.write(b"\n")
        assert child.wait(30) == 0


@pytest.mark.slow
def test_what_is_there_at_the_end_of_a_shells_redirection(faulty: Faulty, unswept: None) -> None:
    line = "echo one > /my-mount/one; echo >&2; read x; (echo two; exec true) > /my-mount/two; echo >&2; read x"
    with faulty.start(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stderr.readline()
        assert faulty.objects == {"one": b"one\n"}
        child.stdin.write(b"\n")
        child.stderr.readline()
        assert faulty.objects == {"one": b"one\n", "two": b"two\n"}
        child.stdin.write(b"\n")
        assert child.wait(30) == 0


@pytest.mark.slow
def test_whatever_the_order(faulty: Faulty, unswept: None) -> None:
    """Duplicates, replacements and forks at random: the object is there if and only if the last of them is gone."""
    code = f"""
import os, random, sys
def tell(word):
    os.write(2, word.encode() + b"\\n")
    assert os.read(0, 1)
draw = random.Random({random.Random(6).random()!r})
for name in range(25):
    path = f"/my-mount/{{name}}"
    held, forks = [os.open(path, os.O_WRONLY | os.O_CREAT)], []
    while held or forks:
        choice = draw.choice(["dup", "dup2", "fork", "close", "close", "close", "over", "end", "end"])
        if choice == "dup" and held and len(held) < 4:
            held.append(os.dup(held[0]))
        elif choice == "dup2" and held and 1 not in held:
            held.append(os.dup2(draw.choice(held), 1))
        elif choice == "fork" and held and len(forks) < 3:
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(w)
                os.read(r, 1)
                os._exit(0)
            os.close(r)
            forks.append((pid, w))
        elif choice == "close" and held:
            os.close(held.pop(draw.randrange(len(held))))
        elif choice == "over" and held:
            number = held.pop(draw.randrange(len(held)))
            os.dup2(2, number)
            os.close(number)
        elif choice == "end" and forks:
            pid, w = forks.pop(draw.randrange(len(forks)))
            os.set_inheritable(w, False)
            os.write(w, b"x")
            os.close(w)
            os.waitpid(pid, 0)
        else:
            continue
        os.access("/my-mount", 0)  # numbers that the filter does not know: what was closed by them is seen now
        tell(f"{{name}} {{len(held) + len(forks)}}")
"""
    argv = [sys.executable, "-I", "-S", "-c", code, "/my-mount"]
    seen = set()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        for line in child.stderr:
            name, left = line.decode().split()
            assert (name in faulty.objects) == (left == "0"), line
            seen.add(name)
            child.stdin.write(b"\n")
        assert child.wait(30) == 0
    assert len(seen) == 25


# Numbers


@pytest.mark.slow
def test_a_failed_close_costs_no_number(faulty: Faulty) -> None:
    """What it leaves can be neither read nor written, is closed once more without complaint, and used again."""
    code = """
import errno, os
numbers = set()
for attempt in range(200):
    new = os.open("/my-mount/new", os.O_WRONLY | os.O_CREAT)
    numbers.add(new)
    try:
        os.close(new)
    except OSError as error:
        assert error.errno == errno.EIO
    else:
        raise AssertionError
    for call in (lambda: os.read(new, 1), lambda: os.write(new, b"x")):
        try:
            call()
        except OSError as error:
            assert error.errno == errno.EBADF
        else:
            raise AssertionError
    if attempt % 2:
        os.close(new)
assert min(numbers) >= 128, numbers
print(len(numbers))
"""
    faulty.refuse()
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, "/my-mount"], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr[-500:]
    assert done.stderr.count("vfsmount: ") == 200


@pytest.mark.slow
def test_threads_do_not_close_each_others_files(faulty: Faulty) -> None:
    """Half of the closes fail; the numbers of the other ones are free only when the kernel has closed them."""
    code = """
import os, threading
def work(index):
    for step in range(40):
        new = os.open(f"/my-mount/{index}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(new, b"%d %d" % (index, step))
        try:
            os.close(new)
        except OSError:
            assert index % 2
        else:
            assert not index % 2
threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    for index in range(1, 8, 2):
        faulty.refuse(key=str(index))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, "/my-mount"], stderr=subprocess.PIPE, timeout=100)
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"vfsmount: ") == 160
    assert faulty.objects == {str(index): b"%d 39" % index for index in range(0, 8, 2)}


@pytest.mark.slow
def test_more_files_than_numbers(faulty: Faulty) -> None:
    code = """
import os
numbers = [os.open(f"/my-mount/{name}", os.O_WRONLY | os.O_CREAT) for name in range(100)]
for number in numbers:
    os.write(number, b"text")
    os.close(number)
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", code, "/my-mount"], check=True, timeout=60)
    assert faulty.objects == {str(name): b"text" for name in range(100)}


@pytest.mark.slow
def test_whoever_has_closed_his_output_gets_that_number(faulty: Faulty) -> None:
    code = "import os; os.close(1); assert os.open('/my-mount/new', os.O_WRONLY | os.O_CREAT) == 1; os.write(1, b'x')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
    assert faulty.objects == {"new": b"x"}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")
@pytest.mark.slow
def test_a_compiler(faulty: Faulty) -> None:
    faulty.refuse()
    (faulty.directory / "a.c").write_text("int main(void) { return 0; }\n")
    done = faulty.run("gcc -o /my-mount/new a.c && rm src")
    assert done.returncode != 0
    assert "vfsmount: /my-mount/new was not uploaded" in done.stderr
    assert (faulty.directory / "src").exists()
