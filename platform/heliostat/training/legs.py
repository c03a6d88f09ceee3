"""A trial of a search, a leg at a time: the same loop as a training job's, and no model made of it.

Between two legs a trial is its checkpoints, so that it goes on as if it had never stopped, in any
process. The best trial of all is finished once, at the search's end.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heliostat.spec import TrainSpec
from heliostat.training.agreeing import agreed, loaded
from heliostat.training.checkpoints import Checkpoint, existing, folder_of
from heliostat.training.context import Context
from heliostat.training.distributed import barrier
from heliostat.training.host_memory import keep_freed_memory
from heliostat.training.loop import (
    Run,
    advance,
    begin,
    last_look,
    open_store,
    restore,
    training_batches,
)
from heliostat.training.losses import DivergedError
from heliostat.training.own_state import load_weights, weights_of
from heliostat.training.setup import Setup
from heliostat.training.verifying import MANIFEST


@dataclass(frozen=True)
class LegEnd:
    """Where a trial stands at the end of a leg."""

    epoch: int
    """Epochs done in all."""
    step: int
    """Optimizer steps done in all."""
    finished: bool
    """Whether the spec has no step left."""
    metrics: dict[str, float]
    """The evaluation of the weights that stand selected."""
    objectives: tuple[tuple[int, float], ...]
    """(epoch, objective) of every evaluation since the trial began."""
    seconds: float
    """What the leg took, once its data was open."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def train_leg(spec: TrainSpec, setup: Setup, context: Context, *, until: int | None) -> LegEnd:
    """Train until `until` epochs are done in all, going on from the newest checkpoint.

    None: to the spec's end. A checkpoint stands where it ends. Raises DivergedError where the loss,
    the weights or the objective are not finite.
    """
    began = time.monotonic()
    keep_freed_memory(context.device)
    batches = training_batches(spec, setup, context)
    run = begin(spec, setup, context, batches.steps_per_epoch)
    restore(run)
    steps = run.total_steps if until is None else until * batches.steps_per_epoch
    try:
        advance(run, batches, min(steps, run.total_steps))
    except BaseException:
        run.store.abandon()  # whoever comes next must not meet a checkpoint being written
        raise
    run.store.wait()
    barrier()
    _check_finite(run)
    per_epoch = batches.steps_per_epoch
    return LegEnd(
        epoch=math.ceil(run.progress.step / per_epoch),
        step=run.progress.step,
        finished=run.progress.step >= run.total_steps,
        metrics=run.progress.selected,
        objectives=tuple((math.ceil(at / per_epoch), v) for at, v in run.progress.objectives),
        seconds=time.monotonic() - began,
    )


def finish_trial(
    spec: TrainSpec, setup: Setup, context: Context, *, trial: Path
) -> dict[str, float]:
    """Evaluate the trial in the folder `trial` on test, and draw its pictures.

    All of it goes to the context's folder. Afterwards `setup.model` holds the trial's best
    weights. Returns the metrics by full name. A collective.
    """
    batches = training_batches(spec, setup, context)
    run = begin(spec, setup, context, batches.steps_per_epoch)
    store = open_store(spec, context, trial)
    best = agreed(context, store.best) if spec.objective is not None else None
    checkpoint = best or agreed(context, store.newest)[0]
    if checkpoint is None:
        raise FileNotFoundError(f"no checkpoint of {trial.name} verifies")
    load_weights(run.evaluated, loaded(context, checkpoint.weights))
    if run.average is not None:
        load_weights(run.model, weights_of(run.evaluated))
    run.progress.step = checkpoint.step
    return {**loaded(context, checkpoint.state)["selected"], **last_look(run)}


def clone_checkpoint(source: Path, step: int, trial: Path, *, attempt: int, maximize: bool) -> None:
    """Make the checkpoint of `step` in the folder `source` the newest of `trial`, as `attempt`'s.

    The source's best by then comes with it, since it is the clone's best from now on; the clone's
    own are removed. Where the step's is gone it is the newest before it. Raises
    FileNotFoundError where there is none.
    """
    found = [each for each in existing(source / "checkpoints") if each.step <= step]
    if not found:
        raise FileNotFoundError(f"trial {source.name} has no checkpoint of step {step} or before")
    chosen = max(found, key=lambda each: each.step)
    rated = [each for each in found if each.objective is not None]
    sign = 1.0 if maximize else -1.0
    best = max(rated, key=lambda each: sign * (each.objective or 0.0), default=chosen)
    own = existing(trial / "checkpoints")
    for each in dict.fromkeys((best, chosen)):
        _copy(each, folder_of(trial / "checkpoints", each.step, attempt))
    for each in own:
        (each.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(each.folder, ignore_errors=True)


def _copy(checkpoint: Checkpoint, place: Path) -> None:
    """Copy with the manifest last: until then there is no checkpoint at `place`."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(checkpoint.folder, place, ignore=shutil.ignore_patterns(MANIFEST))
    shutil.copyfile(checkpoint.folder / MANIFEST, place / MANIFEST)


def _check_finite(run: Run) -> None:
    for step, value in run.progress.objectives:
        if not math.isfinite(value):
            name = run.spec.objective.metric if run.spec.objective else "the objective"
            raise DivergedError(f"{name} is {value} after step {step}")
