"""What the requests were, how many, for whom, and about how much they cost."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from types import FrameType
from typing import Final, Literal

Kind = Literal[
    "get",
    "head",
    "list",
    "put",
    "copy",
    "delete",
    "create_multipart",
    "upload_part",
    "complete_multipart",
    "abort_multipart",
]
By = Literal["kind", "mount", "caller"]

_WRITE_CLASS: Final = 5.0e-6
_READ_CLASS: Final = 0.4e-6
PRICE: Final[dict[str, float]] = {
    "get": _READ_CLASS,
    "head": _READ_CLASS,
    "delete": 0.0,
    "abort_multipart": 0.0,
    "list": _WRITE_CLASS,
    "put": _WRITE_CLASS,
    "copy": _WRITE_CLASS,
    "create_multipart": _WRITE_CLASS,
    "upload_part": _WRITE_CLASS,
    "complete_multipart": _WRITE_CLASS,
}
"""US dollars a request: S3 Standard in us-east-1. An estimate for other stores and regions, and without transfer."""

_OURS: Final = str(PurePath(__file__).parent) + "/"
_STDLIB: Final = str(PurePath(threading.__file__).parent) + "/"
_site = threading.local()


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over some requests. Retries below the store protocol are not counted."""

    requests: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    errors: int = 0
    """Requests that failed; a missing key counts."""
    cost_usd: float = 0.0
    """About, see PRICE."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.bytes_received + other.bytes_received,
            self.bytes_sent + other.bytes_sent,
            self.errors + other.errors,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class ReadStats:
    """What was done to spare requests for file content, or to speed them up, for all mounts together."""

    hits: int = 0
    """Ranges that needed no request."""
    misses: int = 0
    bytes: int = 0
    """That came from memory."""
    raced: int = 0
    """Requests that stalled and got a twin."""


@dataclass(frozen=True, slots=True)
class Stats(Mapping[str, Usage]):
    """Usage by kind, mount or caller; ``total`` is their sum."""

    groups: dict[str, Usage]
    total: Usage = field(default_factory=Usage)
    reading: ReadStats = field(default_factory=ReadStats)

    def __getitem__(self, name: str) -> Usage:
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)


class ReadUse:
    """Counts :class:`ReadStats`; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats = ReadStats()

    def hit(self, size: int) -> None:
        """``size`` bytes needed no request."""
        with self._lock:
            self._stats = replace(self._stats, hits=self._stats.hits + 1, bytes=self._stats.bytes + size)

    def miss(self) -> None:
        """A request had to be made."""
        with self._lock:
            self._stats = replace(self._stats, misses=self._stats.misses + 1)

    def raced(self) -> None:
        """A request stalled and got a twin."""
        with self._lock:
            self._stats = replace(self._stats, raced=self._stats.raced + 1)

    def snapshot(self) -> ReadStats:
        """Everything so far."""
        return self._stats

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()


class Counters:
    """Counts of one session; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.reading: Final = ReadUse()

    def add(self, kind: Kind, mount: str, *, received: int = 0, sent: int = 0, failed: bool = False) -> None:
        """Count one request of the calling code."""
        row_key = (kind, mount, call_site())
        with self._lock:
            row = self._rows[row_key]
            row[0] += 1
            row[1] += received
            row[2] += sent
            row[3] += failed

    def snapshot(self, by: By = "kind") -> Stats:
        """Everything so far, grouped. Raises ValueError for another ``by``."""
        names = ("kind", "mount", "caller")
        if by not in names:
            raise ValueError(f"by={by!r}: one of {', '.join(names)}")
        column = names.index(by)
        groups: defaultdict[str, Usage] = defaultdict(Usage)
        with self._lock:
            rows = [(key, tuple(row)) for key, row in self._rows.items()]
        total = Usage()
        for key, (requests, received, sent, failed) in rows:
            usage = Usage(requests, received, sent, failed, requests * PRICE[key[0]])
            groups[key[column]] += usage
            total += usage
        return Stats(dict(sorted(groups.items())), total, self.reading.snapshot())

    def renew_lock(self) -> None:
        """In a forked child: the locks may be held by threads that are not here."""
        self._lock = threading.Lock()
        self.reading.renew_lock()


def call_site() -> str:
    """``file:line`` of the nearest code that is neither ours nor the standard library's; "" where there is none.

    A thread that works for another answers with that one's (:func:`on_behalf_of`).
    """
    known: str | None = getattr(_site, "value", None)
    if known is not None:
        return known
    frame: FrameType | None = sys._getframe(1)
    outermost = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_OURS, "<frozen ")):
            if not name.startswith(_STDLIB) or "site-packages" in name:
                return f"{name}:{frame.f_lineno}"
            outermost = outermost or f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return outermost


@contextlib.contextmanager
def on_behalf_of(site: str) -> Iterator[None]:
    """Requests made inside count for ``site``."""
    before = getattr(_site, "value", None)
    _site.value = site
    try:
        yield
    finally:
        _site.value = before
