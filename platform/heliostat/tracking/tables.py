"""Tables that MLflow's UI shows among a run's artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow import MlflowClient

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Columns, and rows of as many cells of JSON's kinds."""

_SHOWN = "mlflow.loggedArtifacts"


def store_tables(client: MlflowClient, run_id: str, tables: Mapping[str, Table]) -> None:
    """Store each table under its file name, in place of what stood there."""
    # Not MlflowClient.log_table: that one appends, and a table sent again would double.
    for file, (columns, rows) in tables.items():
        client.log_text(run_id, json.dumps({"columns": list(columns), "data": rows}), file)
    listed = json.loads(client.get_run(run_id).data.tags.get(_SHOWN, "[]"))
    fresh = [entry for file in tables if (entry := {"path": file, "type": "table"}) not in listed]
    if fresh:
        client.set_tag(run_id, _SHOWN, json.dumps(listed + fresh))
