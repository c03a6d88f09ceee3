"""Why an attempt failed, and whether another one makes sense."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.runtime.job import Job
from heliostat.runtime.outcome import Failure
from heliostat.spec import InputError, Problem
from heliostat.training.journal import Record, events, read_all


@dataclass(frozen=True)
class Fault:
    """An attempt's end before its time."""

    failure: Failure
    worth_another: bool
    """Whether the same steps may well succeed next time: a worker was lost, not a bug met."""


def explain(job: Job, attempt: int, error: Exception) -> Fault:
    """Return why `attempt` failed, from what its ranks wrote in the journal and from Ray.

    The rank that failed first is believed: the others fail because it is gone. Raises
    InputError where that rank found the job's input wrong.
    """
    told = [r for r in events(read_all(job.folder / "journal"), "failed") if _of(r, attempt)]
    own = sorted((r for r in told if r["verdict"] != "worker_lost"), key=lambda r: int(r["time"]))
    if own:
        return _from_journal(own[0])
    return Fault(Failure("worker_lost", _lost(error)), worth_another=True)


def next_attempt(job: Job) -> int:
    """Return the number of the next attempt, from 1."""
    attempts = [r["attempt"] for r in events(read_all(job.folder / "journal"), "attempt_started")]
    return max(attempts, default=0) + 1


def _of(record: Record, attempt: int) -> bool:
    return bool(record["attempt"] == attempt)


def _from_journal(record: Record) -> Fault:
    verdict = record["verdict"]
    if verdict == "input":
        raise InputError(
            Problem(p["message"], tuple(p["key"]), p["valid"]) for p in record["problems"]
        )
    # A traceback is the message where there is code of the user's to look at; for a diverged
    # loss or a full disk it would only hide the one line that matters.
    shows_code = verdict in ("user_code", "internal")
    message = record["traceback"] if shows_code else record["message"]
    if shows_code and record["rank"]:
        message = f"on rank {record['rank']}:\n{message}"
    return Fault(Failure(verdict, message.rstrip()), worth_another=False)


def _lost(error: Exception) -> str:
    failures = getattr(error, "worker_failures", {})
    died = [
        rank
        for rank, failure in sorted(failures.items())
        if "Actor" in type(failure).__name__ or "OutOfMemory" in type(failure).__name__
    ]
    if died:
        ranks = ", ".join(str(rank) for rank in died)
        first = str(failures[died[0]]).strip().splitlines()[0]
        return f"the worker of rank {ranks} was lost: {first}"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
