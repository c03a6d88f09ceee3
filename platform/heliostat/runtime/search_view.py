"""How far a search has come, for whoever watches."""

from __future__ import annotations

from heliostat.runtime.events import SearchProgress, TrialLine
from heliostat.search.plan import plan
from heliostat.search.search import Search
from heliostat.search.trials import ENDED, Trial
from heliostat.spec import TuneSpec


def progress_of(search: Search, spec: TuneSpec, seconds: float) -> SearchProgress:
    """Return the search as a value, `seconds` after it began, over all of its drivers."""
    goal = spec.goals[0]
    trials = tuple(line_of(trial, spec) for trial in search.trials.values())
    ended = sum(trial.status in ENDED for trial in search.trials.values())
    best = search.best
    return SearchProgress(
        metric=goal.metric,
        goal=goal.goal,
        trials=trials,
        ended=ended,
        total=spec.trials,
        best=line_of(best, spec) if best else None,
        epochs=search.epochs_spent,
        seconds_left=_seconds_left(spec, ended, search.epochs_spent, seconds),
    )


def line_of(trial: Trial, spec: TuneSpec) -> TrialLine:
    """Return a trial as its table shows it."""
    has_rungs = spec.scheduler.name in ("asha", "hyperband")
    return TrialLine(
        number=trial.number,
        status=trial.status,
        epoch=trial.epoch,
        epochs=spec.train.epochs,
        rung=max(0, trial.legs - trial.retries - 1) if has_rungs else None,
        value=trial.value,
        curve=tuple(value for _, value in trial.curve),
        values=trial.values,
        note=_note(trial),
    )


def _note(trial: Trial) -> str:
    if trial.reason:
        return trial.reason.strip().splitlines()[-1]
    if trial.lineage:
        return f"from trial {trial.lineage[-1].parent.trial}"
    return ""


def _seconds_left(spec: TuneSpec, ended: int, epochs: int, seconds: float) -> float | None:
    planned = plan(spec).usual_epochs
    if planned is not None and epochs:
        # Ended trials say little where most are to be stopped early.
        left = [seconds / epochs * max(0, planned - epochs)]
    else:
        left = [seconds / ended * (spec.trials - ended)] if spec.trials and ended else []
    if spec.budget.minutes:
        left.append(max(0.0, 60 * spec.budget.minutes - seconds))
    return min(left, default=None)
