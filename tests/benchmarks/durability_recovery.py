"""From a worker's death under Ray to the next optimizer step, and where the seconds go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
from measuring import BIN, read_lines, surroundings
from pairs import ROOT, say
from table import spread

PATIENCE = 600.0
STAGES = ("attempt_started", "restored", "first_step")
"""The new workers' first word; the checkpoint is in place; the next optimizer step is done."""
EVERY = 25


def measure_recovery(work: Path, times: int) -> dict[str, Any]:
    """Kill a worker of a job so many times, a job each; print the table and return the numbers."""
    runs = [_recover(work / str(number)) for number in range(times)]
    print("**A worker is killed** (SIGKILL; digits, two workers, embedded Ray)\n")
    print("| from its death to | s: median (min–max) |\n|---|---|")
    for stage in STAGES:
        print(f"| {stage.replace('_', ' ')} | {spread([run[stage] for run in runs])} |")
    print(
        f"\nSteps between the newest checkpoint (one in {EVERY} steps) and the kill, done again: "
        f"{spread([run['repeated'] for run in runs], 0)}\n",
        flush=True,
    )
    return {"runs": runs}


def _recover(home: Path) -> dict[str, float]:
    """Run a job, kill one of its workers, and read from the journal what came when."""
    home.mkdir(parents=True)
    settings = [f"checkpoint.every={EVERY} steps", "epochs=200", "register=null", "log_every=1"]
    command = [str(BIN / "helio"), "run", str(ROOT / "jobs" / "digits" / "train.yaml"), "--json"]
    command += [word for value in settings for word in ("--set", value)]
    with (home / "run.log").open("wb") as log:
        environment = surroundings({"HELIO_HOME": str(home)})
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(process, home, lambda records: _step(records, 1) > 3 * EVERY)
        victim = _workers(process.pid)[-1]
        died = time.time()
        os.kill(victim, signal.SIGKILL)
        _wait(process, home, lambda records: _when(records, "first_step", 2) is not None)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    records = _records(home)
    found = {stage: (_when(records, stage, 2) or 0.0) - died for stage in STAGES}
    (restored,) = [r for r in records if r.get("name") == "restored" and r["attempt"] == 2]
    found["repeated"] = _step(records, 1) - restored["step"]
    say(f"recovery: {found}")
    return found


def _workers(driver: int) -> list[int]:
    """Return the processes below the driver that train."""
    below = psutil.Process(driver).children(recursive=True)
    return [p.pid for p in below if "RayTrainWorker" in " ".join(p.cmdline())]


def _step(records: list[dict[str, Any]], attempt: int) -> int:
    """Return the last step whose loss the attempt recorded."""
    steps = [
        r["step"] for r in records if r.get("name") == "train/loss" and r["attempt"] == attempt
    ]
    return max(steps, default=0)


def _when(records: list[dict[str, Any]], event: str, attempt: int) -> float | None:
    """Return when rank 0 told of the event, in unix seconds."""
    at = [r["time"] for r in records if r.get("name") == event and r["attempt"] == attempt]
    return min(at) / 1000 if at else None


def _wait(process: subprocess.Popen[bytes], home: Path, come: Any) -> None:
    until = time.monotonic() + PATIENCE
    while not come(_records(home)):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError((home / "run.log").read_text())
        time.sleep(0.1)


def _records(home: Path) -> list[dict[str, Any]]:
    """Return rank 0's records, each with its attempt."""
    found = []
    for path in sorted(home.glob("jobs/*/journal/*-0000-*.jsonl")):
        try:
            attempt = int(path.name.split("-")[0])
            found += [{**record, "attempt": attempt} for record in read_lines([path])]
        except json.JSONDecodeError:  # a line that is being written
            continue
    return found
