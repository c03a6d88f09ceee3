"""Workers that a cluster's nodes start ahead: taken by one job, and by no other after it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil

from own_cluster import Cluster
from waiting import wait_until

SPEC = """
kind: train
name: look
entrypoint: {module}:look
args: {{file: {file}}}
resources: {{workers: 1}}
retries: {{failures: 0}}
env: {env}
"""

CODE = """
import json, os, sys, psutil

def look(run, file):
    import {beside}
    seen = {{
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
        "beside": {beside}.NAME,
        "modules": sorted(sys.modules),
        "variable": os.environ.get("LOOK"),
    }}
    open(file, "w").write(json.dumps(seen))
"""


def waiting(cluster: Cluster) -> list[int]:
    """Return the processes that wait for a job with their imports done."""
    head = psutil.Process(
        json.loads((cluster.helio.home / "cluster" / "ray.json").read_text())["pid"]
    )
    found = []
    for process in head.children(recursive=True):
        try:
            files = {Path(one.path).name for one in process.memory_maps()}
            if process.cmdline()[0] == "ray::IDLE" and "libtorch_python.so" in files:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def look(cluster: Cluster, folder: Path, name: str, env: str = "{}") -> dict[str, Any]:
    """Run a job whose training function tells of the process that it is in."""
    code = folder / name
    code.mkdir()
    file = folder / f"{name}.json"
    (code / "spec.yaml").write_text(SPEC.format(module=f"look_{name}", file=file, env=env))
    (code / f"look_{name}.py").write_text(CODE.format(beside=f"beside_{name}"))
    (code / f"beside_{name}.py").write_text(f"NAME = {name!r}\n")
    submitted = time.time()
    done = cluster.helio("submit", code / "spec.yaml", "--id", f"look-{name}")
    assert done.status == 0, done.err
    log = cluster.helio("logs", f"look-{name}", "-f")
    assert file.exists(), log.out
    seen: dict[str, Any] = json.loads(file.read_text())
    assert seen["beside"] == name
    return {**seen, "submitted": submitted}


def test_a_job_takes_workers_that_were_started_ahead_and_no_other_job_gets_them_after_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    wait_until(lambda: len(waiting(cluster)) >= 3, 180, lambda: waiting(cluster))
    before = waiting(cluster)
    first = look(cluster, tmp_path, "first")
    assert first["pid"] in before
    assert first["born"] < first["submitted"]
    wait_until(lambda: len(waiting(cluster)) >= 3, 180, lambda: waiting(cluster))
    assert first["pid"] not in waiting(cluster)
    second = look(cluster, tmp_path, "second")
    assert second["pid"] != first["pid"]
    assert not {"look_first", "beside_first"} & set(second["modules"])
    assert second["variable"] is None


def test_a_job_with_an_environment_of_its_own_gets_workers_that_imported_nothing_yet(
    cluster: Cluster, tmp_path: Path
) -> None:
    seen = look(cluster, tmp_path, "third", env='{LOOK: "here"}')
    assert seen["variable"] == "here"
    assert seen["born"] > seen["submitted"]
