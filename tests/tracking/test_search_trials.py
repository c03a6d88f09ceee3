"""Trials' runs: values that change, several objectives, and the death of their search."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from heliostat.tracking import tags as tag
from heliostat.tracking.listing import trials_of
from heliostat.tracking.runs import finish, settle
from heliostat.tracking.trial_facts import Aim, TrialFacts, best_of
from heliostat.tracking.trial_runs import TrialRuns
from heliostat.tracking.trial_table import trial_table

TRIAL = TrialFacts(0, {"optimizer.lr": 0.1, "model.weights": None}, "RUNNING", 1_700_000_000_000)


@pytest.fixture
def trials(uri: str, start: Callable[..., str]) -> Callable[[str], TrialRuns]:
    """Open the search of a job."""

    def open_search(job: str) -> TrialRuns:
        return TrialRuns(uri, start(job), job=job, objective="val/accuracy", goal="maximize")

    return open_search


def test_the_trials_of_a_dead_search_are_killed_with_it_and_a_living_ones_are_not(
    trials: Callable[[str], TrialRuns], start: Callable[..., str], uri: str, client: MlflowClient
) -> None:
    paused = replace(TRIAL, number=1, status="PAUSED")
    ids = {job: [trials(job).tell(each) for each in (TRIAL, paused)] for job in ("dead", "alive")}
    over = trials("over").tell(TRIAL)
    finish(uri, start("over"), "FINISHED")
    said = int(time.time()) - 200
    for job in ids:
        client.set_tag(start(job), tag.HEARTBEAT, str(said))

    settled = settle(uri, alive=lambda tags: tags[tag.JOB] == "alive")

    assert {one.run_id for one in settled} == {*ids["dead"], over, start("dead")}
    for run_id in ids["dead"]:
        run = client.get_run(run_id)
        assert (run.info.status, run.data.tags[tag.TRIAL_STATUS]) == ("KILLED", "KILLED")
        assert run.info.end_time == run.info.start_time  # the last word of its search is older
    states = [client.get_run(run_id).info.status for run_id in ids["alive"]]
    assert states == ["RUNNING", "SCHEDULED"]


def test_values_that_change_are_told_by_a_tag_and_the_parameters_stay(
    trials: Callable[[str], TrialRuns], uri: str, client: MlflowClient
) -> None:
    search = trials("pbt")
    run_id = search.tell(TRIAL)
    clone = {"epoch": 3, "trial": 5, "step": 120}
    search.tell(replace(TRIAL, values={"optimizer.lr": 0.08}, lineage=(clone,)))
    assert client.get_run(run_id).data.params == {"optimizer.lr": "0.1", "model.weights": "null"}
    assert json.loads(client.get_run(run_id).data.tags[tag.TRIAL_LINEAGE]) == [clone]
    assert trials_of(uri, "pbt")[0].values == {"optimizer.lr": 0.08}


def test_several_objectives_are_all_listed(trials: Callable[[str], TrialRuns], uri: str) -> None:
    told = replace(TRIAL, status="FINISHED", ended=1_700_000_001_000, objectives=(0.9, 12.5))
    trials("two").tell(told)
    row = trials_of(uri, "two")[0]
    assert (row.value, row.objectives) == (0.9, (0.9, 12.5))
    columns, rows = trial_table(
        [told], {0: "abc"}, metrics=("val/accuracy", "val/loss"), keys=("optimizer.lr",)
    )
    assert dict(zip(columns, rows[0], strict=True)) == {
        "trial": 0, "status": "FINISHED", "val/accuracy": 0.9, "val/loss": 12.5,
        "epoch": 0, "seconds": 0.0, "optimizer.lr": 0.1, "reason": None, "run_id": "abc",
    }  # fmt: skip


def test_the_best_trial_is_the_earliest_of_equals_and_no_failed_one() -> None:
    values = {0: (0.5,), 1: (0.7,), 2: (0.7,), 3: (0.9,), 4: (float("nan"),), 5: ()}
    found = [replace(TRIAL, number=n, objectives=value) for n, value in values.items()]
    found[3] = replace(found[3], status="FAILED")
    best = best_of(found, Aim("val/accuracy", "maximize"))
    assert best is not None
    assert best.number == 1
    assert best_of(found[4:], Aim("val/accuracy", "maximize")) is None
