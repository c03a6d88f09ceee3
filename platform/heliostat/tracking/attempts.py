"""A job's events as two tables that MLflow's UI shows: its attempts, and all that happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from heliostat.tracking import tags as tag
from heliostat.tracking.tables import store_tables

COLUMNS = ("attempt", "started", "ended", "why", "first_step", "last_step", "steps_repeated")
_OWN = ("kind", "name", "time")


class Events:
    """The events of a job so far, each once; the tables are drawn from all of them."""

    def __init__(self, run_id: str) -> None:
        """Begin with no event known."""
        self._run_id = run_id
        self._events: dict[str, Mapping[str, Any]] = {}  # by its JSON: a retry changes nothing
        self._stored = 0

    def send(self, client: MlflowClient, records: Iterable[Mapping[str, Any]]) -> int:
        """Take `records` in and store the tables anew if they say more; return the news."""
        self._events |= {json.dumps(record, sort_keys=True): record for record in records}
        fresh = len(self._events) - self._stored
        if fresh:
            events = list(self._events.values())
            attempts = attempt_rows(events)
            tables = {
                "attempts.json": (COLUMNS, attempts),
                "events.json": (("time", "event", "details"), _rows(events)),
            }
            store_tables(client, self._run_id, tables)
            client.set_tag(self._run_id, tag.ATTEMPTS, str(len(attempts)))
            self._stored = len(self._events)
        return fresh


def attempt_rows(events: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    """Return a row (see COLUMNS) for each `attempt_started`, closed by its `attempt_ended`.

    Both events may carry any of the columns as a field. An attempt that never said that it ended
    was killed, and the row says so once another has begun.
    """
    rows: list[dict[str, Any]] = []
    for event in events:
        known = {key: event[key] for key in COLUMNS if key in event}
        if event["name"] == "attempt_started":
            if rows and rows[-1]["ended"] is None:
                rows[-1]["why"] = "killed: it left no word"
            empty = dict.fromkeys(COLUMNS)
            rows.append({**empty, "attempt": len(rows) + 1, **known, "started": _utc(event)})
        elif event["name"] == "attempt_ended" and rows:
            rows[-1] |= {**known, "ended": _utc(event)}
    return [[row[column] for column in COLUMNS] for row in rows]


def _rows(events: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    return [
        [
            _utc(event),
            event["name"],
            json.dumps({k: v for k, v in event.items() if k not in _OWN}, sort_keys=True),
        ]
        for event in events
    ]


def _utc(event: Mapping[str, Any]) -> str:
    when = datetime.fromtimestamp(int(event["time"]) / 1000, UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03d} UTC"
