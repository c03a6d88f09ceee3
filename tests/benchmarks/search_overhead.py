"""What a trial costs beyond its training: one worker, one trial at a time, all records on.

The same definition for all that run: from the first trial's end to the last one's, by the number of
trials between them, less the training. The start of everything is left out and told apart.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from measuring import HERE, run_command
from pairs import say
from search_runs import SearchRun, all_finished, run_search, seconds_each
from table import spread

FUNCTION_TRIALS = 8
TRAIN_TRIALS = 3
NAMES = {
    "ours": "heliostat: journal, checkpoint, MLflow",
    "reused": "Ray Tune, a reused trainable that does nothing",
    "function": "Ray Tune, functions: no checkpoint, no MLflow",
    "train": "Ray Train in Ray Tune's functions: no checkpoint, no MLflow",
}


@dataclass(frozen=True)
class Cost:
    """One run of trials, in seconds."""

    each: float
    """From one trial's end to the next."""
    training: float
    """What a training said of itself: heliostat's from the model on, its evaluation and its
    checkpoint included, the peers' without a checkpoint."""
    first: float
    """From the command to the first trial's end."""
    total: float
    """From the command to its end."""

    def beyond(self, training: float) -> float:
        """Return the cost of a trial beyond a training of so many seconds."""
        return self.each - training


def measure_overhead(work: Path, pairs: int, trials: int, *, peers: Sequence[str]) -> Any:
    """Measure heliostat and the peers in turns; print the table and return the numbers."""
    costs: dict[str, list[Cost]] = {name: [] for name in ("ours", *peers)}
    bare: list[float] = []
    for number in range(pairs):
        bare.append(bare_training(work / f"{number}-bare", trials))
        for name, measured in costs.items():
            folder = work / f"{number}-{name}"
            measured.append(
                our_cost(folder, trials) if name == "ours" else peer(name, folder, trials)
            )
            say(f"overhead, round {number + 1}, {name}: {measured[-1]}")
    print(f"**Cost of a trial beyond its training**: {trials} trials of 20 steps and an evaluation")
    print(f"on digits, one at a time; a bare loop takes {spread(bare, 3)} s for one\n")
    print("| | beyond the bare loop, s | beyond its own training, s | to the first end, s "
          "| the command, s |\n|---|---|---|---|---|")  # fmt: skip
    for name, measured in costs.items():
        print(f"| {NAMES[name]} | {' | '.join(cells(name, measured, bare))} |")
    print("\nWanted of heliostat: at most 0.5 s beyond the training, goal 0.2.\n", flush=True)
    return {"bare": bare, **{name: [asdict(cost) for cost in costs[name]] for name in costs}}


def cells(name: str, costs: Sequence[Cost], bare: Sequence[float]) -> list[str]:
    """Return a row's cells; a trial that does nothing has no training."""
    own = [cost.beyond(cost.training) for cost in costs]
    loop = own
    if name != "reused":
        loop = [cost.beyond(seconds) for cost, seconds in zip(costs, bare, strict=True)]
    columns = (loop, own, [cost.first for cost in costs], [cost.total for cost in costs])
    return [spread(column, digits) for column, digits in zip(columns, (3, 3, 1, 1), strict=True)]


def our_cost(folder: Path, trials: int) -> Cost:
    """Run the search of search_digits.yaml."""
    run = run_search("search_digits.yaml", {"trials": trials}, folder)
    all_finished(run, trials)
    return cost_of(run)


def cost_of(run: SearchRun) -> Cost:
    """Return what the ledger says: a `told` record is a trial's end."""
    told = run.of("told")
    ends = [record["time"] / 1000 for record in told]
    training = mean(record["seconds"] for record in told[1:])
    return Cost(seconds_each(ends), training, ends[0] - run.began, run.seconds)


def peer(name: str, folder: Path, trials: int) -> Cost:
    """Run trials under Ray Tune."""
    count = {"function": FUNCTION_TRIALS, "train": TRAIN_TRIALS}.get(name, trials)
    words = ["--trials", str(min(count, trials)), "--folder", str(folder)]
    began = time.time()
    command = [sys.executable, str(HERE / "search_peer_tune.py"), name, *words]
    output = run_command(command, folder, {})
    total = time.time() - began
    said = json.loads(output.splitlines()[-1])
    ends = said["ended"]
    return Cost(seconds_each(ends), mean(said["training"]), ends[0] - began, total)


def bare_training(folder: Path, trials: int) -> float:
    """Return the seconds of the same training in a bare loop, in a process that is warm."""
    output = run_command([sys.executable, __file__, str(trials)], folder, {})
    seconds: float = json.loads(output)
    return seconds


def train_bare(trials: int) -> None:
    """Train as often, and print the mean seconds but for the first time's."""
    from search_training import digits, fit

    training = digits()
    values = {"optimizer.lr": 0.1, "optimizer.momentum": 0.9, "optimizer.weight_decay": 1e-4}
    print(mean([fit(training, values)[1] for _ in range(trials)][1:]))


if __name__ == "__main__":
    train_bare(int(sys.argv[1]))
