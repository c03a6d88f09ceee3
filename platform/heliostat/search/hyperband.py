"""Hyperband: Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", with whole epochs.

Brackets of synchronous successive halving follow one another, from the one with the most trials
and the shortest first rung to the one whose trials are all trained to the end, and again. Trials
go to brackets by their number. Where a bracket waits for its rung, the next one begins.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

from heliostat.search.legs import Leg
from heliostat.search.merits import Merit
from heliostat.search.scheduling import Step
from heliostat.search.trials import Trial
from heliostat.spec.search_schedulers import Hyperband


@dataclass(frozen=True)
class Shape:
    """How a bracket begins, and where it halves."""

    trials: int
    rungs: tuple[int, ...]
    """Epochs."""


def bracket_shapes(min_epochs: int, eta: int, epochs: int) -> tuple[Shape, ...]:
    """Return the brackets in their order, after the last of which the first comes again."""
    most = 0
    while min_epochs * eta ** (most + 1) <= epochs:
        most += 1
    return tuple(
        Shape(
            math.ceil((most + 1) * eta**halvings / (halvings + 1)),
            tuple(epochs // eta**left for left in range(halvings, -1, -1)),
        )
        for halvings in range(most, -1, -1)
    )


def going_on(members: int, eta: int) -> int:
    """Return how many of a rung's members go on: the best 1/eta, and at least one."""
    return max(1, members // eta)


class Brackets:
    """Trials of a bracket wait at each rung until all of them are there, or failed."""

    pauses = True

    def __init__(self, settings: Hyperband, epochs: int, merit: Merit) -> None:
        self.given_up: dict[int, str] = {}
        self._eta = settings.eta
        self._merit = merit
        self._shapes = bracket_shapes(settings.min_epochs, settings.eta, epochs)
        self._total: int | None = None
        self._brackets: list[_Bracket] = []
        self._ready: dict[int, int] = {}
        """Trial → epochs of the rung that it goes on to; the first in comes first."""

    def expects(self, total: int | None) -> None:
        """Take in how many trials there will be: the last bracket has what is left for it."""
        self._total = total
        if self._brackets:
            self._halve(self._brackets[-1], 0)

    def first(self, trial: int) -> int | None:
        """Return the first rung of the trial's bracket."""
        return self._bracket(trial).shape.rungs[0]

    def step(self) -> Step | None:
        """Return a trial of a rung that was decided."""
        number = next(iter(self._ready), None)
        return None if number is None else Step(number, self._ready[number])

    def began(self, leg: Leg) -> None:
        """Count a promoted trial as one of its new rung."""
        self._ready.pop(leg.trial, None)

    def told(self, trial: Trial) -> None:
        """Enter the trial at the rung that its leg came to."""
        bracket = self._bracket(trial.number)
        index = bracket.shape.rungs.index(trial.until or 0)
        rung = bracket.rungs[index]
        rung.costs[trial.number] = -self._merit(trial)
        if trial.finished:
            bracket.over.add(trial.number)
        self._halve(bracket, index)

    def ended(self, trial: Trial) -> None:
        """Let the others not wait for a trial that failed."""
        self.given_up.pop(trial.number, None)
        bracket = self._bracket(trial.number)
        bracket.over.add(trial.number)
        if trial.status == "FAILED":
            index = bracket.shape.rungs.index(trial.until or 0)
            bracket.rungs[index].failed += 1
            self._halve(bracket, index)

    def last(self) -> Step | None:
        """Return None: each bracket comes to its own end."""
        return None

    def _bracket(self, trial: int) -> _Bracket:
        while not self._brackets or trial >= self._brackets[-1].end:
            shape = self._shapes[len(self._brackets) % len(self._shapes)]
            start = self._brackets[-1].end if self._brackets else 0
            self._brackets.append(_Bracket(start, shape, [_Rung() for _ in shape.rungs]))
        return self._brackets[bisect_right(self._brackets, trial, key=_start) - 1]

    def _halve(self, bracket: _Bracket, index: int) -> None:
        """Decide who goes on from a rung, if all are there; and from the next one, likewise."""
        rung = bracket.rungs[index]
        if index == 0:
            rung.members = self._members(bracket)
        if index + 1 == len(bracket.rungs) or len(rung.costs) + rung.failed != rung.members:
            return
        above = bracket.rungs[index + 1]
        ranked = sorted((cost, number) for number, cost in rung.costs.items())
        out = bracket.over | rung.promoted
        best = [number for _, number in ranked if number not in out]
        places = max(0, going_on(rung.members, self._eta) - len(rung.promoted))
        for number in best[:places]:
            self._ready[number] = bracket.shape.rungs[index + 1]
            rung.promoted.add(number)
        for number in best[places:]:
            self.given_up[number] = self._reason(rung, bracket.shape.rungs[index])
        above.members = len(rung.promoted)
        if above.members:
            self._halve(bracket, index + 1)

    def _members(self, bracket: _Bracket) -> int:
        size = bracket.shape.trials
        return size if self._total is None else min(size, self._total - bracket.start)

    def _reason(self, rung: _Rung, epochs: int) -> str:
        best = len(rung.promoted)
        return f"not among the best {best} of {rung.members} at epoch {epochs}"


@dataclass
class _Rung:
    members: int | None = None
    """Trials that come here; None as long as the rung below is open."""
    failed: int = 0
    costs: dict[int, float] = field(default_factory=dict)
    """By trial that came here: its merit with the sign turned."""
    promoted: set[int] = field(default_factory=set)


@dataclass
class _Bracket:
    start: int
    """The number of its first trial."""
    shape: Shape
    rungs: list[_Rung]
    over: set[int] = field(default_factory=set)
    """Trials that go on no more, whatever their place."""

    @property
    def end(self) -> int:
        """The number of the next one's first trial."""
        return self.start + self.shape.trials


def _start(bracket: _Bracket) -> int:
    return bracket.start
