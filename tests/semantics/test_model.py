"""Random operations through mounts, and behind their backs, against the reference model.

``VFSMOUNT_MODEL=large`` runs many more and longer sequences.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.semantics.buckets import Bucket, MemoryBucket
from tests.semantics.model import Mount, Node, Objects, Refused
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing.keys import KEYS
from vfsmount.testing.reference import Tree, names_in

_LARGE: Final = os.environ.get("VFSMOUNT_MODEL") == "large"


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


_SETTINGS: Final = _settings(400, 60) if _LARGE else _settings(12, 30)
ON_SERVERS: Final = _settings(60, 40) if _LARGE else _settings(3, 12)
"""A step looks at everything, which on a real server takes about a tenth of a second."""

NAMES: Final = ("a", "b", "p", "a-")
PATHS: Final = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
PLACES: Final = st.tuples(PATHS, st.integers(0, 99))
"""A path; or, by the number, one of those that are interesting at the moment."""
DATA: Final = st.sampled_from([b"", b"1", b"22", b"a longer one"])
AWKWARD: Final = [case.key for case in KEYS if len(case.key) < 200]
FOREIGN_KEYS: Final = st.one_of(
    PATHS,
    PATHS.map(lambda path: f"{path}/"),
    st.builds(lambda path, odd: f"{path}/{odd}", PATHS, st.sampled_from(["/x", "./x", "..", "x//", "L" * 256])),
    st.sampled_from(AWKWARD),
    st.builds(lambda path, key: f"{path}/{key}", PATHS, st.sampled_from(AWKWARD)),
)
FLAGS: Final = {
    "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "r+b": os.O_RDWR,
}


Place = tuple[str, int]

BUCKETS: Final[dict[str, Callable[[], Bucket]]] = {"memory": MemoryBucket}
"""Makes a bucket on each store; a machine cannot take a fixture."""


@dataclass(eq=False)
class Handle:
    """An open descriptor, and what it must find."""

    fd: int
    mount: Mount
    path: str
    mode: str
    node: Node | None = None
    pinned: bytes = b""


class Ground(RuleBasedStateMachine):
    """Two mounts of one bucket in one activated process: all of it, and what is below ``p/``."""

    prefixes: tuple[str, ...] = ("", "p/")
    staged = False
    keep_dirs = False
    ttl: object = 0
    where = "memory"
    tidy = True
    """A directory is gone with its last key, and a key can be below another."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="model-"))
        self.bucket = BUCKETS[self.where]()
        self.objects = Objects(etags_are_of_content=self.where != "memory")
        self.handles: list[Handle] = []
        self.mounts: dict[Mount, str] = {}
        options: dict[str, Any] = {
            "allow_rename": True,
            "writes": "staged" if self.staged else "sequential",
            "keep_dirs": self.keep_dirs,
            "metadata_ttl": self.ttl,
            "negative_ttl": self.ttl,
        }
        points = {}
        store = self.bucket.open()
        for number, prefix in enumerate(self.prefixes):
            mount = Mount(self.objects, prefix, staged=self.staged, keep_dirs=self.keep_dirs)
            self.mounts[mount] = str(self.folder / f"m{number}")
            points[self.mounts[mount]] = (
                CloudBucketMount(self.bucket.name, key_prefix=prefix or None, **options),
                store,
            )
        self.session = activate_stores(points)

    def teardown(self) -> None:
        for handle in list(self.handles):
            self.close_handle(handle)
        self.everything_is_as_the_keys_say()
        self.session.close()
        shutil.rmtree(self.folder)

    # -- how --

    def at(self, mount: Mount, path: str) -> str:
        return f"{self.mounts[mount]}/{path}" if path else self.mounts[mount]

    def both(self, expected: Callable[[], Any], actual: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Do it in the model and for real; None where both refuse it alike."""
        refusal, wanted = None, None
        try:
            wanted = expected()
        except Refused as refused:
            refusal = str(refused)
        if refusal is None:
            return wanted, actual()
        with pytest.raises(OSError) as caught:
            actual()
        found = errno.errorcode[caught.value.errno or 0]
        assert found == refusal, f"{found}, and not {refusal}"
        return None

    def mount_of(self, number: int) -> Mount:
        return list(self.mounts)[number % len(self.mounts)]

    def place(self, mount: Mount, place: Place) -> str:
        """Two in three: a path that is there, is open, or is a name in a directory that is there."""
        path, choice = place
        shown = mount.shown()
        known = sorted({*shown, *(handle.path for handle in self.handles if handle.mount is mount)})
        known += [f"{one}/a" for one in known if shown.get(one, b"") is None]
        return known[choice // 3 % len(known)] if known and choice % 3 else path

    def close_handle(self, handle: Handle) -> None:
        raise NotImplementedError

    # -- behind their backs --

    @initialize(keys=st.lists(st.tuples(FOREIGN_KEYS, DATA), max_size=8))
    def seed(self, keys: list[tuple[str, bytes]]) -> None:
        for key, data in keys:
            self.put(key, data)

    @precondition(lambda self: self.ttl == 0)
    @rule(key=FOREIGN_KEYS, data=DATA)
    def another_client_puts(self, key: str, data: bytes) -> None:
        self.put(key, data)

    def put(self, key: str, data: bytes) -> None:
        if self.takes(key):
            self.objects.put(key, data)
            self.bucket.put(key, data)

    def takes(self, key: str) -> bool:
        """Whether the store can be given this key as it is."""
        return True

    @precondition(lambda self: self.tidy and self.ttl == 0 and self.objects.data)
    @rule(choice=st.integers(0, 100))
    def another_client_deletes(self, choice: int) -> None:
        keys = sorted(self.objects.data)
        key = keys[choice % len(keys)]
        self.objects.delete(key)
        self.bucket.delete(key)

    # -- what must hold --

    @invariant()
    def the_bucket_is_as_expected(self) -> None:
        found = {key: self.bucket.get(key) for key in self.bucket.keys()}
        assert found == self.objects.data, sorted(found.items() ^ self.objects.data.items())
        assert self.bucket.uploads() == []

    @invariant()
    def everything_is_as_the_keys_say(self) -> None:
        for mount, point in self.mounts.items():
            shown = mount.shown()
            found, expected = (
                self.found(point),
                {path: data if data is None else len(data) for path, data in shown.items()},
            )
            assert found == expected, sorted(found.items() ^ expected.items(), key=str)
            self.look_at_each(mount, shown)

    def found(self, point: str) -> dict[str, int | None]:
        """Paths and sizes, as a recursive listing gives them."""
        seen: dict[str, int | None] = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            for entry in os.scandir(f"{point}/{below}" if below else point):
                path = f"{below}/{entry.name}" if below else entry.name
                seen[path] = None if entry.is_dir() else entry.stat().st_size
                if entry.is_dir():
                    waiting.append(path)
        return seen

    def look_at_each(self, mount: Mount, shown: Tree) -> None:
        for path in {*shown, *(f"{path}/a" for path in list(shown)[:3]), "a", "b/a", "p"}:
            done = self.both(lambda path=path: (mount.look(path),), lambda path=path: os.stat(self.at(mount, path)))
            if done is None:
                continue
            (content,), found = done
            assert stat.S_ISDIR(found.st_mode) == (content is None)
            assert found.st_size == len(content or b"")
            if content is None:
                assert os.listdir(self.at(mount, path)) == names_in(shown, path)
            elif path not in mount.nodes:
                assert Path(self.at(mount, path)).read_bytes() == content


class Machine(Ground):
    """What a process does through the mounts."""

    @rule(number=st.integers(0, 1), path=PLACES)
    def mkdir(self, number: int, path: Place) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)
        self.both(lambda: mount.mkdir(name), lambda: os.mkdir(self.at(mount, name)))

    @precondition(lambda self: self.tidy)
    @rule(number=st.integers(0, 1), path=PLACES)
    def rmdir(self, number: int, path: Place) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)
        self.both(lambda: mount.rmdir(name), lambda: os.rmdir(self.at(mount, name)))

    @precondition(lambda self: self.tidy)
    @rule(number=st.integers(0, 1), path=PLACES)
    def unlink(self, number: int, path: Place) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)
        self.both(lambda: mount.unlink(name), lambda: os.unlink(self.at(mount, name)))

    @precondition(lambda self: self.tidy)
    @rule(number=st.integers(0, 1), source=PLACES, to=PLACES)
    def rename(self, number: int, source: Place, to: Place) -> None:
        mount = self.mount_of(number)
        old, new = self.place(mount, source), self.place(mount, to)
        self.both(lambda: mount.rename(old, new), lambda: os.rename(self.at(mount, old), self.at(mount, new)))

    @rule(number=st.integers(0, 1), path=PLACES, mode=st.sampled_from(list(FLAGS)))
    def open_to_write(self, number: int, path: Place, mode: str) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)
        before = mount.objects.data.get(mount.key(name), b"")
        done = self.both(lambda: mount.open_writer(name, mode), lambda: os.open(self.at(mount, name), FLAGS[mode]))
        if done is not None:
            handle = Handle(done[1], mount, name, mode, done[0], before)
            self.handles.append(handle)
            if done[0] is None:
                mount.readers.setdefault(name, []).append(handle)

    @rule(number=st.integers(0, 1), path=PLACES)
    def open_to_read(self, number: int, path: Place) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)
        done = self.both(lambda: mount.open_reader(name), lambda: os.open(self.at(mount, name), os.O_RDONLY))
        if done is None:
            return
        content, fd = done
        assert stat.S_ISDIR(os.fstat(fd).st_mode) == (content is None)
        if content is None:
            os.close(fd)
            return
        node = mount.nodes.get(name)
        if node is not None:
            node.handles += 1
        handle = Handle(fd, mount, name, "rb", node, content)
        self.handles.append(handle)
        if node is None:
            mount.readers.setdefault(name, []).append(handle)

    @rule(number=st.integers(0, 1), path=PLACES, data=DATA)
    def write_whole(self, number: int, path: Place, data: bytes) -> None:
        mount = self.mount_of(number)
        name = self.place(mount, path)

        def expected() -> None:
            node = mount.open_writer(name, "wb")
            assert node is not None
            node.content = data
            try:
                mount.publish(node)
            finally:
                mount.leave(node)

        self.both(expected, lambda: Path(self.at(mount, name)).write_bytes(data))

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100))
    def read_handle(self, choice: int) -> None:
        handle = self.handles[choice % len(self.handles)]
        if handle.mode in ("wb", "xb", "ab") or (handle.mode == "r+b" and handle.node and not self.staged):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.read(handle.fd, 1)
            return
        expected = handle.pinned if handle.node is None else handle.node.content
        assert os.pread(handle.fd, 100, 0) == expected  # so small that all of it came with the first request

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100), data=DATA, offset=st.integers(0, 4))
    def write_handle(self, choice: int, data: bytes, offset: int) -> None:
        handle = self.handles[choice % len(self.handles)]
        node = handle.node
        if node is None or handle.mode == "rb":
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(handle.fd, b"x")
        elif not self.staged:
            self._write_in_sequence(handle, node, data)
        elif handle.mode == "ab":
            assert os.write(handle.fd, data) == len(data)
            node.content += data
            node.dirty = node.dirty or bool(data)
        else:
            assert os.pwrite(handle.fd, data, offset) == len(data)
            if data:
                grown = node.content.ljust(offset, b"\0")
                node.content = grown[:offset] + data + grown[offset + len(data) :]
                node.dirty = True

    def _write_in_sequence(self, handle: Handle, node: Node, data: bytes) -> None:
        if node.dead or node.synced:
            with pytest.raises(OSError) as caught:
                os.write(handle.fd, b"x")
            assert caught.value.errno in ((errno.EIO,) if node.synced else (errno.EINVAL, errno.EEXIST))
        else:
            assert os.write(handle.fd, data) == len(data)
            node.content += data

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100), length=st.integers(0, 6))
    def truncate_handle(self, choice: int, length: int) -> None:
        handle = self.handles[choice % len(self.handles)]
        node = handle.node
        if not self.staged or node is None or handle.mode == "rb":
            return
        os.ftruncate(handle.fd, length)
        node.content = node.content[:length].ljust(length, b"\0")
        node.dirty = True

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100))
    def write_out_of_order(self, choice: int) -> None:
        handle = self.handles[choice % len(self.handles)]
        if self.staged or handle.mode == "ab" or handle.node is None or handle.node.dead or handle.node.synced:
            return
        with pytest.raises(OSError, match="Invalid argument"):
            os.pwrite(handle.fd, b"x", len(handle.node.content) + 1)
        handle.mount.kill(handle.node)

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100))
    def fsync(self, choice: int) -> None:
        handle = self.handles[choice % len(self.handles)]
        node = handle.node
        if node is None:
            os.fsync(handle.fd)
        else:  # a reader's too: what counts is the file
            self._sync(handle, node, lambda: os.fsync(handle.fd))

    @precondition(lambda self: self.handles)
    @rule(choice=st.integers(0, 100))
    def close(self, choice: int) -> None:
        self.close_handle(self.handles[choice % len(self.handles)])

    def close_handle(self, handle: Handle) -> None:
        self.handles.remove(handle)
        node = handle.node
        if node is None:
            os.close(handle.fd)
            readers = handle.mount.readers.get(handle.path, [])
            if handle in readers:
                readers.remove(handle)
        elif handle.mode == "rb":
            os.close(handle.fd)
            handle.mount.leave(node)
        else:
            self._sync(handle, node, lambda: os.close(handle.fd))
            handle.mount.leave(node)

    def _sync(self, handle: Handle, node: Node, action: Callable[[], None]) -> None:
        if node.dead and not self.staged:
            with pytest.raises(OSError) as caught:
                action()
            assert caught.value.errno in (errno.EINVAL, errno.EEXIST)
        else:
            self.both(lambda: handle.mount.publish(node), action)


class StagedMachine(Machine):
    staged = True


class MarkersMachine(Machine):
    keep_dirs = True


class RememberingMachine(Machine):
    """Nobody else changes the bucket, so that whatever is remembered must be right."""

    prefixes = ("p/",)
    ttl = "indefinite"


class RememberingStagedMachine(RememberingMachine):
    staged = True


def _case(machine: type[Machine]) -> Any:
    case = pytest.mark.slow(machine.TestCase)
    case.settings = _SETTINGS
    return case


TestSequential = _case(Machine)
TestStaged = _case(StagedMachine)
TestMarkers = _case(MarkersMachine)
TestRemembering = _case(RememberingMachine)
TestRememberingStaged = _case(RememberingStagedMachine)
