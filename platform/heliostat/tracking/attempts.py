"""A job's events as two tables that MLflow's UI shows: its attempts, and all that happened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from heliostat.tracking import tags as tag
from heliostat.tracking.attempt_rows import ATTEMPT_COLUMNS, AttemptRow, AttemptRows, Record
from heliostat.tracking.tables import store_tables

_OWN = ("kind", "name", "time")
_FREQUENT = "goodput"  # every few seconds; it tells how far an attempt came


class Events:
    """The events of a job so far, each once; the tables are drawn from all of them."""

    def __init__(self, run_id: str) -> None:
        """Begin with no event known."""
        self._run_id = run_id
        self._events: dict[str, Record] = {}  # by its JSON: a retry changes nothing
        self._attempts = AttemptRows()
        self._stored: tuple[int, bool] = (0, False)

    def send(self, client: MlflowClient, records: Iterable[Record], *, over: bool = False) -> int:
        """Take `records` in and store the tables anew if their events say more; return the news.

        `over`: the job has ended, and with it an attempt that never said so.
        """
        records = list(records)
        self._attempts.take(records)
        told = (record for record in records if record["kind"] == "event")
        news = (record for record in told if record["name"] != _FREQUENT)
        self._events |= {json.dumps(record, sort_keys=True): record for record in news}
        fresh = len(self._events) - self._stored[0]
        if self._events and (len(self._events), over) != self._stored:
            attempts = [_attempt_cells(row) for row in self._attempts.rows(over=over)]
            tables = {
                "attempts.json": (ATTEMPT_COLUMNS, attempts),
                "events.json": (("time", "event", "details"), _rows(self._events.values())),
            }
            store_tables(client, self._run_id, tables)
            client.set_tag(self._run_id, tag.ATTEMPTS, str(len(attempts)))
            self._stored = (len(self._events), over)
        return fresh


def _attempt_cells(row: AttemptRow) -> list[Any]:
    cells = asdict(row)
    for time in ("started", "ended"):
        cells[time] = None if cells[time] is None else _utc(cells[time])
    return [cells[column] for column in ATTEMPT_COLUMNS]


def _rows(events: Iterable[Record]) -> list[list[Any]]:
    return [
        [
            _utc(event["time"]),
            event["name"],
            json.dumps({k: v for k, v in event.items() if k not in _OWN}, sort_keys=True),
        ]
        for event in events
    ]


def _utc(milliseconds: int) -> str:
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03d} UTC"
