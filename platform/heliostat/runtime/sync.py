"""`helio sync`: what a journal still holds goes to MLflow."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.runtime.home import home
from heliostat.runtime.job import Job, all_jobs
from heliostat.spec import InputError
from heliostat.tracking.server import TrackingAway, ping, tracking_uri


@dataclass(frozen=True)
class Synced:
    """A job whose journal was sent."""

    job: str
    run_id: str
    records: int
    status: str
    """The job's own status: FINISHED, FAILED or KILLED."""


def sync(job_id: str | None) -> tuple[Synced, ...]:
    """Send the journals of ended jobs that MLflow does not hold whole, or of the one named.

    Sending again what MLflow has changes nothing. Raises InputError where MLflow isn't there.
    """
    uri = tracking_uri(home())
    ping(uri)
    jobs = [Job.open(job_id)] if job_id else [j for j in all_jobs() if not _is_complete(j)]
    return tuple(_send(job, uri) for job in jobs if job_id or job.ended is not None)


def _is_complete(job: Job) -> bool:
    return bool(job.recorded.get("complete"))


def _send(job: Job, uri: str) -> Synced:
    from heliostat.runtime.recorder import recorder_of

    ended = job.ended
    if ended is None:
        raise InputError.of(
            f"job {job.id} has not ended", valid="`helio resume` goes on with one that died"
        )
    recorder = recorder_of(job, uri)
    try:
        recorder.open()
        records = recorder.ship()
        recorded = recorder.close(ended)
    except TrackingAway as away:
        raise InputError.of(f"MLflow at {uri} went away: {away}", valid="sync again") from away
    return Synced(job.id, recorded["run_id"], records, ended["status"])
