"""Many jobs submitted at once to a cluster with room for two, and many who follow one log."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from measuring import BIN, MIB, run_command, surroundings
from pairs import ROOT, say

SPEC = ROOT / "jobs" / "digits" / "train.yaml"
AT_ONCE = 10
"""`helio submit`s that run at a time: each is a process of its own, on these same processors."""
FOLLOWERS = 20


def measure_many(work: Path, jobs: int, env: Mapping[str, str]) -> Any:
    """Submit the jobs, wait for all of them, print and return what was seen."""
    work.mkdir(parents=True, exist_ok=True)
    names = [f"many-{number:03d}" for number in range(jobs)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        latencies = list(pool.map(lambda job: submit(job, work, env), names))
    memory = head_memory(env)
    followers = follow(names[-1], FOLLOWERS, env)
    rows = wait_for_all(names, work, env)
    logs = {process.communicate()[0] for process in followers}
    runs = json.loads(run_command([str(BIN / "helio"), "runs", "--json"], work, env))["runs"]
    ended = [row["status"] for row in rows]
    ordered = sorted(latencies)
    result = {
        "submit_seconds": latencies,
        "head_mib": memory,
        "succeeded": ended.count("SUCCEEDED"),
        "jobs": len(rows),
        "runs": len({run["job"] for run in runs}),
        "runs_in_all": len(runs),
        "different_logs": len(logs),
    }
    print(f"**{jobs} jobs at once**, room for two\n")
    print("| submit, median s | p99 s | head, MiB | succeeded | runs in MLflow | logs of 20 |")
    print("|---|---|---|---|---|---|")
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    print(
        f"| {median(ordered):.1f} | {p99:.1f} | {memory:.0f} | {result['succeeded']} of {jobs} "
        f"| {len(runs)} | {len(logs)} kind |\n",
        flush=True,
    )
    return result


def submit(job: str, work: Path, env: Mapping[str, str]) -> float:
    """Submit a job of one epoch; return the seconds that it took."""
    began = time.monotonic()
    command = [str(BIN / "helio"), "submit", str(SPEC), "--id", job, "--set", "epochs=1"]
    run_command([*command, "--set", "resources.workers=1"], work / job, env)
    return time.monotonic() - began


def head_memory(env: Mapping[str, str]) -> float:
    """Return the MiB of the head's own processes, without those of the jobs."""
    head = json.loads((Path(env["HELIO_HOME"]) / "cluster" / "ray.json").read_text())
    own = [psutil.Process(head["pid"]), *psutil.Process(head["pid"]).children(recursive=True)]
    return sum(
        process.memory_full_info().pss / MIB
        for process in own
        if "heliostat.cli" not in " ".join(process.cmdline())
    )


def follow(job: str, followers: int, env: Mapping[str, str]) -> list[subprocess.Popen[str]]:
    """Start so many who follow the job's log."""
    command = [str(BIN / "helio"), "logs", job, "-f"]
    return [
        subprocess.Popen(command, env=surroundings(env), stdout=subprocess.PIPE, text=True)
        for _ in range(followers)
    ]


def wait_for_all(names: list[str], work: Path, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the cluster's rows of the jobs once each has ended."""
    while True:
        output = run_command([str(BIN / "helio"), "jobs", "--json"], work, env)
        rows = [row for row in json.loads(output)["jobs"] if row["id"] in names]
        over = [row for row in rows if row["status"] in ("SUCCEEDED", "FAILED", "STOPPED")]
        say(f"many: {len(over)} of {len(names)} have ended")
        if len(over) == len(names):
            return rows
        time.sleep(10)
