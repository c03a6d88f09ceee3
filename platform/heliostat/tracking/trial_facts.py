"""What is remembered of a search's trial, as plain values. Imports no mlflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrialFacts:
    """A trial as it is by now."""

    number: int
    values: Mapping[str, Any]
    """What it tries, by dotted key of the train spec."""
    status: str
    """WAITING | RUNNING | PAUSED | FINISHED | PRUNED | FAILED | KILLED"""
    started: int
    """Unix milliseconds, as is `ended`."""
    ended: int | None = None
    """None while it is not over."""
    objectives: tuple[float, ...] = ()
    """Its best by now, one for each objective of the search; empty before the first evaluation."""
    curve: tuple[tuple[int, float], ...] = ()
    """(epoch, first objective) of each evaluation."""
    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimizer steps done."""
    seconds: float = 0.0
    """Spent in its legs."""
    reason: str | None = None
    """Why it ended as it did."""
    lineage: tuple[Mapping[str, Any], ...] = ()
    """Whose checkpoints it went on from: {epoch, trial, step}."""

    @property
    def value(self) -> float | None:
        """The first objective, if all are finite numbers: what the trial is compared by."""
        finite = bool(self.objectives) and all(map(math.isfinite, self.objectives))
        return self.objectives[0] if finite else None


@dataclass(frozen=True)
class Aim:
    """An objective of a search."""

    metric: str
    goal: str
    """maximize | minimize"""

    def best(self, one: float, other: float) -> float:
        """Return the better of two values."""
        return max(one, other) if self.goal == "maximize" else min(one, other)

    def rank(self, value: float) -> float:
        """Return a number that is smaller the better `value` is."""
        return -value if self.goal == "maximize" else value


def best_of(trials: Sequence[TrialFacts], aim: Aim) -> TrialFacts | None:
    """Return the trial with the best value, the earliest of equals; failed ones don't count.

    None where none has a value.
    """
    ranked = [
        (aim.rank(trial.value), trial.number, trial)
        for trial in trials
        if trial.value is not None and trial.status != "FAILED"
    ]
    return min(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def window(values: Sequence[float], aim: Aim) -> tuple[float, float]:
    """Return the range of the values, without the worst tenth where that is far from the rest.

    For a picture: one trial that diverged would press all the others into a line.
    """
    ranked = sorted((value for value in values if math.isfinite(value)), key=aim.rank)
    best, most, worst = ranked[0], ranked[math.ceil(0.9 * len(ranked)) - 1], ranked[-1]
    if abs(worst - best) > 4 * abs(most - best) > 0:
        worst = most
    low, high = sorted((best, worst))
    room = 0.0 if low < high else abs(low) * 0.05 or 0.5
    return low - room, high + room
