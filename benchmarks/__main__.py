"""``python -m benchmarks``: measure, write the results, the plots and the tables. ``--help`` tells the options."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.rows import DELAYS, FIGURES, GROWTH, LOOPBACK, Row
from benchmarks.seeds import WARM, Seeds
from benchmarks.slow_server import ACCESS_KEY, REGION, SECRET_KEY, Missing, Servers, running

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
BUCKET: Final = "bench"
TIMEOUT: Final = 45.0
"""Seconds for one measurement; one that takes longer is recorded so, and not asked for again."""
SLOW: Final = 8.0
"""Seconds of a peer's measurement above which it is not repeated: its figure is far from ours, and time is short."""
RESERVE: Final = 15.0
"""Seconds before the end at which nothing more is begun."""


@dataclass
class Run:
    """What was measured so far."""

    servers: Servers
    deadline: float
    client: Any
    samples: dict[str, dict[str, list[dict[str, Any] | None]]] = field(default_factory=dict)
    """By row and contender: one for each round, None where there was none."""
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    costs: dict[tuple[str, str], float] = field(default_factory=dict)
    """Seconds that the last measurement of a row by a contender took, all in all."""
    _buckets: int = 0

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def measure(self, row: Row, contender: str, round_: int) -> str:
        """One measurement more; returns what to print."""
        if contender in self.errors.get(row.name, {}):
            return f"{contender} failed before"
        if self.costs.get((row.name, contender), 0.0) > SLOW and contender in row.peers:
            return f"{contender} took long before"
        if self.left() < RESERVE and contender in row.peers:
            return f"{contender} no time"
        endpoint = self.servers.loopback if row.delay == LOOPBACK else self.servers.slow[row.delay]
        before = time.monotonic()
        timeout = min(TIMEOUT, max(self.left(), RESERVE))
        with self.bucket(row) as bucket:
            result = _in_process(row, contender, endpoint, bucket, timeout)
        self.costs[row.name, contender] = time.monotonic() - before
        if result.get("late") and timeout < TIMEOUT:
            return f"{contender} no time"
        if "error" in result:
            self.errors.setdefault(row.name, {})[contender] = result["error"]
            return f"{contender}: {result['error']}"
        kept = self.samples.setdefault(row.name, {}).setdefault(contender, [])
        kept.extend([None] * (round_ - len(kept)))
        kept.append(result)
        return f"{contender} {report.shown(row, result)}"

    @contextlib.contextmanager
    def bucket(self, row: Row) -> Iterator[str]:
        """Where ``row`` works: what is written goes to a bucket of its own, whose space comes back at once."""
        if row.work not in ("write", "put") and row.parameters.get("work") != "write":
            yield BUCKET
            return
        self._buckets += 1
        name = f"{BUCKET}-{self._buckets}"
        self.client.create_bucket(Bucket=name)
        try:
            yield name
        finally:
            with contextlib.suppress(Exception):  # at worst it stays until the store goes
                pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=name)
                keys = [{"Key": item["Key"]} for page in pages for item in page.get("Contents", ())]
                if keys:
                    self.client.delete_objects(Bucket=name, Delete={"Objects": keys})
                self.client.delete_bucket(Bucket=name)


def _in_process(row: Row, contender: str, endpoint: str, bucket: str, timeout: float) -> dict[str, Any]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("AWS_", "RCLONE_", "VFSMOUNT_CONFIG"))
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    environment |= {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory(prefix="vfsmount-bench-cwd-") as folder:
        if row.work == "first read":
            script = str(ROOT / "benchmarks" / "first_read.py")
            command = [script, contender, endpoint, bucket, WARM, f"{folder}/point"]
        else:
            task = {"work": row.work, "parameters": row.parameters, "contender": contender}
            command = ["-m", "benchmarks.work", json.dumps(task | {"endpoint": endpoint, "bucket": bucket})]
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment | {"TMPDIR": folder},
            cwd=folder,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"error": f"not done after {timeout:.0f} s", "late": True}
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                _unmount_below(folder)
    try:
        found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": f"exit {process.returncode}: {err.strip()[-200:]}"}
    return found


