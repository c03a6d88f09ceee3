"""MLflow on a real PostgreSQL: many jobs at once, and databases that are not to be had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from command import make_helio
from heliostat.tracking.runs import finish, open_run
from heliostat.tracking.server import TrackingAway
from heliostat.tracking.shipper import Shipper
from line import Line
from mlflow_server import MlflowServer
from ports import free_port
from postgres import Postgres, postgres_server
from recording_jobs import METRICS, STEPS, record_at_once, value

SPEC = """
kind: train
name: digits
experiment: at-once
model: {name: cnn_small}
data: {train: "sklearn:digits", val: "sklearn:digits"}
batch_size: 64
epochs: 1
optimizer: {name: sgd, lr: 0.1}
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def line(postgres: Postgres) -> Iterator[Line]:
    """Between MLflow's server and the database."""
    with Line((postgres.host, postgres.port)) as line:
        yield line


@pytest.fixture(scope="module")
def mlflow(
    postgres: Postgres, line: Line, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    direct = urlsplit(postgres.create("mlflow"))
    over_the_line = direct._replace(netloc=f"{direct.netloc.rpartition(':')[0]}:{line.address[1]}")
    server = MlflowServer(tmp_path_factory.mktemp("server"), over_the_line.geturl(), workers=2)
    server.start()
    yield server
    server.stop()


def test_20_jobs_that_write_at_once_lose_nothing_and_double_nothing(
    mlflow: MlflowServer, postgres: Postgres, tmp_path: Path
) -> None:
    spec = tmp_path / "job" / "train.yaml"
    spec.parent.mkdir()
    spec.write_text(SPEC)
    statuses = record_at_once(20, spec, tmp_path / "home", mlflow.uri)
    assert statuses == [0] * 20
    made = "SELECT count(*) FROM experiments WHERE name = 'at-once'"
    assert postgres.ask("mlflow", made) == "1"
    runs = "SELECT status, count(*) FROM runs JOIN tags USING (run_uuid)"
    runs += " WHERE key = 'heliostat.job' AND tags.value LIKE 'job-%' GROUP BY status"
    assert postgres.ask("mlflow", runs) == "FINISHED|20"
    rows = "SELECT count(*), count(DISTINCT (run_uuid, key, step)) FROM metrics"
    rows += " WHERE key IN ({})".format(", ".join(f"'{name}'" for name in METRICS))
    everything = 20 * STEPS * len(METRICS)
    assert postgres.ask("mlflow", rows) == f"{everything}|{everything}"
    sums = "SELECT tags.value, round(sum(metrics.value)::numeric, 3) FROM metrics"
    sums += " JOIN tags USING (run_uuid) WHERE tags.key = 'heliostat.job'"
    sums += " AND metrics.key = 'train/loss' GROUP BY tags.value"
    told = dict(line.split("|") for line in postgres.ask("mlflow", sums).splitlines())
    for job in range(20):
        expected = sum(value(job, step) for step in range(STEPS))
        assert float(told[f"job-{job}"]) == pytest.approx(expected, abs=0.002)


def test_a_database_that_goes_away_delays_records_and_loses_or_doubles_none(
    mlflow: MlflowServer, line: Line, postgres: Postgres, tmp_path: Path
) -> None:
    run_id = open_run(mlflow.uri, experiment="away", name="away", job="away", tags={})
    records = [
        {"kind": "metric", "name": "loss", "step": step, "value": 0.5, "time": 1000 + step}
        for step in range(200)
    ]
    shipper = Shipper(mlflow.uri, run_id, tmp_path)
    assert shipper.send(records[:100]) == 100
    line.cut()
    began = time.monotonic()
    with pytest.raises(TrackingAway):
        shipper.send(records[100:])
    assert time.monotonic() - began < 30
    line.mend()
    assert shipper.send(records[100:]) == 100
    finish(mlflow.uri, run_id, "FINISHED")
    rows = f"SELECT count(*), count(DISTINCT step) FROM metrics WHERE run_uuid = '{run_id}'"
    assert postgres.ask("mlflow", rows) == "200|200"


def said_of(uri: str, home: Path) -> str:
    """Type `helio runs` over a database; return the one line that it says."""
    began = time.monotonic()
    done = make_helio(home)("runs", env={"MLFLOW_TRACKING_URI": uri})
    assert (done.status, done.out) == (2, ""), done.err
    assert time.monotonic() - began < 10
    (line,) = done.err.splitlines()
    return line


def test_a_database_that_cannot_be_reached_is_said_in_a_line_without_its_password(
    tmp_path: Path,
) -> None:
    port = free_port()
    line = said_of(f"postgresql://helio:hunter2@127.0.0.1:{port}/mlflow", tmp_path)
    assert f"127.0.0.1:{port}" in line
    assert "refused" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("password", "database", "why"),
    [("hunter2", "mlflow", "password"), (None, "nowhere", "does not exist")],
    ids=["password", "database"],
)
def test_a_database_that_refuses_is_said_in_a_line_without_its_password(
    postgres: Postgres, tmp_path: Path, password: str | None, database: str, why: str
) -> None:
    known = postgres.uri(database)
    line = said_of(known.replace(postgres.password, password or postgres.password), tmp_path)
    assert why in line
    assert "hunter2" not in line
    assert postgres.password not in line


def test_a_database_of_another_schema_version_is_said_in_a_line_that_names_both(
    mlflow: MlflowServer, postgres: Postgres, tmp_path: Path
) -> None:
    made = postgres.create("other")
    postgres.ask("other", "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    postgres.ask("other", "INSERT INTO alembic_version VALUES ('0123456789ab')")
    expected = postgres.ask("mlflow", "SELECT version_num FROM alembic_version")
    line = said_of(made, tmp_path)
    assert "0123456789ab" in line
    assert expected in line
    assert postgres.password not in line
