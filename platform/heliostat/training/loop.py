"""The training loop: one for every task, in one process or in many."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from heliostat.data import TrainBatches
from heliostat.data.batches import Batches
from heliostat.spec import Ema, EntrypointSpec, TrainSpec
from heliostat.training.agreeing import agreed, loaded
from heliostat.training.best_so_far import best_checkpoint
from heliostat.training.checkpoints import CheckpointStore, NotFiniteError
from heliostat.training.context import Context
from heliostat.training.distributed import barrier
from heliostat.training.evaluating import evaluate
from heliostat.training.goodput import reached_before
from heliostat.training.learners import Learner, build_learners, step
from heliostat.training.losses import DivergedError, LossWindow
from heliostat.training.model_settings import apply_settings
from heliostat.training.optimization import (
    learning_rate,
    load_optimizer,
    move_schedule,
    schedule_position,
)
from heliostat.training.own_state import load_own, load_weights, own_states, weights_of
from heliostat.training.pace import Pace
from heliostat.training.placing import to_device
from heliostat.training.seeding import seed_step
from heliostat.training.setup import Setup
from heliostat.training.stopping import Stopped, Stopping
from heliostat.vision.task import Evaluation


@dataclass
class Progress:
    """Where training is, and what it must remember beside the weights."""

    step: int = 0
    """Optimizer steps done."""
    saved: int = 0
    """The step of the newest checkpoint, 0 where there is none."""
    best: float | None = None
    """The best objective so far."""
    selected: dict[str, float] = field(default_factory=dict)
    """The evaluation of the weights that stand selected: the best, or the last."""
    objectives: list[tuple[int, float]] = field(default_factory=list)
    """(step, objective) of each evaluation so far."""
    losses: LossWindow = field(default_factory=LossWindow)


@dataclass(frozen=True)
class Run:
    """All that one process trains with."""

    spec: TrainSpec
    setup: Setup
    context: Context
    model: nn.Module
    average: AveragedModel | None
    """The moving average of the weights, which is what is evaluated and kept; None: no average."""
    learners: tuple[Learner, ...]
    store: CheckpointStore
    progress: Progress
    pace: Pace
    stopping: Stopping
    total_steps: int

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and kept."""
        return self.model if self.average is None else self.average.module

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first turn's first parameter group."""
        return learning_rate(self.learners[0].optimizer)


def fit(spec: TrainSpec, setup: Setup, context: Context) -> dict[str, float]:
    """Train to the end of the spec, going on from the newest checkpoint if there is one.

    Returns the metrics by full name: `val/…` of the selected weights and `test/…`. Afterwards
    `setup.model` holds those weights: the best by the objective on `val`, or the last where
    there is no objective. Raises DivergedError, on every rank, when the loss or the weights are
    no longer finite; the last good checkpoint is kept. Raises Stopped, on every rank, where the
    job is told to stop (`context.stop`), with a checkpoint at the step where it was.
    """
    batches = training_batches(spec, setup, context)
    run = begin(spec, setup, context, batches.steps_per_epoch)
    restore(run)
    try:
        advance(run, batches, run.total_steps)
    except Stopped:
        keep(run)
        raise
    except Exception:
        run.store.abandon()  # the next attempt goes on from what was handed over by now
        raise
    select(run)
    with context.stopwatch.during("evaluated"):
        return {**run.progress.selected, **last_look(run)}


def training_batches(spec: TrainSpec, setup: Setup, context: Context) -> TrainBatches:
    """Return this rank's slices of the global batches, and say how they are shuffled."""
    batches = TrainBatches(
        setup.data.train,
        batch_size=spec.batch_size,
        seed=spec.seed,
        rank=context.rank,
        world_size=context.world_size,
        augment=spec.data.augment,
        processes=spec.data.loader_processes,
        one_size=getattr(setup.task, "one_size", False),
    )
    if context.is_main and batches.shuffling != "global":
        context.reporter.event("order", shuffling=batches.shuffling)
    return batches


