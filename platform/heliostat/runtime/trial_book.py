"""A search's ledger as it grows: its trials as MLflow is told of them, and which changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heliostat.search.ledger import LEDGER, Record, read_records
from heliostat.search.state import State
from heliostat.search.trials import ENDED, Descent
from heliostat.tracking.trial_facts import TrialFacts


class TrialBook:
    """The trials of the ledger in a job's folder; `read` takes in what was appended."""

    def __init__(self, job: Path) -> None:
        """Begin at the start of the ledger, which need not exist yet."""
        self._ledger = job / LEDGER
        self._offset = 0
        self._state = State()
        self._started: dict[int, int] = {}  # unix ms of the first leg
        self._ended: dict[int, int] = {}
        self.changed: set[int] = set()
        """Trials with a run of which something is to be told; whoever tells it takes them out."""
        self.points: list[dict[str, Any]] = []
        """Metric records of the search's own run that were not taken yet."""
        self.newest = 0
        """Unix milliseconds of the newest record; 0 before there is one."""
        self.rungs: set[int] = set()
        """Epochs at which legs ended, or are to end."""

    def read(self) -> None:
        """Take in the records that are new."""
        records, self._offset = read_records(self._ledger, self._offset)
        for record in records:
            self._state.fold(record)
            self.newest = record["time"]
            _TAKEN.get(record["kind"], lambda book, record: None)(self, record)

    @property
    def begun(self) -> list[int]:
        """The trials that have had a leg, or ended without: those that have a run."""
        return sorted(self._started)

    @property
    def running(self) -> list[int]:
        """The trials that have a leg now."""
        return list(self._state.running)

    @property
    def unended(self) -> list[int]:
        """The trials with a run that have not ended."""
        return [number for number in self.begun if number not in self._ended]

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self._ended)

    @property
    def best(self) -> TrialFacts | None:
        """The best trial so far by the first objective."""
        found = self._state.best
        return None if found is None else self.facts(found.number)

    def facts(self, number: int) -> TrialFacts:
        """Return a begun trial as it is now."""
        trial = self._state.trials[number]
        return TrialFacts(
            number=number,
            values=trial.values,
            status=trial.status,
            started=self._started[number],
            ended=self._ended.get(number),
            objectives=trial.objectives,
            curve=trial.curve,
            epoch=trial.epoch,
            step=trial.step,
            seconds=trial.seconds,
            reason=trial.reason or None,
            lineage=tuple(map(_descent, trial.lineage)),
        )

    def _resumed(self, record: Record) -> None:
        for number in list(self._ended):
            if self._state.trials[number].status not in ENDED:
                del self._ended[number]
                self.changed.add(number)

    def _leg(self, record: Record) -> None:
        self._started.setdefault(record["trial"], record["time"])
        self.changed.add(record["trial"])
        if record["until"] is not None:
            self.rungs.add(record["until"])

    def _told(self, record: Record) -> None:
        self.changed.add(record["trial"])

    def _did_end(self, record: Record) -> None:
        number, time = record["trial"], record["time"]
        self._started.setdefault(number, time)
        self._ended[number] = time
        self.changed.add(number)
        values = {"search/trials_ended": self.ended, "search/epochs": self._state.epochs}
        best = self._state.best
        if best is not None:
            values |= _bests(best.objectives, self._state.settings["objectives"])
        self.points += [
            {"kind": "metric", "name": name, "step": self.ended, "value": value, "time": time}
            for name, value in values.items()
        ]


def _bests(objectives: tuple[float, ...], goals: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `search/best`; with several objectives those of the trial best in the first."""
    if len(goals) == 1:
        return {"search/best": objectives[0]}
    return {f"search/best/{g['metric']}": v for g, v in zip(goals, objectives, strict=True)}


def _descent(descent: Descent) -> dict[str, Any]:
    parent = descent.parent
    return {"epoch": descent.epoch, "trial": parent.trial, "step": parent.step}


_TAKEN = {
    "resumed": TrialBook._resumed,
    "leg": TrialBook._leg,
    "told": TrialBook._told,
    "failed": TrialBook._told,
    "ended": TrialBook._did_end,
}
