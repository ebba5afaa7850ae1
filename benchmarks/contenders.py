"""The same work by each library, in the way its own documentation recommends.

Each contender is a class whose methods are the verbs of :mod:`.work`; a verb that it lacks is not measured for it.
Libraries are imported when a contender is made, so that a process holds only what it measures.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from benchmarks.slow_server import ACCESS_KEY, REGION, SECRET_KEY

BLOCK: Final = 1 << 20
PART: Final = 8 << 20
WIDTH: Final = 8
"""Ranges side by side in the raw reference."""

MOUNT_SECONDS: Final = 20.0


class Unavailable(RuntimeError):
    """The peer is not installed, or this machine refuses it."""


class Reads(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def drain(file: Reads) -> int:
    """Bytes read in calls of 1 MiB."""
    total = 0
    while block := file.read(BLOCK):
        total += len(block)
    return total


class Paths:
    """Plain Python on paths below ``root``: vfsmount, and mounts by the kernel."""

    def __init__(self, root: str) -> None:
        self.root = root

    def read(self, key: str, size: int) -> int:
        with open(f"{self.root}/{key}", "rb") as file:
            return drain(file)

    def read_all(self, key: str, size: int) -> int:
        with open(f"{self.root}/{key}", "rb") as file:
            return len(file.read())

    def small(self, key: str) -> int:
        with open(f"{self.root}/{key}", "rb") as file:
            return len(file.read())

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        number = os.open(f"{self.root}/{key}", os.O_RDONLY)
        try:
            yield lambda start, length: len(os.pread(number, length, start))
        finally:
            os.close(number)

    def folder(self, key: str) -> None:
        """Make the directory that ``key`` will be in."""
        os.makedirs(os.path.dirname(f"{self.root}/{key}"), exist_ok=True)

    def listing(self, prefix: str) -> int:
        """Names and what stat tells of each."""
        return sum(entry.stat().st_size >= 0 for entry in os.scandir(f"{self.root}/{prefix}"))

    def walk(self, prefix: str) -> int:
        return sum(len(files) for _, _, files in os.walk(f"{self.root}/{prefix}"))

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        with open(f"{self.root}/{key}", "wb") as file:
            for block in blocks:
                file.write(block)

    def put(self, key: str, data: bytes) -> None:
        with open(f"{self.root}/{key}", "wb") as file:
            file.write(data)


@contextlib.contextmanager
def vfsmount(endpoint: str, bucket: str, *, memory_limit: int | None = None) -> Iterator[Paths]:
    import vfsmount as library

    secret = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
    mount = library.CloudBucketMount(bucket, endpoint, secret=library.Secret.from_dict(secret), force_path_style=True)
    folder = tempfile.mkdtemp(prefix="vfsmount-bench-point-")
    try:
        with library.activate({f"{folder}/bucket": mount}, memory_limit=memory_limit):
            yield Paths(f"{folder}/bucket")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Obstore:
    """obstore's verbs with nothing around them: the reference of most rows."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        import obstore
        from obstore.store import S3Store

        self.api = obstore
        self.store: Any = S3Store(
            bucket,
            endpoint=endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region=REGION,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def read(self, key: str, size: int) -> int:
        """Eight ranges of 8 MiB at any time; nothing is joined or put in order."""

        def fetch(start: int) -> int:
            return len(self.api.get_range(self.store, key, start=start, length=min(PART, size - start)))

        with ThreadPoolExecutor(WIDTH) as pool:
            return sum(pool.map(fetch, range(0, size, PART)))

    read_all = read

    def small(self, key: str) -> int:
        return len(self.api.get(self.store, key).bytes())

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        yield lambda start, length: len(self.api.get_range(self.store, key, start=start, length=length))

    def listing(self, prefix: str) -> int:
        return len(self.api.list_with_delimiter(self.store, prefix)["objects"])

    def walk(self, prefix: str) -> int:
        return sum(len(page) for page in self.api.list(self.store, prefix))

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        with self.api.open_writer(self.store, key) as file:
            for block in blocks:
                file.write(block)

    def put(self, key: str, data: bytes) -> None:
        self.api.put(self.store, key, data)


class ObstoreReader(Obstore):
    """obstore's file object."""

    def read(self, key: str, size: int) -> int:
        return drain(self.api.open_reader(self.store, key))

    read_all = small = at_random = listing = walk = write = put = None  # type: ignore[assignment]


class S3fs:
    """s3fs with its defaults, but for what it remembers of listings."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        import s3fs

        self.bucket = bucket
        self.fs: Any = s3fs.S3FileSystem(
            key=ACCESS_KEY,
            secret=SECRET_KEY,
            endpoint_url=endpoint,
            client_kwargs={"region_name": REGION},
            use_listings_cache=False,
        )

    def read(self, key: str, size: int) -> int:
        with self.fs.open(f"{self.bucket}/{key}", "rb") as file:
            return drain(file)

    def read_all(self, key: str, size: int) -> int:
        return len(self.fs.cat_file(f"{self.bucket}/{key}"))

    def small(self, key: str) -> int:
        with self.fs.open(f"{self.bucket}/{key}", "rb") as file:
            return len(file.read())

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        with self.fs.open(f"{self.bucket}/{key}", "rb") as file:

            def pread(start: int, length: int) -> int:
                file.seek(start)
                return len(file.read(length))

            yield pread

    def listing(self, prefix: str) -> int:
        return sum(entry["size"] >= 0 for entry in self.fs.ls(f"{self.bucket}/{prefix}", detail=True))

    def walk(self, prefix: str) -> int:
        return sum(len(files) for _, _, files in self.fs.walk(f"{self.bucket}/{prefix}"))

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        with self.fs.open(f"{self.bucket}/{key}", "wb") as file:
            for block in blocks:
                file.write(block)

    def put(self, key: str, data: bytes) -> None:
        with self.fs.open(f"{self.bucket}/{key}", "wb") as file:
            file.write(data)


def _boto3(endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=64),
    )


class _Blocks(io.RawIOBase):
    """Blocks as the file that boto3 wants to be given."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        pieces, have = [self._rest], len(self._rest)
        for block in self._blocks:
            pieces.append(block)
            have += len(block)
            if 0 <= size <= have:
                break
        whole = b"".join(pieces)
        cut = len(whole) if size < 0 else size
        self._rest = whole[cut:]
        return whole[:cut]


class Boto3:
    """boto3: streamed bodies, its transfer functions for large objects, paginators."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.bucket = bucket
        self.client = _boto3(endpoint)

    def read(self, key: str, size: int) -> int:
        return drain(self.client.get_object(Bucket=self.bucket, Key=key)["Body"])

    def read_all(self, key: str, size: int) -> int:
        target = io.BytesIO()
        self.client.download_fileobj(self.bucket, key, target)
        return len(target.getbuffer())

    def small(self, key: str) -> int:
        return len(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        def pread(start: int, length: int) -> int:
            wanted = f"bytes={start}-{start + length - 1}"
            return len(self.client.get_object(Bucket=self.bucket, Key=key, Range=wanted)["Body"].read())

        yield pread

    def listing(self, prefix: str) -> int:
        return self._count(Prefix=prefix + "/", Delimiter="/")

    def walk(self, prefix: str) -> int:
        return self._count(Prefix=prefix + "/")

    def _count(self, **what: str) -> int:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **what)
        return sum(len(page.get("Contents", ())) for page in pages)

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        self.client.upload_fileobj(_Blocks(blocks), self.bucket, key)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)


class SmartOpen:
    """smart_open over a boto3 client."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        import smart_open

        self._library: Any = smart_open
        self._root = f"s3://{bucket}"
        self._with = {"client": _boto3(endpoint)}

    def _open(self, key: str, mode: str) -> Any:
        return self._library.open(f"{self._root}/{key}", mode, transport_params=self._with)

    def read(self, key: str, size: int) -> int:
        with self._open(key, "rb") as file:
            return drain(file)

    def read_all(self, key: str, size: int) -> int:
        with self._open(key, "rb") as file:
            return len(file.read())

    def small(self, key: str) -> int:
        return self.read_all(key, 0)

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        with self._open(key, "rb") as file:

            def pread(start: int, length: int) -> int:
                file.seek(start)
                return len(file.read(length))

            yield pread

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        with self._open(key, "wb") as file:
            for block in blocks:
                file.write(block)

    def put(self, key: str, data: bytes) -> None:
        with self._open(key, "wb") as file:
            file.write(data)


class MountpointClient:
    """The client of Mountpoint for S3, as the connector for PyTorch ships it."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

        self.bucket = bucket
        self.client: Any = MountpointS3Client(region=REGION, endpoint=endpoint, force_path_style=True)

    def read(self, key: str, size: int) -> int:
        return sum(len(piece) for piece in self.client.get_object(self.bucket, key))

    def read_all(self, key: str, size: int) -> int:
        return len(b"".join(self.client.get_object(self.bucket, key)))

    def small(self, key: str) -> int:
        return self.read_all(key, 0)

    @contextlib.contextmanager
    def at_random(self, key: str) -> Iterator[Callable[[int, int], int]]:
        yield lambda start, length: sum(map(len, self.client.get_object(self.bucket, key, start, start + length)))

    def listing(self, prefix: str) -> int:
        return sum(len(page.object_info) for page in self.client.list_objects(self.bucket, prefix + "/", "/"))

    def walk(self, prefix: str) -> int:
        return sum(len(page.object_info) for page in self.client.list_objects(self.bucket, prefix + "/"))

    def write(self, key: str, blocks: Iterable[bytes]) -> None:
        stream = self.client.put_object(self.bucket, key)
        for block in blocks:
            stream.write(block)
        stream.close()

    def put(self, key: str, data: bytes) -> None:
        self.write(key, [data])


@contextlib.contextmanager
def _kernel_mount(command: Callable[[str], list[str]], program: str, environment: dict[str, str]) -> Iterator[Paths]:
    """A mount of its own for each measurement, so that the kernel's page cache is empty."""
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"no program {program} here")
    if not os.path.exists("/dev/fuse"):
        raise Unavailable("no /dev/fuse here")
    point = tempfile.mkdtemp(prefix="vfsmount-bench-fuse-")
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(
        [found, *command(point)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
    )
    try:
        deadline = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(point):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise Unavailable(f"{program}: the mount was refused: {log.read()[-300:].decode(errors='replace')}")
            time.sleep(0.01)
        yield Paths(point)
    finally:
        subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=20)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait(10)
        log.close()
        with contextlib.suppress(OSError):
            os.rmdir(point)


