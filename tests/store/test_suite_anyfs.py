"""The suite on fsspec file systems that are no object stores: memory and the local disk."""

from __future__ import annotations

import gc
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from tests.store.quirks import LOCAL, PATHS
from vfsmount.errors import StoreError
from vfsmount.store import anyfs_store
from vfsmount.store.anyfs_store import AnyFsStore
from vfsmount.store.options import StoreOptions
from vfsmount.store.spool import SpooledFile
from vfsmount.testing import StoreSuite


class Directory:
    """A local directory, through the operating system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes) -> None:
        path = self.root / key
        if key.endswith("/"):
            path.mkdir(parents=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name("fresh")
        fresh.write_bytes(data)
        fresh.replace(path)

    def get(self, key: str) -> bytes | None:
        path = Path(f"{self.root}/{key}")
        if path.is_dir():
            return b"" if key.endswith("/") else None
        return path.read_bytes() if path.is_file() else None

    def delete(self, key: str) -> None:
        (self.root / key).unlink()

    def uploads(self) -> list[str]:
        return [str(path) for path in self.root.rglob("*") if ".vfsmount-" in path.name]


class MemoryFiles:
    """fsspec's memory file system, through its own global store."""

    def __init__(self, root: str) -> None:
        import fsspec

        self.root = root
        self.fs = fsspec.filesystem("memory")

    def put(self, key: str, data: bytes) -> None:
        if key.endswith("/"):
            self.fs.makedirs(f"{self.root}/{key}")
        else:
            self.fs.pipe_file(f"{self.root}/{key}", data)

    def get(self, key: str) -> bytes | None:
        if key.endswith("/"):
            return b"" if self.fs.isdir(f"{self.root}/{key}") else None
        found = self.fs.store.get(f"{self.root}/{key}")
        return None if found is None else bytes(found.getvalue())

    def delete(self, key: str) -> None:
        self.fs.rm_file(f"{self.root}/{key}")

    def uploads(self) -> list[str]:
        return []


class TestLocalDirectory(StoreSuite):
    quirks = LOCAL
    departures = frozenset(
        {"directories stay", "markers of empty directories only", "no file beside a directory of its name"}
    )

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Iterator[Directory]:
        yield Directory(tmp_path)
        shutil.rmtree(tmp_path)

    @pytest.fixture
    def store(self, raw: Directory) -> AnyFsStore:
        return AnyFsStore(StoreOptions("fsspec", "local", url=f"file://{raw.root}"))


class TestMemoryFileSystem(StoreSuite):
    quirks = PATHS
    departures = frozenset({"markers of empty directories only", "no file beside a directory of its name"})

    @pytest.fixture
    def raw(self) -> Iterator[MemoryFiles]:
        files = MemoryFiles(f"/{uuid.uuid4().hex}")
        yield files
        if files.fs.exists(files.root):
            files.fs.rm(files.root, recursive=True)

    @pytest.fixture
    def store(self, raw: MemoryFiles) -> AnyFsStore:
        return AnyFsStore(StoreOptions("fsspec", "memory", url=f"memory:/{raw.root}"))


def test_a_spool_that_cannot_be_made_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    store = AnyFsStore(StoreOptions("fsspec", "local", url=f"file://{tmp_path}"))
    with pytest.raises(StoreError, match="cannot spool") as caught:
        store.create_multipart("k")
    assert caught.value.key == "k"


class Buffered(AbstractFileSystem):  # type: ignore[misc]
    """As file systems over HTTP are: what was written is published when the file is closed, by whatever reason."""

    protocol = "buffered"
    published: ClassVar[dict[str, bytes]] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        return BufferedFile(self, path, mode, **options)


class BufferedFile(AbstractBufferedFile):  # type: ignore[misc]
    def _initiate_upload(self) -> None:
        self.whole = b""

    def _upload_chunk(self, final: bool = False) -> bool:
        self.whole += self.buffer.getvalue()
        if final:
            Buffered.published[self.path] = self.whole
        return True


def test_an_upload_that_breaks_off_publishes_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("buffered", Buffered, clobber=True)
    monkeypatch.setattr(anyfs_store, "SEND_CHUNK", 10)
    monkeypatch.setattr(Buffered, "info", lambda _, path: {"name": path, "type": "file", "size": 40})
    store = AnyFsStore(StoreOptions("fsspec", "b", url="buffered://b"))
    for broken in (False, True):
        upload = store.create_multipart("k")
        upload.put_part(1, b"p" * 40)
        if broken:
            pread = SpooledFile.pread

            def breaks(file: SpooledFile, size: int, offset: int, pread: Any = pread) -> bytes:
                if offset:
                    raise KeyboardInterrupt
                return bytes(pread(file, size, offset))

            monkeypatch.setattr(SpooledFile, "pread", breaks)
            with pytest.raises(KeyboardInterrupt):
                upload.complete()
            gc.collect()
        else:
            upload.complete()
        assert [*Buffered.published.values()] == [b"p" * 40]
