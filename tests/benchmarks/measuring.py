"""One run of either side, and what was measured in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
RANKS = 2
TIMEOUT_SECONDS = 900
MIB = 1024 * 1024

Step = tuple[int, float]


@dataclass(frozen=True)
class Workload:
    """The same training for both sides."""

    model: str
    data: Path
    batch: int
    steps: int
    warm_up: int
    """Steps that the steady rate leaves out."""
    log_every: int = 10


@dataclass(frozen=True)
class Measurement:
    """What one run gave."""

    images_per_second: float
    first_step_seconds: float
    """From the command to the end of the first optimizer step."""
    pss_mib: tuple[float, ...]
    """Memory of each rank: the proportional set size, in MiB."""
    total_seconds: float
    losses: tuple[float, ...] = ()
    """The global mean loss of each `log_every` steps, where the side tells it."""


def run_heliostat(workload: Workload, folder: Path) -> Measurement:
    """Run the workload's spec with a fresh HELIO_HOME under `folder` and read its journal.

    A rank's memory is the largest of its samples (every ten seconds) while it trained; what it
    takes afterwards to export the model, which the script doesn't do, is left out.
    """
    home = folder / "home"
    settings = {
        "data.train.uri": str(workload.data),
        "batch_size": workload.batch,
        "max_steps": workload.steps,
        "log_every": workload.log_every,
        "resources.workers": RANKS,
    }
    command = [str(BIN / "helio"), "run", str(HERE / f"{workload.model}.yaml"), "--json"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    started = time.time()
    output = run_command(command, folder, {"HELIO_HOME": str(home)})
    total = time.time() - started
    journal = home / "jobs" / json.loads(output)["job"] / "journal"
    records = read_lines(sorted(journal.glob("*.jsonl")))
    first = next(r for r in records if r["kind"] == "event" and r["name"] == "first_step")
    logged = [r for r in records if r["kind"] == "metric" and r["name"] == "train/loss"]
    steps = [(r["step"], r["time"] / 1000) for r in logged]
    return Measurement(
        images_per_second=steady_rate(steps, workload.batch, workload.warm_up),
        first_step_seconds=first["time"] / 1000 - started,
        pss_mib=tuple(largest_pss(records, rank, steps[-1][1]) for rank in range(RANKS)),
        total_seconds=total,
        losses=tuple(r["value"] for r in logged),
    )


def run_torchrun(workload: Workload, folder: Path) -> Measurement:
    """Run the script for classifiers, with a fresh MLflow database under `folder`."""
    options = {"model": workload.model, "mlflow-uri": f"sqlite:///{folder / 'mlflow.db'}"}
    return run_script("torchrun_script.py", options, workload, folder)


def run_task_script(workload: Workload, folder: Path) -> Measurement:
    """Run the script for the other tasks; the workload's model is the task's name."""
    return run_script("task_script.py", {"task": workload.model}, workload, folder)


def run_script(
    script: str, options: Mapping[str, Any], workload: Workload, folder: Path
) -> Measurement:
    """Run a script under torchrun, with options of its own, and read its ranks' reports."""
    report = folder / "report"
    common = {
        "data": workload.data,
        "report": report,
        "batch": workload.batch,
        "steps": workload.steps,
        "log-every": workload.log_every,
    }
    command = [str(BIN / "torchrun"), "--nproc-per-node", str(RANKS), str(HERE / script)]
    for key, value in {**common, **options}.items():
        command += [f"--{key}", str(value)]
    started = time.time()
    run_command(command, folder, {})
    total = time.time() - started
    ranks = [read_lines([report / f"rank-{rank}.jsonl"]) for rank in range(RANKS)]
    logged = [r for r in ranks[0] if r["event"] == "step"]
    steps = [(r["step"], r["time"]) for r in logged]
    first = next(r for r in ranks[0] if r["event"] == "first_step")
    memory = (r["pss"] / MIB for rank in ranks for r in rank if r["event"] == "memory")
    return Measurement(
        images_per_second=steady_rate(steps, workload.batch, workload.warm_up),
        first_step_seconds=first["time"] - started,
        pss_mib=tuple(memory),
        total_seconds=total,
        losses=tuple(r["loss"] for r in logged if "loss" in r),
    )


def largest_pss(records: list[dict[str, Any]], rank: int, until: float) -> float:
    """Return a rank's largest PSS in MiB among its samples up to `until`, in unix seconds."""
    name = f"system/rank_{rank}/process_memory_pss_megabytes"
    samples: list[tuple[float, float]] = [
        (r["time"] / 1000, r["value"] * 1e6 / MIB) for r in records if r.get("name") == name
    ]
    if not samples:
        raise ValueError(f"the journal has no {name}")
    # A run of less than ten seconds has one sample only, at its end.
    return max((value for taken, value in samples if taken <= until), default=samples[-1][1])


def steady_rate(steps: Iterable[Step], batch: int, warm_up: int) -> float:
    """Return images/s over the logged `steps`, (number, unix seconds), from step `warm_up` on.

    One definition for both sides: it counts all that happens between two logged steps.
    """
    steady = [step for step in steps if step[0] >= warm_up]
    if len(steady) < 2:
        raise ValueError(f"fewer than two logged steps from step {warm_up} on")
    (first, began), (last, ended) = steady[0], steady[-1]
    return (last - first) * batch / (ended - began)


def run_command(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    allowed: Sequence[int] = (0,),
) -> str:
    """Run a command in `folder` and return its stdout; RuntimeError if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode not in allowed:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-4000:]}")
    return done.stdout


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `environment` in it, and with nobody's cluster."""
    elsewhere = ("HELIO_CLUSTER", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")
    here = {name: value for name, value in os.environ.items() if name not in elsewhere}
    # One thread a rank for both: Ray gives this to workers of one CPU, torchrun to its ranks.
    return {**here, "OMP_NUM_THREADS": "1", **environment}


def read_lines(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the JSON lines of the files, in order."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]
