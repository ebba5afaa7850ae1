"""``shutil.copytree`` copies many files at once, and brings what shutil brings one after another."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import SteppedClock
from tests.forks import in_child
from vfsmount import CloudBucketMount
from vfsmount.errors import PermissionDenied, Unavailable
from vfsmount.session import activate_stores
from vfsmount.shim import copytree as parallel
from vfsmount.testing import CountingStore, FaultyStore, MemoryStore

pytestmark = pytest.mark.usefixtures("collected")

POINT = "/vfs-copied"
OTHER = "/vfs-copied-too"
NAMES = [
    f"{folder}{name}"
    for folder in ("", "a/", "a/deep/", "a/deep/er/", "b c/", "z-/", "z/")
    for name in ("1.txt", "2.bin", "é ü", "new\nline", "per%20cent", "empty", ".hidden", "big")
]
OLD = 1_000_000_000
NEW = 1_500_000_000


def content(name: str) -> bytes:
    if name.endswith("empty"):
        return b""
    return name.encode() * (500 if name.endswith("big") else 1)


def fill(top: Path) -> Path:
    """The tree on the disk, with directories that are older than their files."""
    for name in NAMES:
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(name))
        os.utime(file, (OLD, OLD + len(name)))
    (top / "a" / "nothing").mkdir()
    for number, (at, _, _) in enumerate(os.walk(top, topdown=False)):
        os.chmod(at, 0o750)
        os.utime(at, (OLD, OLD + 1000 + number))
    return top


def filled() -> MemoryStore:
    store = MemoryStore(clock=SteppedClock())
    for name in NAMES:
        store.put(f"from/{name}", content(name))
    return store


def snapshot(top: str) -> dict[str, tuple[object, ...]]:
    """What is there: kind, content, mode and time."""
    found: dict[str, tuple[object, ...]] = {}
    for at, folders, files in os.walk(top):
        for name in (*folders, *files, "."):
            path = os.path.join(at, name)
            status = os.lstat(path)
            changed = status.st_mtime_ns // 10**9
            kept: tuple[object, ...] = stat.S_IMODE(status.st_mode), "now" if changed > NEW else changed
            body: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    body = file.read()
            elif stat.S_ISLNK(status.st_mode):
                kept, body = (), os.readlink(path)
            found[os.path.relpath(path, top)] = (stat.S_IFMT(status.st_mode), body, *kept)
    return found


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except shutil.Error as error:
        return type(error), [tuple(map(str, one)) for one in error.args[0]]  # some are entries of os.scandir
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
        return type(error), error.args, str(error)


def with_links(top: Path) -> None:
    os.symlink("1.txt", top / "a" / "link")
    os.symlink("nowhere", top / "a" / "dangling")
    os.symlink("deep", top / "a" / "folder")
    os.mkfifo(top / "a" / "pipe")


def denied(store: FaultyStore) -> None:
    for name in ("a/2.bin", "a/deep/er/empty", "z/new\nline"):
        store.fail("put", lambda: PermissionDenied("no"), key=f"to/{name}", times=None)
        store.fail("get_range", lambda: PermissionDenied("no"), key=f"from/{name}", times=None)


Arguments = dict[str, Any]
CASES: dict[str, Arguments] = {
    "default": {},
    "copy": {"copy_function": shutil.copy},
    "copy2": {"copy_function": shutil.copy2},
    "copyfile": {"copy_function": shutil.copyfile},
    "ignore": {"ignore": shutil.ignore_patterns("*.txt", "deep", "e*")},
    "symlinks": {"symlinks": True},
    "dangling": {"ignore_dangling_symlinks": True},
    "exists": {"existing": True},
    "dirs_exist_ok": {"existing": True, "dirs_exist_ok": True},
    "denied": {"denied": True},
    "denied, copyfile": {"denied": True, "copy_function": shutil.copyfile},
    "positional": {"positional": True},
    "a wrong argument": {"no_such": True},
}


def spoil(top: str) -> None:
    """A target that is there, with directories where files are to be, and the other way round."""
    for folder in ("", "/1.txt", "/a", "/a/empty"):
        os.mkdir(f"{top}{folder}")
    for name in ("a/1.txt", "a/deep", "z"):
        with open(f"{top}/{name}", "wb") as file:
            file.write(b"before")


RUNS = [
    *((case, ways, "ignore") for case in CASES for ways in ("disk to mount", "mount to disk")),
    *((case, ways, "ignore") for case in ("default", "denied") for ways in ("mount to mount", "disk above")),
    *((case, "within a mount", "ignore") for case in ("default", "denied, copyfile", "dirs_exist_ok")),
    *((case, ways, "error") for case in ("default", "denied") for ways in ("disk to mount", "within a mount")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "ways", "metadata"), RUNS, ids=map(", ".join, RUNS))
def test_the_same_as_one_after_another(
    case: str, ways: str, metadata: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = fill(tmp_path / "from")
    if case in ("default", "symlinks", "dangling"):
        with_links(disk)
    found = [
        attempt(dict(CASES[case]), ways, metadata, tmp_path, one_after_another, monkeypatch)
        for one_after_another in (True, False)
    ]
    assert found[0][:2] == found[1][:2]
    assert found[1][2] <= found[0][2]  # in turn, some files are read ahead for nothing
    if case == "default" and metadata == "ignore" and ways in ("mount to disk", "within a mount"):
        assert isinstance(found[1][0], str)  # it did succeed
        assert len(found[1][1]) > len(NAMES)


def attempt(
    arguments: Arguments, ways: str, metadata: Any, tmp_path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> tuple[object, dict[str, tuple[object, ...]], Counter[str]]:
    sources, targets = FaultyStore(filled()), FaultyStore(MemoryStore())
    counted = CountingStore(sources), CountingStore(targets)
    mount = CloudBucketMount("b", metadata_ttl="indefinite", metadata_ops=metadata, allow_overwrite=True)
    disk, copied = tmp_path / "from", tmp_path / "to"
    shutil.rmtree(copied, ignore_errors=True)
    source = {"disk to mount": str(disk), "disk above": str(disk)}.get(ways, f"{POINT}/from")
    target = {"disk to mount": f"{OTHER}/to", "mount to mount": f"{OTHER}/to", "within a mount": f"{POINT}/to"}.get(
        ways, str(copied)
    )
    points = {POINT: (mount, counted[0]), OTHER: (mount, counted[1])}
    if ways == "disk above":
        (disk / "b c" / "mounted").mkdir(exist_ok=True)
        os.utime(disk / "b c", (OLD, OLD))
        points[str(disk / "b c" / "mounted")] = (mount, FaultyStore(filled()))
    with activate_stores(points):
        if arguments.pop("existing", False):
            spoil(target)
        if arguments.pop("denied", False):
            denied(sources)
            denied(targets)
        positional = (False, None, shutil.copy2, False, True) if arguments.pop("positional", False) else ()
        before = sum((store.counts for store in counted), Counter())
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr(parallel, "_is_as_known", lambda *_: False)
            result = outcome(lambda: shutil.copytree(source, target, *positional, **arguments))
        requests = sum((store.counts for store in counted), Counter()) - before
        sources.heal()
        targets.heal()
        assert not copying()
        return result, snapshot(target) if os.path.isdir(target) else {}, requests


def copying() -> list[threading.Thread]:
    """The threads that copy now; one that Ctrl-C met while it was being started is given time to end."""
    found = [thread for thread in threading.enumerate() if thread.name.startswith("vfsmount-copy")]
    for thread in found:
        thread.join(10)
    return [thread for thread in found if thread.is_alive()]


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(filled())


@pytest.fixture
def mounted(store: FaultyStore) -> Iterator[FaultyStore]:
    with activate_stores({POINT: (CloudBucketMount("b", metadata_ttl="indefinite", metadata_ops="ignore"), store)}):
        yield store
    assert not copying()


@pytest.mark.parametrize("arguments", [{}, {"copy_function": shutil.copyfile}])
def test_uploads_overlap(mounted: FaultyStore, tmp_path: Path, arguments: Arguments) -> None:
    together = threading.Barrier(parallel.THREADS, timeout=20)
    for number in range(2 * parallel.THREADS):  # of several directories
        file = tmp_path / "many" / str(number % 5) / str(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    shutil.copytree(tmp_path / "many" / "0", f"{POINT}/first", **arguments)  # while something is imported, none do
    mounted.before("put", together.wait, times=None)
    assert shutil.copytree(tmp_path / "many", f"{POINT}/many", **arguments) == f"{POINT}/many"
    assert not together.broken
    assert sum(len(files) for _, _, files in os.walk(f"{POINT}/many")) == 2 * parallel.THREADS


def test_downloads_overlap(mounted: FaultyStore, tmp_path: Path) -> None:
    shutil.copytree(f"{POINT}/from/z", tmp_path / "first")  # while something is imported, none do
    together = threading.Barrier(parallel.THREADS, timeout=20)
    mounted.before("get_range", together.wait, times=3 * parallel.THREADS)
    assert len(NAMES) >= 3 * parallel.THREADS
    shutil.copytree(f"{POINT}/from", tmp_path / "to")
    assert not together.broken
    assert {name: (tmp_path / "to" / name).read_bytes() for name in NAMES} == {name: content(name) for name in NAMES}


@pytest.mark.parametrize("kind", [str, os.fsencode, Path, lambda path: f"{path}/"], ids=["str", "bytes", "Path", "/"])
def test_every_kind_of_path(mounted: FaultyStore, tmp_path: Path, kind: Callable[[str], Any]) -> None:
    denied(mounted)
    source, target = kind(f"{POINT}/from"), kind(str(tmp_path / "to"))
    with pytest.raises(shutil.Error) as found:
        shutil.copytree(source, target)
    assert [(error[0], error[1]) for error in found.value.args[0]] == [
        (os.path.join(source, *map(os.fsencode if isinstance(source, bytes) else str, name)),
         os.path.join(target, *map(os.fsencode if isinstance(source, bytes) else str, name)))
        for name in (("a", "2.bin"), ("a", "deep", "er", "empty"), ("z", "new\nline"))
    ]  # fmt: skip


def test_onto_itself(mounted: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(lambda: shutil.copytree(f"{POINT}/from", f"{POINT}/from", dirs_exist_ok=True))
    monkeypatch.setattr(parallel, "_is_as_known", lambda *_: False)
    assert found == outcome(lambda: shutil.copytree(f"{POINT}/from", f"{POINT}/from", dirs_exist_ok=True))


def test_a_read_only_mount(tmp_path: Path) -> None:
    disk = fill(tmp_path / "from")
    with activate_stores({POINT: (CloudBucketMount("b", read_only=True), filled())}):
        with pytest.raises(OSError, match="Read-only file system"):
            shutil.copytree(disk, f"{POINT}/to")
        shutil.copytree(f"{POINT}/from", tmp_path / "to")
    assert (tmp_path / "to" / "a" / "1.txt").read_bytes() == b"a/1.txt"


def test_what_callers_bring_runs_in_their_thread_and_in_order(
    mounted: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, seen = threading.get_ident(), list[str]()
    original = shutil.copyfile

    def noting(source: Any, target: Any, **more: Any) -> Any:
        assert threading.get_ident() == caller
        seen.append(os.path.relpath(os.fspath(source), f"{POINT}/from"))
        return original(source, target, **more)

    def ignore(folder: str, names: list[str]) -> list[str]:
        assert threading.get_ident() == caller
        return [name for name in names if name != "1.txt" and "." in name]

    shutil.copytree(f"{POINT}/from", tmp_path / "one", copy_function=noting)
    assert sorted(seen) == sorted(NAMES)
    shutil.copytree(f"{POINT}/from", tmp_path / "two", ignore=ignore)
    assert not (tmp_path / "two" / "a" / "2.bin").exists()
    seen.clear()
    monkeypatch.setattr(shutil, "copyfile", noting)
    shutil.copytree(f"{POINT}/from", tmp_path / "three")
    assert sorted(seen) == sorted(NAMES)


class Bug(Exception):
    """Of a callback."""


def test_what_shutil_lets_through_ends_it(mounted: FaultyStore, tmp_path: Path) -> None:
    def bug() -> None:
        raise Bug

    fault = mounted.before("get_range", bug, nth=2)
    with pytest.raises(Bug):
        shutil.copytree(f"{POINT}/from", tmp_path / "to")
    assert fault.fired == 1
    assert not copying()

    def ignore(folder: str, names: list[str]) -> list[str]:
        if folder.endswith("er"):
            raise Bug
        return []

    with pytest.raises(Bug):
        shutil.copytree(f"{POINT}/from", tmp_path / "too", ignore=ignore)
    assert not copying()
    for name in NAMES:  # what was begun is whole
        file = tmp_path / "too" / name
        assert not file.exists() or file.read_bytes() == content(name)


def test_an_error_of_the_store_stops_nothing_else(mounted: FaultyStore, tmp_path: Path) -> None:
    mounted.fail("get_range", Unavailable("no"), key="from/1.txt", times=None)
    with pytest.raises(shutil.Error) as found:
        shutil.copytree(f"{POINT}/from", tmp_path / "to")
    assert [error[0] for error in found.value.args[0]] == [f"{POINT}/from/1.txt"]
    assert found.value.__context__ is None
    assert (tmp_path / "to" / "z" / "big").read_bytes() == content("z/big")


def test_ctrl_c_waits_for_what_runs_and_begins_nothing_more(mounted: FaultyStore, tmp_path: Path) -> None:
    for number in range(200):
        file = tmp_path / "many" / str(number)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * number)
    hold = mounted.hold("put", timeout=30)
    interrupted = threading.Event()

    def on_interrupt(number: int, frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def interrupt() -> None:
        hold.wait_arrived(20)
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait(20)
        hold.release()

    before = signal.signal(signal.SIGINT, on_interrupt)
    helper = threading.Thread(target=interrupt)
    try:
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            shutil.copytree(tmp_path / "many", f"{POINT}/many")
    finally:
        helper.join(30)
        signal.signal(signal.SIGINT, before)
    assert not copying()
    made = mounted.inner.list_page("many/").objects
    assert 1 <= len(made) <= 2 * parallel.THREADS
    assert all(meta.size == int(meta.key.rpartition("/")[2]) for meta in made)


def test_forks_after_and_in_between(mounted: FaultyStore, tmp_path: Path) -> None:
    shutil.copytree(f"{POINT}/from", tmp_path / "parent")
    in_child(lambda: shutil.copytree(f"{POINT}/from", tmp_path / "child"))
    assert (tmp_path / "child" / "z" / "big").read_bytes() == content("z/big")

    mine = os.getpid()
    children: list[int] = []

    def ignore(folder: str, names: list[str]) -> list[str]:
        if folder.endswith("deep") and os.getpid() == mine:
            child = os.fork()
            if child == 0:
                signal.alarm(30)  # it dies where it hangs
            else:
                children.append(child)
        return []

    try:
        shutil.copytree(f"{POINT}/from", tmp_path / "both", ignore=ignore, dirs_exist_ok=True)
    finally:
        if os.getpid() != mine:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
    assert (tmp_path / "both" / "z" / "big").read_bytes() == content("z/big")


@pytest.mark.slow
def test_the_memory_limit_holds(tmp_path: Path) -> None:
    size = 12 << 20
    for number in range(6):
        file = tmp_path / "large" / str(number)
        file.parent.mkdir(exist_ok=True)
        with file.open("wb") as made:
            made.truncate(size)
    code = f"""
