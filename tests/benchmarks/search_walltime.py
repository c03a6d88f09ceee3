"""32 trials of about ten seconds on two processors, beside two processes under bare Optuna."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

from measuring import HERE, run_command
from pairs import say
from search_peer_optuna import draw_points
from search_runs import all_finished, run_search
from table import HEADER, Row

IMAGES = 2500
EPOCHS = 2
VAL = 2000
"""A trial of these takes ten seconds alone, on a processor that trains 650 images/s."""


def measure_walltime(work: Path, pairs: int, trials: int, data: Path) -> Any:
    """Measure both in turns; print the table and return the numbers."""
    points = draw_points(trials, seed=0)
    ours: list[float] = []
    theirs: list[float] = []
    legs: list[float] = []
    for number in range(pairs):
        sides = [("ours", ours), ("optuna", theirs)]
        for name, seconds in sides[:: 1 if number % 2 == 0 else -1]:
            folder = work / f"{number}-{name}"
            if name == "ours":
                total, leg = our_seconds(folder, points, data)
                legs.append(leg)
            else:
                total = optuna_seconds(folder, points, data)
            seconds.append(total)
            say(f"walltime, pair {number + 1}, {name}: {total:.1f} s")
    print(f"**{trials} trials, two at a time**, {mean(legs):.1f} s each under heliostat\n")
    print(HEADER.replace("torchrun script", "two processes under bare Optuna"))
    print(f"{Row('command to its end, s', ours, theirs, '≤ 1.25')}\n", flush=True)
    return {"heliostat": ours, "optuna": theirs, "leg seconds": legs, "points": points}


def our_seconds(folder: Path, points: list[dict[str, float]], data: Path) -> tuple[float, float]:
    """Run the search; return its seconds, and those of a trial's training."""
    settings = {
        "trials": len(points),
        "points_to_evaluate": points,
        "train.epochs": EPOCHS,
        "train.data.train": {"uri": str(data), "split": f"train[:{IMAGES}]"},
        "train.data.val": {"uri": str(data), "split": f"train[{60_000 - VAL}:]"},
    }
    run = run_search("search_walltime.yaml", settings, folder)
    all_finished(run, len(points))
    return run.seconds, mean(record["seconds"] for record in run.of("told"))


def optuna_seconds(folder: Path, points: list[dict[str, float]], data: Path) -> float:
    """Run the script; return its seconds."""
    folder.mkdir(parents=True)
    (folder / "points.json").write_text(json.dumps(points))
    options = {
        "points": folder / "points.json",
        "storage": folder / "journal.log",
        "data": data,
        "images": IMAGES,
        "val": VAL,
        "epochs": EPOCHS,
    }
    command = [sys.executable, str(HERE / "search_peer_optuna.py")]
    for key, value in options.items():
        command += [f"--{key}", str(value)]
    began = time.time()
    run_command(command, folder, {})
    return time.time() - began