def _unmount_below(folder: str) -> None:
    """What a killed measurement left mounted."""
    if os.path.exists("/proc/mounts"):
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            point = line.split()[1]
            if point.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=20)


def _contenders(row: Row, round_: int, peers: set[str] | None) -> list[str]:
    """Whose turn it is in ``round_``, which begins with another one than the round before; ``peers``: None for all."""
    names = ["vfsmount"]
    if row.reference is not None:
        names.append(row.reference)
    names += [peer for peer in row.peers if peers is None or peer in peers]
    shift = round_ % len(names)
    return names[shift:] + names[:shift]


def _rounds(rows: Sequence[Row], rounds: range, run: Run, seeds: Seeds, peers: set[str] | None) -> None:
    """Every row once for each round, so that a disturbance falls on all of them; until time is up."""
    for round_ in rounds:
        for row in rows:
            if round_ >= row.rounds:
                continue
            if run.left() < RESERVE:
                print(f"  out of time in round {round_ + 1}, at {row.name}", flush=True)
                return
            seeds.have(row.work, row.parameters)
            said = [run.measure(row, name, round_) for name in _contenders(row, round_, peers)]
            print(f"{run.left():5.0f} s left  {round_ + 1}  {row.name:20} {', '.join(said)}", flush=True)


def _client(endpoint: str) -> Any:
    """Makes and deletes buckets; with the client that s3fs brings."""
    import botocore.session

    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def _make_bucket(client: Any) -> None:
    """The bucket that is read, as soon as the store can keep something: its door opens earlier."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 60
    while True:
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            client.delete_object(Bucket=BUCKET, Key="ready")
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, no growth, fewer peers; nothing is written")
    parser.add_argument("--minutes", type=float, help="stop measuring after so many (11; quick: 3)")
    parser.add_argument("--rows", help="only those whose name contains one of these, comma-separated")
    parser.add_argument("--peers", help="only these, comma-separated (an empty list: none)")
    parser.add_argument("--rounds", type=int, help="at most so many")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--output", type=Path, help="the JSON (benchmarks/results/latest.json)")
    parser.add_argument("--report-only", action="store_true", help="make plots and tables from the JSON that is there")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    output = arguments.output or RESULTS / "latest.json"
    if arguments.report_only:
        report.publish(json.loads(output.read_text(encoding="utf-8")), ROOT / "docs")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end
    minutes = arguments.minutes or (3 if arguments.quick else 11)
    figures, growth = list(FIGURES), [] if arguments.quick or arguments.no_growth else list(GROWTH)
    if arguments.quick:
        figures = [row for row in figures if row.quick]
    if arguments.rows:
        parts = arguments.rows.split(",")
        figures = [row for row in figures if any(part in row.name for part in parts)]
        growth = [row for row in growth if any(part in row.name for part in parts)]
    peers = None if arguments.peers is None else set(arguments.peers.split(","))
    if arguments.quick and peers is None:
        peers = {"s3fs", "Mountpoint client"}
    began = time.time()
    deadline = time.monotonic() + 60 * minutes
    try:
        with running(DELAYS) as servers:
            client = _client(servers.loopback)
            _make_bucket(client)
            seeds = Seeds(servers.loopback, BUCKET, lambda text: print(text, flush=True))
            run = Run(servers, deadline, client)
            most = arguments.rounds or 5
            # First what matters most, while there is surely time: ours and the reference.
            alone = 1 if arguments.quick else 2
            _rounds(figures, range(min(alone, most)), run, seeds, set())
            _rounds(growth, range(min(3, most)), run, seeds, peers)
            _rounds(figures, range(min(alone, most - 1), most), run, seeds, peers)
    except Missing as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 2
    found = report.collect(figures + growth, run.samples, run.errors, began)
    print(report.figures_table(found))
    if arguments.quick or arguments.rows:
        if arguments.output:
            report.save(found, output)
        return 0
    report.save(found, output)
    if output == RESULTS / "latest.json":
        report.publish(found, ROOT / "docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
