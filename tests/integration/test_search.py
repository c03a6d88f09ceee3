"""A search under real Ray Tune and MLflow: what it leaves, and what it makes of bad trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from command import DIGITS, Helio, Here, sets
from heliostat.search.ledger import read_records
from heliostat.training.journal import events, read_all

SMALL = (
    "train.epochs=3",
    "trials=6",
    "concurrent=2",
    "search={optimizer.lr: {loguniform: [1.0e-3, 1.0e+30]}, batch_size: {choice: [64, 128]}}",
    "points_to_evaluate=[{optimizer.lr: 1.0e+25, batch_size: 64}, "
    "{optimizer.lr: 5.0e-3, batch_size: 64}]",
    "train.optimizer={name: sgd, lr: 0.1, momentum: 0.9}",
    "register={name: searched, alias: champion}",
)


@pytest.fixture(scope="module")
def searched(helio: Helio) -> dict[str, Any]:
    """The outcome of a small ASHA search, whose first trial diverges."""
    done = helio("run", DIGITS / "tune.yaml", "--json", *sets(SMALL))
    assert done.status == 0, done.err
    return done.document


def records_of(helio: Helio, job: str) -> list[dict[str, Any]]:
    return read_records(helio.folder(job) / "ledger.jsonl")[0]


def ends_of(helio: Helio, job: str) -> dict[int, str]:
    records = records_of(helio, job)
    return {r["trial"]: r["status"] for r in records if r["kind"] == "ended"}


def test_each_trial_is_tried_once_and_a_diverged_one_is_data(
    helio: Helio, searched: dict[str, Any]
) -> None:
    records = records_of(helio, searched["job"])
    suggested = [r["trial"] for r in records if r["kind"] == "suggested"]
    assert suggested == list(range(6))
    [failed] = [r for r in records if r["kind"] == "failed" and r["trial"] == 0]
    assert (failed["verdict"], failed["again"]) == ("diverged", False)
    assert ends_of(helio, searched["job"])[0] == "FAILED"
    best = max(r["values"][0] for r in records if r["kind"] == "told")
    assert searched["best"]["value"] == best == searched["metrics"]["val/accuracy"]


def test_trials_share_processes_that_stay(helio: Helio, searched: dict[str, Any]) -> None:
    trials = sorted((helio.folder(searched["job"]) / "trials").iterdir())
    processes = {
        event["process"] for trial in trials
        for event in events(read_all(trial / "journal"), "attempt_started")
    }  # fmt: skip
    assert len(trials) == 6
    assert len(processes) <= 2


def test_mlflow_has_a_run_for_each_trial_below_the_searchs(
    helio: Helio, searched: dict[str, Any]
) -> None:
    client = MlflowClient(helio.tracking)
    parent = client.get_run(searched["run_id"])
    where = f"tags.`mlflow.parentRunId` = '{searched['run_id']}'"
    nested = client.search_runs([parent.info.experiment_id], where)
    ends = ends_of(helio, searched["job"])
    states = {int(run.data.tags["heliostat.trial"]): run.info.status for run in nested}
    known = {"FAILED": "FAILED", "FINISHED": "FINISHED", "PRUNED": "FINISHED"}
    assert states == {number: known[status] for number, status in ends.items()}
    best = next(
        r for r in nested if int(r.data.tags["heliostat.trial"]) == searched["best"]["trial"]
    )
    assert float(best.data.params["optimizer.lr"]) == searched["best"]["values"]["optimizer.lr"]
    assert "val/accuracy" in best.data.metrics
    pictures = {f.path for f in client.list_artifacts(searched["run_id"], "pictures/search")}
    assert {f"pictures/search/{name}.png" for name in ("best_so_far", "rungs")} <= pictures
    versions = client.search_model_versions("name = 'searched'")
    assert [f"models:/searched/{v.version}" for v in versions] == [searched["model"]]


def test_the_trials_are_a_table_the_best_first(
    helio: Helio, searched: dict[str, Any], here: Here
) -> None:
    rows = here("runs", "--search", searched["job"])["trials"]
    values = [row["value"] for row in rows if row["value"] is not None]
    assert len(rows) == 6
    assert values == sorted(values, reverse=True)


def test_a_raised_limit_goes_on_with_what_there_is(helio: Helio, searched: dict[str, Any]) -> None:
    before = records_of(helio, searched["job"])
    done = helio("resume", searched["job"], "--json", "--set", "trials=8")
    assert done.status == 0, done.err
    after = records_of(helio, searched["job"])
    assert after[: len(before)] == before
    assert [r["trial"] for r in after if r["kind"] == "suggested"] == list(range(8))
    assert done.document["run_id"] == searched["run_id"]
    assert done.document["best"]["value"] >= searched["best"]["value"]


def test_a_changed_search_space_is_another_search(helio: Helio, searched: dict[str, Any]) -> None:
    options = sets([*SMALL, "trials=8", "search.batch_size={choice: [32, 64]}"])
    done = helio("run", DIGITS / "tune.yaml", "--resume", *options)
    assert done.status == 2
    reading, *said = done.err.strip().splitlines()
    assert len(said) == 1, reading
    assert "search.batch_size" in said[0]
    assert "begin a search anew" in said[0]


def test_a_search_whose_trials_all_fail_alike_ends_early_with_the_reason(
    helio: Helio, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    text = (DIGITS / "tune.yaml").read_text().replace("{name: cnn_small}", "{name: 'broken:net'}")
    (tmp_path / "tune.yaml").write_text(text)
    done = helio("run", tmp_path / "tune.yaml", "--json")
    assert done.status == 1
    error = done.document["error"]
    assert "the first 3 trials failed in the same way" in error["message"]
    assert "a mistake of the user's" in error["message"]
    assert len(ends_of(helio, done.document["job"])) <= 4


BROKEN = """
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)

    def forward(self, images):
        if self.training:
            raise ValueError("a mistake of the user's")
        return self.net(images)
"""
