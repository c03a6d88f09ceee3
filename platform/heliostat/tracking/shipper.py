"""The journal's way to MLflow: in order, each (metric, step) once, and again if need be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric

from heliostat.tracking.attempts import Events
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.names import Names
from heliostat.tracking.pictures import Pictures

Record = Mapping[str, Any]

BATCH = 1000  # MLflow's limit of metrics a call


class Shipper:
    """Sends one job's journal records to its MLflow run.

    A new Shipper is given the journal from its start: what MLflow already holds is not sent
    again, and the names and tables come out as before. After TrackingAway, give the same records
    again.
    """

    def __init__(self, uri: str, run_id: str, folder: Path) -> None:
        """Keep where to send, and the job's folder, below which the pictures lie."""
        self._uri = uri
        self._run_id = run_id
        self._names = Names()
        self._held: dict[str, int] | None = None  # newest step that MLflow holds, by key
        self._pictures = Pictures(run_id, folder)
        self._events = Events(run_id)

    def send(self, records: Iterable[Record]) -> int:
        """Send `records`, in the journal's order; return how many were news to MLflow.

        Args:
            records: dicts of kind `metric` (name, step, value, time in unix ms), `picture`
                (name, step, path relative to the job's folder, time) or `event` (name, time, …).
                A value may be NaN or ±inf (stored as ±1.8e308) or None (stored as NaN). A metric
                whose step is not beyond the newest one sent under its name is left out: it is a
                step repeated after a restart.

        Raises:
            TrackingAway: MLflow can't be reached. Nothing is lost if the same records come again.
            ValueError: a record is of another kind.
        """
        by_kind: dict[str, list[Record]] = {"metric": [], "picture": [], "event": []}
        for record in records:
            if record["kind"] not in by_kind:
                raise ValueError(f"no such kind of journal record: {record['kind']!r}")
            by_kind[record["kind"]].append(record)
        if not any(by_kind.values()):
            return 0
        with reaching(self._uri):
            client = connect(self._uri)
            metrics = self._send_metrics(client, by_kind["metric"])
            pictures, missing = self._pictures.send(client, by_kind["picture"])
            return metrics + pictures + self._events.send(client, [*by_kind["event"], *missing])

    def _send_metrics(self, client: MlflowClient, records: Sequence[Record]) -> int:
        if self._held is None:
            self._held = _steps_held(client, self._run_id)
        fresh = self._unsent(records, self._held)
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            client.log_batch(self._run_id, metrics=batch, synchronous=True)
            self._held.update({metric.key: metric.step for metric in batch})
        return len(fresh)

    def _unsent(self, records: Sequence[Record], held: Mapping[str, int]) -> list[Metric]:
        reached = dict(held)
        fresh = []
        for record in records:
            key, step = self._names.key(record["name"]), int(record["step"])
            if key not in reached or step > reached[key]:
                reached[key] = step
                value = float("nan") if record["value"] is None else float(record["value"])
                fresh.append(Metric(key, value, int(record["time"]), step))
        return fresh


def _steps_held(client: MlflowClient, run_id: str) -> dict[str, int]:
    # A run's data has the metric of the largest step for each key, in one call.
    return {metric.key: metric.step for metric in client.get_run(run_id).data.to_proto().metrics}
