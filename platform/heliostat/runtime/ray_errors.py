"""What Ray says of a worker that is gone; the words are those of the Ray that is pinned."""

from __future__ import annotations

from heliostat.training.verdicts import Verdict


def how_lost(failure: BaseException) -> Verdict | None:
    """Return how Ray lost the process that the failure is of; None: it did not."""
    text = str(failure)
    # What is said of a process that the kernel killed names its memory too, with other causes.
    if any(sign in f"{type(failure).__name__} {text}" for sign in _NO_MEMORY):
        return "out_of_memory_host"
    if not _died(failure):
        return None
    if _reclaimed(failure):
        return "preempted"
    return "node_lost" if "its node has died" in text else "worker_lost"


_NO_MEMORY = ("OutOfMemoryError", "running low on memory", "due to memory pressure")


def _died(failure: BaseException) -> bool:
    """Whether the process is gone, as opposed to an exception from it."""
    from ray.exceptions import RayActorError

    return isinstance(failure, RayActorError) or "WorkerHealthCheck" in type(failure).__name__


def _reclaimed(failure: BaseException) -> bool:
    """Whether its node was told to leave the cluster, and did."""
    actor = getattr(failure, "health_check_failure", failure)
    return bool(getattr(actor, "preempted", False))
