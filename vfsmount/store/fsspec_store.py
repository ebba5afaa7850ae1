"""Everything that fsspec reaches: S3 through s3fs, Google through gcsfs, and any other file system."""

from __future__ import annotations

from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import Store


def open_fsspec(options: StoreOptions, *, direct: bool = False) -> Store:
    """The fsspec adapter for this kind of bucket; costs no request. ``direct``: see :class:`S3fsStore`."""
    if options.kind == "s3":
        from vfsmount.store.s3fs_store import S3fsStore

        return S3fsStore(options, direct=direct)
    if options.kind == "gs":
        from vfsmount.store.gcsfs_store import GcsfsStore

        return GcsfsStore(options)
    if options.kind == "fsspec":
        from vfsmount.store.anyfs_store import AnyFsStore

        return AnyFsStore(options)
    raise ValueError(f"kind {options.kind!r} is no fsspec file system")


FsspecStore = open_fsspec
"""The same by the name of what it makes."""
