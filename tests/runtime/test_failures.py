"""Whom Ray's errors and the journal's records blame for an attempt's end."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from heliostat.runtime.failures import Fault, explain
from heliostat.runtime.job import Job
from heliostat.runtime.worker import TrainingFailed
from heliostat.training.reporter import Reporter


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


def say(job: Job, *ranks: dict[str, Any], attempt: int = 1, steps: int = 1) -> None:
    """Write what the ranks of an attempt say: for each the fields of its `failed`, if it failed."""
    for rank, failed in enumerate(ranks):
        reporter = Reporter(job.folder, attempt=attempt, rank=rank)
        reporter.event("placed", node=f"node-{rank}", host=f"machine-{rank}")
        if rank == 0:
            reporter.event("attempt_started", world_size=len(ranks))
        if rank == 0 and steps:
            reporter.event("first_step", step=steps)
        if failed:
            reporter.event("failed", **{"message": "", "traceback": "", "problems": []} | failed)
        reporter.close()


CLOSED = {"verdict": "worker_lost", "message": "gloo: Connection closed by peer"}
LATE = {"verdict": "collective", "message": "gloo: Timed out waiting 9ms for recv\nmore of it"}
MINE = {"verdict": "user_code", "traceback": "KeyError: 'mine'\n"}


def dead(text: str, *, preempted: bool = False) -> Exception:
    """Return what Ray Train says of a rank that Ray lost, with Ray's own reason in it."""
    cause = ActorDiedError()
    cause.error_msg, cause._preempted = text, preempted
    return WorkerHealthCheckFailedError("a worker health check failed", cause)


def test_the_users_exception_is_believed_and_not_the_rank_that_it_left_alone(job: Job) -> None:
    say(job, CLOSED, MINE)
    told = fault(job, {0: TrainingFailed("rank 0"), 1: TrainingFailed("rank 1")})
    assert told == Fault.of("user_code", "on rank 1:\nKeyError: 'mine'")
    assert not told.worth_another


def test_a_rank_that_is_silent_was_lost(job: Job) -> None:
    say(job, CLOSED, {})
    told = fault(job, {0: TrainingFailed("rank 0")})
    assert (told.failure.verdict, told.budget) == ("worker_lost", "failures")
    assert told.failure.message.startswith("the worker of rank 1 was lost")


def test_a_controller_that_is_lost_is_not_told_as_a_rank(job: Job) -> None:
    say(job, {}, {})
    told = explain(job, 1, ActorDiedError())
    assert (told.failure.verdict, told.budget) == ("worker_lost", "failures")
    assert told.failure.message == "Ray Train's controller was lost, and its workers with it"


def test_ranks_that_live_and_lost_each_other_are_told_as_a_collectives_failure(job: Job) -> None:
    say(job, CLOSED, CLOSED)
    told = fault(job, {0: TrainingFailed("rank 0"), 1: TrainingFailed("rank 1")})
    assert (told.failure.verdict, told.budget) == ("collective", "failures")


def test_a_collective_that_timed_out_names_the_rank_that_was_waited_for(job: Job) -> None:
    say(job, LATE, {})
    told = fault(job, {0: TrainingFailed("rank 0")})
    assert told.failure.verdict == "collective"
    assert told.failure.message == (
        "rank 0 in a collective: gloo: Timed out waiting 9ms for recv (no word from rank 1)"
    )


def test_a_time_out_is_no_cause_where_ray_lost_the_rank(job: Job) -> None:
    say(job, LATE, {})
    told = fault(job, {0: TrainingFailed("rank 0"), 1: ActorDiedError()})
    assert told.failure.verdict == "worker_lost"


def test_a_rank_that_ray_lost_with_its_node_is_a_lost_node_and_the_machine_is_named(
    job: Job,
) -> None:
    say(job, CLOSED, {})
    told = fault(job, {1: dead("The actor died because its node has died. Node Id: 00ff")})
    assert (told.failure.verdict, told.budget) == ("node_lost", "failures")
    assert told.failure.message == "the worker of rank 1 was lost with its machine machine-1"


def test_a_silent_rank_whose_node_is_dead_is_a_lost_node(job: Job) -> None:
    say(job, CLOSED, {})
    error = WorkerGroupError("training failed", {0: TrainingFailed("rank 0")})
    assert explain(job, 1, error, nodes_gone=frozenset({"node-1"})).failure.verdict == "node_lost"
    assert explain(job, 1, error, nodes_gone=frozenset({"node-0"})).failure.verdict == "worker_lost"


def test_a_node_that_was_taken_back_is_a_preemption(job: Job) -> None:
    say(job, CLOSED, {})
    told = fault(job, {1: dead("The actor died because its node has died.", preempted=True)})
    assert (told.failure.verdict, told.budget) == ("preempted", "preemptions")


def test_a_process_that_rays_memory_monitor_killed_is_the_machines_memory(job: Job) -> None:
    say(job, CLOSED, {})
    said = "1 worker(s) were killed due to the node running low on memory. Memory on the node"
    assert fault(job, {1: dead(said)}).failure.verdict == "out_of_memory_host"
    # What Ray says of every process that is gone without a word.
    guesses = "(1) the process was killed by the OOM killer due to high memory usage, (2) ray stop"
    assert fault(job, {1: dead(guesses)}).failure.verdict == "worker_lost"


def test_a_process_that_the_kernel_killed_for_memory_is_told_from_one_that_somebody_killed(
    job: Job,
) -> None:
    say(job, CLOSED, {})
    error = WorkerGroupError("training failed", {1: dead("the process was killed")})
    told = explain(job, 1, error, memory_ran_out=True)
    assert (told.failure.verdict, told.budget) == ("out_of_memory_host", "failures")
    say(job, CLOSED, MINE, attempt=2)
    assert explain(job, 2, error, memory_ran_out=True).failure.verdict == "user_code"


def test_a_worker_that_crashed_is_told_by_the_last_words_in_its_log(job: Job) -> None:
    say(job, CLOSED, {})
    (job.folder / "logs").mkdir()
    frame = 'Stack (most recent call first):\n  File "/home/user/own.py", line 12 in forward\n'
    (job.folder / "logs" / "rank-1.log").write_text(f"Fatal Python error: Aborted\n\n{frame}")
    told = fault(job, {1: ActorDiedError()})
    assert told == Fault.of("worker_lost", "rank 1 crashed: Aborted in own.py, line 12")


def test_storage_that_blinked_in_the_users_code_is_tried_again_and_a_full_disk_is_not(
    job: Job,
) -> None:
    say(job, {"verdict": "storage", "message": "Stale file handle", "errno": errno.ESTALE})
    assert fault(job, {0: TrainingFailed("rank 0")}).budget == "failures"
    say(job, {"verdict": "storage", "message": "No space", "errno": errno.ENOSPC}, attempt=2)
    error = WorkerGroupError("training failed", {0: TrainingFailed("rank 0")})
    assert explain(job, 2, error).budget is None


def test_no_memory_on_a_device_is_one_line_with_its_rank_and_ends_the_job(job: Job) -> None:
    full = "CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation"
    say(job, {"verdict": "out_of_memory_device", "message": full})
    told = fault(job, {0: TrainingFailed("rank 0")})
    assert told.failure.message == "on rank 0: CUDA out of memory. Tried to allocate 2 GiB."
    assert not told.worth_another
