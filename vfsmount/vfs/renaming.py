"""Rename, which a bucket does not have: copies on the server's side, then deletes. Only with ``allow_rename``."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol

from vfsmount.clock import FOREVER, Clock
from vfsmount.errors import NotFound, StoreError, from_store, os_error
from vfsmount.model import Attr, ObjectMeta
from vfsmount.store.protocol import PutAttributes, Store
from vfsmount.transfer.pool import Submit
from vfsmount.vfs import policy
from vfsmount.vfs.attrs import AttrCache
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of, parent_of, prefix_of
from vfsmount.vfs.options import FsOptions
from vfsmount.vfs.policy import Node

TREE_LIMIT: Final = 1000
"""Keys in a directory that can be renamed: one page of a listing. It is not atomic, so it should not take long."""


MARKER: Final = PutAttributes(content_type="application/x-directory")
"""Of the empty object whose key is a directory's and ends in a slash."""


class _NodeAt(Protocol):
    def __call__(self, path: str, display: str, *, fresh: bool = True) -> tuple[Node, Attr | None]: ...


class Renamer:
    """Renames files of any size and directories of up to 1000 keys, inside one mount."""

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        node_at: _NodeAt,
        local: LocalState,
        cache: AttrCache,
        lookup: Lookup,
        submit: Submit,
        clock: Clock,
    ) -> None:
        self._store: Final = store
        self._options: Final = options
        self._node_at: Final = node_at
        self._local: Final = local
        self._cache: Final = cache
        self._lookup: Final = lookup
        self._submit: Final = submit
        self._clock: Final = clock

    def rename(self, source: str, target: str, display: str, display2: str) -> None:
        """A file: one copy and one delete besides the look-ups, and another client's change in between is ESTALE.

        A directory: one copy for each key, and one delete for each thousand. Where a copy fails, what was copied is
        deleted again and the source is whole; where a delete fails, both exist and the error says so.

        Raises ENOSYS (no ``allow_rename``), EPERM (being written; no ``allow_delete``), EEXIST (no
        ``allow_overwrite``), ENOTEMPTY, EISDIR, ENOTDIR, ENOENT, EINVAL (into itself), EROFS, EXDEV (a directory of
        more keys, so that ``shutil.move`` copies it).
        """
        node, attr = self._node_at(source, display)
        if source == target and node is not Node.MISSING:
            return
        self._refuse(policy.rename_source(node, self._options), display, display2)
        if node is Node.DIRECTORY and target.startswith(f"{source}/"):
            raise os_error(errno.EINVAL, display, display2)
        self._lookup.check(target, display2)
        target_node, target_attr = self._node_at(target, display2)
        self._refuse(policy.rename_target(node, target_node, self._options), display, display2)
        if target_node is Node.MISSING:
            self._lookup.require_directory(parent_of(target), display2)
        try:
            if node is Node.DIRECTORY:
                self._directory(source, target, display, display2, replacing=target_node is Node.DIRECTORY)
            elif node is Node.WRITING:
                self._open_file(source, target, display2, target_attr)
            else:
                self._file(source, target, attr)
        except StoreError as error:
            failed = from_store(error, display)
            failed.filename2 = display2
            raise failed from error
        finally:
            trees = Node.DIRECTORY in (node, target_node)
            for path in (source, target):
                (self._cache.drop_below if trees else self._cache.drop)(path)
        self._local.forget_readers(source)
        self._local.forget_readers(target)
        if (moved := self._local.staged(target)) is not None:
            with contextlib.suppress(PermissionError):  # whoever has open what was there goes on with that
                moved.hold = self._local.sharing.begin(target, display2, writing=True)
        self._local.keep_ancestors(source, self._clock.time_ns())

    def _file(self, source: str, target: str, attr: Attr | None) -> None:
        self._replace_open_target(target)
        self._store.copy(
            self._key(source),
            self._key(target),
            if_match=attr.etag if attr else None,
            if_none_match=not self._options.allow_overwrite and self._store.traits.conditional_put,
        )
        self._store.delete(self._key(source))
        self._local.committed(target)

    def _open_file(self, source: str, target: str, display2: str, target_attr: Attr | None) -> None:
        """A staged file that is open: its handles go along, and what they have written is published under the new
        name.
        """
        staged = self._local.join_staged(source)
        if staged is None:  # closed since it was looked at
            self._file(source, target, None)
            return
        try:
            self._replace_open_target(target)
            staged.move(target, display2, self._present(target, target_attr))
            self._local.move_staged(source, target, staged)
            staged.fsync()
            self._store.delete(self._key(source))
        finally:
            if self._local.leave_staged(staged):
                staged.close()

    def _present(self, path: str, attr: Attr | None) -> ObjectMeta | None:
        """The object that will be replaced; asks for it where it is open here, or missing."""
        if attr is not None:
            return ObjectMeta(self._key(path), attr.size, attr.mtime_ns, attr.etag)
        try:
            return self._store.head(self._key(path))
        except NotFound:
            return None

    def _replace_open_target(self, target: str) -> None:
        """Handles of a staged file that is replaced go on with what they have, and publish nothing."""
        staged = self._local.staged(target)
        if staged is not None:
            staged.detach()
            self._local.drop_staged(target, staged)

    def _directory(self, source: str, target: str, display: str, display2: str, *, replacing: bool) -> None:
        if self._local.files_below(source):
            raise os_error(errno.EPERM, display, display2, hint="a file below it is being written; close that first")
        if replacing and not self._is_empty(target):
            raise os_error(errno.ENOTEMPTY, display, display2)
        prefix, prefix2 = prefix_of(self._options.key_prefix, source), prefix_of(self._options.key_prefix, target)
        page = self._store.list_page(prefix, delimiter=False, limit=TREE_LIMIT + 1)
        if page.token is not None or len(page.objects) > TREE_LIMIT:
            raise os_error(
                errno.EXDEV,
                display,
                display2,
                hint=f"a directory of over {TREE_LIMIT} keys is not renamed; move its files",
            )
        moves = [(meta, prefix2 + meta.key[len(prefix) :]) for meta in page.objects]
        copies = [self._submit(self._copying(meta, key)) for meta, key in moves]
        failure = _first_failure(copies)
        if failure is not None:
            self._store.delete_many([key for (_, key), copy in zip(moves, copies, strict=True) if not copy.exception()])
            raise failure
        if moves:
            self._store.delete_many([meta.key for meta, _ in moves])
            self._local.committed(f"{target}/.")
        self._local.move_directories(source, target, self._clock.time_ns() if not moves else None)

    def _copying(self, meta: ObjectMeta, key: str) -> Callable[[], ObjectMeta]:
        if meta.key.endswith("/") and meta.size == 0:  # a marker; SeaweedFS lists it and cannot copy it
            return lambda: self._store.put(key, b"", attributes=MARKER)
        return lambda: self._store.copy(meta.key, key, if_match=meta.etag)

    def _is_empty(self, path: str) -> bool:
        if self._local.anything_below(path):
            return False
        prefix = prefix_of(self._options.key_prefix, path)
        page = self._store.list_page(prefix, delimiter=False, limit=2)
        return not page.prefixes and all(meta.key == prefix for meta in page.objects)

    def _key(self, path: str) -> str:
        return key_of(self._options.key_prefix, path)

    def _refuse(self, refusal: policy.Refusal | None, display: str, display2: str) -> None:
        if refusal is not None:
            raise os_error(refusal.number, display, display2, hint=refusal.hint)


def _first_failure(copies: list[Future[ObjectMeta]]) -> BaseException | None:
    """After all have ended."""
    failures = [copy.exception(FOREVER) for copy in copies]
    return next((failure for failure in failures if failure is not None), None)