import os, shutil
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore
store = CountingStore(MemoryStore())
mount = CloudBucketMount("b", metadata_ops="ignore")
with activate_stores({{"{POINT}": (mount, store)}}, memory_limit=40 << 20) as session:
    shutil.copytree({str(tmp_path / "large")!r}, "{POINT}/large")
    shutil.copytree("{POINT}/large", {str(tmp_path / "back")!r})
    assert session._budget.peak <= 40 << 20, session._budget.peak
    assert store.counts["create_multipart"] == store.counts["complete"] == 6
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert [file.stat().st_size for file in (tmp_path / "back").iterdir()] == [size] * 6


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes from 3.11 on")
def test_the_error_has_each_reason_once(tmp_path: Path) -> None:
    disk = fill(tmp_path / "from")
    with activate_stores({POINT: (CloudBucketMount("b"), MemoryStore())}):
        with pytest.raises(shutil.Error) as caught:
            shutil.copytree(disk, f"{POINT}/to")
        with pytest.raises(shutil.Error) as of_a_directory:
            shutil.copytree(disk, f"{POINT}/again", copy_function=shutil.copyfile)
    for error in (caught, of_a_directory):
        assert any('metadata_ops="ignore"' in note for note in error.value.__notes__)
        assert len(error.value.__notes__) == len(set(error.value.__notes__)) <= 2


def test_requests_count_for_the_caller(tmp_path: Path) -> None:
    disk = fill(tmp_path / "from")
    with activate_stores({POINT: (CloudBucketMount("b", metadata_ops="ignore"), MemoryStore())}) as session:
        shutil.copytree(disk, f"{POINT}/to")
        callers = session.stats(by="caller")
    assert [name.rpartition(":")[0] for name, usage in callers.items() if usage.bytes_sent] == [__file__]


def test_a_small_file_costs_one_put(tmp_path: Path) -> None:
    disk = fill(tmp_path / "from")
    store = CountingStore(MemoryStore())
    with activate_stores({POINT: (CloudBucketMount("b", metadata_ops="ignore"), store)}):
        shutil.copytree(disk, f"{POINT}/to")
    assert sorted(call.key for call in store.calls if call.verb == "put") == sorted(f"to/{name}" for name in NAMES)
    assert store.bytes_written == sum(len(content(name)) for name in NAMES)
    assert store.counts["get_range"] == store.counts["create_multipart"] == 0
