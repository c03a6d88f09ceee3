"""Ends a job that waits for its turn, on the cluster: `python -m ….take_out SUBMISSION_ID`."""

from __future__ import annotations

import asyncio
import sys


def main(submission_id: str) -> None:
    """Write that the job was stopped, and end the actor of Ray Jobs that would have started it."""
    import ray
    from ray._private.worker import global_worker
    from ray.dashboard.modules.job.common import (
        JOB_ACTOR_NAME_TEMPLATE,
        SUPERVISOR_ACTOR_RAY_NAMESPACE,
        JobInfoStorageClient,
        JobStatus,
    )

    ray.init(address="auto", log_to_driver=False)
    known = JobInfoStorageClient(global_worker.gcs_client)  # type: ignore[attr-defined]

    async def ended() -> bool:
        if await known.get_status(submission_id) != JobStatus.PENDING:
            return False  # it has started meanwhile, and heard then that it is to stop
        message = "Stopped before it started."
        await known.put_status(submission_id, JobStatus.STOPPED, message=message)
        return True

    # First the word, then the deed: an actor that is gone and has no last word has failed.
    if asyncio.run(ended()):
        name = JOB_ACTOR_NAME_TEMPLATE.format(job_id=submission_id)
        ray.kill(ray.get_actor(name, namespace=SUPERVISOR_ACTOR_RAY_NAMESPACE))


if __name__ == "__main__":
    main(sys.argv[1])
