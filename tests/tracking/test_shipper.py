"""The journal's way to MLflow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image

from heliostat.tracking.names import LONGEST, Names
from heliostat.tracking.shipper import Shipper

START = 1_700_000_000_000


def metric(name: str, step: int, value: float | None, late: int = 0) -> dict[str, Any]:
    time = START + step + late
    return {"kind": "metric", "name": name, "step": step, "value": value, "time": time}


def event(name: str, time: int, attempt: int = 1, **fields: Any) -> dict[str, Any]:
    place = {"kind": "event", "attempt": attempt, "rank": 0}
    return {**place, "name": name, "time": START + time, **fields}


@pytest.fixture
def run_id(start: Callable[..., str]) -> str:
    return start()


@pytest.fixture
def rows(client: MlflowClient, run_id: str) -> Callable[[str], list[tuple[int, float, int]]]:
    """Read back a metric's rows: step, value, time since the start."""

    def read(name: str) -> list[tuple[int, float, int]]:
        history = client.get_metric_history(run_id, name)
        return sorted((row.step, row.value, row.timestamp - START) for row in history)

    return read


def test_more_metrics_than_a_call_takes_arrive_with_their_own_times(
    uri: str, run_id: str, tmp_path: Path, rows: Callable[[str], list[Any]]
) -> None:
    journal = [metric("train/loss", step, step / 10) for step in range(2500)]
    assert Shipper(uri, run_id, tmp_path).send(iter(journal)) == 2500
    assert rows("train/loss") == [(step, step / 10, step) for step in range(2500)]


def test_a_step_repeated_after_a_restart_is_not_recorded_again(
    uri: str, run_id: str, tmp_path: Path, rows: Callable[[str], list[Any]]
) -> None:
    first = [metric("loss", 1, 0.9), metric("loss", 2, 0.8), metric("acc", 2, 0.1)]
    again = [metric("loss", 2, 0.7, late=500), metric("loss", 3, 0.6, late=500)]
    shipper = Shipper(uri, run_id, tmp_path)
    assert shipper.send([*first, *again]) == 4
    assert shipper.send(again) == 0
    assert rows("loss") == [(1, 0.9, 1), (2, 0.8, 2), (3, 0.6, 503)]


def test_a_new_shipper_fed_from_the_start_changes_nothing_and_goes_on(
    uri: str, run_id: str, tmp_path: Path, client: MlflowClient, rows: Callable[[str], list[Any]]
) -> None:
    journal = [event("attempt_started", 0), *(metric("loss", step, 0.5) for step in (1, 2, 3))]
    Shipper(uri, run_id, tmp_path).send(journal[:3])
    for _ in range(2):
        Shipper(uri, run_id, tmp_path).send(journal)
    assert rows("loss") == [(1, 0.5, 1), (2, 0.5, 2), (3, 0.5, 3)]
    assert client.get_run(run_id).data.tags["heliostat.attempts"] == "1"


def test_values_that_are_no_finite_number_are_kept_as_far_as_mlflow_can(
    uri: str, run_id: str, tmp_path: Path, rows: Callable[[str], list[Any]]
) -> None:
    values = [math.nan, None, math.inf, -math.inf]
    journal = [metric("loss", step, value) for step, value in enumerate(values)]
    for _ in range(2):
        Shipper(uri, run_id, tmp_path).send(journal)
    got = [value for _, value, _ in rows("loss")]
    assert [math.isnan(value) for value in got] == [True, True, False, False]
    assert got[2] > 1e308
    assert got[3] < -1e308


