"""The benchmarks' own arithmetic, and that the documents show what was measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import plots, report, rows, slow_server, work
from benchmarks.contenders import CONTENDERS

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "benchmarks" / "results" / "latest.json"


def row(**changes: object) -> rows.Row:
    fields: dict[str, object] = {"name": "r", "title": "t", "work": "read", "parameters": {}, "amount": 1}
    return rows.Row(**(fields | changes))  # type: ignore[arg-type]


def test_a_ratio_is_of_one_round_and_the_median_of_ratios_counts() -> None:
    samples = {
        "r": {
            "vfsmount": [{"seconds": 1.0}, {"seconds": 4.0}, {"seconds": 3.0}],
            "obstore": [{"seconds": 2.0}, {"seconds": 4.0}, {"seconds": 30.0}],
        }
    }
    found = report.collect([row(speed=True, target=1.5)], samples, {}, 0.0)["rows"][0]
    cell = found["cells"]["vfsmount"]
    assert (cell["median"], cell["ratio"], cell["ratio_least"], cell["ratio_most"]) == (3.0, 2.0, 1.0, 10.0)
    assert report.met(found) is True
    times = report.collect([row(target=0.4)], samples, {}, 0.0)["rows"][0]
    assert times["cells"]["vfsmount"]["ratio"] == 0.5
    assert report.met(times) is False


def test_a_round_that_the_reference_missed_gives_no_ratio() -> None:
    samples = {"r": {"vfsmount": [{"seconds": 1.0}, {"seconds": 2.0}], "obstore": [None, {"seconds": 4.0}]}}
    cell = report.collect([row()], samples, {}, 0.0)["rows"][0]["cells"]["vfsmount"]
    assert (cell["rounds"], cell["ratio"]) == (2, 0.5)


def test_a_failure_is_shown_with_its_reason() -> None:
    samples = {"r": {"vfsmount": [{"seconds": 1.0}]}}
    found = report.collect([row()], samples, {"r": {"s3fs": "not installed: s3fs"}}, 0.0)
    assert "failed [1]" in report.peers_table(found)
    assert "[1] `not installed: s3fs`" in report.peers_table(found)


def test_every_row_names_what_exists() -> None:
    every = (*rows.FIGURES, *rows.GROWTH)
    assert len({row.name for row in every}) == len(every)
    for one in every:
        assert one.work in {*work.WITH_CONTENDER, *work.BARE, "first read"}
        assert {*one.peers, one.reference or "obstore"} <= set(CONTENDERS)
        assert one.delay in (*rows.DELAYS, rows.LOOPBACK)
        assert one.group in {*plots.GROUPS, ""}


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weed").touch(0o755)
    monkeypatch.setattr(os, "environ", os.environ | {"PATH": str(tmp_path)})
    monkeypatch.setattr(slow_server, "MODULE_FOLDERS", (str(tmp_path),))
    with pytest.raises(slow_server.Missing, match="libnginx-mod-http-lua"):
        slow_server.find_programs()


def test_documents_and_plots_show_the_latest_results() -> None:
    found = json.loads(LATEST.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
    assert report.with_tables(page, found) == page
    drawn = plots.draw_all(found)
    for name, text in drawn.items():
        ElementTree.fromstring(text)
        assert (ROOT / "docs" / "plots" / f"{name}.svg").read_text(encoding="utf-8") == text
        assert f"plots/{name}.svg" in page
