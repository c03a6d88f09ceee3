"""A search in MLflow: told from its ledger and its trials' journals, by a process that may die."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.event
from mlflow import MlflowClient
from mlflow.entities import Run

from heliostat import spec as specs
from heliostat.runtime.job import Job
from heliostat.runtime.recorder import record
from heliostat.runtime.search_recorder import SearchRecorder
from heliostat.search.ledger import Ledger
from heliostat.tracking.listing import list_runs, trials_of
from heliostat.tracking.server import TrackingAway
from heliostat.training.journal import Journal
from heliostat.training.storage import write_json

SPEC = """
kind: tune
name: digits
train:
  task: classification
  model: {name: cnn_small}
  data:
    train: {uri: "sklearn:digits", split: "train[:80%]"}
    val: {uri: "sklearn:digits", split: "train[80%:]"}
  batch_size: 64
  optimizer: {name: sgd, lr: 0.1}
  epochs: 9
  objective: {metric: val/accuracy, goal: maximize}
search:
  optimizer.lr: {loguniform: [1.0e-3, 1.0]}
  batch_size: {choice: [32, 64]}
scheduler: {name: asha, eta: 3}
trials: 8
"""


class Searching:
    """A search's folder, written as its driver and its trials' processes would."""

    def __init__(self, folder: Path) -> None:
        file = folder / "tune.yaml"
        file.write_text(SPEC)
        self.job = Job.create(specs.load(file, ()))
        self.job.claim()
        self.ledger = Ledger(self.job.folder / "ledger.jsonl")
        goal = {"metric": "val/accuracy", "goal": "maximize"}
        self.say("begun", settings={"objectives": [goal]}, limits={})
        self.legs: dict[int, int] = {}

    def say(self, kind: str, **fields: Any) -> None:
        self.ledger.append([{"kind": kind, **fields}])

    def suggest(self, trial: int, lr: float = 0.1) -> None:
        self.say("suggested", trial=trial, values={"optimizer.lr": lr, "batch_size": 64})

    def leg(self, trial: int, until: int, *, retry: int = 0) -> None:
        self.say("leg", trial=trial, until=until, retry=retry)
        self.legs[trial] = self.legs.get(trial, 0) + 1
        folder = self.folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "resolved.json", {"epochs": 9, "optimizer": {"lr": 0.1}})

    def train(self, trial: int, epochs: range, *, late: int = 0) -> None:
        journal = Journal(self.folder(trial) / "journal", attempt=self.legs[trial], rank=0)
        for epoch in epochs:
            for name, value in (("val/accuracy", epoch / 10), ("train/loss", 1 / epoch)):
                journal.write("metric", name=name, step=epoch * 10, value=value, time=epoch + late)
        journal.write("event", name="leg_ended")
        journal.close()
        checkpoint = self.folder(trial) / "checkpoints" / f"step-{epochs[-1]:010d}-a0001"
        checkpoint.mkdir(parents=True)
        write_json(checkpoint / "manifest.json", {"step": 1, "objective": 0.5, "files": {}})

    def told(self, trial: int, epoch: int, value: float, *, finished: bool = False) -> None:
        curve = [[epoch, value]]
        where = {"trial": trial, "epoch": epoch, "step": epoch * 10, "seconds": 2.0}
        self.say("told", **where, values=[value], curve=curve, finished=finished)

    def end(self, trial: int, status: str, reason: str = "", *, open: bool = False) -> None:
        self.say("ended", trial=trial, status=status, reason=reason, open=open)

    def whole_trial(self, trial: int, value: float = 0.9) -> None:
        self.suggest(trial, lr=0.1 / (trial + 1))
        self.leg(trial, 9)
        self.train(trial, range(1, 10))
        self.told(trial, 9, value, finished=True)
        self.end(trial, "FINISHED")

    def folder(self, trial: int) -> Path:
        return self.job.folder / "trials" / f"{trial:04d}"

    def over(self, status: str = "FINISHED", message: str = "") -> dict[str, Any]:
        error = {"verdict": "interrupted", "message": message} if message else None
        self.job.end(status=status, error=error, metrics={})
        ended = self.job.ended
        assert ended is not None
        return ended


@pytest.fixture
def searching(helio_home: Path, tmp_path: Path) -> Searching:
    return Searching(tmp_path)


@pytest.fixture
def recorder(searching: Searching, uri: str) -> Callable[[], SearchRecorder]:
    """Open a recorder as a new process would."""

    def open_one() -> SearchRecorder:
        recorder = SearchRecorder(searching.job, uri)
        recorder.open()
        return recorder

    return open_one


@pytest.fixture
def runs(searching: Searching, client: MlflowClient) -> Callable[[], dict[int | None, Run]]:
    """Read back the runs: by trial, the search's own under None."""

    def read() -> dict[int | None, Run]:
        ids = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(ids, f"tags.`heliostat.job` = '{searching.job.id}'")
        numbers = [run.data.tags.get("heliostat.trial") for run in found]
        assert len(set(numbers)) == len(numbers)
        pairs = zip(numbers, found, strict=True)
        return {None if number is None else int(number): run for number, run in pairs}

    return read


