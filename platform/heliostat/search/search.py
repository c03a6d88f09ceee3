"""A search: which leg of which trial runs next, from its ledger and nothing else.

    search = Search(spec, Ledger(folder / "ledger.jsonl"))
    while not search.done:
        while there is room and (leg := search.next()):
            start(leg)
        leg, outcome = wait_for_one()
        search.told(leg, outcome)

A process that is killed at any moment leaves a ledger from which the same lines go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from heliostat.search.costs import Costs
from heliostat.search.fixed import check_resumable, limits_of, settings_of
from heliostat.search.ledger import Ledger, Record
from heliostat.search.legs import Failed, Leg, Told
from heliostat.search.outcomes import checked
from heliostat.search.schedulers import make_scheduler
from heliostat.search.scheduling import Step
from heliostat.search.state import State
from heliostat.search.suggesting import make_suggester
from heliostat.search.trials import Status, Trial
from heliostat.spec.tune import TuneSpec

_ALIKE = 3
"""Trials that, failing first and in the same way, end a search."""


class Search:
    """A search by `spec`, whose past is in `ledger`: empty for a new one.

    Legs that ran when the ledger ended are handed out again, first. Raises InputError where the
    ledger is of a search by another spec; its limits may differ.
    """

    def __init__(self, spec: TuneSpec, ledger: Ledger) -> None:
        self._spec = spec
        self._ledger = ledger
        self._state = State()
        self._suggester = make_suggester(spec)
        self._total = _least(spec.trials, self._suggester.total)
        self._scheduler = make_scheduler(spec)
        self._costs = Costs(spec)
        self._unwritten: list[Record] = []
        self._handed_back: list[int] = []
        """Trials whose leg ran when the ledger ended, and does not run yet."""
        self._rebuild(ledger.records())

    def next(self) -> Leg | None:
        """Return the leg to start now; None: none, until a running one ends, or none any more."""
        if self._handed_back:
            return self._state.running[self._handed_back.pop(0)]
        planned = self._planned()
        if planned is None or not self._affordable(planned):
            return None
        if planned.trial not in self._state.trials:
            values = self._suggester.suggest(planned.trial)
            self._record("suggested", trial=planned.trial, values=values)
        leg = self._begin(planned)
        self._write()
        return leg

    def told(self, leg: Leg, outcome: Told | Failed) -> None:
        """Take in how a leg that was handed out went.

        Raises ValueError for one that does not run.
        """
        if self._state.running.get(leg.trial) != leg:
            raise ValueError(f"trial {leg.trial} has no such leg running: {leg}")
        outcome = checked(outcome, len(self._spec.goals))
        if isinstance(outcome, Told):
            self._record("told", trial=leg.trial, **asdict(outcome))
        elif self._state.stop and outcome.worth_another:
            self._end(leg.trial, "KILLED", self._state.stop.why, may_reopen=True)
        else:
            again = outcome.worth_another and leg.retry < self._spec.train.retries.failures
            told = {"verdict": outcome.verdict, "message": outcome.message}
            self._record("failed", trial=leg.trial, **told, again=again)
        self._settle(self._state.trials[leg.trial])
        self._write()

    def stop(self, why: str) -> None:
        """Hand out no more legs. Trials that do not run end now, running ones with their leg.

        A resumed search goes on with them.
        """
        if self._state.stop is None:
            self._record("stopped", why=why, by_itself=False, failure=False)
        self._settle()
        self._write()

    @property
    def done(self) -> bool:
        """Whether nothing runs and nothing will."""
        return not self._state.running and (self._state.stop is not None or not self._planned())

    @property
    def running(self) -> int:
        """Legs handed out by this search whose end it has not been told."""
        return len(self._state.running) - len(self._handed_back)

    @property
    def trials(self) -> Mapping[int, Trial]:
        """All trials so far, by number."""
        return MappingProxyType(self._state.trials)

    @property
    def total(self) -> int | None:
        """How many trials there will be; None: as many as the budget allows."""
        return self._total

    @property
    def best(self) -> Trial | None:
        """The best trial by the first objective, of those that did not fail."""
        return self._state.best

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that none beats in all objectives, by number; with one objective the best."""
        return self._state.front

    @property
    def epochs_spent(self) -> int:
        """Epochs of all legs that came to their end."""
        return self._state.epochs

    @property
    def failure(self) -> str | None:
        """Why the search came to nothing, if its first trials all failed in the same way."""
        stop = self._state.stop
        return stop.why if stop and stop.failure else None

    @property
    def stopped(self) -> str | None:
        """Why the search hands out no more legs, if not because all trials ended."""
        return self._state.stop.why if self._state.stop else None

    def _rebuild(self, records: list[Record]) -> None:
        limits = limits_of(self._spec)
        check_resumable(self._spec, records)
        for record in records:
            self._apply(record, replayed=True)
        if not records:
            self._record("begun", settings=settings_of(self._spec), limits=limits)
        elif self._state.limits != limits or not self._is_through():
            self._record("resumed", limits=limits)
        self._handed_back = sorted(self._state.running)
        self._settle(*self._state.unsettled)
        self._write()

    def _is_through(self) -> bool:
        stop = self._state.stop
        return stop.by_itself if stop else self.done

    def _planned(self) -> Step | None:
        """Return what goes on next; of a trial that is not there yet, its first leg."""
        state = self._state
        if state.stop:
            return None
        if state.lost:
            leg = state.legs[min(state.lost)]
            return Step(leg.trial, leg.until, leg.clone)
        if state.waiting:
            return self._first(min(state.waiting))
        step, number = self._scheduler.step(), len(state.trials)
        if step is None and (self._total is None or number < self._total):
            return self._first(number)
        if step is None and not state.running:
            return self._scheduler.last()
        return step

    def _first(self, number: int) -> Step:
        return Step(number, self._scheduler.first(number))

    def _affordable(self, step: Step) -> bool:
        limit = self._spec.budget.epochs
        if limit is None:
            return True
        trials, running = self._state.trials, self._state.running.values()
        booked = sum(self._costs.of(leg.until, trials[leg.trial]) for leg in running)
        cost = self._costs.of(step.until, trials.get(step.trial))
        return self._state.epochs + booked + cost <= limit

    def _begin(self, step: Step) -> Leg:
        trial = self._state.trials[step.trial]
        clone = {"clone": asdict(step.clone)} if step.clone else {}
        values = {"values": step.values} if step.values else {}
        leg = {"trial": step.trial, "until": step.until, "retry": trial.retries}
        self._record("leg", **leg, **clone, **values)
        return self._state.running[step.trial]

    def _settle(self, *trials: Trial) -> None:
        """Record what follows: of `trials`, whose legs came to their end, and of the whole search.

        It follows from the ledger alone: what a killed driver did not write, the next one does.
        """
        for trial in trials:
            self._end_of(trial)
        for given_up, reason in sorted(self._scheduler.given_up.items()):
            self._end(given_up, "PRUNED", reason)
        if self._state.stop is None:
            self._stop_by_itself()
        if self._state.stop or self.done:
            self._end_rest()

    def _end_of(self, trial: Trial) -> None:
        if trial.status != "PAUSED" or trial.number in self._state.lost:
            return
        failure = self._state.failed.get(trial.number)
        if failure is not None:
            self._end(trial.number, "FAILED", failure)
        elif trial.finished:
            self._end(trial.number, "FINISHED", "")

    def _stop_by_itself(self) -> None:
        target, best = self._spec.target, self.best
        planned = self._planned()
        if best and target is not None and _reaches(best, target, self._spec):
            self._stop(f"trial {best.number} reached the target {target:g}: {best.value:g}")
        elif self._all_failed():
            reason = self._state.failed[max(self._state.failed)]
            count = sum(self._state.failures.values())
            self._stop(f"the first {count} trials failed in the same way: {reason}", failed=True)
        elif planned and not self._state.running and not self._affordable(planned):
            self._stop(f"the budget of {self._spec.budget.epochs} epochs is spent")

    def _all_failed(self) -> bool:
        alike = self._state.failures
        enough = _least(_ALIKE, self._total)
        return not self._state.any_told and len(alike) == 1 and sum(alike.values()) >= (enough or 1)

    def _stop(self, why: str, *, failed: bool = False) -> None:
        self._record("stopped", why=why, by_itself=not failed, failure=failed)

    def _end_rest(self) -> None:
        """End the trials that do not run: only a resumed search can go on with them."""
        why = self.stopped or "the search ended"
        under_way = self._state.running.keys() - set(self._handed_back)
        self._handed_back = []
        for trial in self._state.unsettled:
            if trial.number in under_way:
                continue
            if trial.status == "PAUSED" and trial.number not in self._state.lost:
                reason = f"paused at epoch {trial.epoch}; {why}"
                self._end(trial.number, "PRUNED", reason, may_reopen=True)
            else:
                self._end(trial.number, "KILLED", why, may_reopen=True)

    def _end(self, number: int, status: Status, reason: str, *, may_reopen: bool = False) -> None:
        self._record("ended", trial=number, status=status, reason=reason, open=may_reopen)

    def _record(self, kind: str, **fields: Any) -> None:
        record = {"kind": kind, **fields}
        self._unwritten.append(record)
        self._apply(record)

    def _apply(self, record: Record, *, replayed: bool = False) -> None:
        """Take in a record: what the state, the scheduler and the searcher know comes from here."""
        state, kind = self._state, record["kind"]
        state.fold(record)
        if kind in ("begun", "resumed"):
            self._scheduler.expects(_least(record["limits"]["trials"], self._suggester.total))
        elif kind == "suggested" and replayed:
            self._suggester.replay(record["trial"], record["values"])
        elif kind == "leg":
            self._scheduler.began(state.running[record["trial"]])
        elif kind == "told":
            trial = state.trials[record["trial"]]
            self._scheduler.told(trial)
            if self._scheduler.pauses and not trial.finished:
                self._suggester.paused(trial)
        elif kind == "ended" and not record["open"]:
            trial = state.trials[record["trial"]]
            self._scheduler.ended(trial)
            self._suggester.ended(trial)

    def _write(self) -> None:
        self._ledger.append(self._unwritten)
        self._unwritten = []


def _reaches(best: Trial, target: float, spec: TuneSpec) -> bool:
    maximize = spec.goals[0].goal == "maximize"
    return best.objectives[0] >= target if maximize else best.objectives[0] <= target


def _least(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)
