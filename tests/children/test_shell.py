"""What is understood of shell lines, and what programs are known to do with their arguments."""

from __future__ import annotations

import subprocess

import pytest

from vfsmount.children.commands import Kind, removed_by, use_of, uses_in
from vfsmount.children.shell import NotUnderstoodError, parsed


@pytest.mark.parametrize(
    "line",
    [
        "echo a 'b c' \"d e\" f\\ g '' h",
        "echo a\"b\"'c'd",
        "echo a;echo b&&echo c||echo d",
        "(echo a; echo b)",
        "{ echo a; }; ! echo b",
        "if true; then echo a; else echo b; fi",
        "until echo a; do echo b; done",
        "echo a 2>/dev/null >/dev/null; echo b 3>&1 2>&1",
        "echo a # b c",
        "echo a#b",
        "echo a \\\n b",
        "X=1 Y='2 3' echo a",
        "echo \"a \\\"b\\\" \\$c \\`d\"",
        "echo '\"' \"'\" \\' \\\"",
        "echo a | cat - | cat",
        "echo $ a$ \"$\"",
        "echo -n --b=c",
        "cat <<E /dev/null\n$(not 'this\nE\necho a",
        "cat <<-E\n\tx\n\tE",
        "echo {} {a} a,b",
        "echo 1>/dev/null 2 3 >/dev/null",
        "echo !a; echo =b c=d",
    ],
)  # fmt: skip
def test_words_are_those_of_bash(line: str) -> None:
    """Each program prints its arguments."""
    say = "printf '%s\\n' \"$(printf '[%s]' {0} \"$@\")\" >&9"  # at once: two of a pipeline do so at the same time
    functions = "".join(f"{name}() {{ {say.format(name)}; }}; " for name in ("echo", "cat"))
    done = subprocess.run(["bash", "-c", f"exec 9>&1 >/dev/null; {functions}\n{line}"], capture_output=True, timeout=60)
    shown = {line for line in done.stdout.decode().split("\n") if line}
    told = {"".join(f"[{word}]" for word in each.argv) for each in parsed(line).commands if each.argv}
    assert shown
    assert shown <= told  # what is never run is parsed all the same


@pytest.mark.parametrize(
    ("line", "prefix", "dynamic"),
    [
        ("/m/*.txt", "/m/", False),
        ("/m/a?b[c]", "/m/a", False),
        ("'/m/*'", "/m/*", False),
        ("/m/$x", "/m/", True),
        ('"/m/${x}y"', "/m/", True),
        ("/m/$(pwd)/x", "/m/", True),
        ("/m/`pwd`/x", "/m/", True),
        ("/m/{a,b}", "/m/", True),
        ("/m/{1..3}", "/m/", True),
        ("~/m", "", True),
        ("/m/$((1 + 2))", "/m/", True),
        ("/m/$'a\\'b'", "/m/", True),
        ("/m/a~b", "/m/a~b", False),
        ("/m/$", "/m/$", False),
    ],
)
def test_what_is_expanded(line: str, prefix: str, dynamic: bool) -> None:
    (word,) = [each.words[1] for each in parsed(f"cat {line}").commands if each.argv[0] == "cat"]
    assert (word.prefix, word.dynamic) == (prefix, dynamic)


@pytest.mark.parametrize(
    "quoted", ["/m/a*", "'/m/a'*", '"/m/a"*', "/m/'a'*", "\\/m/a*", '"/m/a b"*', "x=/m/a*", "x='/m/a'*"]
)
def test_what_is_inserted_comes_before_the_path(quoted: str) -> None:
    word = parsed(f"echo {quoted}").commands[0].words[1]
    start, inserted = word.inserted(word.text.index("/m"), "'/the root'")
    line = f"echo {quoted}"
    done = subprocess.run(["sh", "-c", f"{line[:start]}{inserted}{line[start:]}"], capture_output=True, timeout=60)
    assert done.stdout.decode() == f"{word.text.replace('/m', '/the root/m', 1)}\n"


def test_redirections() -> None:
    (command,) = parsed("cat <a >b 2>>c &>d <>e 2>&1 >&f >&- <<<g").commands
    assert [(each.operator, each.word.text, each.writes) for each in command.redirections] == [
        ("<", "a", False), (">", "b", True), (">>", "c", True), ("&>", "d", True), ("<>", "e", True),
        (">&", "1", False), (">&", "f", True), (">&", "-", False), ("<<<", "g", False)]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["echo 'a", 'echo "a', "echo $(a", "echo `a", "cat <<E\na", "a <", "echo ${a", "$(case a in a) b;; esac)"]
)
def test_what_is_not_understood(line: str) -> None:
    with pytest.raises(NotUnderstoodError):
        parsed(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a &", True),
        ("a & wait", False),
        ("a && b &> c 2>&1", False),
        ("echo 'a & b'", False),
        ("a $(b & c)", True),
        ("`a & b`", True),
    ],
)
def test_background(line: str, expected: bool) -> None:
    assert parsed(line).background is expected


@pytest.mark.parametrize(
    "line",
    [
        "xargs cat",
        "for f in a; do cat f; done",
        "cat $x",
        "cat $(ls)",
        "sort a",
        "cat <(ls)",
        "cat <<E\nE",
        "ls | sort --files0-from=-",
        "wc --files0-from=a",
        "find . -exec cat {} +",
        "x() { cat; }",
    ],
)
def test_lines_of_which_anything_is_expected(line: str) -> None:
    assert uses_in(parsed(line)) is None


def test_lines_of_known_programs() -> None:
    uses = uses_in(parsed("ls -l /m | sort > x; cat '/m/a b' && rm -v /m/*; echo"))
    assert uses is not None
    assert [use.kind for use in uses] == [Kind.LISTING, Kind.OTHER, Kind.READING, Kind.LISTING, Kind.IGNORING]


def test_removing() -> None:
    assert use_of(["rm", "-r", "/m"]).names is True
    assert removed_by(["mv", "/m/a", "/m/b", "c"]) == ["/m/a", "/m/b"]
    assert removed_by(["rm", "-f", "/m/a"]) == ["/m/a"]
    assert removed_by(["cp", "/m/a", "c"]) == []


@pytest.mark.parametrize(
    "line",
    [
        "ls | grep -r alpha",
        "ls | grep -nR alpha",
        "ls | grep -d recurse alpha",
        "ls; grep -fa.txt b.txt",
        "ls; grep --file=a.txt b.txt",
        "ls; md5sum -c sums",
        "ls; sha256sum --check sums",
        "ls | file -f -",
        "ls | file --files-from=-",
        "ls | sort --random-source=a.txt -R",
        "du -X names .",
        "tree --gitignore",
        "ls -R; env -C dir cat b.txt",
        "ls; jq 'import \"a\" as a; .' b.json",
    ],
)
def test_options_that_have_a_known_program_open_what_is_no_word(line: str) -> None:
    assert uses_in(parsed(line)) is None


def test_options_that_do_not() -> None:
    for line in (
        "ls | grep -c alpha",
        "ls | grep -e r -f a",
        "md5sum a",
        "ls | cut -c 1",
        "file -b a",
        "ls | sort -rn",
    ):
        assert uses_in(parsed(line)) is not None, line
