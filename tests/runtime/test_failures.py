"""Whom Ray's errors and the journal's records blame for an attempt's end."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError
from ray.train import WorkerGroupError

from heliostat.runtime.failures import Fault, explain
from heliostat.runtime.job import Job
from heliostat.runtime.worker import TrainingFailed


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "journal").mkdir()
    return Job("job", tmp_path)


def fault(job: Job, failures: dict[int, Exception]) -> Fault:
    return explain(job, 1, WorkerGroupError("training failed", failures))


def test_only_the_rank_that_died_is_said_to_be_lost(job: Job) -> None:
    told = fault(job, {0: TrainingFailed("rank 0: RuntimeError"), 1: ActorDiedError()})
    assert told.worth_another
    assert told.failure.message.startswith("the worker of rank 1 was lost")


def test_a_rank_that_could_not_start_says_why_and_is_not_tried_again(job: Job) -> None:
    told = fault(job, {1: PermissionError("no entry"), 0: ActorDiedError()})
    assert not told.worth_another
    assert told.failure.verdict == "internal"
    assert told.failure.message == "on rank 1: PermissionError: no entry"


def test_a_rank_whose_peer_did_not_come_is_not_to_blame(job: Job) -> None:
    from torch.distributed import DistNetworkError

    told = fault(job, {0: DistNetworkError("timed out"), 1: ActorDiedError()})
    assert told.failure.message.startswith("the worker of rank 1 was lost")
