"""Why an attempt failed, and whether another one makes sense."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from heliostat.runtime.job import Job
from heliostat.runtime.last_words import last_words
from heliostat.runtime.leaving import TOLD_TO_LEAVE
from heliostat.runtime.node import OtherMachine
from heliostat.runtime.outcome import Failure
from heliostat.runtime.ray_errors import how_lost
from heliostat.runtime.worker import TrainingFailed
from heliostat.spec import InputError, Problem
from heliostat.training.journal import Record, events, read_all
from heliostat.training.storage_away import StorageAway
from heliostat.training.verdicts import Budget, Verdict, budget


@dataclass(frozen=True)
class Fault:
    """An attempt's end before its time."""

    failure: Failure
    budget: Budget | None
    """What another attempt is taken from; None: the same steps would meet the same end."""

    @classmethod
    def of(cls, verdict: Verdict, message: str, number: int | None = None) -> Fault:
        """Return the fault with this verdict; `number` is the errno of its exception, if any."""
        return cls(Failure(verdict, message), budget(verdict, number))

    @property
    def worth_another(self) -> bool:
        """Whether the same steps may well succeed next time: a worker was lost, not a bug met."""
        return self.budget is not None


def explain(
    job: Job,
    attempt: int,
    error: BaseException,
    *,
    nodes_gone: frozenset[str] = frozenset(),
    memory_ran_out: bool = False,
) -> Fault:
    """Return why `attempt` failed, from what its ranks wrote in the journal and from Ray.

    The rank that failed first by its own doing is believed: the others fail because it is gone.
    `nodes_gone` are the ids of nodes that Ray knows to be dead. `memory_ran_out` says that the
    kernel killed processes of the workers' machine meanwhile, for want of memory. Raises
    InputError where that rank found the job's input wrong before it began to train.
    """
    _check_machines(error)
    records = read_all(job.folder / "journal")
    mine = [record for record in records if record["attempt"] == attempt]
    told = events(mine, "failed")
    own = sorted(
        (record for record in told if record["verdict"] not in _OF_OTHERS),
        key=lambda record: int(record["time"]),
    )
    if own and own[0]["verdict"] == "input" and not events(mine, "first_step"):
        problems = own[0]["problems"]
        raise InputError(Problem(p["message"], tuple(p["key"]), p["valid"]) for p in problems)
    if own:
        return _from_journal(own[0], mine)
    if isinstance(error, StorageAway):  # on a full disk the journal could not say so
        return Fault.of("storage", str(error))
    fault = _lost(error, mine, nodes_gone)
    if fault.failure.verdict != "worker_lost" or not mine:
        return fault
    if memory_ran_out:
        message = f"{fault.failure.message}, for want of memory"
        return Fault.of("out_of_memory_host", message)
    began = min(int(record["time"]) for record in mine) / 1000
    words = last_words(job.folder / "logs", since=began)
    return fault if words is None else Fault.of(words.verdict, words.message)


def stopped(job: Job) -> Failure:
    """Return how the user ended the job: with a last checkpoint, or at once."""
    records = read_all(job.folder / "journal")
    last = next_attempt(job) - 1
    for record in events(records, "failed"):
        if record["attempt"] == last and record["verdict"] in ("stopped", "preempted"):
            return Failure("stopped", record["message"])
    return Failure("interrupted", "interrupted")


_OF_OTHERS = ("worker_lost", "collective")
"""What a rank says when it could not go on for another's sake."""


def _check_machines(error: BaseException) -> None:
    for failure in getattr(error, "worker_failures", {}).values():
        if isinstance(failure, OtherMachine):
            raise InputError.of(str(failure))


def next_attempt(job: Job) -> int:
    """Return the number of the next attempt, from 1."""
    # Also of an attempt that died before it could say a word: its journal's files are there.
    attempts = [int(path.name[:4]) for path in (job.folder / "journal").glob("*.jsonl")]
    return max(attempts, default=0) + 1


