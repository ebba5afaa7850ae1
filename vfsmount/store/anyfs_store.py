"""Any fsspec file system (memory, file, sftp, hf ...) as a store, through the generic interface.

What such a file system cannot promise, the traits say: no conditional write. A key is a path below the root, so keys
that a path cannot be (empty, ``.`` and ``..`` segments) are refused; a directory that is empty shows as a marker.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.errors import AlreadyExists, Corrupt, InvalidKey, NotFound, NotSupported, PreconditionFailed, StoreError
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.store import ordering
from vfsmount.store.anyfs_errors import translate
from vfsmount.store.anyfs_info import modified_ns, tag_of
from vfsmount.store.memory import check_key
from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import GetResult, Multipart, PutAttributes, StoreTraits
from vfsmount.store.spool import SpooledFile, SpooledMultipart

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview

SEND_CHUNK: Final = 8 << 20
"""Bytes written at a time when a spooled upload goes out."""

_SPOOLED: Final = ".vfsmount-"
"""In the names of files that are being written; hidden from listings."""

LOCAL: Final = frozenset({"file", "local"})
"""Protocols on which a rename replaces atomically, so that a write is whole or not there."""


class AnyFsStore:
    """A directory of a file system, as a bucket."""

    def __init__(self, options: StoreOptions) -> None:
        if options.url is None:
            raise ValueError("url: needed for a bucket of kind 'fsspec'")
        self._options = options
        self._url: str = options.url
        self._bucket = options.bucket
        self._lock = RequestLock()
        self._pid = real.getpid()
        self._filesystem: Any = None
        self._root = ""
        # What a parent process left here: kept alive, because collecting it would touch the parent's sockets.
        self._inherited: list[object] = []
        self._traits = StoreTraits(
            ordered_list=True,  # sorted here, after the whole directory has come
            flat_list=False,  # directory by directory, and all of them before the first key is told
            conditional_put=False,
            server_copy=False,
            min_part_size=1,
            max_copy_size=5 << 40,
            max_put_size=5 << 40,
        )

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def traits(self) -> StoreTraits:
        return self._traits

    # -- reading

    def head(self, key: str) -> ObjectMeta:
        path = self._path("head", key)
        return self._run("head", key, lambda: self._info(key, path))

    def get_range(self, key: str, start: int, end: int, *, if_match: str | None = None) -> GetResult:
        path = self._path("get", key)

        def get() -> GetResult:
            before = self._info(key, path)
            self._require(before, if_match)
            stop = min(end, before.size)
            if start >= stop:
                return GetResult(before, b"")
            data = bytes(self._connected().cat_file(path, start=start, end=stop))
            # There is no condition to send, so whether it was one version all along is seen afterwards.
            after = self._info(key, path)
            if after != before:
                raise self._error(PreconditionFailed, "the file changed while it was read", "get", key)
            if len(data) != stop - start:
                raise self._error(Corrupt, f"{len(data)} bytes came of {stop - start}", "get", key)
            return GetResult(before, data)

        return self._run("get", key, get)

    def list_page(
        self,
        prefix: str,
        *,
        delimiter: bool = True,
        token: str | None = None,
        start_after: str | None = None,
        limit: int = 1000,
    ) -> ListPage:
        def list_all() -> ListPage:
            found = self._list(prefix, recursive=not delimiter)
            # All at once: a second page would list the directory a second time.
            page = ordering.page(
                sorted(found), prefix, delimiter=delimiter, start_after=start_after, limit=len(found) + 1
            )
            objects = tuple(meta for key in page.keys if (meta := found[key]) is not None)
            return ListPage(objects, page.prefixes, page.token)

        return self._run("list", prefix, list_all)

    # -- writing

    def put(
        self,
        key: str,
        data: Buffer,
        *,
        attributes: PutAttributes | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> ObjectMeta:
        path = self._path("put", key)
        if if_match is not None or if_none_match:
            raise self._error(NotSupported, "conditional put", "put", key)
        body = data if isinstance(data, bytes) else bytes(data)
        if key.endswith("/"):
            return self._run("put", key, lambda: self._mark(key, path, body))
        return self._run("put", key, lambda: self._write(key, path, lambda target: self._pipe(target, body)))

    def create_multipart(self, key: str, *, attributes: PutAttributes | None = None) -> Multipart:
        path = self._path("create_multipart", key)

        def send(file: SpooledFile, if_match: str | None, if_none_match: bool) -> ObjectMeta:
            return self._run("complete", key, lambda: self._write(key, path, lambda target: self._pour(target, file)))

        return SpooledMultipart(self._bucket, key, self._traits, send)

    def copy(self, source: str, target: str, *, if_match: str | None = None, if_none_match: bool = False) -> ObjectMeta:
        source_path, target_path = self._path("copy", source), self._path("copy", target)

        def copy() -> ObjectMeta:
            before = self._info(source, source_path)
            self._require(before, if_match)
            if if_none_match and self._connected().exists(target_path):
                raise self._error(AlreadyExists, "", "copy", target)
            return self._write(target, target_path, lambda written: self._connected().cp_file(source_path, written))

        return self._run("copy", source, copy)

    def delete(self, key: str) -> None:
        path = self._path("delete", key)

        def delete() -> None:
            try:
                if key.endswith("/"):
                    self._connected().rmdir(path)
                elif self._connected().isfile(path):
                    self._connected().rm_file(path)
            except FileNotFoundError:
                pass  # a missing one is no error

        self._run("delete", key, delete)

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.delete(key)

    def close(self) -> None:
        """The file system belongs to nobody else; letting go of it is all there is to do."""
        self._filesystem = None

    # -- inside

    def _info(self, key: str, path: str) -> ObjectMeta:
        return self._meta(key, self._connected().info(path))

    def _meta(self, key: str, info: dict[str, Any]) -> ObjectMeta:
        directory = info.get("type") == "directory"
        if directory != key.endswith("/"):
            raise self._error(NotFound, "a directory" if directory else "not a directory", "head", key)
        size = 0 if directory else int(info.get("size") or 0)
        return ObjectMeta(key, size, modified_ns(info), tag_of(info))

    def _list(self, prefix: str, *, recursive: bool) -> dict[str, ObjectMeta | None]:
        """What is below ``prefix``, by key; None stands for something below a directory that is not looked into."""
        filesystem = self._connected()
        filesystem.invalidate_cache()
        found: dict[str, ObjectMeta | None] = {}
        folders = [prefix]
        while folders:
            folder = folders.pop()
            try:
                infos = filesystem.ls((self._root + folder).rstrip("/") or "/", detail=True)
            except (FileNotFoundError, NotADirectoryError):
                continue
            names = {_leaf(info["name"]): info for info in infos}
            # Some file systems list a file as itself, and some a directory among its own content.
            here = _leaf((self._root + folder).rstrip("/"))
            if (
                len(infos) == 1
                and here in names
                and names[here].get("name", "").rstrip("/").endswith((self._root + folder).strip("/"))
            ):
                if names[here].get("type") != "directory":
                    continue
                del names[here]
            for name, info in names.items():
                key = folder + name
                if _SPOOLED in name:
                    continue
                if info.get("type") != "directory":
                    found[key] = self._meta(key, info)
                elif recursive:
                    folders.append(key + "/")
                else:
                    found[key + "/"] = None
            if folder and not names:
                found[folder] = self._info(folder, self._root + folder)  # an empty directory: a marker
        return found

    def _write(self, key: str, path: str, write: Callable[[str], object]) -> ObjectMeta:
        """Write whole or not at all where a rename replaces atomically; make missing directories."""
        filesystem = self._connected()
        local = self._is_local()
        target = f"{path}{_SPOOLED}{uuid.uuid4().hex}" if local else path
        try:
            try:
                write(target)
            except FileNotFoundError:
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                write(target)
            if local:
                real.replace(target, path)
        except (NotADirectoryError, FileExistsError) as error:
            raise self._error(InvalidKey, f"a file is in the way: {error}", "put", key) from error
        except BaseException:
            if local and filesystem.exists(target):
                filesystem.rm_file(target)
            raise
        return self._info(key, path)

    def _pipe(self, path: str, body: bytes) -> None:
        self._connected().pipe_file(path, body)

    def _mark(self, key: str, path: str, body: bytes) -> ObjectMeta:
        if body:
            raise self._error(InvalidKey, "a directory has no content", "put", key)
        self._connected().makedirs(path.rstrip("/"), exist_ok=True)
        return self._info(key, path)

    def _pour(self, path: str, file: SpooledFile) -> None:
        sink = self._connected().open(path, "wb")
        try:
            offset = 0
            while offset < file.size:
                chunk = file.pread(SEND_CHUNK, offset)
                sink.write(chunk)
                offset += len(chunk)
        except BaseException:
            _discard(sink)
            raise
        finally:
            sink.close()

    def _path(self, operation: str, key: str) -> str:
        check_key(key, operation=operation, bucket=self._bucket)
        segments = key.removesuffix("/").split("/")
        if any(segment in ("", ".", "..") or "\0" in segment or _SPOOLED in segment for segment in segments):
            raise self._error(InvalidKey, "a path cannot be named so", operation, key)
        self._run(operation, key, self._connected)
        return self._root + key

    def _require(self, meta: ObjectMeta, if_match: str | None) -> None:
        if if_match is not None and meta.etag != if_match:
            raise self._error(PreconditionFailed, "the file was replaced", "get", meta.key)

    def _is_local(self) -> bool:
        protocol = self._filesystem.protocol
        return bool(LOCAL.intersection([protocol] if isinstance(protocol, str) else protocol))

    def _connected(self) -> Any:
        if self._pid != real.getpid():
            self._inherited.append((self._filesystem, self._lock))
            self._filesystem, self._lock, self._pid = None, RequestLock(), real.getpid()
        if self._filesystem is None:
            with self._lock, real.passthrough():
                if self._filesystem is None:
                    import fsspec

                    filesystem, root = fsspec.core.url_to_fs(
                        self._url, skip_instance_cache=True, use_listings_cache=False, **self._options.storage_options
                    )
                    self._root = root.rstrip("/") + "/"
                    self._filesystem = filesystem
        return self._filesystem

    def _run(self, operation: str, key: str | None, work: Callable[[], T]) -> T:
        try:
            with real.passthrough():  # the local file system of fsspec calls os.stat and its like
                return work()
        except StoreError as error:
            error.operation, error.bucket = operation, self._bucket
            raise
        # There are dozens of such file systems, and nothing says what they raise; this is where it ends.
        except Exception as error:
            raise translate(error, operation=operation, bucket=self._bucket, key=key) from error

    def _error(self, cls: type[StoreError], detail: str, operation: str, key: str) -> StoreError:
        return cls(detail, operation=operation, bucket=self._bucket, key=key)


def _discard(sink: Any) -> None:
    """Keep ``sink`` from publishing, when it is closed or collected, a part of what it was to have."""
    if isinstance(sink, io.IOBase) and hasattr(sink, "discard"):  # fsspec's AbstractBufferedFile, and what is like it
        with contextlib.suppress(Exception):
            sink.discard()
        with contextlib.suppress(AttributeError):
            sink.closed = True  # type: ignore[misc]


def _leaf(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
