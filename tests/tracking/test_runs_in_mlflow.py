"""One run a job, with a status that is true."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from heliostat.spec.problems import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.listing import list_runs
from heliostat.tracking.runs import beat, finish, open_run, settle


def test_a_restarted_job_goes_on_in_its_own_run(start: Callable[..., str], uri: str) -> None:
    first = start(tags={"heliostat.kind": "train"})
    assert start("job-2") != first
    finish(
        uri,
        first,
        "FAILED",
        tags={tag.ENDED_BECAUSE: "a worker was lost", tag.VERDICT: "worker_lost"},
    )

    assert start() == first
    run = MlflowClient(uri).get_run(first)
    assert run.info.status == "RUNNING"
    assert not {tag.ENDED_BECAUSE, tag.VERDICT} & run.data.tags.keys()
    assert run.data.tags[tag.KIND] == "train"
    assert run.data.tags[tag.PID] == str(os.getpid())


def test_a_run_that_a_slow_server_made_twice_is_there_once_in_the_end(
    start: Callable[..., str], uri: str, client: MlflowClient
) -> None:
    """A request to make it timed out, was sent again, and both were carried out: one late."""
    run_id = start()
    client.log_metric(run_id, "loss", 1.0)
    run = client.get_run(run_id)
    for again in (start, lambda: finish(uri, run_id, "FINISHED")):
        client.create_run(
            run.info.experiment_id, start_time=run.info.start_time, tags=run.data.tags
        )
        assert again() in (run_id, None)
        assert [found.info.run_id for found in client.search_runs([run.info.experiment_id])] == [
            run_id
        ]


def test_no_run_ends_before_it_began_where_the_clock_was_set_back(
    uri: str, client: MlflowClient
) -> None:
    began = time.time() + 3600
    run_id = open_run(uri, experiment="digits", name="j", job="later", tags={}, started=began)
    finish(uri, run_id, "FINISHED")
    info = client.get_run(run_id).info
    assert info.end_time == info.start_time == int(began * 1000)


def test_only_runs_that_are_silent_and_dead_are_settled(
    start: Callable[..., str], uri: str, client: MlflowClient
) -> None:
    began = time.time() - 300
    dead, alive, done, fresh = (start(j, started=began) for j in ("dead", "alive", "done", "fresh"))
    finish(uri, done, "FINISHED")
    said = int(time.time()) - 200
    for run_id in (dead, alive, done):
        client.set_tag(run_id, tag.HEARTBEAT, str(said))
    client.create_run(client.get_run(dead).info.experiment_id)  # a stranger's, RUNNING

    settled = settle(uri, alive=lambda tags: tags[tag.JOB] == "alive")

    assert [(one.job, one.run_id) for one in settled] == [("dead", dead)]
    run = client.get_run(dead)
    assert (run.info.status, run.info.end_time) == ("FAILED", said * 1000)
    assert f"process {os.getpid()}" in run.data.tags[tag.ENDED_BECAUSE]
    assert client.get_run(alive).info.status == client.get_run(fresh).info.status == "RUNNING"
    assert client.get_run(done).info.status == "FINISHED"
    beat(uri, alive)
    assert settle(uri, alive=lambda tags: False) == []


def test_a_deleted_experiment_is_refused_with_the_way_out(
    start: Callable[..., str], client: MlflowClient
) -> None:
    client.delete_experiment(client.create_experiment("old"))
    with pytest.raises(InputError, match="'old' is deleted; .*restore --experiment-id"):
        start(experiment="old")


def test_runs_are_listed_newest_first_with_their_objective(
    start: Callable[..., str], uri: str, client: MlflowClient
) -> None:
    objective = {tag.OBJECTIVE: "val/f1@0.5", tag.KIND: "train"}
    client.log_metric(start("a", tags=objective), "val/f1_0.5", 0.25)
    kept = start("b", tags=objective, experiment="other")
    finish(uri, kept, "FINISHED", tags={tag.OBJECTIVE_VALUE: "0.5", tag.MODEL: "models:/m/1"})

    rows = list_runs(uri)
    assert [(r.job, r.experiment, r.status, r.kind, r.value, r.model) for r in rows] == [
        ("b", "other", "FINISHED", "train", 0.5, "models:/m/1"),
        ("a", "digits", "RUNNING", "train", 0.25, None),
    ]
    assert rows[0].seconds < 60
    assert [r.job for r in list_runs(uri, "digits")] == ["a"]
    assert [r.job for r in list_runs(uri, limit=1)] == ["b"]
    assert list_runs(uri, "none") == []
