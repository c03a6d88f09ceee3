"""`make bench`: what a search costs, beside Ray Tune and bare Optuna, in one run.

    python searching.py [--only overhead walltime asha thousand] [--pairs 3] [--keep FOLDER]
    python searching.py --only train           # Ray Train in Ray Tune, beside heliostat: slow
    python searching.py --only live            # ASHA, live on Fashion-MNIST
    python searching.py --record               # the curves that asha replays, anew

overhead: a trial's cost beyond its training. walltime: 32 trials of ten seconds on two processors.
asha: the steps until what random search finds is found, on recorded curves. thousand: 1,000 trials
that return at once. The Markdown goes to stdout, every number to `benchmark-results/<time>.json`.
Each run starts cold, with a fresh HELIO_HOME. `--trials` makes small runs, which measure nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pairs import SHARED, machine, write
from search_asha import SEEDS, measure_asha, measure_live
from search_curves import record_curves
from search_overhead import measure_overhead
from search_thousand import measure_thousand
from search_walltime import measure_walltime

DATA = SHARED / "fashion-mnist"
PARTS = ("overhead", "walltime", "asha", "thousand")
MORE = ("train", "live")
CURVES_DATA = {"train.data.train.uri": str(DATA), "train.data.val.uri": str(DATA)}


def main() -> None:
    """Measure what was asked for and print it."""
    args = parse_arguments()
    if not DATA.is_dir():
        sys.exit(f"searching: no data at {DATA}; HELIO_TEST_DATA names the folder above it")
    work = args.keep.absolute() if args.keep else Path(tempfile.mkdtemp(prefix="helio-searching-"))
    try:
        if args.record:
            limits = {"trials": args.trials} if args.trials else {}
            print(f"Recorded: {record_curves(work / 'record', {**CURVES_DATA, **limits})}")
            return
        results: dict[str, Any] = {"machine": machine(), "pairs": args.pairs}
        print(f"{results['machine']}; {args.pairs} pairs\n", flush=True)
        for part in args.only:
            results[part] = measure(part, work / part, args)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f"Every number: {write(results)}")


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS + MORE, default=PARTS, metavar="PART")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--trials", type=int, help="so many in each part, to see that it works")
    parser.add_argument("--record", action="store_true", help="record the curves anew, and end")
    parser.add_argument("--keep", type=Path, help="keep every run's folder here")
    return parser.parse_args()


def measure(part: str, work: Path, args: argparse.Namespace) -> Any:
    """Measure one part, print its table, and return its numbers."""
    match part:
        case "overhead":
            peers = ("reused", "function")
            return measure_overhead(work, args.pairs, args.trials or 40, peers=peers)
        case "train":
            return measure_overhead(work, 1, args.trials or 40, peers=("train",))
        case "walltime":
            return measure_walltime(work, args.pairs, args.trials or 32, DATA)
        case "thousand":
            return measure_thousand(work, args.trials or 1000)
        case "live":
            return measure_live(work, CURVES_DATA)
    return measure_asha(args.trials or SEEDS)


if __name__ == "__main__":
    main()
