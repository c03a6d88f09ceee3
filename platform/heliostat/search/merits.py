"""What a trial is worth to a scheduler."""

from __future__ import annotations

from collections.abc import Callable

from heliostat.search.trials import Trial

Merit = Callable[[Trial], float]
"""Of a trial that was told of: more is better."""


def best_so_far(*, maximize: bool) -> Merit:
    """Return the merit by the best value that a trial has had."""
    return lambda trial: trial.objectives[0] if maximize else -trial.objectives[0]


def newest(*, maximize: bool) -> Merit:
    """Return the merit by a trial's newest evaluation: what a clone of it begins from."""

    def merit(trial: Trial) -> float:
        value = trial.curve[-1][1] if trial.curve else trial.objectives[0]
        return value if maximize else -value

    return merit
