"""Feeders side by side in one run, in turns: heliostat, and what people would pick instead.

    python feeders.py [--only photos small arrays user_transform] [--peers torchcodec …] [--pairs 3]

The Markdown goes to stdout. All feed normalised float32 batches with two threads or processes;
rates are images a second after an epoch's first batch, ratios those of the same turn to
torchvision's. The peers are installed by whoever wants them; one that is not is said to be skipped
(`--python` names an interpreter that has them).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))

import pytest  # noqa: E402
from feeder_data import BUCKET, PARTS  # noqa: E402
from support.s3 import make_bucket, s3_server, use  # noqa: E402

SOURCE = Path(os.environ.get("HELIO_TEST_DATA", ROOT.parent / "shared" / "data"))
REFERENCE = "torchvision"
PEERS = ("torchcodec", "webdataset", "litdata", "mosaicml-streaming", "ray-data")
OURS = {
    "photos": (
        *("heliostat", "heliostat, cache", "heliostat, cache 160"),
        *("heliostat, imported", "heliostat, S3"),
    ),
    "small": ("heliostat",),
    "arrays": ("heliostat",),
    "user_transform": ("heliostat", "heliostat, processes"),
}
WANTED = {
    "photos": "no cache ≥ 1.8; later epochs: cache ≥ 5, cache 160 ≥ 7; S3 ≥ 0.9 × imported",
    "small": "first epoch ≥ 8, later ≥ 25",
    "arrays": "≥ 30",
    "user_transform": "≥ 1.0",
}
SECONDS = 240

Runs = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with the peers")
    parser.add_argument("--work", type=Path, help="keep the data here, in every feeder's form")
    args = parser.parse_args()
    if not SOURCE.is_dir():
        sys.exit(f"feeders: no data at {SOURCE}; HELIO_TEST_DATA names it")
    work = args.work or Path(tempfile.mkdtemp(prefix="helio-feeders-"))
    try:
        with s3():
            for part in args.only:
                runs = measure(part, args.peers, args.pairs, args.python, work)
                print(f"**{part}**, {args.pairs} turns; wanted: {WANTED[part]}\n")
                print(as_markdown(runs) + "\n", flush=True)
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def s3() -> Iterator[None]:
    """Run an S3 server with a bucket, told to the feeders by their environment."""
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        use(patch, endpoint)
        make_bucket(BUCKET)
        yield


def measure(part: str, peers: list[str], turns: int, python: str, work: Path) -> Runs:
    """Return each feeder's runs, one a turn; a feeder that fails once is left out, and said."""
    runs: Runs = {}
    others = [peer for peer in peers if applies(peer, part)]
    feeders = [(sys.executable, REFERENCE), *((sys.executable, name) for name in OURS[part])]
    feeders += [(python, peer) for peer in others]
    for turn in range(turns):
        for interpreter, name in list(feeders)[:: 1 if turn % 2 == 0 else -1]:
            try:
                runs.setdefault(name, []).append(run(interpreter, part, name, work))
                say(f"{part}, turn {turn + 1}, {name}: {runs[name][-1]}")
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                say(f"{part}: {name} is skipped: {error}")
                feeders.remove((interpreter, name))
                runs.pop(name, None)
    return runs


def applies(peer: str, part: str) -> bool:
    """Whether a peer has anything to do with a part."""
    return part != "user_transform" and (peer != "torchcodec" or part != "arrays")


def run(interpreter: str, part: str, feeder: str, work: Path) -> dict[str, Any]:
    """Run one feeder once; RuntimeError with its last line where it fails."""
    command = [interpreter, str(HERE / "feeder_run.py"), part, feeder, str(SOURCE), str(work)]
    paths = os.pathsep.join([str(ROOT / "platform"), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
    work.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    for home in work.glob("home-*"):
        shutil.rmtree(home)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def as_markdown(runs: Runs) -> str:
    """Return the table: medians, and ratios to the reference's run of the same turn."""
    reference = runs[REFERENCE]
    lines = [
        "| feeder | first epoch, images/s | × | later epochs, images/s | × "
        "| first batch, s | × | mean of pixels |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in runs.items():
        cells = [name]
        for key, digits in (("first_epoch", 0), ("later_epochs", 0), ("first_batch_seconds", 2)):
            ratios = [a[key] / b[key] for a, b in zip(measured, reference, strict=False)]
            cells += [f"{median(m[key] for m in measured):,.{digits}f}", f"{median(ratios):.2f}"]
        cells.append(mean(measured, reference))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mean(measured: list[dict[str, Any]], reference: list[dict[str, Any]]) -> str:
    """Return the mean of the normalised pixels, and a word where it is not the reference's."""
    found, expected = (median(run["mean"] for run in runs) for runs in (measured, reference))
    return f"{found:.3f}" if abs(found - expected) < 0.15 else f"{found:.3f} (differs)"


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
