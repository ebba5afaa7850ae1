"""The asynchronous S3 client behind s3fs: built from StoreOptions, one for each process."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.errors import Unauthenticated
from vfsmount.store import credentials
from vfsmount.store.loop_thread import LoopThread
from vfsmount.store.options import Credentials, StoreOptions
from vfsmount.store.s3_parameters import CHECKSUMS

T = TypeVar("T")

EXPIRY_MARGIN: Final = 60.0
"""Seconds before their end at which credentials are asked for again, so that no request is signed with dying ones."""

MAX_CONNECTIONS: Final = 64
"""Connections to one endpoint; botocore's own default of 10 would queue a prefetcher's requests."""


class S3Client:
    """Runs coroutines on an aiobotocore client that s3fs made. Thread-safe; a forked child gets its own."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._lock = RequestLock()
        self._pid = real.getpid()
        self._thread: LoopThread | None = None
        self._filesystem: Any = None
        self._client: Any = None
        self._asked: _AskedCredentials | None = None
        # What a parent process left here: kept alive, because collecting it would touch the parent's sockets.
        self._inherited: list[object] = []

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """``work(client)`` on the loop; raises whatever the client raises."""
        thread, client = self._connected()
        return thread.call(lambda: work(client))

    def renew(self) -> bool:
        """Make the next request ask for fresh credentials; False where there is nobody to ask."""
        asked = self._asked
        return asked is not None and asked.invalidate()

    def close(self) -> None:
        """Close connections and the loop's thread. May be called again; a later call connects again."""
        with self._lock:
            thread, filesystem, client = self._thread, self._filesystem, self._client
            self._thread = self._filesystem = self._client = None
            if thread is None or self._pid != real.getpid():
                return
        if client is not None:
            creator = filesystem._s3creator
            thread.call(lambda: creator.__aexit__(None, None, None))
        thread.close()

    def _connected(self) -> tuple[LoopThread, Any]:
        if self._pid != real.getpid():
            self._inherited.append((self._thread, self._filesystem, self._client, self._asked, self._lock))
            self._thread = self._filesystem = self._client = self._asked = None
            self._lock = RequestLock()
            self._pid = real.getpid()
        thread, client = self._thread, self._client
        if thread is not None and client is not None:
            return thread, client
        with self._lock, real.passthrough():
            if self._thread is None:
                self._thread = LoopThread("s3fs")
            if self._client is None:
                thread = self._thread
                self._client = thread.call(lambda: self._connect(thread))
            return self._thread, self._client

    async def _connect(self, thread: LoopThread) -> Any:
        import aiobotocore.session
        import s3fs

        options = self._options
        session = aiobotocore.session.AioSession(profile=options.profile)
        if session.get_config_variable("data_path") is None:
            session.register_component("data_loader", _loader())
        self._asked = None
        anonymous = options.anonymous
        if not anonymous:
            if options.credentials is not None or options.role_arn is not None:
                source = credentials.resolve(options)
                if source is not None:
                    self._asked = session._credentials = _AskedCredentials(source)
            # DESIGN: without a secret and without ambient credentials, requests go unsigned.
            anonymous = await session.get_credentials() is None
        client_kwargs: dict[str, object] = {}
        if options.region is not None:
            client_kwargs["region_name"] = options.region
        elif options.endpoint_url is not None and session.get_config_variable("region") is None:
            client_kwargs["region_name"] = "auto" if options.provider == "r2" else "us-east-1"
        if options.ca_bundle is not None:
            client_kwargs["verify"] = options.ca_bundle
        self._filesystem = s3fs.S3FileSystem(
            anon=anonymous,
            endpoint_url=options.endpoint_url,
            session=session,
            client_kwargs=client_kwargs,
            config_kwargs=_config(options),
            requester_pays=options.requester_pays,
            # Where nobody names the region, the bucket's own answer decides.
            cache_regions=options.endpoint_url is None and options.region is None,
            asynchronous=True,
            loop=thread.loop,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        await self._filesystem.set_session()
        return await self._filesystem.get_s3(options.bucket)


@functools.cache
def _loader() -> Any:
    """What S3 is, as botocore describes it, for all clients of this process: reading it takes most of the time in which
    one connects.
    """
    import botocore.loaders

    return botocore.loaders.create_loader()


def _config(options: StoreOptions) -> dict[str, object]:
    style = "path" if options.force_path_style else "auto"
    checksums = "when_required"
    # Only AWS is known to take the checksums that botocore adds unasked; R2, Google and older servers refuse them.
    if options.upload_checksums in CHECKSUMS or (options.upload_checksums == "auto" and options.provider == "aws"):
        checksums = "when_supported"
    return {
        "connect_timeout": options.connect_timeout,
        "read_timeout": options.read_timeout,
        "retries": {"mode": "standard", "total_max_attempts": max(1, options.max_attempts)},
        "max_pool_connections": MAX_CONNECTIONS,
        "s3": {"addressing_style": style},
        "request_checksum_calculation": checksums,
        # A ranged read has no checksum to validate, and every data read is ranged.
        "response_checksum_validation": "when_required",
    }


class _AskedCredentials:
    """botocore's credentials protocol over a callable, which is asked again when what it gave expires."""

    method: Final = "vfsmount"
    account_id: Final = None

    def __init__(self, ask: Callable[[], Credentials]) -> None:
        self._ask = ask
        self._current: Credentials | None = None
        self._lock = asyncio.Lock()
        self._retired: Credentials | None = None

    @property
    def access_key(self) -> str | None:
        return self._current.access_key_id if self._current else None

    @property
    def secret_key(self) -> str | None:
        return self._current.secret_access_key if self._current else None

    @property
    def token(self) -> str | None:
        return self._current.session_token if self._current else None

    def invalidate(self) -> bool:
        """Forget them; False where the same ones were already forgotten and given again."""
        current = self._current
        if current is None or current == self._retired:
            return False
        self._retired, self._current = current, None
        return True

    def get_deferred_property(self, name: str) -> Callable[[], Coroutine[Any, Any, Any]]:
        """For endpoint rules that want, say, the account's number."""

        async def ask() -> Any:
            return getattr(await self.get_frozen_credentials(), name)

        return ask

    async def get_account_id(self) -> None:
        """Unknown, and S3 has no use for it."""

    async def get_frozen_credentials(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials

        async with self._lock:
            current = self._current
            if current is None or (
                current.expires_at is not None and current.expires_at - EXPIRY_MARGIN <= time.time()
            ):
                # In another thread: the callable may well make a request of its own.
                current = await asyncio.get_running_loop().run_in_executor(None, self._call)
                self._current = current
        return ReadOnlyCredentials(current.access_key_id, current.secret_access_key, current.session_token, None)

    def _call(self) -> Credentials:
        try:
            return self._ask()
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise Unauthenticated(f"the credentials' source failed: {error}") from error
