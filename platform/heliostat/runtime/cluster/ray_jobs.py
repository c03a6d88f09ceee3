"""The jobs of Ray's that a cluster knows, heliostat's and others'."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from heliostat.runtime.cluster.asking import Cluster
from heliostat.spec import InputError, nearest

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")

JOB = "job"
"""In a submission's metadata: the job's id, which a resumed job has under another submission."""
HELPER = "helper"
"""In the metadata of what heliostat runs on a cluster for itself: what for."""


@dataclass(frozen=True)
class RayJob:
    """One job as Ray tells of it."""

    id: str
    """The submission's id; of a driver that was not submitted, Ray's own job id."""
    submitted: bool
    """False: a driver that connected by itself."""
    status: str
    """Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED."""
    begun: datetime | None
    """UTC: when it was submitted, whether or not it waited for its turn then."""
    ended: datetime | None
    """UTC"""
    message: str
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether its status is its last."""
        return self.status in ENDED

    @property
    def job(self) -> str:
        """The id of heliostat's job, or the submission's own."""
        return self.metadata.get(JOB, self.id)


def all_jobs(cluster: Cluster) -> list[RayJob]:
    """Return all jobs, the newest first, without what heliostat runs there for itself."""
    found = [_read(details) for details in cluster.value("GET", "/api/jobs/")]
    own = [job for job in found if HELPER not in job.metadata]
    return sorted(own, key=lambda job: job.begun or datetime.min.replace(tzinfo=UTC), reverse=True)


def submission(cluster: Cluster, submission_id: str) -> RayJob | None:
    """Return what was submitted under just this id, or None."""
    response = cluster.ask("GET", path_of(submission_id))
    if response.status_code == 404:
        return None
    if response.status_code != 200:
        raise cluster.refused(response)
    return _read(response.json())


def path_of(submission_id: str) -> str:
    """Return where the Jobs API has a submission; others than ours have any text for an id."""
    return f"/api/jobs/{quote(submission_id, safe='')}"


def newest(cluster: Cluster, job: str) -> RayJob:
    """Return the newest submission of a job, which has several once it was resumed.

    Raises InputError for an id that the cluster does not know.
    """
    known = [one for one in all_jobs(cluster) if one.submitted]
    for one in known:
        if one.id == job or one.job == job:
            return one
    near = nearest(job, [one.id for one in known])
    hint = f"did you mean {near}? see `helio jobs`" if near else "see `helio jobs`"
    raise InputError.of(f"the cluster at {cluster.address} has no job {job}", valid=hint)


def _read(details: dict[str, Any]) -> RayJob:
    return RayJob(
        id=details["submission_id"] or details["job_id"],
        submitted=details["type"] == "SUBMISSION",
        status=details["status"],
        begun=_time(details["start_time"]),
        ended=_time(details["end_time"]),
        message=details["message"] or "",
        metadata=details["metadata"] or {},
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
