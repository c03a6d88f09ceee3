"""What a search is going to do and the most that it can cost, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliostat.search.asha import asha_rungs
from heliostat.search.costs import whole_trial
from heliostat.search.hyperband import bracket_shapes, going_on
from heliostat.search.suggesting import Grid
from heliostat.spec.search_schedulers import Asha, Hyperband, Median, Pbt
from heliostat.spec.tune import TuneSpec


@dataclass(frozen=True)
class Rung:
    """Where trials are judged; the last one of a bracket is their end."""

    bracket: int
    epochs: int | None
    """Of a trial in all; None: to the end of its spec, which is not a number of epochs."""
    trials: int | None
    """That come here, where trials arrive in any order; None where their number is open."""
    most: int | None
    """That can come here, where each trial is better than those before it."""


@dataclass(frozen=True)
class Plan:
    """A search by its spec, where no leg fails."""

    trials: int | None
    """None: until the budget is spent, or the target reached."""
    rungs: tuple[Rung, ...]
    most_epochs: int | None
    """The most epochs that all trials can take together; None where nobody knows."""
    usual_epochs: int | None
    """Those that they take where trials come in any order; None where nobody knows."""
    most_legs: int | None


def plan(spec: TuneSpec) -> Plan:
    """Return what a search by `spec` is going to do."""
    trials, whole = _trials(spec), whole_trial(spec)
    rungs = tuple(_rungs(spec, trials, whole))
    most = _within(spec.budget.epochs, _epochs(rungs, [rung.most for rung in rungs]))
    usual = _within(spec.budget.epochs, _epochs(rungs, [rung.trials for rung in rungs]))
    return Plan(trials, rungs, most, usual, _legs(spec, rungs))


def _trials(spec: TuneSpec) -> int | None:
    return Grid(spec).total if spec.algorithm == "grid" else spec.trials


def _rungs(spec: TuneSpec, trials: int | None, whole: int | None) -> Iterator[Rung]:
    settings = spec.scheduler
    if whole is not None and isinstance(settings, Asha):
        yield from _asha(settings, trials, whole)
    elif whole is not None and isinstance(settings, Hyperband):
        yield from _hyperband(settings, trials, whole)
    elif whole is not None and isinstance(settings, Median) and settings.grace_epochs < whole:
        yield Rung(0, settings.grace_epochs, trials, trials)
        yield Rung(0, whole, None, trials)
    else:
        yield Rung(0, whole, trials, trials)


def _asha(settings: Asha, trials: int | None, whole: int) -> Iterator[Rung]:
    most, usual = trials, trials
    for epochs in asha_rungs(settings.min_epochs, settings.eta, whole):
        yield Rung(0, epochs, usual, most)
        if usual is not None and most is not None:
            usual = max(1, usual // settings.eta)
            most = max(1, most - settings.eta + 1)  # the worst of each rung are never promoted


def _hyperband(settings: Hyperband, trials: int | None, whole: int) -> Iterator[Rung]:
    shapes = bracket_shapes(settings.min_epochs, settings.eta, whole)
    left = sum(shape.trials for shape in shapes) if trials is None else trials
    bracket = 0
    while left > 0:
        shape = shapes[bracket % len(shapes)]
        members = min(shape.trials, left)
        left -= members
        for epochs in shape.rungs:
            yield Rung(bracket, epochs, members, None if trials is None else members)
            members = going_on(members, settings.eta)
        bracket += 1


def _within(budget: int | None, epochs: int | None) -> int | None:
    return min((limit for limit in (budget, epochs) if limit is not None), default=None)


def _epochs(rungs: tuple[Rung, ...], trials: Sequence[int | None]) -> int | None:
    """Return the epochs of all trials, of which `trials` come to each rung."""
    total, before = 0, (0, 0)
    for rung, count in zip(rungs, trials, strict=True):
        if rung.epochs is None or count is None:
            return None
        below = before[1] if before[0] == rung.bracket else 0
        total += count * (rung.epochs - below)
        before = (rung.bracket, rung.epochs)
    return total


def _legs(spec: TuneSpec, rungs: tuple[Rung, ...]) -> int | None:
    counts = [rung.most for rung in rungs if rung.most is not None]
    if len(counts) < len(rungs):
        return None
    first, last = rungs[0], rungs[-1]
    if isinstance(spec.scheduler, Pbt) and last.epochs is not None:
        return counts[0] * -(-last.epochs // spec.scheduler.every)
    if isinstance(spec.scheduler, Median) and first.epochs and last.epochs:
        return counts[0] * (last.epochs - first.epochs + 1)  # one for each epoch after the first
    return sum(counts)