def _from_journal(record: Record, mine: list[Record]) -> Fault:
    # Wrong input that shows only in the middle of training: an image that can't be decoded.
    verdict: Verdict = "data" if record["verdict"] == "input" else record["verdict"]
    # A traceback is the message where there is code of the user's to look at; for a diverged
    # loss or a full disk it would only hide the one line that matters.
    shows_code = verdict in ("user_code", "internal")
    message = record["traceback"] if shows_code else record["message"]
    if shows_code and record["rank"]:
        message = f"on rank {record['rank']}:\n{message}"
    elif verdict == "preempted":
        message = f"{message}{_who_left(mine)}"
    elif verdict.startswith("out_of_memory"):
        message = f"on rank {record['rank']}: {_first_line(message) or 'no memory is left'}"
    return Fault.of(verdict, message.rstrip(), record.get("errno"))


def _lost(error: BaseException, mine: list[Record], nodes_gone: frozenset[str]) -> Fault:
    """Return the fault of an attempt in which no rank failed by its own doing, or could say so."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    # Ray names those that it found dead; it may have ended the others before they could write.
    dead = {rank: how for rank, failure in failures.items() if (how := how_lost(failure))}
    # An actor that is lost outside a group of workers leaves no failures, only the error itself.
    how_all = {*dead.values(), how_lost(error)}
    if "out_of_memory_host" in how_all:
        message = "a worker was killed because its machine ran out of memory"
        return Fault.of("out_of_memory_host", message)
    for rank, failure in sorted(failures.items()):
        if isinstance(failure, StorageAway):
            return Fault.of("storage", f"on rank {rank}: {failure}")
        if rank not in dead and not _is_known(failure):
            message = f"on rank {rank}: {type(failure).__name__}: {failure}"
            return Fault.of("internal", message)
    told = events(mine, "failed")
    if not failures and not told and how_lost(error) == "worker_lost":
        return Fault.of("worker_lost", "Ray Train's controller was lost, and its workers with it")
    world = next((r["world_size"] for r in events(mine, "attempt_started")), 0)
    silent = set(range(world)) - {record["rank"] for record in told}
    cut_off = [record for record in told if record["verdict"] == "collective"]
    if told and not dead and (cut_off or not silent):
        return _of_the_way(cut_off or told, silent)
    gone = dead.keys() or silent
    places = [r for r in events(mine, "placed") if r["rank"] in gone]
    if "preempted" in how_all:
        return Fault.of("preempted", f"{_who(gone)} was lost: its machine was taken back")
    if any(record["rank"] in gone for record in events(mine, TOLD_TO_LEAVE)):
        message = f"{_who(gone)} was told to leave, and did before a last checkpoint stood"
        return Fault.of("preempted", message)
    if "node_lost" in how_all or any(place["node"] in nodes_gone for place in places):
        hosts = ", ".join(sorted({place["host"] for place in places}))
        machine = f"its machine {hosts}" if hosts else "its machine"
        return Fault.of("node_lost", f"{_who(gone)} was lost with {machine}")
    return Fault.of("worker_lost", f"{_who(gone)} was lost: its process was killed or crashed")


def _who_left(mine: list[Record]) -> str:
    told = sorted({(record["rank"], record["by"]) for record in events(mine, TOLD_TO_LEAVE)})
    how = {"SIGTERM": "got a SIGTERM", "drain": "was on a node that is drained"}
    return f" ({', '.join(f'rank {rank} {how[by]}' for rank, by in told)})" if told else ""


def _of_the_way(told: list[Record], silent: Iterable[int]) -> Fault:
    """Return the fault of ranks that live, and could not reach one another."""
    first = min(told, key=lambda record: int(record["time"]))
    waited_for = ", ".join(map(str, sorted(silent)))
    more = f" (no word from rank {waited_for})" if waited_for else ""
    return Fault.of(
        "collective", f"rank {first['rank']} in a collective: {_first_line(first['message'])}{more}"
    )


def _who(ranks: Iterable[int]) -> str:
    numbers = ", ".join(map(str, sorted(ranks)))
    return f"the worker of rank {numbers}" if numbers else "a worker"


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "")


def _is_known(failure: Exception) -> bool:
    """Whether it says nothing that the journal does not, or of peers that did not come.

    A rank raises anything else before its journal is open.
    """
    return isinstance(failure, TrainingFailed) or type(failure).__name__.startswith("Dist")
