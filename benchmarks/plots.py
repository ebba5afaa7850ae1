"""Plots as SVG, written by hand: nothing to install, the same bytes for the same results, and small enough to be kept
beside the text that shows them. matplotlib would be 30 MB of wheels for axes, lines and bars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final
from xml.sax.saxutils import escape

Found = dict[str, Any]

COLOURS: Final = {
    "vfsmount": "#d1495b",
    "obstore": "#30638e",
    "obstore.open_reader": "#7fa8c9",
    "Mountpoint client": "#edae49",
    "s3fs": "#3a7d44",
    "smart_open": "#8f6bb1",
    "boto3": "#7a5c3e",
    "rclone mount": "#5f9ea0",
    "s3fs-fuse": "#888888",
}
WIDTH: Final = 640
HEIGHT: Final = 360
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 40, 46
GROUPS: Final = {
    "file size": ("bytes", "to open, read and close one file, 20 ms"),
    "file count": ("files", "to walk a tree, 20 ms"),
    "directory width": ("files", "to scan and stat one directory, 20 ms"),
    "thread count": ("threads", "for each 100 kB file, 20 ms"),
    "latency, small files": ("ms of latency", "for each 100 kB file"),
    "latency, 64 MiB": ("ms of latency", "to read 64 MiB"),
}


def draw_all(found: Found) -> dict[str, str]:
    """File name without ending -> SVG."""
    drawn = {"figures": ratios(found)}
    for group, (x_name, what) in GROUPS.items():
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in found["rows"]:
            if row["group"] != group:
                continue
            for contender, cell in row["cells"].items():
                each = cell["median"] * 1e3 / (1 if row["unit"] == "MB/s" else row["amount"])
                lines.setdefault(contender, []).append((row["x"], each))
        if lines:
            name = group.replace(",", "").replace(" ", "-")
            drawn[name] = growth(f"Milliseconds {what}", x_name, lines)
    return drawn


class Canvas:
    """Pieces of one drawing."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._pieces = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]
        self.text(width / 2, 20, title, anchor="middle", size=14)

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, fill: str = "#222") -> None:
        look = f'text-anchor="{anchor}" font-size="{size}" fill="{fill}"'
        self._pieces.append(f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> None:
        self._pieces.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
        )

    def path(self, points: list[tuple[float, float]], colour: str, width: float) -> None:
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._pieces.append(f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def dot(self, x: float, y: float, colour: str) -> None:
        self._pieces.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._pieces.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'
        )

    def done(self) -> str:
        return "\n".join([*self._pieces, "</svg>", ""])


def growth(title: str, x_name: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """Lines on logarithmic axes."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_at = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    y_at = _scale(low, high, HEIGHT - BOTTOM, TOP)
    canvas = Canvas(WIDTH, HEIGHT, title)
    tick = low
    while tick <= high * 1.001:
        canvas.line(LEFT, y_at(tick), WIDTH - RIGHT, y_at(tick), "#ddd")
        canvas.text(LEFT - 6, y_at(tick) + 4, f"{tick:g}", anchor="end")
        tick *= 10
    for x in sorted(set(xs)):
        canvas.line(x_at(x), HEIGHT - BOTTOM, x_at(x), HEIGHT - BOTTOM + 4, "#222")
        canvas.text(x_at(x), HEIGHT - BOTTOM + 17, _short(x, x_name), anchor="middle")
    canvas.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#222")
    canvas.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, anchor="middle")
    order = sorted(lines, key=lambda name: -max(lines[name])[1])
    for place, name in enumerate(order):
        points = [(x_at(x), y_at(y)) for x, y in sorted(lines[name])]
        colour = COLOURS.get(name, "#000")
        canvas.path(points, colour, 2.5 if name == "vfsmount" else 1.5)
        for x, y in points:
            canvas.dot(x, y, colour)
        y = TOP + 12 + 18 * place
        canvas.line(WIDTH - RIGHT + 14, y - 4, WIDTH - RIGHT + 36, y - 4, colour, 3)
        canvas.text(WIDTH - RIGHT + 42, y, name)
    return canvas.done()


def ratios(found: Found) -> str:
    """How much of each target is reached: a bar for each row with a target, to the right of 1 is better."""
    rows = [row for row in found["rows"] if row["target"] and "ratio" in row["cells"].get("vfsmount", {})]
    height = 60 + 22 * len(rows)
    width, left = 860, 440
    canvas = Canvas(width, height, "How far each figure is reached (1 = the target, more is better)")

    def share(row: Found, value: float) -> float:
        return value / row["target"] if row["speed"] else row["target"] / value

    span = max([2.0, *(share(row, row["cells"]["vfsmount"]["ratio"]) for row in rows)])
    unit = (width - left - 60) / min(span, 4.0)
    for place, row in enumerate(rows):
        cell, y = row["cells"]["vfsmount"], 40 + 22 * place
        reached = share(row, cell["ratio"])
        canvas.text(left - 8, y + 12, row["title"].replace("`", ""), anchor="end", size=11)
        canvas.bar(left, y, min(reached, 4.0) * unit, 15, "#3a7d44" if reached >= 1 else "#d1495b")
        ends = sorted(min(share(row, cell[end]), 4.0) * unit for end in ("ratio_least", "ratio_most"))
        canvas.line(left + ends[0], y + 7.5, left + ends[1], y + 7.5, "#222", 1.5)
        canvas.text(left + max(min(reached, 4.0) * unit, ends[1]) + 6, y + 12, f"{reached:.2f}", size=11)
    canvas.line(left + unit, 34, left + unit, height - 14, "#222", 1.5)
    return canvas.done()


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    span = math.log(high / low) or 1.0
    return lambda value: begin + (end - begin) * math.log(value / low) / span


def _short(value: float, name: str) -> str:
    if name == "bytes":
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:g} {unit}"
    return f"{value:g}"
