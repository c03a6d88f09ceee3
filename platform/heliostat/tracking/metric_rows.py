"""Which metrics of a journal MLflow still lacks: each (metric, step) goes once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow.entities import Metric, Run

from heliostat.tracking.names import Names

Record = Mapping[str, Any]


class MetricRows:
    """One run's metrics, fed from the journal's start, so that names come out as before."""

    def __init__(self) -> None:
        """Begin with no name known and nothing held by MLflow."""
        self._names = Names()
        self._held: dict[str, int] = {}  # newest step that MLflow holds, by key

    def hold(self, run: Run) -> None:
        """Take note of what MLflow holds: `run` as it was just read."""
        # A run's data has the metric of the largest step for each key.
        self._held = {metric.key: metric.step for metric in run.data.to_proto().metrics}

    def unsent(self, records: Iterable[Record]) -> list[Metric]:
        """Return the rows for the `metric` records whose step is beyond the newest one held.

        A step that isn't was repeated after a restart. A value of None becomes NaN.
        """
        reached = dict(self._held)
        fresh = []
        for record in records:
            key, step = self._names.key(record["name"]), int(record["step"])
            if key not in reached or step > reached[key]:
                reached[key] = step
                value = float("nan") if record["value"] is None else float(record["value"])
                fresh.append(Metric(key, value, int(record["time"]), step))
        return fresh

    def sent(self, metrics: Iterable[Metric]) -> None:
        """Take note that MLflow holds these now."""
        self._held.update({metric.key: metric.step for metric in metrics})