def test_each_trial_is_a_nested_run_with_its_values_metrics_spec_and_manifest(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    client: MlflowClient,
    tmp_path: Path,
) -> None:
    told = recorder()
    searching.whole_trial(0)
    searching.suggest(1, lr=0.5)
    assert told.ship() > 18
    found = runs()
    assert sorted(found, key=str) == [0, None]  # trial 1 has not begun
    run = found[0]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"optimizer.lr": "0.1", "batch_size": "64"}
    assert run.data.metrics["val/accuracy"] == 0.9
    history = client.get_metric_history(run.info.run_id, "val/accuracy")
    assert [(row.step, row.timestamp) for row in history] == [(e * 10, e) for e in range(1, 10)]
    assert run.data.tags["mlflow.parentRunId"] == found[None].info.run_id
    assert run.data.tags["heliostat.objective.value"] == "0.9"
    resolved = Path(client.download_artifacts(run.info.run_id, "resolved.yaml", str(tmp_path)))
    assert resolved.read_text() == "epochs: 9\noptimizer:\n  lr: 0.1\n"
    place = "checkpoints/step-0000000009-a0001/manifest.json"
    assert Path(client.download_artifacts(run.info.run_id, place, str(tmp_path))).is_file()
    assert found[None].info.status == "RUNNING"


def test_a_trial_is_one_run_through_its_pauses_retries_and_end(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    client: MlflowClient,
) -> None:
    told = recorder()
    searching.suggest(0)
    searching.leg(0, 1)
    told.ship()
    assert runs()[0].info.status == "RUNNING"
    searching.train(0, range(1, 2))
    searching.told(0, 1, 0.1)
    told.ship()
    assert runs()[0].info.status == "SCHEDULED"
    assert runs()[0].data.tags["heliostat.trial_status"] == "PAUSED"
    searching.leg(0, 3)
    searching.train(0, range(2, 3))
    searching.say("failed", trial=0, verdict="worker_lost", message="gone", again=True)
    told.ship()
    searching.leg(0, 3, retry=1)
    searching.train(0, range(2, 4), late=500)  # epoch 2 is repeated
    searching.told(0, 3, 0.3)
    told.ship()
    searching.end(0, "PRUNED", "trial 1 is better at epoch 3")
    told.ship()
    run = runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["heliostat.trial_status"] == "PRUNED"
    assert run.data.tags["heliostat.ended_because"] == "trial 1 is better at epoch 3"
    history = client.get_metric_history(run.info.run_id, "val/accuracy")
    assert [(row.step, row.timestamp) for row in history] == [(10, 1), (20, 2), (30, 503)]


