"""The one place that chooses a store for its options."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vfsmount.store.options import StoreOptions
from vfsmount.store.protocol import Store

MARKER_CHECKS: Final = 8
"""HEADs spent on telling markers from files in one page before the second client lists it: about what that costs."""


def open_store(options: StoreOptions) -> Store:
    """A store for ``options``; costs no request, and imports only the client that it will use.

    Raises NotSupported where the chosen engine cannot honour an option.
    """
    if options.kind == "memory":
        from vfsmount.store.memory import MemoryStore

        return MemoryStore(options.bucket)
    if options.kind == "fsspec" or options.engine == "fsspec":
        return _fsspec(options)
    from vfsmount.store import obstore_client
    from vfsmount.store.obstore_store import ObstoreStore

    if options.engine == "obstore":
        return ObstoreStore(options)
    if obstore_client.unsupported(options) is not None or _emulates_google(options):
        return _fsspec(options)
    from vfsmount.store.fallback import FallbackStore

    primary = ObstoreStore(options, max_checks=MARKER_CHECKS)
    # Google's two interfaces spell ETags differently: obstore speaks XML, gcsfs JSON.
    return FallbackStore(
        primary, lambda: _fsspec(_settled(options, primary.region), direct=True), same_etags=options.kind != "gs"
    )


def _emulates_google(options: StoreOptions) -> bool:
    """Emulators (fake-gcs-server) take no XML uploads and ignore ``start-after``, so obstore is no use to them."""
    return options.kind == "gs" and (options.endpoint_url or "").startswith("http:")


def _settled(options: StoreOptions, region: str | None) -> StoreOptions:
    """``options`` with what the first client has found out: the region, the endpoint, and where keys come from."""
    if options.kind != "s3":
        return options
    from vfsmount.store import credentials
    from vfsmount.store import region as regions

    changed = replace(options, region=region or regions.resolve(options), endpoint_url=regions.endpoint(options))
    keys = credentials.resolve(options)
    if keys is not None:
        return replace(changed, credentials=keys)
    if not options.anonymous and not credentials.has_metadata_service(options):
        return replace(changed, anonymous=True)
    return changed


def _fsspec(options: StoreOptions, *, direct: bool = False) -> Store:
    from vfsmount.store.fsspec_store import FsspecStore

    return FsspecStore(options, direct=direct)
