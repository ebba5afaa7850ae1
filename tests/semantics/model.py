"""What the operations of one mount must do to the bucket and to the mount's own state, and with which errno they fail.

The tree itself comes from :mod:`vfsmount.testing.reference`, rebuilt from the keys at every question.
"""

from __future__ import annotations

import errno
import zlib
from dataclasses import dataclass, field

from vfsmount.testing.reference import LocalThings, Tree, above, below, tree


class Refused(Exception):
    """The operation must fail with this errno and change nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


@dataclass
class Objects:
    """The bucket: contents, and a number for each version."""

    data: dict[str, bytes] = field(default_factory=dict)
    version: dict[str, int] = field(default_factory=dict)
    serial: int = 0
    etags_are_of_content: bool = False
    """As S3 has it: the same bytes put again are no other version."""

    def put(self, key: str, data: bytes) -> int:
        self.serial += 1
        self.data[key], self.version[key] = data, zlib.crc32(data) if self.etags_are_of_content else self.serial
        return self.version[key]

    def delete(self, key: str) -> None:
        self.data.pop(key, None)
        self.version.pop(key, None)


@dataclass(eq=False)
class Node:
    """A file that is open for change: by one sequential writer, or (staged) by any number of handles."""

    path: str
    content: bytes = b""
    base: int | None = None
    """The version it was opened on; None where there was none."""
    exclusive: bool = False
    dirty: bool = True
    dead: bool = False
    """Written out of order, or removed: it will not be published."""
    synced: bool = False
    handles: int = 1


class Mount:
    """One mount's view and rules. Paths are relative to the mount point; ``""`` is the root."""

    def __init__(self, objects: Objects, key_prefix: str, *, staged: bool, keep_dirs: bool) -> None:
        self.objects = objects
        self.key_prefix = key_prefix
        self.staged = staged
        self.keep_dirs = keep_dirs
        self.local = LocalThings()
        self.nodes: dict[str, Node] = {}
        self.readers: dict[str, list[object]] = {}

    def shown(self) -> Tree:
        self.local.files = {path: node.content for path, node in self.nodes.items()}
        return tree(self.objects.data, self.local, self.key_prefix)

    def key(self, path: str) -> str:
        return self.key_prefix + path

    def keys_below(self, path: str) -> list[str]:
        return [key for key in self.objects.data if key.startswith(f"{self.key(path)}/")]

    # -- looking --

    def look(self, path: str) -> bytes | None:
        """Content, or None for a directory. Refused: ENOENT, ENOTDIR."""
        shown = self.shown()
        if not path:
            return None
        for one in reversed(list(above(path))):
            if one not in shown:
                raise Refused(errno.ENOENT)
            if shown[one] is not None:
                raise Refused(errno.ENOTDIR)
        if path not in shown:
            raise Refused(errno.ENOENT)
        return shown[path]

    def kind(self, path: str) -> str:
        """``file``, ``directory`` or ``missing``. Refused: ENOTDIR; ENOENT where the parent is missing."""
        try:
            return "directory" if self.look(path) is None else "file"
        except Refused as refused:
            if refused.number != errno.ENOENT or self.look(path.rpartition("/")[0]) is not None:
                raise
            return "missing"

    def is_open_for_change(self, path: str) -> bool:
        return path in self.nodes

    # -- opening --

    def open_reader(self, path: str) -> bytes | None:
        """The bytes that the reader is pinned to; None for a directory handle."""
        content = self.look(path)
        if content is not None and path in self.nodes and not self.staged:
            raise Refused(errno.EPERM)
        return content

    def open_writer(self, path: str, mode: str) -> Node | None:
        """``wb``, ``xb``, ``ab`` or ``r+b``; None where the open makes a reader."""
        kind = self.kind(path) if mode != "r+b" else "directory" if self.look(path) is None else "file"
        if kind == "directory":
            raise Refused(errno.EEXIST if mode == "xb" else errno.EISDIR)
        if kind == "file" and mode == "xb":
            raise Refused(errno.EEXIST)
        if self.staged:
            return self._open_staged(path, mode)
        if path in self.nodes:
            raise Refused(errno.EPERM)
        if kind == "file" and mode == "r+b":
            return None
        if (kind == "file" and mode == "ab") or self.readers.get(path):
            raise Refused(errno.EPERM)
        node = Node(path, exclusive=mode == "xb")
        self.nodes[path] = node
        return node

    def _open_staged(self, path: str, mode: str) -> Node:
        node = self.nodes.get(path)
        if node is None:
            key = self.key(path)
            base = self.objects.version.get(key)
            node = Node(path, self.objects.data.get(key, b""), base, dirty=base is None)
            self.nodes[path] = node
        else:
            node.handles += 1
        if mode == "wb":
            node.content, node.dirty = b"", True
        return node

    # -- publishing --

    def publish(self, node: Node) -> None:
        """fsync, or close of a handle that may write."""
        if node.dead and not self.staged:
            raise Refused(errno.EINVAL)
        if node.dead or not node.dirty:
            return
        key = self.key(node.path)
        node.dirty = False
        if self.staged:
            if self.objects.version.get(key) != node.base:
                raise Refused(errno.ESTALE)
        elif node.exclusive and key in self.objects.data:
            self.kill(node)
            raise Refused(errno.EEXIST)
        node.base = self.objects.put(key, node.content)
        node.synced = True
        self.local.published(node.path)
        if not self.staged:
            del self.nodes[node.path]

    def kill(self, node: Node) -> None:
        """The upload is dead, and nobody is kept from the path any more."""
        node.dead = True
        del self.nodes[node.path]

    def leave(self, node: Node) -> None:
        """A handle is gone."""
        node.handles -= 1
        if node.handles == 0 and self.nodes.get(node.path) is node:
            del self.nodes[node.path]

    # -- changing --

    def mkdir(self, path: str) -> None:
        if self.kind(path) != "missing":
            raise Refused(errno.EEXIST)
        if self.keep_dirs:
            self.objects.put(self.key(path) + "/", b"")
        else:
            self.local.directories.add(path)

    def rmdir(self, path: str) -> None:
        if self.look(path) is not None:
            raise Refused(errno.ENOTDIR)
        if self._local_below(path):
            raise Refused(errno.ENOTEMPTY)
        keys = self.keys_below(path)
        if keys and not (self.keep_dirs and keys == [self.key(path) + "/"]):
            raise Refused(errno.EPERM)
        for key in keys:
            self.objects.delete(key)
        self.local.directories.discard(path)

    def unlink(self, path: str) -> None:
        if self.look(path) is None:
            raise Refused(errno.EISDIR)
        node = self.nodes.get(path)
        if node is not None and not self.staged:
            raise Refused(errno.EPERM)
        if node is not None:
            self._detach(node)
        self.objects.delete(self.key(path))
        self.local.removed(path)
        self.readers.pop(path, None)

    def rename(self, source: str, target: str) -> None:
        content = self.look(source)
        if source == target:
            return
        if content is not None and source in self.nodes and not self.staged:
            raise Refused(errno.EPERM)
        if content is None and target.startswith(f"{source}/"):
            raise Refused(errno.EINVAL)
        kind = self.kind(target)
        if kind == "directory" and content is not None:
            raise Refused(errno.EISDIR)
        if kind == "file" and content is None:
            raise Refused(errno.ENOTDIR)
        if kind == "file" and target in self.nodes and not self.staged:
            raise Refused(errno.EPERM)
        if content is None:
            self._rename_directory(source, target, replacing=kind == "directory")
        else:
            self._rename_file(source, target)
        self.local.removed(source)

    def _rename_file(self, source: str, target: str) -> None:
        if target in self.nodes:
            self._detach(self.nodes[target])
        node = self.nodes.pop(source, None)
        if node is None:
            self.objects.put(self.key(target), self.objects.data[self.key(source)])
        else:
            node.path, node.dirty = target, False
            node.base = self.objects.put(self.key(target), node.content)
            self.nodes[target] = node
        self.objects.delete(self.key(source))
        self.local.published(target)
        for path in (source, target):
            self.readers.pop(path, None)

    def _rename_directory(self, source: str, target: str, *, replacing: bool) -> None:
        if below(self.nodes, source):
            raise Refused(errno.EPERM)
        if replacing and (self._local_below(target) or set(self.keys_below(target)) - {self.key(target) + "/"}):
            raise Refused(errno.ENOTEMPTY)
        keys = self.keys_below(source)
        for key in keys:
            self.objects.put(self.key(target) + key[len(self.key(source)) :], self.objects.data[key])
            self.objects.delete(key)
        directories = self.local.directories
        moved = {target + path[len(source) :] for path in below(directories, source)}
        directories -= {source, *below(directories, source)}
        if keys:
            self.local.published(f"{target}/any")
        else:
            directories.add(target)
        directories |= moved
        for path in [path for path in self.readers if path.startswith(f"{source}/")]:
            del self.readers[path]

    def _detach(self, node: Node) -> None:
        """Handles go on with what they have, and nothing is published."""
        node.dead = True
        del self.nodes[node.path]

    def _local_below(self, path: str) -> bool:
        return bool(below([*self.local.directories, *self.nodes], path))
