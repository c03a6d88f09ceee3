"""What a ledger amounts to: the state of a search is a fold over its records, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from heliostat.search.front import Front
from heliostat.search.ledger import Record
from heliostat.search.legs import Clone, Leg
from heliostat.search.reasons import kind_of_failure, last_line
from heliostat.search.trials import ENDED, Descent, Status, Trial


@dataclass(frozen=True)
class Stop:
    """The search hands out no more legs."""

    why: str
    by_itself: bool
    """Whether it came from the spec's limits, so that only a raised limit lifts it."""
    failure: bool
    """Whether the search came to nothing: its first trials all failed in the same way."""


class State:
    """The trials of a search and what may become of them, after `fold` of each record in order.

    Folding a record costs the same at the first trial and at the thousandth.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        """What may not change when a search goes on, as plain values."""
        self.limits: dict[str, Any] = {}
        """As last given."""
        self.trials: dict[int, Trial] = {}
        self.running: dict[int, Leg] = {}
        """By trial."""
        self.legs: dict[int, Leg] = {}
        """The newest leg of each trial that has had one."""
        self.lost: set[int] = set()
        """Trials whose newest leg is to be begun again; no more than run at a time."""
        self.waiting: set[int] = set()
        """Trials that were suggested and have had no leg; no more than run at a time."""
        self.stop: Stop | None = None
        self.epochs = 0
        """Epochs of the legs that came to their end."""
        self.failures: dict[tuple[str, str], int] = {}
        """How many trials failed, by the kind of failure."""
        self.failed: dict[int, str] = {}
        """Why a trial failed for good."""
        self.any_told = False
        """Whether any leg came to its end."""
        self._open: set[int] = set()
        self._front: Front | None = None

    def fold(self, record: Record) -> None:
        """Take in one record."""
        _FOLDS[record["kind"]](self, record)

    @property
    def best(self) -> Trial | None:
        """The best trial so far by the first objective."""
        return self._front.best if self._front else None

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that none beats in all objectives; with one objective the best."""
        return self._front.trials if self._front else ()

    @property
    def unsettled(self) -> list[Trial]:
        """The trials that have not ended."""
        return [trial for trial in self.trials.values() if trial.status not in ENDED]

    def _begun(self, record: Record) -> None:
        self.settings, self.limits = record["settings"], record["limits"]
        maximize = tuple(goal["goal"] == "maximize" for goal in self.settings["objectives"])
        self._front = Front(maximize, self.trials)

    def _resumed(self, record: Record) -> None:
        if self.stop and self.stop.failure:
            self.failures = {}
        self.limits, self.stop = record["limits"], None
        for number in sorted(self._open):
            trial = self.trials[number]
            status: Status = "PAUSED" if number in self.legs else "WAITING"
            self._change(number, status=status, reason="")
            if status == "WAITING":
                self.waiting.add(number)
            elif trial.status == "KILLED":
                self.lost.add(number)
        self._open.clear()

    def _suggested(self, record: Record) -> None:
        number = record["trial"]
        self.trials[number] = Trial(number, record["values"])
        self.waiting.add(number)

    def _leg(self, record: Record) -> None:
        number, trial = record["trial"], self.trials[record["trial"]]
        self.waiting.discard(number)
        self.lost.discard(number)
        clone = Clone(**record["clone"]) if "clone" in record else None
        if clone and "values" in record:  # where the leg is begun again, the trial has them already
            descent = Descent(trial.epoch, clone, record["values"])
            self._change(number, values=record["values"], lineage=(*trial.lineage, descent))
        values = self.trials[number].values
        leg = Leg(number, values, record["until"], record["retry"], clone)
        self.running[number] = self.legs[number] = leg
        self._change(number, status="RUNNING", until=leg.until)

    def _told(self, record: Record) -> None:
        number, trial = record["trial"], self.trials[record["trial"]]
        del self.running[number]
        self.any_told = True
        self.epochs += max(0, record["epoch"] - trial.epoch)
        self._change(
            number,
            status="PAUSED",
            epoch=record["epoch"],
            step=record["step"],
            objectives=tuple(record["values"]),
            curve=trial.curve + tuple((epoch, value) for epoch, value in record["curve"]),
            finished=record["finished"],
            legs=trial.legs + 1,
            seconds=trial.seconds + record["seconds"],
        )
        self._rank(number)

    def _failed(self, record: Record) -> None:
        number = record["trial"]
        del self.running[number]
        self._change(number, status="PAUSED")
        if record["again"]:
            self._change(number, retries=self.trials[number].retries + 1)
            self.lost.add(number)
            return
        self.failed[number] = f"{record['verdict']}: {last_line(record['message'])}"
        kind = kind_of_failure(record["verdict"], record["message"])
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def _ended(self, record: Record) -> None:
        number = record["trial"]
        self.running.pop(number, None)
        self.waiting.discard(number)
        self.lost.discard(number)
        self._change(number, status=record["status"], reason=record["reason"])
        if record["open"]:
            self._open.add(number)
        self._rank(number)

    def _stopped(self, record: Record) -> None:
        self.stop = Stop(record["why"], record["by_itself"], record["failure"])

    def _rank(self, number: int) -> None:
        if self._front:
            self._front.hear(number)

    def _change(self, number: int, **changes: Any) -> None:
        self.trials[number] = replace(self.trials[number], **changes)


def fold(records: Iterable[Record]) -> State:
    """Return the state after `records`."""
    state = State()
    for record in records:
        state.fold(record)
    return state


_FOLDS: dict[str, Callable[[State, Record], None]] = {
    "begun": State._begun,
    "resumed": State._resumed,
    "suggested": State._suggested,
    "leg": State._leg,
    "told": State._told,
    "failed": State._failed,
    "ended": State._ended,
    "stopped": State._stopped,
}
