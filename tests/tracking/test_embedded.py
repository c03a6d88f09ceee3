"""The database that MLflow's tables are made in at the first use of a HELIO_HOME."""

from __future__ import annotations

from pathlib import Path

from heliostat.tracking.client import connect


def test_a_database_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / ".mlflow.db.part").write_bytes(b"half of one")
    (tmp_path / ".mlflow.db.part-journal").write_bytes(b"and its journal")
    client = connect(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run("0")
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mlflow.db", ".mlflow.db.lock"}
