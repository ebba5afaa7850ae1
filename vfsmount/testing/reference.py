"""What a mount must show, rebuilt from nothing but the bucket's keys and what is local: the reference for tests.

It shares no code with the file system, on purpose, and does everything the slow and plain way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Tree = dict[str, "bytes | None"]
"""Path below the mount point to the content of a file, or None for a directory; the root is left out."""

NAME_BYTES = 255
"""The longest name, in bytes of UTF-8 (Linux NAME_MAX)."""


@dataclass(slots=True)
class LocalThings:
    """What one mount knows and the bucket does not."""

    directories: set[str] = field(default_factory=set)
    """Made here, or kept because their last file was removed here."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Being written here, with what a look at them would find."""

    def published(self, path: str) -> None:
        """The file's key implies the directories above it from now on."""
        self.directories -= set(above(path))

    def removed(self, path: str) -> None:
        """The file was removed by this mount: the directories above it stay."""
        self.directories |= set(above(path))


def tree(objects: Mapping[str, bytes], local: LocalThings | None = None, key_prefix: str = "") -> Tree:
    """Everything visible. Precedence for one name: remote directory, then anything local, then remote file."""
    local = local or LocalThings()
    remote_files: dict[str, bytes] = {}
    remote_directories: set[str] = set()
    for key, data in objects.items():
        if not key.startswith(key_prefix):
            continue
        *parents, name = key[len(key_prefix) :].split("/")
        path = ""
        for parent in parents:
            if not can_be_named(parent):
                break
            path = join(path, parent)
            remote_directories.add(path)
        else:
            if can_be_named(name):
                remote_files[join(path, name)] = data
    local_directories = local.directories | {
        directory for path in (*local.directories, *local.files) for directory in above(path)
    }
    shown: Tree = dict(remote_files)
    shown.update(local.files)
    shown.update(dict.fromkeys(local_directories))
    shown.update(dict.fromkeys(remote_directories))
    return {path: data for path, data in shown.items() if all(shown.get(one, b"") is None for one in above(path))}


def names_in(shown: Tree, directory: str) -> list[str]:
    """The sorted names in ``directory`` (``""`` for the root)."""
    return sorted(path.rpartition("/")[2] for path in shown if path.rpartition("/")[0] == directory)


def above(path: str) -> Iterator[str]:
    """The directories above ``path``, the root left out."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def below(paths: Iterable[str], directory: str) -> list[str]:
    """Those of ``paths`` that lie below ``directory``, at any depth."""
    return [path for path in paths if path.startswith(f"{directory}/")]


def join(directory: str, name: str) -> str:
    """``name`` in ``directory``."""
    return f"{directory}/{name}" if directory else name


def can_be_named(segment: str) -> bool:
    """True where a piece of a key between slashes can be a name in a directory."""
    if segment in ("", ".", "..") or "\0" in segment:
        return False
    return len(segment.encode()) <= NAME_BYTES
