"""Google's JSON interface over the session and credentials that gcsfs keeps.

gcsfs's own calls turn every 404 into a FileNotFoundError without an errno and lose the status of other errors, so
requests are made here, with its session, its credentials and its URLs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from vfsmount import real
from vfsmount.clock import RequestLock
from vfsmount.errors import AlreadyExists, PreconditionFailed, StoreError, Unauthenticated
from vfsmount.store import aws_errors
from vfsmount.store.loop_thread import LoopThread
from vfsmount.store.options import StoreOptions

T = TypeVar("T")

BACKOFF_SECONDS: Final = 0.2
"""The longest first wait; doubles up to ten seconds. Source: Cloud Storage, retry strategy."""

REPEATED: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which a request is sent again. Source: Cloud Storage, retry strategy."""

SWITCH: Final = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
"""gcsfs reads it when imported; on, every first use of a bucket probes its type over gRPC, for 60 s at worst."""

_import_locks: Final[dict[int, threading.Lock]] = {}
"""By process: a fork may come while another thread imports, which takes a second."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class GcsClient:
    """Runs coroutines that make requests. Thread-safe; a forked child gets its own session."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._lock = RequestLock()
        self._pid = real.getpid()
        self._thread: LoopThread | None = None
        self._filesystem: Any = None
        # What a parent process left here: kept alive, because collecting it would touch the parent's sockets.
        self._inherited: list[object] = []

    def run(self, operation: str, key: str | None, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """``work()`` on the loop. Raises StoreError."""
        try:
            return self._connected().call(work)
        except _upstream() as error:
            found = self._translate(error, operation, key)
            if found is error:
                raise
            raise found from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        key: str | None = None,
        query: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        accept: frozenset[int] = frozenset({200}),
        create: bool = False,
    ) -> Answer:
        """One request below the service's address, repeated where that helps. Raises StoreError."""
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= max(1, self._options.max_attempts)
            try:
                answer = await self._send(method, path, query or {}, headers or {}, data)
            except _upstream() as error:
                found = self._translate(error, operation, key)
                if last or isinstance(found, Unauthenticated):
                    raise found from error
            else:
                if answer.status in accept:
                    return answer
                if last or answer.status not in REPEATED:
                    raise self._refused(answer, operation, key, create)
            await asyncio.sleep(random.uniform(0, min(10.0, BACKOFF_SECONDS * 2.0**attempt)))

    def close(self) -> None:
        """Close connections and the loop's thread. May be called again; a later call connects again."""
        with self._lock:
            thread, filesystem = self._thread, self._filesystem
            self._thread = self._filesystem = None
            if thread is None or self._pid != real.getpid():
                return
        if filesystem is not None and filesystem._session is not None:
            session = filesystem._session
            thread.call(lambda: session.close())
        thread.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str | None], headers: Mapping[str, str], data: bytes | None
    ) -> Answer:
        import aiohttp
        import yarl

        filesystem = self._filesystem
        pairs = [(name, value) for name, value in query.items() if value is not None]
        if self._options.requester_pays and filesystem.project:
            pairs.append(("userProject", filesystem.project))
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        address = path if path.startswith("http") else f"{filesystem._location}{path}"
        if text:
            address += ("&" if "?" in address else "?") + text
        sent = filesystem._get_headers({"Accept-Encoding": "identity", **headers})
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._options.connect_timeout, sock_read=self._options.read_timeout
        )
        # encoded=True: yarl would otherwise decode and normalise the key in the path.
        url = yarl.URL(address, encoded=True)
        async with filesystem._session.request(method, url, headers=sent, data=data, timeout=timeout) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def _connected(self) -> LoopThread:
        if self._pid != real.getpid():
            self._inherited.append((self._thread, self._filesystem, self._lock))
            self._thread = self._filesystem = None
            self._lock = RequestLock()
            self._pid = real.getpid()
        thread = self._thread
        if thread is not None and self._filesystem is not None:
            return thread
        with self._lock, real.passthrough():
            if self._thread is None:
                self._thread = LoopThread("gcsfs")
            if self._filesystem is None:
                thread = self._thread
                self._filesystem = thread.call(lambda: self._connect(thread))
            return self._thread

    async def _connect(self, thread: LoopThread) -> Any:
        options = self._options
        with _import_locks.setdefault(real.getpid(), threading.Lock()), _switched_off():
            import gcsfs.core
        token: object = None  # Google's ambient chain
        if options.anonymous:
            token = "anon"
        elif options.service_account is not None:
            text = options.service_account.strip()
            token = json.loads(text) if text.startswith("{") else text
        filesystem = gcsfs.core.GCSFileSystem(
            token=token,
            endpoint_url=None if options.endpoint_url is None else options.endpoint_url.rstrip("/"),
            requester_pays=options.requester_pays,
            # An object stored with Content-Encoding: gzip comes as its stored bytes.
            session_kwargs={"auto_decompress": False},
            asynchronous=True,
            loop=thread.loop,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        await filesystem._set_session()
        return filesystem

    def _refused(self, answer: Answer, operation: str, key: str | None, create: bool) -> StoreError:
        cls = aws_errors.for_code(None, answer.status)
        if cls is PreconditionFailed and create:
            cls = AlreadyExists
        message, reason = answer.body[:500].decode("utf-8", "replace").strip(), None
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
            error = json.loads(answer.body)["error"]
            message = error["message"]
            reason = error["errors"][0]["reason"]
        return cls(
            message,
            operation=operation,
            bucket=self._options.bucket,
            key=key,
            code=reason or str(answer.status),
            request_id=answer.headers.get("X-GUploader-UploadID"),
        )

    def _translate(self, error: BaseException, operation: str, key: str | None) -> StoreError:
        if isinstance(error, StoreError):
            return error
        if type(error).__module__.startswith("google.auth"):
            detail = f"{type(error).__name__}: {error}"
            return Unauthenticated(detail, operation=operation, bucket=self._options.bucket, key=key)
        return aws_errors.translate(error, operation=operation, bucket=self._options.bucket, key=key)


@contextlib.contextmanager
def _switched_off() -> Iterator[None]:
    import os

    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SWITCH, None)
        else:
            os.environ[SWITCH] = before


def _upstream() -> tuple[type[BaseException], ...]:
    import aiohttp
    import google.auth.exceptions

    return (
        StoreError,
        aiohttp.ClientError,
        google.auth.exceptions.GoogleAuthError,
        asyncio.TimeoutError,
        OSError,
        ValueError,
    )
