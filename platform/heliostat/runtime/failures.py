"""Why an attempt failed, and whether another one makes sense."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.runtime.job import Job
from heliostat.runtime.node import OtherMachine
from heliostat.runtime.outcome import Failure
from heliostat.runtime.worker import TrainingFailed
from heliostat.spec import InputError, Problem
from heliostat.training.journal import Record, events, read_all
from heliostat.training.storage_away import StorageAway


@dataclass(frozen=True)
class Fault:
    """An attempt's end before its time."""

    failure: Failure
    worth_another: bool
    """Whether the same steps may well succeed next time: a worker was lost, not a bug met."""


def explain(job: Job, attempt: int, error: BaseException) -> Fault:
    """Return why `attempt` failed, from what its ranks wrote in the journal and from Ray.

    The rank that failed first is believed: the others fail because it is gone. Raises
    InputError where that rank found the job's input wrong before it began to train.
    """
    _check_machines(error)
    records = read_all(job.folder / "journal")
    told = [r for r in events(records, "failed") if r["attempt"] == attempt]
    own = sorted((r for r in told if r["verdict"] != "worker_lost"), key=lambda r: int(r["time"]))
    if own and own[0]["verdict"] == "input" and not _trained(records, attempt):
        problems = own[0]["problems"]
        raise InputError(Problem(p["message"], tuple(p["key"]), p["valid"]) for p in problems)
    if own:
        return _from_journal(own[0])
    return _lost(error, records, attempt)


def _check_machines(error: BaseException) -> None:
    for failure in getattr(error, "worker_failures", {}).values():
        if isinstance(failure, OtherMachine):
            raise InputError.of(str(failure))


def next_attempt(job: Job) -> int:
    """Return the number of the next attempt, from 1."""
    # Also of an attempt that died before it could say a word: its journal's files are there.
    attempts = [int(path.name[:4]) for path in (job.folder / "journal").glob("*.jsonl")]
    return max(attempts, default=0) + 1


def _trained(records: list[Record], attempt: int) -> bool:
    return any(r["attempt"] == attempt for r in events(records, "first_step"))


def _from_journal(record: Record) -> Fault:
    # Wrong input that shows only in the middle of training: an image that can't be decoded.
    verdict = "data" if record["verdict"] == "input" else record["verdict"]
    # A traceback is the message where there is code of the user's to look at; for a diverged
    # loss or a full disk it would only hide the one line that matters.
    shows_code = verdict in ("user_code", "internal")
    message = record["traceback"] if shows_code else record["message"]
    if shows_code and record["rank"]:
        message = f"on rank {record['rank']}:\n{message}"
    return Fault(Failure(verdict, message.rstrip()), worth_another=False)


def _lost(error: BaseException, records: list[Record], attempt: int) -> Fault:
    """Return the fault of an attempt in which a rank is gone, and could not write why."""
    mine = [r for r in records if r["attempt"] == attempt]
    world = next((r["world_size"] for r in events(mine, "attempt_started")), 0)
    silent = set(range(world)) - {r["rank"] for r in events(mine, "failed")}
    failures = getattr(error, "worker_failures", {})
    # An actor that is lost outside a group of workers leaves no failures, only the error itself.
    if any("OutOfMemory" in f"{type(f).__name__} {f}" for f in (*failures.values(), error)):
        message = "a worker was killed because its machine ran out of memory"
        return Fault(Failure("out_of_memory", message), worth_another=True)
    for rank, failure in sorted(failures.items()):
        if isinstance(failure, StorageAway):
            return Fault(Failure("storage", f"on rank {rank}: {failure}"), worth_another=False)
        if _could_not_start(failure):
            message = f"on rank {rank}: {type(failure).__name__}: {failure}"
            return Fault(Failure("internal", message), worth_another=False)
    # Ray names those that it found dead; it may have ended the others before they could write.
    gone = sorted({rank for rank, f in failures.items() if _died(f)} or silent)
    who = f"the worker of rank {', '.join(map(str, gone))}" if gone else "a worker"
    message = f"{who} was lost (it was killed, or its machine went away)"
    return Fault(Failure("worker_lost", message), worth_another=True)


def _died(failure: Exception) -> bool:
    """Whether Ray lost the worker, as opposed to having an exception from it."""
    from ray.exceptions import RayActorError

    return isinstance(failure, RayActorError) or "WorkerHealthCheck" in type(failure).__name__


def _could_not_start(failure: Exception) -> bool:
    """Whether a worker raised it before its journal was open.

    A rank that did open it raises TrainingFailed; one whose peers do not come raises a `Dist…`.
    """
    known = isinstance(failure, TrainingFailed) or type(failure).__name__.startswith("Dist")
    return not known and not _died(failure)
