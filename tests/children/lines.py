"""Shell lines at random, of what people write; the same on a mount as on a disk."""

from __future__ import annotations

import random
from typing import Final

TREE: Final = {
    "a.txt": b"alpha\nbeta\n",
    "b.txt": b"beta\ngamma\n",
    "with space": b"one\n",
    "dir/c.txt": b"gamma\nalpha\n",
    "dir/data.bin": bytes(range(1, 256)) * 4,
    "dir/deep/e.txt": b"epsilon\n",
    "other/f.txt": b"phi\n",
}
FILES: Final = ("a.txt", "b.txt", "'with space'", "dir/c.txt", "dir/data.bin", "dir/deep/e.txt", "other/f.txt", "none")
DIRECTORIES: Final = ("dir", "dir/deep", "other", "new", "none")
NEW: Final = ("new.txt", "dir/new.txt", "new/x", "a.txt", "'new file'")


def line(chosen: random.Random) -> tuple[str, bool]:
    """A line, and whether it is to be run in the mounted ``dir``."""
    inside = chosen.random() < 0.2

    def path(names: tuple[str, ...]) -> str:
        name = chosen.choice(names)
        if inside and name.startswith("dir/") and chosen.random() < 0.7:
            return name.removeprefix("dir/")
        if "'" in name:
            return f"'/my-mount/{name[1:-1]}'" if chosen.random() < 0.5 else f"/my-mount/{name}"
        style = chosen.randrange(5)
        return (f"/my-mount/{name}", f"/my-mount/{name}", f'"/my-mount/{name}"', f"'/my-mount'/{name}",
                f"/my-mount//{name}")[style]  # fmt: skip

    def file() -> str:
        return path(FILES)

    def new() -> str:
        return path(NEW)

    def directory() -> str:
        return path(DIRECTORIES)

    simple = [
        lambda: f"cat {file()}",
        lambda: f"cat {file()} {file()}",
        lambda: f"cat {directory()}/*.txt",
        lambda: f"head -n 1 {file()} {file()}",
        lambda: f"wc -c {file()}",
        lambda: f"ls {directory()}",
        lambda: f"ls -d {directory()} {file()}",
        lambda: f"ls {directory()}/*",
        lambda: f"find {directory()} -type f -name '*.txt' | sort",
        lambda: f"find {directory()} -type f -exec cat {{}} + | sort",
        lambda: f"stat -c '%n %s' {file()}",
        lambda: f"grep -rc alpha {directory()} | sort",
        lambda: f"grep -n 'a' {file()} {file()}",
        lambda: f"sort {file()}",
        lambda: f"sort {file()} -o {new()}",
        lambda: f"md5sum {file()} > {new()}",
        lambda: f"cp {file()} {new()}",
        lambda: f"cp {file()} {directory()}/",
        lambda: f"cp -r {directory()} here" if not inside else "cp -r deep here",
        lambda: f"cp -r {directory()} /my-mount/copy",
        lambda: f"mv {file()} {new()}",
        lambda: f"mv {file()} local",
        lambda: f"mv {directory()} /my-mount/moved",
        lambda: f"rm {file()}",
        lambda: f"rm -f {file()} {file()}",
        lambda: f"rm -r {directory()}",
        lambda: f"rm {directory()}/*.txt",
        lambda: f"rm -rfv {directory()} | sort",
        lambda: f"echo text > {new()}",
        lambda: f"echo more >> {new()}",
        lambda: f"echo {file()}",
        lambda: f"tr a e < {file()}",
        lambda: f"tee {new()} < {file()}",
        lambda: f"sed -i s/alpha/omega/ {file()}",
        lambda: f"sed s/a/b/ {file()} > {new()}",
        lambda: f"dd if={file()} of={new()} bs=3 count=2 status=none",
        lambda: f"tar -C /my-mount -cf t.tar {chosen.choice(DIRECTORIES)} && tar -tf t.tar | sort; rm -f t.tar",
        lambda: f"gzip -nc {file()} | gunzip",
        lambda: f'f={file()}; gzip -n "$f" && ls "$f.gz" && gunzip "$f.gz"',
        lambda: f"mkdir -p {directory()}/made && echo x > {directory()}/made/file",
        lambda: f"test -e {file()} && echo yes || echo no",
        lambda: f'D={directory()}; cat "$D"/*.txt',
        lambda: f'for f in {file()} {file()}; do wc -c < "$f"; done',
        lambda: f'for f in {directory()}/*; do echo "$f"; done',
        lambda: f'find {directory()} -type f | sort | while read -r f; do echo "$f" $(wc -c < "$f"); done',
        lambda: f"x=$(cat {file()}); echo \"$x\" | tee {new()}",
        lambda: f"cat `ls -d {file()}`",
        lambda: f"(cd {directory()} && cat *.txt)",
        lambda: f"cat <<EOF > {new()}\ntext of $((1 + 1)) lines\nEOF",
        lambda: f"split -l 1 {file()} /my-mount/part{chosen.randrange(10**6)}-",
        lambda: f"du -sb --apparent-size {file()} | cut -f 2",
        lambda: f"cmp {file()} {file()}",
        lambda: f"diff {file()} {file()}",
        lambda: f"# {file()}\necho done",
        lambda: f"touch {new()}",
        lambda: f"truncate -s 0 {file()}",
        lambda: f"awk '{{ print FILENAME, $1 }}' {file()}",
        lambda: f"xargs -n 1 cat <<< {file()}",
        lambda: f"diff <(echo beta) {file()}",
        lambda: "cat /my-mount/{a,b}.txt",
        lambda: f"basename {file()}; dirname {file()}",
        lambda: f"echo 'not a path: x' \"a b\" {file()} | cat",
    ]  # fmt: skip
    text = chosen.choice(simple)()
    while chosen.random() < 0.25:
        between = "\n" if text.endswith("\nEOF") else chosen.choice(("; ", " && ", " || ", "\n"))
        text = f"{text}{between}{chosen.choice(simple)()}"
    return text, inside