def rclone(endpoint: str, bucket: str) -> Any:
    """``rclone mount`` with its defaults: a file that is written in sequence goes out as it is written."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ENDPOINT": endpoint,
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
        "REGION": REGION,
    }
    environment = {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in remote.items()}
    return _kernel_mount(lambda point: ["mount", f"bench:{bucket}", point, "--config", ""], "rclone", environment)


def s3fs_fuse(endpoint: str, bucket: str) -> Any:
    """s3fs-fuse with its defaults."""
    options = ["-f", "-o", f"url={endpoint},use_path_request_style,endpoint={REGION}"]
    keys = {"AWSACCESSKEYID": ACCESS_KEY, "AWSSECRETACCESSKEY": SECRET_KEY}
    keys |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    program = os.environ.get("VFSMOUNT_BENCH_S3FS_FUSE", "s3fs")
    return _kernel_mount(lambda point: [bucket, point, *options], program, keys)


@contextlib.contextmanager
def _plain(contender: Any) -> Iterator[Any]:
    yield contender


CONTENDERS: Final[dict[str, Callable[..., Any]]] = {
    "vfsmount": vfsmount,
    "obstore": lambda endpoint, bucket: _plain(Obstore(endpoint, bucket)),
    "obstore.open_reader": lambda endpoint, bucket: _plain(ObstoreReader(endpoint, bucket)),
    "s3fs": lambda endpoint, bucket: _plain(S3fs(endpoint, bucket)),
    "smart_open": lambda endpoint, bucket: _plain(SmartOpen(endpoint, bucket)),
    "boto3": lambda endpoint, bucket: _plain(Boto3(endpoint, bucket)),
    "Mountpoint client": lambda endpoint, bucket: _plain(MountpointClient(endpoint, bucket)),
    "rclone mount": rclone,
    "s3fs-fuse": s3fs_fuse,
}