class Epochs(Protocol):
    """This rank's batches, an epoch at a time: `TrainBatches`, or what looks on between."""

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Batches:
        """Yield the batches of an epoch from batch `start` on."""


def advance(run: Run, batches: Epochs, until: int) -> None:
    """Train until `until` optimizer steps are done, evaluating at each epoch's end and there.

    A checkpoint stands at `until`, unless an earlier run of the job put it there. Raises Stopped,
    on every rank after the same step, where the process is told to end.
    """
    spec, setup, context, progress, pace = run.spec, run.setup, run.context, run.progress, run.pace
    while progress.step < until:
        # ---- the steps of an epoch, or of what is left of it ----------------------------
        epoch, start = divmod(progress.step, batches.steps_per_epoch)
        pace.epoch_begins()
        for batch in context.stopwatch.batches(batches.epoch(epoch, start)):
            run.stopping.check(progress.step)
            seed_step(spec.seed, progress.step, context.rank)
            inputs, targets = to_device((batch.inputs, batch.targets), context.device)
            if setup.augment_on_device is not None:
                inputs, targets = setup.augment_on_device(inputs, targets)
            ready = replace(batch, inputs=inputs, targets=targets)
            shares = step(run.learners, ready, context.world_size, context.device, spec)
            if run.average is not None:
                run.average.update_parameters(run.model)

            progress.step += 1
            context.stopwatch.step_done(progress.step)
            progress.losses.add(shares)
            if pace.step_done(batch.global_size):
                context.reporter.event("first_step", step=progress.step)
            if progress.step % spec.log_every == 0:
                report_loss(run)
            pace.tell(progress.step, context)
            if progress.step == until:
                break
            if batch.number + 1 < batches.steps_per_epoch and step_checkpoint_due(run):
                save(run)

        # ---- its end --------------------------------------------------------------------
        report_loss(run)
        report_pace(run)
        with context.stopwatch.during("evaluated"):
            improved = evaluate_validation(run)
        if improved or progress.step == until or checkpoint_due(run, epoch + 1):
            save(run, objective=progress.best if improved else None)


def count_steps(spec: TrainSpec, steps_per_epoch: int) -> int:
    """Return the number of optimizer steps the spec asks for."""
    limits = [spec.max_steps, spec.epochs and spec.epochs * steps_per_epoch]
    return min(limit for limit in limits if limit is not None)