def test_names_that_mlflow_refuses_are_sent_under_names_of_their_own(
    uri: str, run_id: str, tmp_path: Path, client: MlflowClient
) -> None:
    names = ["val/f1@0.5", "val/f1#0.5", "../up", "/abs//x/", ".", "n" * 300, "größe %", "a b"]
    journal = [metric(name, 1, float(place)) for place, name in enumerate(names)]
    assert Shipper(uri, run_id, tmp_path).send(journal) == len(names)
    got = client.get_run(run_id).data.metrics
    assert sorted(got.values()) == [float(place) for place in range(len(names))]
    assert got["val/f1_0.5"] == 0.0
    assert got["größe _"] == 6.0
    assert max(map(len, got)) == LONGEST
    assert len({Names().key(name) for name in names[:2]}) == 1


def test_pictures_are_a_slider_by_step_and_a_plain_file_each_once(
    uri: str, run_id: str, tmp_path: Path, client: MlflowClient
) -> None:
    journal = []
    for step, colour in ((10, "red"), (20, "blue")):
        path = f"pictures/{step}.png"
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), colour).save(tmp_path / path)
        record = {"kind": "picture", "name": "test/confusion_matrix", "step": step, "path": path}
        journal.append({**record, "time": START + step})
    assert Shipper(uri, run_id, tmp_path).send(journal[:1]) == 1
    assert Shipper(uri, run_id, tmp_path).send(journal) == 1

    images = [item.path for item in client.list_artifacts(run_id, "images")]
    assert len(images) == 4  # a full and a small one for each step
    assert sum("test~confusion_matrix+step+20+" in image for image in images) == 2
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"
    newest = client.download_artifacts(run_id, "pictures/test/confusion_matrix.png", str(tmp_path))
    with Image.open(newest) as image:
        assert image.getpixel((0, 0)) == (0, 0, 255)


def test_a_picture_whose_file_is_gone_is_told_and_stops_nothing(
    uri: str, run_id: str, tmp_path: Path, client: MlflowClient
) -> None:
    gone = {"kind": "picture", "name": "grid", "step": 1, "path": "pictures/no.png", "time": START}
    Shipper(uri, run_id, tmp_path).send([gone, metric("loss", 1, 0.5)])
    assert client.get_run(run_id).data.metrics == {"loss": 0.5}
    assert "picture_missing" in Path(_artifact(client, run_id, "events.json", tmp_path)).read_text()


def test_the_attempts_are_a_table_that_tells_why_each_ended(
    uri: str, run_id: str, tmp_path: Path, client: MlflowClient
) -> None:
    shipper = Shipper(uri, run_id, tmp_path)
    shipper.send([event("attempt_launched", 0, workers=2), event("first_step", 5, step=1)])
    shipper.send([{**metric("train/loss", 40, 0.5), "attempt": 1, "rank": 0}])
    closed = event("attempt_closed", 9000, why="worker_lost")
    again = event("attempt_launched", 9001, attempt=2, workers=2)
    shipper.send([closed, again, event("restored", 9500, attempt=2, step=30, checkpoint="c")])
    shipper.send([closed, event("repeats", 9900, attempt=2, step=35)])
    assert _attempts(client, run_id, tmp_path) == [(1, "worker_lost", 0), (2, None, 5)]

    shipper.send([], over=True)
    assert _attempts(client, run_id, tmp_path) == [(1, "worker_lost", 0), (2, "driver_lost", 5)]
    shown = json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert {"path": "attempts.json", "type": "table"} in shown


def _attempts(client: MlflowClient, run_id: str, folder: Path) -> list[tuple[int, str | None, int]]:
    table = json.loads(Path(_artifact(client, run_id, "attempts.json", folder)).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert rows[0]["ended"] == "2023-11-14 22:13:29.000 UTC"
    return [(row["attempt"], row["why"], row["steps_repeated"]) for row in rows]


def test_a_record_of_an_unknown_kind_is_a_mistake(uri: str, run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'metrics'"):
        Shipper(uri, run_id, tmp_path).send([{"kind": "metrics"}])


def _artifact(client: MlflowClient, run_id: str, file: str, folder: Path) -> str:
    return client.download_artifacts(run_id, file, str(folder))
