"""The runs that MLflow holds, as plain values for a table."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.entities import Run

from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.names import sanitised
from heliostat.tracking.runs import experiments, search
from heliostat.tracking.trial_runs import TRIAL_KIND, find_trials


@dataclass(frozen=True)
class RunRow:
    """A job's run, in a line."""

    job: str
    run_id: str
    name: str
    experiment: str
    status: str
    started: datetime
    """UTC"""
    seconds: float
    """From its start to its end, or to now while it runs."""
    kind: str
    objective: str | None
    """The metric's name."""
    value: float | None
    """The objective's value of the model that was kept, else its newest."""
    model: str | None
    """models:/name/version, when the run registered one."""


@dataclass(frozen=True)
class TrialRow:
    """A search's trial, in a line."""

    number: int
    status: str
    """RUNNING | PAUSED | WAITING | FINISHED | PRUNED | FAILED | KILLED"""
    value: float | None
    """The best of the (first) objective; None before the first evaluation."""
    objectives: tuple[float, ...]
    """One for each objective of the search; empty before the first evaluation."""
    epoch: int
    """Epochs done."""
    seconds: float
    """Spent in its legs."""
    values: dict[str, Any]
    """What it tried, by dotted key of the train spec."""
    reason: str | None
    """Why it ended as it did."""
    run_id: str


def list_runs(uri: str, experiment: str | None = None, limit: int = 50) -> list[RunRow]:
    """Return heliostat's runs, newest first, of one experiment or of all; none is no error.

    A search is one line: `trials_of` lists its trials.
    """
    with reaching(uri):
        client = connect(uri)
        names = {one.experiment_id: one.name for one in experiments(client)}
        jobs = f"tags.`{tag.KIND}` != '{TRIAL_KIND}'"
        found = search(client, jobs, experiment=experiment, limit=limit)
        return [_row(run, names.get(run.info.experiment_id, "")) for run in found]


def trials_of(uri: str, job: str) -> list[TrialRow]:
    """Return the trials of the search `job` by number; none where MLflow knows no such search."""
    with reaching(uri):
        return [_trial(run) for run in find_trials(connect(uri), job)]


def _trial(run: Run) -> TrialRow:
    tags = run.data.tags
    value = tags.get(tag.OBJECTIVE_VALUE)
    first = [] if value is None else [float(value)]
    return TrialRow(
        number=int(tags[tag.TRIAL]),
        status=tags[tag.TRIAL_STATUS],
        value=None if value is None else float(value),
        objectives=tuple(json.loads(tags.get(tag.TRIAL_OBJECTIVES, "null")) or first),
        epoch=int(tags[tag.TRIAL_EPOCH]),
        seconds=float(tags[tag.TRIAL_SECONDS]),
        # Only where they are too many for a tag are they told by the parameters, as text.
        values=json.loads(tags.get(tag.TRIAL_VALUES, "null")) or dict(run.data.params),
        reason=tags.get(tag.ENDED_BECAUSE),
        run_id=run.info.run_id,
    )


def _row(run: Run, experiment: str) -> RunRow:
    tags = run.data.tags
    end = run.info.end_time if run.info.status != "RUNNING" else None
    return RunRow(
        job=tags[tag.JOB],
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment=experiment,
        status=run.info.status,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        seconds=(end or time.time() * 1000) / 1000 - run.info.start_time / 1000,
        kind=tags.get(tag.KIND, ""),
        objective=tags.get(tag.OBJECTIVE),
        value=_objective_value(run),
        model=tags.get(tag.MODEL),
    )


def _objective_value(run: Run) -> float | None:
    kept = run.data.tags.get(tag.OBJECTIVE_VALUE)
    if kept:
        return float(kept)
    objective = run.data.tags.get(tag.OBJECTIVE)
    value = run.data.metrics.get(sanitised(objective)) if objective else None
    return None if value is None else float(value)
