"""The journal's way to MLflow: in order, each (metric, step) once, and again if need be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mlflow import MlflowClient

from heliostat.tracking.attempts import Events
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.metric_rows import MetricRows, Record
from heliostat.tracking.pictures import Pictures

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
        self._rows = MetricRows()
        self._looked = False
        self._pictures = Pictures(run_id, folder)
        self._events = Events(run_id)

    def send(self, records: Iterable[Record], *, over: bool = False) -> int:
        """Send `records`, in the journal's order; return how many were news to MLflow.

        Args:
            records: dicts of kind `metric` (name, step, value, time in unix ms), `picture`
                (name, step, path relative to the job's folder, time) or `event` (name, time, …),
                each with its `attempt`.
                A value may be NaN or ±inf (stored as ±1.8e308) or None (stored as NaN). A metric
                whose step is not beyond the newest one sent under its name is left out: it is a
                step repeated after a restart.
            over: the job has ended: an attempt that is open still was lost.

        Raises:
            TrackingAway: MLflow can't be reached. Nothing is lost if the same records come again.
            ValueError: a record is of another kind.
        """
        by_kind: dict[str, list[Record]] = {"metric": [], "picture": [], "event": []}
        for record in records:
            if record["kind"] not in by_kind:
                raise ValueError(f"no such kind of journal record: {record['kind']!r}")
            by_kind[record["kind"]].append(record)
        if not any(by_kind.values()) and not over:
            return 0
        with reaching(self._uri):
            client = connect(self._uri)
            metrics = self._send_metrics(client, by_kind["metric"])
            pictures, missing = self._pictures.send(client, by_kind["picture"])
            # The events' tables look at the metrics too: they tell how far an attempt came.
            told = [*by_kind["metric"], *by_kind["event"], *missing]
            return metrics + pictures + self._events.send(client, told, over=over)

    def _send_metrics(self, client: MlflowClient, records: Sequence[Record]) -> int:
        if not self._looked:
            self._rows.hold(client.get_run(self._run_id))
            self._looked = True
        fresh = self._rows.unsent(records)
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            client.log_batch(self._run_id, metrics=batch, synchronous=True)
            self._rows.sent(batch)
        return len(fresh)
