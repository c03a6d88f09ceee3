"""A search's trials as one table among the artifacts of its run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heliostat.tracking.client import connect, reaching
from heliostat.tracking.tables import Table, store_tables
from heliostat.tracking.trial_facts import TrialFacts

FILE = "trials.json"


def store_trials(
    uri: str,
    run_id: str,
    trials: Iterable[TrialFacts],
    run_ids: Mapping[int, str],
    *,
    metrics: Sequence[str],
    keys: Sequence[str],
) -> None:
    """Store `trials.json` with the run of a search, in place of an earlier one.

    Args:
        uri: the tracking store.
        run_id: the search's run.
        trials: a row each.
        run_ids: the trials' own runs, by number.
        metrics: the objectives' names; with one objective its column is `value`.
        keys: the searched keys, a column each.
    """
    with reaching(uri):
        table = trial_table(trials, run_ids, metrics=metrics, keys=keys)
        store_tables(connect(uri), run_id, {FILE: table})


def trial_table(
    trials: Iterable[TrialFacts],
    run_ids: Mapping[int, str],
    *,
    metrics: Sequence[str],
    keys: Sequence[str],
) -> Table:
    """Return columns and rows; a cell that a trial has nothing for is None."""
    values = ["value"] if len(metrics) == 1 else list(metrics)
    columns = ["trial", "status", *values, "epoch", "seconds", *keys, "reason", "run_id"]
    rows = [
        [
            trial.number,
            trial.status,
            *(_finite(value) for value in trial.objectives or [None] * len(values)),
            trial.epoch,
            round(trial.seconds, 3),
            *(trial.values.get(key) for key in keys),
            trial.reason,
            run_ids.get(trial.number),
        ]
        for trial in trials
    ]
    return columns, rows


def _finite(value: Any) -> Any:
    """Return the value; None for one that JSON has no number for."""
    return value if value is None or math.isfinite(value) else None
