"""A real MLflow server, which goes away in the middle and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from heliostat.tracking.models import download, resolve, weights_file
from heliostat.tracking.packaging import log_model
from heliostat.tracking.registry import register
from heliostat.tracking.runs import finish, open_run
from heliostat.tracking.server import TrackingAway
from heliostat.tracking.shipper import Shipper
from mlflow_server import MlflowServer


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    database = folder / "mlflow.db"
    database.write_bytes(empty_database.read_bytes())
    server = MlflowServer(folder, f"sqlite:///{database}")
    server.start()
    yield server
    server.stop()


def test_an_outage_delays_records_and_loses_or_doubles_none(
    server: MlflowServer, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = server.uri
    tags = {"heliostat.kind": "train"}
    run_id = open_run(uri, experiment="digits", name="digits", job="job-1", tags=tags)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "grid.png")
    first = [
        {"kind": "metric", "name": "loss", "step": step, "value": 1.0, "time": 1000 + step}
        for step in range(1200)
    ]
    picture = {"kind": "picture", "name": "test/grid", "step": 5, "path": "grid.png", "time": 2000}
    nan = {"kind": "metric", "name": "loss", "step": 1200, "value": float("nan"), "time": 3000}
    event = {"kind": "event", "name": "attempt_started", "time": 4000}
    late = [picture, nan, event]
    shipper = Shipper(uri, run_id, tmp_path)
    assert shipper.send(first) == 1200

    server.stop()
    began = time.monotonic()
    with pytest.raises(TrackingAway, match="refused"):
        shipper.send(late)
    with pytest.raises(TrackingAway):
        Shipper(uri, run_id, tmp_path).send([*first, *late])
    assert time.monotonic() - began < 30
    server.start()

    assert shipper.send(late) == 3
    assert Shipper(uri, run_id, tmp_path).send([*first, *late]) == 1  # the table, drawn again
    client = MlflowClient(uri)
    history = client.get_metric_history(run_id, "loss")
    assert sorted(row.step for row in history) == list(range(1201))
    assert np.isnan(client.get_run(run_id).data.metrics["loss"])
    assert len(client.list_artifacts(run_id, "images")) == 2

    model_uri = log_model(uri, run_id, exported)
    assert register(uri, run_id, model_uri, name="m", alias="champion").alias_set
    assert register(uri, run_id, model_uri, name="m", alias="champion").version == 1
    found = resolve(uri, "models:/m@champion")
    assert found.run_id == run_id
    here = download(uri, found, tmp_path / "model")
    assert weights_file(here).read_bytes() == (exported / "weights.safetensors").read_bytes()
    finish(uri, run_id, "FINISHED")
    assert client.get_run(run_id).info.status == "FINISHED"
    assert capfd.readouterr() == ("", "")
