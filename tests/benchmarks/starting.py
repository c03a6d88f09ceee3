"""`make bench`: from a submitted job to its first optimizer step, on a cluster that is up.

    python starting.py [--pairs 5] [--only starting many] [--jobs 50] [--keep FOLDER]

starting: jobs/digits by `helio submit`, beside the same training as a plain Ray Train script by
`ray job submit`, in turns on one head that `helio up` started; two workers on both sides.
many: `--jobs` jobs submitted at once to a cluster with room for two; half an hour, on request.
The Markdown goes to stdout, every number to `benchmark-results/<time>.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from cluster_jobs import measure_many
from measuring import BIN, HERE, read_lines, run_command
from pairs import ROOT, machine, say, write
from table import HEADER, Row

IDLE_SECONDS = 60
"""How long a run waits, at most, for the machine to come to rest."""
PARTS = ("starting", "many")
SPEC = ROOT / "jobs" / "digits" / "train.yaml"
PEER = HERE / "cluster_peer"
STAGES = ("driver", "entered", "first_step")
"""The driver's first line, the training function's, and the end of the first optimizer step."""


def main() -> None:
    """Measure what was asked for and print it."""
    args = parse_arguments()
    work = args.keep.absolute() if args.keep else Path(tempfile.mkdtemp(prefix="helio-starting-"))
    results: dict[str, Any] = {"machine": machine(), "pairs": args.pairs}
    print(f"{results['machine']}\n", flush=True)
    try:
        for part in args.only:
            with cluster(work / part) as env:
                if part == "starting":
                    results[part] = measure_starting(work / part, args.pairs, env)
                else:
                    results[part] = measure_many(work / part, args.jobs, env)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f"Every number: {write(results)}")


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS[:1], metavar="PART")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="keep every run's folder here")
    return parser.parse_args()


@contextmanager
def cluster(work: Path) -> Iterator[Mapping[str, str]]:
    """Give the environment of a user of a cluster of the benchmark's own."""
    home = work / "home"
    ports = ("--port", "--dashboard-port", "--mlflow-port")
    options = [word for name in ports for word in (name, str(free_port()))]
    env = {"HELIO_HOME": str(home)}
    up = json.loads(run_command([str(BIN / "helio"), "up", *options, "--json"], work, env))
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": up["token_file"]}
    try:
        yield {**env, **token, "HELIO_CLUSTER": up["dashboard"]}
    finally:
        run_command([str(BIN / "helio"), "down"], work, env)


def measure_starting(work: Path, pairs: int, env: Mapping[str, str]) -> Any:
    """Measure both sides in turns; print the table and return the numbers."""
    sides = {"heliostat": our_stages, "script": their_stages}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(-1, pairs):  # the first of each warms the machine's caches
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            wait_until_idle()
            stages = sides[name](work / f"{number}-{name}", env)
            say(f"starting, pair {number + 1}, {name}: {stages}")
            if number >= 0:
                runs[name].append(stages)
    print("**Submitted to a cluster that is up**: digits, two workers\n")
    print(HEADER.replace("torchrun script", "Ray Train script"))
    for stage, wanted in zip(STAGES, ("", "", "≤ 0.7, goal 0.5"), strict=True):
        ours, theirs = ([run[stage] for run in side] for side in runs.values())
        print(Row(f"submit to {stage.replace('_', ' ')}, s", ours, theirs, wanted))
    print(flush=True)
    return runs


def wait_until_idle() -> None:
    """Wait for what the last job left to do: its end, and the workers for the next one."""
    quiet = 0
    for _ in range(IDLE_SECONDS):
        quiet = quiet + 1 if psutil.cpu_percent(interval=1.0) < 20 else 0
        if quiet == 3:
            return
    say("the machine is not idle")


def our_stages(folder: Path, env: Mapping[str, str]) -> dict[str, float]:
    """Submit our job, wait for its end; return the seconds from the command to each stage."""
    job = f"digits-{time.time_ns()}"
    began = time.time()
    submit = [str(BIN / "helio"), "submit", str(SPEC), "--id", job, "--set", "epochs=2"]
    run_command(submit, folder, env)
    run_command([str(BIN / "helio"), "logs", job, "-f"], folder, env)
    home = Path(env["HELIO_HOME"]) / "jobs" / job
    created = json.loads((home / "job.json").read_text())["created"]
    events = {
        record["name"]: record["time"] / 1000
        for record in read_lines(sorted((home / "journal").glob("*.jsonl")))
        if record["kind"] == "event" and record.get("rank", 0) == 0
    }
    at = (created, events["attempt_started"], events["first_step"])
    return {stage: when - began for stage, when in zip(STAGES, at, strict=True)}


def their_stages(folder: Path, env: Mapping[str, str]) -> dict[str, float]:
    """Submit the script, wait for its end; return the seconds from the command to each stage."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.jsonl"
    began = time.time()
    submit = [str(BIN / "ray"), "job", "submit", "--address", env["HELIO_CLUSTER"]]
    submit += ["--working-dir", str(PEER), "--", "python", "ray_train_digits.py", str(report)]
    run_command(submit, folder, env)
    at = {record["event"]: record["time"] for record in read_lines([report])}
    return {stage: at[stage] - began for stage in STAGES}


def free_port() -> int:
    """Return a port of loopback's that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
