"""The runs that MLflow holds, as plain values for a table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities import Run

from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.names import sanitised
from heliostat.tracking.runs import experiments, search


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


def list_runs(uri: str, experiment: str | None = None, limit: int = 50) -> list[RunRow]:
    """Return heliostat's runs, newest first, of one experiment or of all; none is no error."""
    with reaching(uri):
        client = connect(uri)
        names = {one.experiment_id: one.name for one in experiments(client)}
        found = search(client, experiment=experiment, limit=limit)
        return [_row(run, names.get(run.info.experiment_id, "")) for run in found]


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
