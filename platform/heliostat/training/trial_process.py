"""What a process does for a search: legs of trials, one after another, with the data open."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path

from heliostat import spec as specs
from heliostat.spec import EntrypointSpec, InputError, TrainSpec
from heliostat.training.agreeing import agreed
from heliostat.training.context import Context
from heliostat.training.custom import run_entrypoint, set_up_own
from heliostat.training.legs import LegEnd, finish_trial, train_leg
from heliostat.training.losses import DivergedError
from heliostat.training.process import (
    begin_attempt,
    hand_over,
    keep_result,
    tell_data,
    told_to_journal,
)
from heliostat.training.setup import DataSets, Setup, open_spec_data, set_up
from heliostat.training.storage import LEG_END, read_json, write_json

_OPEN: dict[str, DataSets] = {}
_AT_MOST = 4


def run_leg(spec: TrainSpec | EntrypointSpec, context: Context, *, until: int | None) -> LegEnd:
    """Train a leg of the trial in the context's folder; it is an attempt in the trial's journal.

    A loop of the user's own knows no epochs: its leg is the whole trial. What goes wrong is told
    to the journal and raised.
    """
    begin_attempt(context, process=os.getpid())
    with told_to_journal(context):
        if isinstance(spec, EntrypointSpec):
            end = _own_leg(spec, context)
        else:
            end = train_leg(spec, _set_up(spec), context, until=until)
        if context.is_main:
            write_json(context.folder / LEG_END, end.as_json())
            context.reporter.event("attempt_ended", why="finished" if end.finished else "leg")
    context.reporter.close()
    return end


def run_finish(
    spec: TrainSpec | EntrypointSpec, context: Context, *, trial: Path, code: Path
) -> None:
    """Finish the best trial, in the folder `trial`, into the search's own folder.

    It leaves `result.json` and `model/` there, as a training job does.
    """
    begin_attempt(context, process=os.getpid())
    with told_to_journal(context):
        if isinstance(spec, EntrypointSpec):
            metrics = _take_over(context, trial)
        else:
            metrics = _finish(spec, context, trial, code)
        if context.is_main:
            keep_result(context, metrics)
            context.reporter.event("attempt_ended", why="finished")
    context.reporter.close()


def _finish(spec: TrainSpec, context: Context, trial: Path, code: Path) -> dict[str, float]:
    setup = _set_up(spec)
    tell_data(spec, setup, context)
    metrics = finish_trial(spec, setup, context, trial=trial)
    hand_over(spec, setup, context, code)
    return metrics


def _own_leg(spec: EntrypointSpec, context: Context) -> LegEnd:
    began = time.monotonic()
    metrics = run_entrypoint(spec, context, set_up_own(spec), is_leg=True)
    goal = spec.objective
    value = metrics.get(goal.metric) if goal is not None else None
    if goal is not None and value is None:
        raise InputError.of(
            f"{spec.entrypoint} reported no {goal.metric}", key=("objective", "metric")
        )
    if value is not None and not math.isfinite(value):
        raise DivergedError(f"{goal.metric if goal else 'the objective'} is {value}")
    return LegEnd(
        epoch=spec.epochs or 1,
        step=0,
        finished=True,
        metrics=metrics,
        objectives=((spec.epochs or 1, value),) if value is not None else (),
        seconds=time.monotonic() - began,
    )


def _take_over(context: Context, trial: Path) -> dict[str, float]:
    """Take the model that the user's loop exported, and what it reported last."""
    if (trial / "model").is_dir() and context.is_main:
        shutil.copytree(trial / "model", context.folder / "model", dirs_exist_ok=True)
    return dict(agreed(context, lambda: read_json(trial / LEG_END))["metrics"])


def _set_up(spec: TrainSpec) -> Setup:
    """Set up with data that an earlier leg in this process opened, where it is the same."""
    words = json.dumps(
        [specs.dump(spec)[key] for key in ("data", "task")], sort_keys=True, default=str
    )
    if words not in _OPEN:
        while len(_OPEN) >= _AT_MOST:
            del _OPEN[next(iter(_OPEN))]
        _OPEN[words] = open_spec_data(spec)
    return set_up(spec, _OPEN[words])
