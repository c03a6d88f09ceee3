"""`helio jobs` and `helio stop`: the jobs of a cluster."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from heliostat.runtime.cluster.asking import Cluster, reach
from heliostat.runtime.cluster.ray_jobs import (
    HELPER,
    RayJob,
    all_jobs,
    newest,
    path_of,
    submission,
)
from heliostat.spec import InputError

STOP_SECONDS = 150.0
"""Ray waits 90 s for a job that writes its last checkpoint, then ends it."""

START_SECONDS = 1.5
"""What a job that is about to start may take until it hears that it is to stop."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class JobRow:
    """A job that the cluster knows."""

    id: str
    name: str
    """Empty, as its kind is, for a job of Ray's that is not heliostat's."""
    kind: str
    status: str
    """Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED."""
    submitted: datetime | None
    """UTC"""
    seconds: float | None
    """From its submission to its end or to now, its time in the queue included."""
    message: str


def jobs(address: str) -> tuple[JobRow, ...]:
    """Return the cluster's jobs, also those that are not heliostat's, newest first."""
    now = datetime.now(UTC)
    return tuple(_row(job, now) for job in all_jobs(reach(address)))


def stop(
    address: str, job: str, *, wait: bool = True, say: Callable[[str], None] = lambda text: None
) -> str:
    """Stop a job, which writes a last checkpoint; return its status, with `wait` its last one.

    One that waits for its turn is taken out of the queue. `say` gets what is waited for. Raises
    InputError for a job that is not known, and for one that does not end.
    """
    cluster = reach(address)
    ray_job = newest(cluster, job)
    if ray_job.over:
        return ray_job.status
    cluster.value("POST", f"{path_of(ray_job.id)}/stop")
    if ray_job.status == "PENDING":
        ray_job = _watched(cluster, ray_job, START_SECONDS, lambda one: one.status != "PENDING")
        if ray_job.status == "PENDING":
            _take_out(cluster, ray_job)
            ray_job = _now(cluster, ray_job)
    if wait and not ray_job.over:
        say(f"waiting for the last checkpoint of {ray_job.id}")
        ray_job = _watched(cluster, ray_job, STOP_SECONDS, lambda one: one.over)
        if not ray_job.over:
            raise InputError.of(f"{ray_job.id} is {ray_job.status} still", valid="stop it again")
    return ray_job.status


def stop_all(cluster: Cluster, *, say: Callable[[str], None]) -> int:
    """Stop all jobs that have not ended, and return their number once those that ran have.

    They too write a last checkpoint. One that waits for its turn would end as soon as it got it.
    """
    unfinished = [job for job in all_jobs(cluster) if not job.over]
    submitted = [job for job in unfinished if job.submitted]
    for job in submitted:
        cluster.value("POST", f"{path_of(job.id)}/stop")
    running = [job for job in submitted if job.status == "RUNNING"]
    if running:
        say(f"waiting for the last checkpoint of {', '.join(job.id for job in running)}")
    for job in running:
        _watched(cluster, job, STOP_SECONDS, lambda one: one.over)
    return len(unfinished)


def _row(job: RayJob, now: datetime) -> JobRow:
    until = job.ended or (None if job.over else now)
    return JobRow(
        id=job.id,
        name=job.metadata.get("name", ""),
        kind=job.metadata.get("kind", ""),
        status=job.status,
        submitted=job.begun,
        seconds=round((until - job.begun).total_seconds(), 1) if until and job.begun else None,
        message=_first(job),
    )


def _first(job: RayJob) -> str:
    """Return what Ray says of a job first; of one that waits it guesses at length why it does."""
    line = next(iter(job.message.splitlines()), "")
    return line.partition(". ")[0] if job.status == "PENDING" else line


def _watched(
    cluster: Cluster, job: RayJob, seconds: float, done: Callable[[RayJob], bool]
) -> RayJob:
    """Return the job once `done` says so, or as it is after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done(job) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        job = _now(cluster, job)
    return job


def _now(cluster: Cluster, job: RayJob) -> RayJob:
    found = submission(cluster, job.id)
    if found is None:
        raise InputError.of(f"the cluster has lost the job {job.id}")
    return found


def _take_out(cluster: Cluster, job: RayJob) -> None:
    """End a job that is in the queue still.

    The Jobs API keeps what it was told for the moment in which the job starts, so this is done
    on the cluster itself, by a job of our own that asks for nothing and so has no queue.
    """
    helper = f"{job.id}-out-{secrets.token_hex(2)}"
    command = f"python -m heliostat.runtime.cluster.take_out {job.id}"
    body = {"entrypoint": command, "submission_id": helper, "metadata": {HELPER: "stop"}}
    cluster.value("POST", "/api/jobs/", json=body)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        ours = submission(cluster, helper)
        if ours is not None and ours.over:
            return
        time.sleep(POLL_SECONDS)
