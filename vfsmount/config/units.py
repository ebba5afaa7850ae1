"""Text to values: the sizes, durations, modes and switches that URLs and TOML files spell as strings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, Literal, cast

Ttl = float | Literal["minimal", "indefinite"]

MINIMAL_TTL: Final = 1.0
"""Seconds that "minimal" stands for. Source: Mountpoint, ``--metadata-ttl minimal``."""

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

_SIZES: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
_SECONDS: Final[dict[str, float]] = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def closest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` where one of ``known`` is near to ``word``, else an empty text."""
    from difflib import get_close_matches

    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def boolean(text: str) -> bool:
    """``true``/``false`` and their usual spellings. Raises: ValueError."""
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"expected true or false, not {text!r}")


def integer(text: str) -> int:
    """A decimal number. Raises: ValueError."""
    try:
        return int(text.strip())
    except ValueError:
        raise ValueError(f"expected a whole number, not {text!r}") from None


def size(text: str) -> int:
    """Bytes from ``8388608``, ``8MiB``, ``8M`` (powers of 1024) or ``8MB`` (powers of 1000). Raises: ValueError."""
    match = _QUANTITY.fullmatch(text)
    factor = _SIZES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"expected a number of bytes such as 8388608 or 8MiB, not {text!r}")
    count = float(match[1]) * factor if "." in match[1] else int(match[1]) * factor
    if count != int(count):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(count)


def seconds(text: str) -> float:
    """Seconds from ``1.5``, ``250ms``, ``5s``, ``2min``, ``1h`` or ``1d``. Raises: ValueError."""
    match = _QUANTITY.fullmatch(text)
    factor = _SECONDS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"expected seconds such as 1.5 or 250ms, not {text!r}")
    return float(match[1]) * factor


def ttl(text: str) -> Ttl:
    """A duration, ``minimal`` or ``indefinite``. Raises: ValueError."""
    lowered = text.strip().lower()
    if lowered in ("minimal", "indefinite"):
        return cast("Literal['minimal', 'indefinite']", lowered)
    return seconds(text)


def ttl_seconds(value: Ttl) -> float:
    """Seconds that a TTL stands for; ``indefinite`` is infinite."""
    if value == "minimal":
        return MINIMAL_TTL
    if value == "indefinite":
        return math.inf
    return float(value)


def mode(text: str) -> int:
    """Permission bits from their octal spelling: ``644``, ``0644`` or ``0o644``. Raises: ValueError."""
    try:
        return int(text.strip().lower().removeprefix("0o"), 8)
    except ValueError:
        raise ValueError(f"expected octal permission bits such as 0644, not {text!r}") from None