def test_a_new_recorder_changes_nothing_and_goes_on(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    client: MlflowClient,
) -> None:
    searching.whole_trial(0)
    searching.suggest(1)
    searching.leg(1, 3)
    recorder().ship()
    before = runs()
    searching.train(1, range(1, 4))
    again = recorder()
    assert again.ship() == 6 + 3  # the running trial's metrics, and the search's points
    assert again.ship() == 0
    after = runs()
    assert after.keys() == before.keys()
    assert after[0].info.run_id == before[0].info.run_id
    assert after[0].info.end_time == before[0].info.end_time
    assert len(client.get_metric_history(after[0].info.run_id, "train/loss")) == 9
    best = client.get_metric_history(after[None].info.run_id, "search/best")
    assert [(row.step, row.value) for row in best] == [(1, 0.9)]


@contextmanager
def _outage(uri: str) -> Iterator[None]:
    """Take MLflow's table of metrics away: runs can be made, and then nothing goes."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("ALTER TABLE latest_metrics RENAME TO away")
    yield
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("ALTER TABLE away RENAME TO latest_metrics")


@pytest.mark.parametrize("restarted", [False, True])
def test_an_outage_half_way_loses_and_doubles_nothing(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    client: MlflowClient,
    uri: str,
    restarted: bool,
) -> None:
    told = recorder()
    searching.whole_trial(0)
    told.ship()
    for trial in (1, 2):
        searching.whole_trial(trial)
    with _outage(uri):
        for _ in range(2):
            with pytest.raises(TrackingAway):
                told.ship()
    told = recorder() if restarted else told
    told.ship()
    found = runs()
    assert sorted(found, key=str) == [0, 1, 2, None]
    for trial in (0, 1, 2):
        assert found[trial].info.status == "FINISHED"
        assert len(client.get_metric_history(found[trial].info.run_id, "train/loss")) == 9
    ended = client.get_metric_history(found[None].info.run_id, "search/trials_ended")
    assert [row.value for row in ended] == [1, 2, 3]


def test_a_driver_that_is_killed_leaves_true_statuses_and_a_resume_takes_them_back(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    uri: str,
) -> None:
    searching.whole_trial(0)
    for trial in (1, 2):
        searching.suggest(trial)
        searching.leg(trial, 1)
        searching.train(trial, range(1, 2))
    searching.told(2, 1, 0.1)
    assert record(searching.job, uri, driver_lives=lambda: False)
    found = runs()
    assert {n: run.info.status for n, run in found.items()} == {
        None: "FAILED",
        0: "FINISHED",
        1: "KILLED",
        2: "KILLED",
    }
    assert found[1].data.tags["heliostat.ended_because"] == "the driver process died"
    assert searching.job.recorded["complete"]
    assert record(searching.job, uri, driver_lives=lambda: False)  # `helio sync` does the same
    assert {n: run.info.end_time for n, run in runs().items() if n} == {
        n: run.info.end_time for n, run in found.items() if n
    }

    searching.job.reopen(searching.job.spec)
    searching.say("resumed", limits={})
    searching.leg(1, 1, retry=1)
    told = recorder()
    told.ship()
    status = {n: run.info.status for n, run in runs().items()}
    assert status == {None: "RUNNING", 0: "FINISHED", 1: "RUNNING", 2: "SCHEDULED"}
    assert "heliostat.ended_because" not in runs()[1].data.tags
    searching.told(1, 9, 0.95, finished=True)
    searching.end(1, "FINISHED")
    searching.end(2, "PRUNED", "the search is over")
    told.close(searching.over())
    assert {run.info.status for run in runs().values()} == {"FINISHED"}
    assert runs()[None].data.tags["heliostat.objective.value"] == "0.95"


def test_a_trial_killed_with_the_search_is_open_again_when_it_is_resumed(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
) -> None:
    searching.suggest(0)
    searching.leg(0, 9)
    searching.end(0, "KILLED", "interrupted", open=True)
    recorder().close(searching.over("KILLED", "interrupted"))
    assert {run.info.status for run in runs().values()} == {"KILLED"}
    searching.job.reopen(searching.job.spec)
    searching.say("resumed", limits={})
    recorder().ship()
    assert runs()[0].info.status == "SCHEDULED"
    assert "heliostat.trial_ended" not in runs()[0].data.tags


def test_the_searchs_run_has_best_so_far_a_table_and_pictures(
    searching: Searching,
    recorder: Callable[[], SearchRecorder],
    runs: Callable[[], dict[int | None, Run]],
    client: MlflowClient,
    tmp_path: Path,
) -> None:
    for trial, value in enumerate((0.5, 0.8, 0.6, 0.7)):
        searching.whole_trial(trial, value)
    searching.suggest(4)
    searching.leg(4, 1)
    searching.say("failed", trial=4, verdict="diverged", message="NaN", again=False)
    searching.end(4, "FAILED", "the loss is NaN")
    recorder().close(searching.over())
    recorder().close(searching.over())  # what `helio sync` does
    parent = runs()[None].info.run_id
    best = client.get_metric_history(parent, "search/best")
    assert [(row.step, row.value) for row in best] == [
        (1, 0.5), (2, 0.8), (3, 0.8), (4, 0.8), (5, 0.8)
    ]  # fmt: skip
    table = json.loads(
        Path(client.download_artifacts(parent, "trials.json", str(tmp_path))).read_text()
    )
    assert table["columns"] == [
        "trial", "status", "value", "epoch", "seconds",
        "batch_size", "optimizer.lr", "reason", "run_id",
    ]  # fmt: skip
    row = [4, "FAILED", None, 0, 0.0, 64, 0.1, "the loss is NaN", runs()[4].info.run_id]
    assert table["data"][4] == row
    shown = json.loads(client.get_run(parent).data.tags["mlflow.loggedArtifacts"])
    assert shown.count({"path": "trials.json", "type": "table"}) == 1
    pictures = [item.path for item in client.list_artifacts(parent, "pictures/search")]
    assert [Path(path).stem for path in pictures] == [
        "best_so_far", "importance", "parallel_coordinates", "rungs"
    ]  # fmt: skip
    assert len(client.list_artifacts(parent, "images")) == 2 * 4  # each once, and a small one


def test_a_search_is_one_line_of_the_runs_and_its_trials_are_listed_by_its_id(
    searching: Searching, recorder: Callable[[], SearchRecorder], uri: str
) -> None:
    told = recorder()
    for trial in (0, 1):
        searching.whole_trial(trial, 0.5 + trial / 4)
    searching.suggest(2, lr=0.25)
    searching.leg(2, 1)
    told.ship()
    rows = list_runs(uri)
    assert [(row.job, row.kind, row.value) for row in rows] == [(searching.job.id, "tune", 0.75)]
    trials = trials_of(uri, searching.job.id)
    assert [(t.number, t.status, t.value, t.epoch, t.seconds) for t in trials] == [
        (0, "FINISHED", 0.5, 9, 2.0),
        (1, "FINISHED", 0.75, 9, 2.0),
        (2, "RUNNING", None, 0, 0.0),
    ]
    assert trials[2].values == {"optimizer.lr": 0.25, "batch_size": 64}
    assert trials_of(uri, "another") == []


def test_a_trial_costs_as_many_statements_late_in_a_search_as_early(
    searching: Searching, recorder: Callable[[], SearchRecorder]
) -> None:
    told = recorder()
    counts: list[int] = []

    def count(*_: object) -> None:
        counts[-1] += 1

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    try:
        for trial in range(20):
            searching.whole_trial(trial)
            counts.append(0)
            told.ship()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
    assert counts[-1] <= min(counts[1:])
    assert counts[-1] < 60
