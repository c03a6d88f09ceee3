"""The shape of every command's JSON document: golden files hold the keys and the types.

A shape that is meant to change is written anew with `HELIO_GOLDEN=write pytest tests/cli`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from heliostat.runtime.cluster.down import Down
from heliostat.runtime.cluster.jobs import JobRow
from heliostat.runtime.cluster.joining import Joined
from heliostat.runtime.cluster.packing import Package
from heliostat.runtime.cluster.status import Amount, Ended, Node, Status
from heliostat.runtime.cluster.submission import Submission, Submitted
from heliostat.runtime.cluster.up import Up
from heliostat.runtime.outcome import Failure, Outcome
from heliostat.runtime.resume_check import Resumed
from heliostat.runtime.sync import Synced
from heliostat.runtime.ui import Pages
from heliostat.spec import parse
from heliostat.spec.problems import InputError, Problem
from heliostat.tracking.listing import RunRow, TrialRow
from heliostat.tracking.models import ModelRow

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 1, 31, 10, 45, tzinfo=UTC)
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def shape(value: Any) -> Any:
    """Return `value` with each leaf replaced by its JSON type."""
    if isinstance(value, Mapping):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return TYPES[type(value)]


def finished(document, *, local, cluster, show) -> Outcome:
    metrics = {"test/accuracy": 0.97}
    return Outcome("digits-1", "0af3", "FINISHED", metrics, "models:/digits/3", None, 72.4)


def failed(document, *, local, cluster, show) -> Outcome:
    return Outcome("digits-1", None, "FAILED", error=Failure("user_code", "ValueError: no"))


def searched(document, *, local, cluster, show) -> Outcome:
    best = {"trial": 7, "values": {"optimizer.lr": 0.1}, "value": 0.98}
    metrics = {"test/accuracy": 0.97}
    return Outcome(
        "search-1", "0af3", "FINISHED", metrics, "models:/digits/3", None, 72.4, None, best
    )


TRAIN = {
    "kind": "train",
    "name": "digits",
    "model": {"name": "cnn_small"},
    "data": {"train": "sklearn:digits", "val": "sklearn:digits"},
    "batch_size": 64,
    "epochs": 9,
    "optimizer": {"name": "sgd", "lr": 0.1},
}
TUNE = {
    "kind": "tune",
    "name": "digits-search",
    "train": TRAIN,
    "search": {"optimizer.lr": {"loguniform": [1e-4, 1.0]}},
    "scheduler": "asha",
    "trials": 9,
    "budget": {"minutes": 30.0},
}


def spec_of(values: dict[str, Any]) -> Any:
    """Return a `load` that finds `values` in every file."""
    return lambda path, overrides: SimpleNamespace(path=path, spec=parse(values))


def resumed(job, overrides, *, cluster, show) -> Outcome:
    return finished(None, local=False, cluster=None, show=show)


def faulty(document, *, deep) -> tuple[Problem, ...]:
    if document.path.stem == "b":
        return (Problem("only 2 CPUs are here", ("resources",), file="b.yaml", line=3),)
    raise InputError([Problem("no such folder", ("data", "train"), "an existing one", "a.yaml", 7)])


def planned(document, *, job, cluster) -> Submission:
    folder = Path("/jobs/digits")
    return Submission(
        id="digits-1",
        cluster=cluster,
        entrypoint="python -m heliostat.cli run a.yaml --json",
        env={"HELIO_JOB_ID": "digits-1"},
        metadata={"job": "digits-1", "name": "digits", "kind": "train", "digest": "0af3"},
        resources={"helio_jobs": 1.0},
        package=Package(folder, (folder / "a.yaml",), 1024, ((".venv", 7, 4096),)),
        notes=("7 files stay here: .venv 4 KiB",),
    )


def served(*, host: str, port: int, opened) -> None:
    opened(Pages(f"http://{host}:{port}", True, None))


def served_already(*, host: str, port: int, opened) -> None:
    opened(Pages("http://127.0.0.1:5000", False, Path("/home/mlflow-password")))


def started(*, show, **options) -> Up:
    return Up(
        ray="10.0.0.1:6379",
        dashboard="http://10.0.0.1:8265",
        mlflow="http://10.0.0.1:5000",
        token_file=Path("/home/ray-token"),
        password_file=Path("/home/mlflow-password"),
        join="ssh THAT_MACHINE helio join 10.0.0.1:6379 < /home/ray-token",
        started=("ray", "mlflow"),
        seconds=14.2,
    )


def joined(head, token, *, show) -> Joined:
    return Joined(head, "http://10.0.0.1:8265", True, 6.1)


def seen(cluster) -> Status:
    cpus, gpus = Amount(2.0, 1.0), Amount(0.0, 0.0)
    return Status(
        cluster="http://10.0.0.1:8265",
        mlflow="http://10.0.0.1:5000",
        nodes=(Node("head", "10.0.0.1", True, True, cpus, gpus),),
        cpus=cpus,
        gpus=gpus,
        jobs={"RUNNING": 1},
        versions={"heliostat": "0.1.0", "mlflow": "3.17.2", "python": "3.11.9", "ray": "2.60.0"},
    )


def seen_dead(cluster) -> Status:
    nothing = Amount(0.0, 0.0)
    ended = Ended("Ray", "Ray's raylet [exit code=-9]", "/home/cluster/ray.log")
    return Status(None, None, (), nothing, nothing, {}, {"python": "3.11.9"}, (ended,))


EXACT = Resumed(8, 6, 3, None)

COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "run": (["run", "a.yaml"], {"run": finished}),
    "run_failed": (["run", "a.yaml"], {"run": failed}),
    "run_search": (["run", "a.yaml"], {"run": searched}),
    "run_dry_run": (["run", "a.yaml", "--dry-run"], {"load": spec_of(TRAIN)}),
    "run_dry_run_search": (
        ["run", "a.yaml", "--dry-run"],
        {"load": spec_of(TUNE), "trials_at_once": lambda spec: 2},
    ),
    "resume": (["resume", "digits-1"], {"resume": resumed}),
    "check": (["check", "a.yaml", "b.yaml"], {"check": faulty}),
    "check_resume": (
        ["check", "a.yaml", "--resume"],
        {"check": lambda document, *, deep: (), "check_resume": lambda document: EXACT},
    ),
    "sync": (["sync"], {"sync": lambda job: (Synced("digits-1", "0af3", 12, "FINISHED"),)}),
    "jobs": (
        ["jobs", "--cluster", "h:1"],
        {
            "jobs": lambda cluster: (
                JobRow("digits-1", "digits", "train", "RUNNING", NOW, 7.5, "running"),
            )
        },
    ),
    "submit": (
        ["submit", "a.yaml", "--cluster", "h:1"],
        {"plan": planned, "submit": lambda request: Submitted("digits-1", "digits-1", new=True)},
    ),
    "submit_dry_run": (
        ["submit", "a.yaml", "--cluster", "h:1", "--dry-run"],
        {"plan": planned},
    ),
    "logs": (
        ["logs", "digits-1", "--cluster", "h:1"],
        {"logs": lambda cluster, job, *, follow, say: iter(["one\n", "two\n"])},
    ),
    "stop": (
        ["stop", "digits-1", "--cluster", "h:1"],
        {"stop": lambda cluster, job, *, wait, say: "STOPPED"},
    ),
    "runs": (
        ["runs"],
        {
            "runs": lambda experiment: [
                RunRow(
                    job="digits-1",
                    run_id="0af3",
                    name="digits",
                    experiment="digits",
                    status="FINISHED",
                    started=NOW,
                    seconds=72.4,
                    kind="train",
                    objective="val/accuracy",
                    value=0.97,
                    model="models:/digits/3",
                )
            ]
        },
    ),
    "runs_search": (
        ["runs", "--search", "search-1"],
        {
            "trials": lambda job: [
                TrialRow(
                    number=7,
                    status="FINISHED",
                    value=0.98,
                    objectives=(0.98,),
                    epoch=9,
                    seconds=61.0,
                    values={"optimizer.lr": 0.1},
                    reason=None,
                    run_id="0af3",
                )
            ]
        },
    ),
    "models": (
        ["models"],
        {
            "models": lambda: [
                ModelRow(
                    name="digits",
                    version=3,
                    aliases=("champion",),
                    run_id="0af3",
                    created=NOW,
                    metric="val/accuracy",
                    goal="maximize",
                    value=0.97,
                )
            ]
        },
    ),
    "promote": (["promote", "digits", "3"], {"promote": lambda name, version, alias: 2}),
    "ui": (["ui"], {"ui": served}),
    "ui_of_up": (["ui"], {"ui": served_already}),
    "up": (["up", "--listen", "10.0.0.1"], {"up": started}),
    "join": (["join", "10.0.0.1:6379"], {"join": joined, "token_is_here": lambda: False}),
    "down": (["down"], {"down": lambda *, show: Down(("ray", "mlflow"), 2)}),
    "status": (["status", "--cluster", "h:1"], {"status": seen}),
    "status_of_what_died": (["status"], {"status": seen_dead}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_document_keeps_its_shape(helio, name: str) -> None:
    argv, services = COMMANDS[name]
    found = shape(json.loads(helio(*argv, "--json", **services).stdout))

    golden = GOLDEN / f"{name}.json"
    if os.environ.get("HELIO_GOLDEN") == "write":
        golden.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(golden.read_text())


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"logs", "run_failed", "submit_dry_run"}))
def test_the_same_answer_for_a_person_is_lines_and_not_json(helio, name: str) -> None:
    argv, services = COMMANDS[name]
    said = helio(*argv, **services).stdout

    assert said
    assert not said.startswith("{")
