"""Interleaved pairs of runs: measured in turns, printed as tables, written to a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring import RANKS, Measurement, Workload
from table import Row, as_markdown

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("HELIO_TEST_DATA", ROOT.parent / "shared" / "data"))

Side = Callable[[Workload, Path], Measurement]
MakeRows = Callable[[Sequence[Measurement], Sequence[Measurement]], list[Row]]
"""(heliostat's runs, the script's) → the table's rows."""


def measure_parts(
    description: str,
    parts: Sequence[str],
    measure: Callable[[str, Path, int], Any],
    *,
    needed: Path,
) -> None:
    """Read the command line, measure what was asked for, print it and write every number.

    `measure` takes a part, a folder for its runs and the number of pairs, prints its table and
    returns its numbers. Exits where the data `needed` is not there.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART")
    parser.add_argument("--keep", type=Path, help="keep every run's folder here")
    args = parser.parse_args()
    if not needed.is_dir():
        sys.exit(f"bench: no data at {needed}; HELIO_TEST_DATA names the folder above it")
    work = args.keep or Path(tempfile.mkdtemp(prefix="helio-bench-"))
    results: dict[str, Any] = {"machine": machine(), "pairs": args.pairs}
    print(f"{results['machine']}; {args.pairs} pairs\n")
    try:
        for part in args.only:
            results[part] = measure(part, work / part, args.pairs)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f"Every number: {write(results)}")


def measure_pairs(
    workload: Workload, work: Path, pairs: int, sides: Mapping[str, Side], make_rows: MakeRows
) -> dict[str, list[dict[str, Any]]]:
    """Run both sides `pairs` times, taking turns at going first; print the table.

    The first of `sides` is heliostat. Returns each side's measurements.
    """
    runs: dict[str, list[Measurement]] = {name: [] for name in sides}
    for number in range(pairs):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            runs[name].append(sides[name](workload, work / f"{number}-{name}"))
            say(f"{workload.model}, pair {number + 1}, {name}: {runs[name][-1]}")
    print(
        f"**{workload.model}**, batch {workload.batch}, {workload.steps} steps, {RANKS} workers\n"
    )
    print(as_markdown(make_rows(*runs.values())) + "\n", flush=True)
    return {name: [asdict(run) for run in measured] for name, measured in runs.items()}


def machine() -> str:
    """Return what this was measured on."""
    return f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"


def write(results: Mapping[str, Any]) -> Path:
    """Write the numbers and return where."""
    path = ROOT / "benchmark-results" / time.strftime("%Y%m%d-%H%M%S.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
