"""For which commands standard input is fetched while it is read: those that read a mounted file there, in blocks."""

from __future__ import annotations

import pytest

from vfsmount.children.supervisor.stdin import reads_lazily


def decided(text: str, *, inside: bool = False) -> bool:
    return reads_lazily(["/bin/sh", "-c", text], ["/my-mount", "/data/b"], inside=inside)


@pytest.mark.parametrize(
    "text",
    [
        "head -c 100 < /my-mount/big",
        "head -c 100 </data/b/big | wc -c",
        "head < '/my-mount/a b' | cut -d, -f1",
        'x=1 cat < "/my-mount/big" 2>/dev/null; exit 3',
        "cd /my-mount && head < big",
        "(head -c 5; cat) < /my-mount/big",
        "{ head -c 5; } < /my-mount/big",
        "sort < /my-mount/big > /my-mount/out",
        "zcat < /my-mount/big.gz | grep -c x",
        "dd if=/my-mount/big bs=1M count=1",
        "dd if=/my-mount/big ibs=64K of=x 2>&1",
        "dd count=1 if=/my-mount/big | xxd",
    ],
)
def test_commands_that_read_in_blocks(text: str) -> None:
    assert decided(text)


@pytest.mark.parametrize(
    "text",
    [
        "while read x; do echo $x; done < /my-mount/big",
        "./program < /my-mount/big",
        "cat < /my-mount/big | ./program",
        "cat < /my-mount/big | awk 1",
        "head < /my-mount/big; awk 1 < /my-mount/big",
        "head < /my-mount/big > /dev/null; eval $COMMAND",
        "cat $(./program < /my-mount/big)",
        "cat `./program` < /my-mount/big",
        "cat << /my-mount/big",
        "cat /my-mount/big > copy",
        "cat < /my-mount2/big",
        'cat < "$F" /my-mount/x',
        "head < big",
        "head < 'unclosed",
        "dd if=/my-mount/big of=copy",
        "dd if=/my-mount/big bs=$SIZE",
        "dd if=/my-mount/big bs=512 count=100000",
        "dd if=local bs=1M",
        "",
    ],
)
def test_other_commands(text: str) -> None:
    assert not decided(text)


def test_a_program_without_a_shell() -> None:
    points = ["/my-mount"]
    assert reads_lazily(["dd", "if=/my-mount/a b", "bs=1M"], points, inside=False)
    assert reads_lazily(["/bin/dd", "if=x", "bs=1M"], points, inside=True)
    assert not reads_lazily(["dd", "if=x", "bs=1M"], points, inside=False)
    assert not reads_lazily(["cat", "<", "/my-mount/x"], points, inside=True)
    assert not reads_lazily(["sh", "script", "/my-mount/x"], points, inside=True)


def test_a_command_in_a_mounted_directory() -> None:
    assert decided("head < big", inside=True)
    assert not decided("head < /etc/passwd", inside=True)
