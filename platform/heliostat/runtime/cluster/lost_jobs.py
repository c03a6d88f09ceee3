"""Jobs that a head remembers from the one before, through Redis, and that died with that one."""

from __future__ import annotations

import time

from heliostat.runtime.cluster.asking import Cluster, ClusterAway, reach
from heliostat.runtime.cluster.ray_jobs import all_jobs, path_of
from heliostat.tracking.standing import Standing

AGENT_SECONDS = 60.0
"""Until the process that starts and ends a new head's jobs answers."""
POLL_SECONDS = 0.5


def end_lost(head: Standing) -> int:
    """Have Ray find out about the jobs that ran when the head before `head` died; how many.

    Their drivers were on it. Ray says RUNNING of them until it is asked for something that it
    needs its job manager for, which then looks after all of them; stopping one is such a thing.
    Raises InputError where the head does not answer.
    """
    cluster = reach(head.address)
    lost = [
        job
        for job in all_jobs(cluster)
        if job.submitted and not job.over and job.begun and job.begun.timestamp() < head.created
    ]
    deadline = time.monotonic() + AGENT_SECONDS
    for job in lost:
        while not _asked(cluster, job.id) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    return len(lost)


def _asked(cluster: Cluster, submission_id: str) -> bool:
    try:
        return cluster.ask("POST", f"{path_of(submission_id)}/stop").status_code == 200
    except ClusterAway:
        return False
