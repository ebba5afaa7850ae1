"""What is measured: the rows of figures to reach, and how each cost grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.slow_server import DELAY

LIBRARIES: Final = ("s3fs", "smart_open", "boto3", "Mountpoint client")
KERNEL_MOUNTS: Final = ("rclone mount", "s3fs-fuse")
PEERS: Final = (*LIBRARIES, *KERNEL_MOUNTS)
LISTERS: Final = ("s3fs", "boto3", "Mountpoint client", *KERNEL_MOUNTS)
LOOPBACK: Final = 0.0
"""As a latency: the store itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work, by several contenders in turn."""

    name: str
    title: str
    work: str
    parameters: dict[str, Any]
    delay: float = DELAY
    target: float | None = None
    """What the ratio to the reference has to be: at least, where ``speed``, otherwise at most."""
    speed: bool = False
    """The ratio is of speeds (more is better), not of times."""
    reference: str | None = "obstore"
    """None: the measurement brings its own."""
    peers: tuple[str, ...] = ()
    amount: int = 1
    """Bytes (``unit`` MB/s) or things (``unit`` ms each) in one measurement."""
    unit: str = "ms"
    rounds: int = 5
    quick: bool = True
    """Also in the quick run."""
    group: str = ""
    """The plot it belongs to, for growth."""
    x: float = 0.0
    tags: tuple[str, ...] = field(default=())


def _mb(mib: int, times: int = 1) -> int:
    return (mib << 20) * times


_read: Final = {"target": 1.1, "speed": True, "unit": "MB/s"}
_each: Final = {"unit": "ms each"}

FIGURES: Final = (
    Row(
        "sequential",
        "sequential read of 512 MiB, `open`, 1 MiB reads",
        "read",
        {"mib": 512},
        peers=("obstore.open_reader", *PEERS),
        amount=_mb(512),
        **_read,
    ),
    Row(
        "sequential-loopback",
        "the same without latency",
        "read",
        {"mib": 512},
        delay=LOOPBACK,
        target=0.85,
        speed=True,
        peers=("obstore.open_reader", *PEERS),
        amount=_mb(512),
        unit="MB/s",
    ),
    Row(
        "everything",
        "`open(...).read()` of 512 MiB",
        "read",
        {"mib": 512, "verb": "read_all"},
        peers=("s3fs", "boto3", "Mountpoint client"),
        amount=_mb(512),
        **_read,
    ),
    Row(
        "everything-loopback",
        "the same without latency",
        "read",
        {"mib": 512, "verb": "read_all"},
        delay=LOOPBACK,
        target=0.85,
        speed=True,
        peers=("s3fs", "boto3", "Mountpoint client"),
        amount=_mb(512),
        unit="MB/s",
        quick=False,
    ),
    Row(
        "small",
        "open, read, close of 100 kB files, cold, one after another",
        "small",
        {"count": 30},
        target=1.15,
        peers=PEERS,
        amount=30,
        **_each,
    ),
    Row(
        "small-threads",
        "the same in 32 threads",
        "small",
        {"count": 640, "threads": 32},
        target=0.8,
        speed=True,
        peers=PEERS,
        amount=640,
        **_each,
    ),
    Row(
        "random",
        "random `os.pread` of 4 KiB",
        "random",
        {"count": 20, "mib": 512},
        target=1.15,
        peers=PEERS,
        amount=20,
        **_each,
    ),
    Row(
        "scandir",
        "scandir and stat of 10,000 files",
        "listing",
        {"width": 10_000},
        target=1.3,
        peers=LISTERS,
    ),
    Row(
        "walk",
        "walk of 3,000 files in 700 directories",
        "walk",
        {"files": 3000},
        target=2.0,
        peers=LISTERS,
    ),
    Row(
        "write",
        "write of 256 MiB, `open`, 1 MiB writes",
        "write",
        {"mib": 256},
        target=0.95,
        speed=True,
        peers=PEERS,
        amount=_mb(256),
        unit="MB/s",
    ),
    Row(
        "write-loopback",
        "the same without latency",
        "write",
        {"mib": 256},
        delay=LOOPBACK,
        speed=True,
        peers=PEERS,
        amount=_mb(256),
        unit="MB/s",
        quick=False,
    ),
    Row(
        "put",
        "new 100 kB files in a known directory, one after another",
        "put",
        {"count": 20},
        target=1.3,
        peers=PEERS,
        amount=20,
        **_each,
    ),
    Row(
        "put-threads",
        "the same in 32 threads",
        "put",
        {"count": 320, "threads": 32},
        peers=LIBRARIES,
        amount=320,
        **_each,
    ),
    Row(
        "write-threads",
        "four files of 64 MiB written at once",
        "write",
        {"mib": 64, "threads": 4},
        speed=True,
        peers=("s3fs", "boto3"),
        amount=_mb(64, 4),
        unit="MB/s",
        quick=False,
    ),
    Row(
        "local-stat", "`os.stat` of a local file while active", "local", {"call": "stat"}, LOOPBACK, 1.2, reference=None
    ),
    Row("local-open", "`open` of a local file while active", "local", {"call": "open"}, LOOPBACK, 1.06, reference=None),
    Row("activate", "activate, no check", "activate", {"check": False}, LOOPBACK, 20.0, reference=None, tags=("ms",)),
    Row("activate-check", "activate, with its check", "activate", {"check": True}, LOOPBACK, reference=None),
    Row(
        "first-read",
        "import, activate and first small read",
        "first read",
        {},
        LOOPBACK,
        3.0,
        peers=LIBRARIES,
        rounds=7,
    ),
    Row(
        "memory-read",
        "memory over base, 1 GiB read in sequence, limit 128 MiB",
        "memory",
        {"mib": 1024, "work": "read", "memory_limit": 128 << 20},
        LOOPBACK,
        1.1,
        reference=None,
        rounds=3,
        tags=("bytes",),
        peers=("s3fs", "smart_open", "boto3", "Mountpoint client"),
    ),
    Row(
        "memory-write",
        "memory over base, 512 MiB written, limit 128 MiB",
        "memory",
        {"mib": 512, "work": "write", "memory_limit": 128 << 20},
        LOOPBACK,
        1.1,
        reference=None,
        rounds=3,
        tags=("bytes",),
        peers=("s3fs", "smart_open", "boto3", "Mountpoint client"),
    ),
    Row(
        "pool",
        "forked pool of 4 that reads 100 kB files, to a pool of one",
        "pool",
        {"count": 40, "processes": 4},
        target=0.9,
        speed=True,
        reference=None,
    ),
)


def _growth() -> tuple[Row, ...]:
    rows = []
    size = {"group": "file size", "rounds": 3}
    for kib, count in ((4, 10), (64, 10), (1024, 5)):
        rows.append(
            Row(
                f"size-{kib}",
                f"open, read, close of {kib} KiB",
                "small",
                {"count": count, "size": kib << 10},
                peers=("s3fs", "boto3"),
                amount=count,
                unit="ms each",
                x=kib << 10,
                **size,
            )
        )
    for mib in (8, 64, 256):
        rows.append(
            Row(
                f"size-{mib << 10}",
                f"read of {mib} MiB",
                "read",
                {"mib": mib},
                peers=("s3fs", "boto3"),
                unit="ms",
                x=mib << 20,
                **size,
            )
        )
    for files in (100, 1000, 3000):
        rows.append(
            Row(
                f"count-{files}",
                f"walk of {files} files",
                "walk",
                {"files": files},
                peers=("s3fs",) if files < 3000 else (),
                group="file count",
                x=files,
                rounds=3,
            )
        )
    for width in (100, 1000, 10_000):
        rows.append(
            Row(
                f"width-{width}",
                f"scandir and stat of {width} files",
                "listing",
                {"width": width},
                peers=("s3fs", "boto3"),
                group="directory width",
                x=width,
                rounds=3,
            )
        )
    for threads in (1, 4, 16, 64):
        rows.append(
            Row(
                f"threads-{threads}",
                f"100 kB files in {threads} threads",
                "small",
                {"count": max(20, 10 * threads), "threads": threads},
                peers=("s3fs", "boto3"),
                amount=max(20, 10 * threads),
                unit="ms each",
                group="thread count",
                x=threads,
                rounds=3,
            )
        )
    for delay in DELAYS:
        milliseconds = round(delay * 1000)
        rows.append(
            Row(
                f"latency-small-{milliseconds}",
                f"100 kB file at {milliseconds} ms",
                "small",
                {"count": 10},
                delay,
                peers=("s3fs", "boto3"),
                amount=10,
                unit="ms each",
                group="latency, small files",
                x=milliseconds,
                rounds=3,
            )
        )
        rows.append(
            Row(
                f"latency-read-{milliseconds}",
                f"64 MiB at {milliseconds} ms",
                "read",
                {"mib": 64},
                delay,
                speed=True,
                peers=("s3fs", "boto3"),
                amount=_mb(64),
                unit="MB/s",
                group="latency, 64 MiB",
                x=milliseconds,
                rounds=3,
            )
        )
    return tuple(rows)


DELAYS: Final = (0.005, 0.020, 0.050, 0.100)
"""Seconds, of the doors to the store."""

GROWTH: Final = _growth()