def begin(spec: TrainSpec, setup: Setup, context: Context, steps_per_epoch: int) -> Run:
    """Return the run at step 0: optimizer, schedule and checkpoint store over the model."""
    total_steps = count_steps(spec, steps_per_epoch)
    model = apply_settings(setup.model.to(context.device), spec.model, context.device)
    model.train()
    learners = build_learners(
        spec,
        setup.task,
        model,
        context.device,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )
    average = _average(model, spec.ema) if spec.ema is not None else None
    pace = Pace(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    store = open_store(spec, context)
    return Run(
        spec,
        setup,
        context,
        model,
        average,
        learners,
        store,
        Progress(),
        pace,
        Stopping(context),
        total_steps,
    )


def _average(model: nn.Module, settings: Ema) -> AveragedModel:
    """Return torch's moving average of the weights, BatchNorm's statistics with them."""
    weigh = get_ema_multi_avg_fn(settings.decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=weigh, use_buffers=True)


def open_store(
    spec: TrainSpec | EntrypointSpec, context: Context, folder: Path | None = None
) -> CheckpointStore:
    """Return the checkpoint store of a job's folder, kept as the spec wants it."""
    context.reporter.unsaved.limit = spec.checkpoint.give_up_after.seconds
    return CheckpointStore(
        (folder or context.folder) / "checkpoints",
        attempt=context.attempt,
        keep_best=spec.checkpoint.keep_best,
        keep_latest=spec.checkpoint.keep_latest,
        maximize=spec.objective is not None and spec.objective.goal == "maximize",
        fetch=context.mirror.fetch_checkpoint if context.mirror is not None else None,
        unsaved=context.reporter.unsaved,
        fence=context.reporter.fence.check_now,
    )


# ---- checkpoints ----------------------------------------------------------------------------


def restore(run: Run) -> None:
    """Go on from the newest checkpoint that verifies; without one, begin at step 0."""
    checkpoint, skipped = agreed(run.context, run.store.newest)
    reporter = run.context.reporter
    reached = agreed(run.context, lambda: reached_before(run.context.folder, run.context.attempt))
    run.context.stopwatch.goes_on_from(checkpoint.step if checkpoint else 0, reached=reached)
    if run.context.is_main:
        for reason in skipped:
            reporter.event("checkpoint_skipped", reason=reason)
        reporter.goes_on_from(checkpoint.step if checkpoint else 0)
    if checkpoint is None:
        return
    state = loaded(run.context, checkpoint.state)
    load_weights(run.evaluated, loaded(run.context, checkpoint.weights))
    if run.average is not None:
        load_weights(run.model, state["trained"])
        run.average.n_averaged.fill_(checkpoint.step)
    load_own(run.model, state["own"], run.context.rank)
    for learner in run.learners:
        load_optimizer(learner.optimizer, state["optimizers"][learner.turn.name])
        move_schedule(learner.schedule, state["schedules"][learner.turn.name])
    run.progress.step = run.progress.saved = checkpoint.step
    run.progress.best = state["best"]
    run.progress.selected = state["selected"]
    run.progress.objectives = [(int(at), value) for at, value in state["objectives"]]
    run.progress.losses = LossWindow(state["losses"])
    best_checkpoint(run)
    if run.context.is_main:
        reporter.event("restored", step=checkpoint.step, checkpoint=checkpoint.folder.name)


def save(run: Run, *, objective: float | None = None) -> None:
    """Hand a checkpoint of this step to the store: a collective, written by rank 0."""
    progress = run.progress
    losses = progress.losses.settle(last_step=progress.step, learning_rate=run.learning_rate)
    own = own_states(run.model)
    progress.saved = progress.step
    if not run.context.is_main:
        return
    run.context.reporter.sync()
    state: dict[str, Any] = {
        "optimizers": {each.turn.name: each.optimizer.state_dict() for each in run.learners},
        "schedules": {each.turn.name: schedule_position(each.schedule) for each in run.learners},
        "best": progress.best,
        "selected": progress.selected,
        "objectives": progress.objectives,
        "losses": losses,
        "own": own,
    }
    if run.average is not None:
        state["trained"] = weights_of(run.model)
    try:
        with run.context.stopwatch.during("waited_on_checkpoints"):
            run.store.save(progress.step, weights_of(run.evaluated), state, objective=objective)
    except NotFiniteError as error:
        raise DivergedError(f"{error} (learning rate {run.learning_rate:g})") from error


def keep(run: Run) -> None:
    """Return when a checkpoint of this step stands: a collective.

    One that stands is not written again: it may be an evaluation's, with the objective's value.
    """
    if run.progress.saved != run.progress.step:
        save(run)
    with run.context.stopwatch.during("waited_on_checkpoints"):
        run.store.wait()


def step_checkpoint_due(run: Run) -> bool:
    """Whether the spec wants a checkpoint at this step, counted in steps."""
    every = run.spec.checkpoint.every
    return every.unit == "step" and run.progress.step % every.count == 0


def checkpoint_due(run: Run, epochs_done: int) -> bool:
    """Whether the spec wants a checkpoint at the end of this epoch."""
    every = run.spec.checkpoint.every
    return (every.unit == "epoch" and epochs_done % every.count == 0) or step_checkpoint_due(run)


# ---- reports --------------------------------------------------------------------------------


def report_loss(run: Run) -> None:
    """Record the mean loss of the steps since the last report: a collective."""
    progress = run.progress
    if progress.losses.empty:
        return
    rate = run.learning_rate
    means = progress.losses.take(last_step=progress.step, learning_rate=rate)
    losses = {f"train/{name}": mean for name, mean in means.items()}
    record(run, {**losses, "train/learning_rate": rate})


def report_pace(run: Run) -> None:
    """Record the epoch's throughput."""
    record(run, run.pace.epoch_metrics(), reproducible=False)


def record(run: Run, values: dict[str, float], *, reproducible: bool = True) -> None:
    """Record metrics at this step: rank 0 only."""
    run.pace.latest.update(values)
    if run.context.is_main:
        run.context.reporter.metrics(values, step=run.progress.step, reproducible=reproducible)


# ---- evaluation -----------------------------------------------------------------------------


def evaluate_validation(run: Run) -> bool:
    """Evaluate on `val`; return whether the objective is the best so far. A collective."""
    if run.setup.data.val is None:
        return False
    began = time.monotonic()
    evaluation, metrics = evaluate_once(run, "val")
    record_evaluation(run, "val", metrics, began)
    if getattr(run.setup.task, "pictures_by_epoch", False):
        draw(run, "val", evaluation)
    objective = run.spec.objective
    if objective is None:
        run.progress.selected = metrics
        return False
    value = metrics[objective.metric]
    run.progress.objectives.append((run.progress.step, value))
    best = run.progress.best
    sign = 1.0 if objective.goal == "maximize" else -1.0
    if best is not None and not sign * value > sign * best:
        return False
    run.progress.best = value
    run.progress.selected = metrics
    return True


def select(run: Run) -> None:
    """Put the best checkpoint's weights into the model: a collective."""
    with run.context.stopwatch.during("waited_on_checkpoints"):
        run.store.wait()
        barrier()
    best = best_checkpoint(run)
    if not run.progress.selected and run.setup.data.val is not None:
        # No evaluation's weights are left but these, the last.
        run.progress.selected = evaluate_once(run, "val")[1]
    if best is not None and best.step != run.progress.step:
        load_weights(run.evaluated, loaded(run.context, best.weights))
    if run.average is not None:
        load_weights(run.model, weights_of(run.evaluated))


def last_look(run: Run) -> dict[str, float]:
    """Evaluate on `test`, the only time it is looked at, and draw the pictures. A collective.

    Without a test split the pictures are of `val`, whose metrics are recorded already.
    """
    splits = run.setup.data.splits()
    if "test" not in splits:
        if "val" in splits:
            draw(run, "val", evaluate_once(run, "val")[0])
        return {}
    began = time.monotonic()
    evaluation, metrics = evaluate_once(run, "test")
    record_evaluation(run, "test", metrics, began)
    draw(run, "test", evaluation)
    return metrics


def evaluate_once(run: Run, split: str) -> tuple[Evaluation, dict[str, float]]:
    """Evaluate the model as it is: (for pictures, metrics by full name). A collective."""
    run.pace.tell(run.progress.step, run.context, phase=f"evaluating on {split}")
    evaluation, values = evaluate(
        run.setup.task,
        run.evaluated,
        run.setup.data.splits()[split],
        run.context,
        # As few at a time as in training: memory that is enough for that is enough for this.
        batch_size=-(-run.spec.batch_size // run.spec.accumulate),
        precision=run.spec.precision,
    )
    return evaluation, {f"{split}/{name}": value for name, value in values.items()}


def record_evaluation(run: Run, split: str, metrics: dict[str, float], began: float) -> None:
    """Record an evaluation's metrics, and how long it took since `began` (monotonic seconds)."""
    record(run, metrics)
    seconds = {f"time/{split}_evaluation_seconds": time.monotonic() - began}
    record(run, seconds, reproducible=False)


def draw(run: Run, split: str, evaluation: Evaluation) -> None:
    """Store the evaluation's pictures: rank 0 only."""
    if run.context.is_main:
        for name, image in evaluation.pictures().items():
            run.context.reporter.picture(f"{split}/{name}", image, step=run.progress.step)
