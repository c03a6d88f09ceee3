"""What tracking every step costs: the journal's part, and whole jobs with MLflow up and away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from durability_checkpoints import Steps, measure_turns, print_turns
from measuring import BIN, HERE, read_lines, surroundings
from pairs import say
from table import spread

sys.path.append(str(HERE.parent / "support"))

from mlflow_server import MlflowServer

SMALL = """
kind: train
name: durability
model: {name: cnn_small}
data: {train: {uri: sklearn:digits}, image_size: 28}
batch_size: 128
optimizer: {name: sgd, lr: 0.01, momentum: 0.9}
"""
EPOCHS = 40
"""Of 15 steps each."""
PATIENCE = 600.0


def measure_tracking(work: Path, pairs: int) -> dict[str, Any]:
    """Measure both; print the tables and return the numbers."""
    steps = Steps(SMALL + "max_steps: 1000000\n", work / "loop")
    sides = {
        "none": lambda: steps.take(200),
        "log_every: 1": lambda: steps.take(200, report=True),
    }
    turns = measure_turns("tracking", sides, pairs)
    ms = 1e3 * median(turns["none"]["seconds"]) / 200
    print(f"**Tracking every step, in the loop**: small CNN, steps of {ms:,.1f} ms\n")
    print_turns(turns, "log_every: 1", "≤ 1.01")
    return {"loop": turns, "jobs": _jobs(work, pairs)}


def _jobs(work: Path, pairs: int) -> dict[str, list[float]]:
    """Run whole jobs, of which the journal's shipper is a part; return their images/s."""
    (work / "train.yaml").write_text(SMALL + f"epochs: {EPOCHS}\n")
    server = MlflowServer(work, f"sqlite:///{work}/mlflow.db")
    sides = {"once an epoch": (1000, False), "each step": (1, False), "each step, away": (1, True)}
    found: dict[str, list[float]] = {name: [] for name in sides}
    server.start()
    try:
        for number in range(pairs):
            for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
                every, away = sides[name]
                folder = work / f"{number}-{every}-{away}"
                found[name].append(_images_per_second(work, folder, server, every, away=away))
                say(f"jobs, round {number + 1}, {name}: {found[name][-1]:,.0f} images/s")
    finally:
        server.stop()
    print("**Tracking every step, the whole job**: `--local`, the shipper on the same processors\n")
    print("| losses are recorded | images/s | seconds a step, of the first's | wanted |")
    print("|---|---|---|---|")
    base = found["once an epoch"]
    for name, rates in found.items():
        ratio = spread([b / a for a, b in zip(rates, base, strict=True)], 3)
        print(f"| {name} | {spread(rates, 0)} | {ratio} | {'' if rates is base else '≤ 1.01'} |")
    print(flush=True)
    return found


def _images_per_second(
    work: Path, home: Path, server: MlflowServer, every: int, *, away: bool
) -> float:
    """Run the job; with `away` MLflow is killed after the first step and back after the last."""
    command = [str(BIN / "helio"), "run", str(work / "train.yaml"), "--local", "--json"]
    environment = surroundings({"HELIO_HOME": str(home), "MLFLOW_TRACKING_URI": server.uri})
    with (work / f"{home.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--set", f"log_every={every}"], env=environment, stdout=log, stderr=log
        )
    try:
        if away:
            _wait(process, home, "first_step")
            server.stop()
            _wait(process, home, "attempt_ended")
            server.start()
        if process.wait(PATIENCE):
            raise RuntimeError((work / f"{home.name}.log").read_text())
    finally:
        process.kill()
    rates = [r["value"] for r in _records(home) if r.get("name") == "train/images_per_second"]
    return median(rates[len(rates) // 4 :])


def _wait(process: subprocess.Popen[bytes], home: Path, event: str) -> None:
    until = time.monotonic() + PATIENCE
    while not any(record.get("name") == event for record in _records(home)):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the job never came to {event}")
        time.sleep(0.05)


def _records(home: Path) -> list[dict[str, Any]]:
    try:
        return read_lines(sorted(home.glob("jobs/*/journal/*.jsonl")))
    except json.JSONDecodeError:  # a line that is being written
        return []
