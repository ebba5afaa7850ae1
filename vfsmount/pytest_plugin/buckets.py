"""The buckets that tests get, and mounting them."""

from __future__ import annotations

import contextlib
import itertools
import os
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from vfsmount import real
from vfsmount.config import CloudBucketMount, Secret
from vfsmount.errors import StoreError
from vfsmount.session import activate_stores
from vfsmount.store.memory import MemoryStore
from vfsmount.store.protocol import Store
from vfsmount.testing import Fault, FaultyStore

_numbers: Final = itertools.count(1)


class _Borrowed(FaultyStore):
    """Survives the sessions that use it; its bucket closes it."""

    def close(self) -> None:
        """Nothing: several mounts may share the bucket."""


class Bucket:
    """One bucket, seen from outside of any mount; no fault that is set strikes these calls."""

    def __init__(self, store: Store, *, endpoint_url: str | None = None, secret: Secret | None = None) -> None:
        self.name: Final = store.bucket
        self.endpoint_url: Final = endpoint_url
        """Where another S3 client finds the bucket; None where the backend is memory."""
        self.secret: Final = secret
        self.faults: Final[FaultyStore] = _Borrowed(store)
        """What mounts go through: more kinds of faults than :meth:`fail` are set here."""
        self._store: Final = store

    def put(self, key: str, data: bytes | str) -> None:
        """Store an object as another client would; text as UTF-8."""
        self._store.put(key, data.encode("utf-8") if isinstance(data, str) else data)

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises: vfsmount.errors.NotFound."""
        size = self._store.head(key).size
        return bytes(self._store.get_range(key, 0, size).data) if size else b""

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with ``prefix`` (which ends in ``/`` or is empty), in order."""
        keys: list[str] = []
        token: str | None = None
        while True:
            page = self._store.list_page(prefix, delimiter=False, token=token)
            keys += [found.key for found in page.objects]
            token = page.token
            if token is None:
                return sorted(keys)

    def delete(self, key: str) -> None:
        """Remove the object, as another client would; a missing one is no error."""
        self._store.delete(key)

    def fail(
        self,
        verb: str,
        error: StoreError | type[StoreError] | Callable[[], StoreError],
        *,
        times: int | None = 1,
        nth: int = 1,
        key: str | None = None,
    ) -> Fault:
        """Let the next ``times`` (None: all) calls of ``verb`` that mounts make fail, from the ``nth`` on.

        Verbs are those of the store protocol: head, get_range, list_page, put, create_multipart, put_part, complete ...
        """
        return self.faults.fail(verb, error, times=times, nth=nth, key=key)

    def heal(self) -> None:
        """Forget every fault."""
        self.faults.heal()

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()

    def __repr__(self) -> str:
        return f"<Bucket {self.name}>"


class Mounter:
    """What the fixture ``vfs_mount`` is: call it to mount."""

    def __init__(self, bucket: Bucket, directory: Path, mounted: contextlib.ExitStack) -> None:
        self.bucket: Final = bucket
        self._directory = directory
        self._mounted = mounted
        self._count = itertools.count(1)

    def __call__(
        self,
        point: str | os.PathLike[str] | None = None,
        *,
        bucket: Bucket | None = None,
        seed: Mapping[str, bytes | str] | None = None,
        **options: Any,
    ) -> Path:
        """Mount ``bucket`` until the test ends and return the mount point.

        ``seed``: objects to put first, by their names below the mount. ``options``: those of CloudBucketMount.
        """
        bucket = bucket or self.bucket
        mount = CloudBucketMount(bucket.name, bucket.endpoint_url, secret=bucket.secret, **options)
        for name, data in (seed or {}).items():
            bucket.put(mount.prefix + name, data)
        place = os.fspath(point) if point is not None else str(self._directory / f"mount{next(self._count)}")
        session = activate_stores({place: (mount, bucket.faults)})
        self._mounted.callback(session.close)
        return Path(place)


def memory_bucket() -> Bucket:
    """A bucket that is a dictionary."""
    return Bucket(MemoryStore(_fresh_name()))


class MotoServer:
    """An S3 server in a thread of this process, started when made."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                # What upstream deprecates is no business of the tests that are run.
                warnings.simplefilter("ignore")
                from moto.server import ThreadedMotoServer
        except ImportError as error:
            raise pytest.UsageError(
                f"vfs_bucket needs moto ({error}): pip install 'vfsmount[test]', or use --vfsmount-backend=memory"
            ) from error
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint_url: Final = f"http://{host}:{port}"
        self._secret = Secret.from_dict(
            {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
        )

    def new_bucket(self) -> Bucket:
        """A bucket that no other test has."""
        from vfsmount.store.factory import open_store

        name = _fresh_name()
        request = urllib.request.Request(f"{self.endpoint_url}/{name}", method="PUT")
        # No proxy of the environment stands between a process and itself.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
            pass
        mount = CloudBucketMount(name, self.endpoint_url, secret=self._secret)
        with real.passthrough():
            store = open_store(mount.store_options())
        return Bucket(store, endpoint_url=self.endpoint_url, secret=self._secret)

    def stop(self) -> None:
        """End the thread; its buckets go with it."""
        self._server.stop()


def _fresh_name() -> str:
    return f"vfsmount-test-{os.getpid()}-{next(_numbers)}"
