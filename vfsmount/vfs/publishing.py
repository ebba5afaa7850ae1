"""How what was written becomes an object, and what that changes here."""

from __future__ import annotations

from typing import Final

from vfsmount import real
from vfsmount.clock import Clock
from vfsmount.model import Attr, ObjectMeta
from vfsmount.store.protocol import PutAttributes, Store
from vfsmount.transfer.budget import Budget
from vfsmount.transfer.pool import Submit
from vfsmount.transfer.spool import SpoolFile
from vfsmount.transfer.uploader import Condition, Uploader
from vfsmount.vfs.attrs import Appearance, AttrCache
from vfsmount.vfs.local import LocalState
from vfsmount.vfs.lookup import Lookup
from vfsmount.vfs.namespace import key_of
from vfsmount.vfs.options import FsOptions
from vfsmount.vfs.staged import StagedNode


class Publisher:
    """Of one mount; for staged nodes all that they ask for (``StagedHost``)."""

    def __init__(
        self,
        store: Store,
        options: FsOptions,
        local: LocalState,
        cache: AttrCache,
        lookup: Lookup,
        appearance: Appearance,
        *,
        submit: Submit,
        budget: Budget,
        clock: Clock,
    ) -> None:
        self._store: Final = store
        self._options: Final = options
        self._local: Final = local
        self._cache: Final = cache
        self._lookup: Final = lookup
        self._appearance: Final = appearance
        self._submit: Final = submit
        self._budget: Final = budget
        self._clock: Final = clock

    def load(self, spool: SpoolFile, base: ObjectMeta) -> None:
        spool.fill(self._store, base, self._submit)

    def attr(self, path: str, size: int, mtime_ns: int, etag: str | None) -> Attr:
        return self._appearance.writing(path, size, mtime_ns, etag)

    def now_ns(self) -> int:
        return self._clock.time_ns()

    def committed(self, path: str, meta: ObjectMeta) -> None:
        self._local.committed(path)
        self._cache.drop(path)
        self._lookup.remember_above(path)

    def released(self, node: StagedNode) -> None:
        if self._local.leave_staged(node):
            self._local.sharing.end(node.hold)
            node.close()
        self._cache.drop(node.path)

    def upload(self, path: str, condition: Condition) -> Uploader:
        """An upload to the key of ``path``, under ``condition`` where the store can hold it."""
        if not self._store.traits.conditional_put:
            condition = Condition()
        return Uploader(
            self._store,
            key_of(self._options.key_prefix, path),
            attributes=PutAttributes(content_type=content_type(path)),
            part_size=max(self._options.part_size, self._store.traits.min_part_size),
            submit=self._submit,
            budget=self._budget,
            condition=condition,
        )


def content_type(path: str) -> str | None:
    """The MIME type that the name suggests."""
    import mimetypes  # reads the system's tables at first use, so not before the first write

    with real.passthrough():
        return mimetypes.guess_type(path.rpartition("/")[2])[0]
