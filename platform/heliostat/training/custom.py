"""A training loop of the user's own: what the function named as `entrypoint` is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heliostat.spec import EntrypointSpec, InputError, together
from heliostat.training.agreeing import agreed, loaded
from heliostat.training.checkpoints import CheckpointStore, NotFiniteError
from heliostat.training.context import Context
from heliostat.training.distributed import barrier
from heliostat.training.exporting import export_model
from heliostat.training.goodput import reached_before
from heliostat.training.loop import open_store
from heliostat.training.losses import DivergedError
from heliostat.training.setup import DataSets, open_data
from heliostat.training.stopping import Stopped, is_preempted, told_together
from heliostat.vision import arguments, imports
from heliostat.vision.mistakes import Mistake


@dataclass
class CustomRun:
    """What an entrypoint works with, as `function(run, **args)`.

    `torch.distributed` is initialised when `world_size` is above 1.
    """

    spec: EntrypointSpec
    """The job's spec: `seed`, `epochs`, `batch_size` and so on, for what use the loop has of them.
    """
    data: DataSets | None
    """The spec's `data`, opened; None where the spec has none."""
    rank: int
    world_size: int
    device: torch.device
    restored: dict[str, Any] | None
    """What was last given to `report` as `checkpoint`, its tensors on the CPU, and its `step`;
    None at first."""
    _context: Context
    _store: CheckpointStore
    _metrics: dict[str, float] = field(default_factory=dict)
    _is_leg: bool = False
    """Whether it is a trial of a search, at whose end a checkpoint more is of no use."""
    _told: Literal["stopped", "preempted"] | None = None
    """Why the loop was told that it is to stop."""

    def report(
        self,
        metrics: Mapping[str, float],
        *,
        step: int,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None:
        """Record metrics at a step and, if given, a checkpoint: {"model": state dict, …}.

        A checkpoint is any nesting of dicts, lists, tensors and plain values; its `model`, a dict
        of tensors, is what counts as the weights. Every rank may call this; rank 0's word is
        recorded. Raises DivergedError, and keeps the checkpoints there are, where a weight is
        not finite; TypeError for what a checkpoint cannot hold. Raises Stopped in a world of one
        that is told to stop, once this call's checkpoint is written.
        """
        self._context.stopwatch.step_done(step)
        if not self._context.is_main:
            return
        reporter = self._context.reporter
        reporter.metrics(metrics, step=step)
        self._metrics.update({name: float(value) for name, value in metrics.items()})
        reporter.progress(phase="training", step=step, metrics=self._metrics)
        if checkpoint is not None:
            objective = self.spec.objective
            value = metrics.get(objective.metric) if objective else None
            self._save(step, dict(checkpoint), value)
        if checkpoint is not None or self._is_leg:
            self._end_if_alone(step)

    def should_stop(self) -> bool:
        """Return whether the loop is to end now: the job is stopped, by hand or by its cluster.

        The loop then gives a last checkpoint to `report` and returns. A job that the user stops
        ends KILLED, and `helio resume` goes on from there; one whose machine or process is to go
        goes on from there by itself, as often as `retries.preemptions` says. A loop that never asks
        is ended when the time for it (HELIO_GRACE_SECONDS) is over, or, in a world of one, after
        its next checkpoint. A collective: every rank asks at the same place of its loop, and all
        get the same answer.
        """
        self._context.stopwatch.move()
        self._told = told_together(self._context) or self._told
        return self._told is not None

    def export(
        self,
        model: nn.Module,
        example: Tensor,
        *,
        predictor: nn.Module | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        """Give the job's model, to be logged and, where the spec says so, registered.

        `example` holds two raw inputs (2, …); `predictor` is what is registered (default: the
        model). Raises ValueError where torch cannot export it with a free batch dimension.
        """
        if self._context.is_main:
            folder = self._context.folder / "model"
            export_model(folder, model, predictor or model, example, classes=tuple(classes))

    def _end_if_alone(self, step: int) -> None:
        context = self._context
        if context.world_size == 1 and context.stop is not None and context.stop():
            self._store.wait()
            raise Stopped(f"after step {step}", preempted=is_preempted(context))

    def _save(self, step: int, given: dict[str, Any], objective: float | None) -> None:
        weights = given.pop("model", {})
        if not all(isinstance(value, Tensor) for value in weights.values()):
            raise TypeError("a checkpoint's `model` is one state dict: names to tensors")
        self._context.reporter.sync()
        state = {"given": given, "metrics": self._metrics}
        try:
            with self._context.stopwatch.during("waited_on_checkpoints"):
                self._store.save(step, weights, state, objective=objective)
        except NotFiniteError as error:
            raise DivergedError(str(error)) from error


def run_entrypoint(
    spec: EntrypointSpec, context: Context, data: DataSets | None, *, is_leg: bool = False
) -> dict[str, float]:
    """Run the user's loop to its end; return the newest value of each metric it reported.

    A search's trial (`is_leg`) that is told to stop does so at its next report, without a
    checkpoint more. Raises Stopped where the loop ended because it was told to.
    """
    function = bound_entrypoint(spec)
    store = open_store(spec, context)
    restored, metrics = _restore(store, context)
    run = CustomRun(
        spec=spec,
        data=data,
        rank=context.rank,
        world_size=context.world_size,
        device=context.device,
        restored=restored,
        _context=context,
        _store=store,
        _metrics=metrics,
        _is_leg=is_leg,
    )
    torch.manual_seed(spec.seed)
    context.reporter.event("first_step", step=restored["step"] if restored else 0)
    context.stopwatch.step_done(context.stopwatch.step)
    function(run)
    with context.stopwatch.during("waited_on_checkpoints"):
        store.wait()
    if run._told:
        raise Stopped("when the loop was told to end", preempted=run._told == "preempted")
    return run._metrics


def set_up_own(spec: EntrypointSpec) -> DataSets | None:
    """Open the data, if there is any. Raises InputError for it and for the entrypoint together."""
    data = None
    with together() as step:
        with step():
            data = open_data(spec.data) if spec.data is not None else None
        with step():
            bound_entrypoint(spec)
    return data


def bound_entrypoint(spec: EntrypointSpec) -> Callable[[CustomRun], Any]:
    """Return the spec's function with its `args` bound, all but the context.

    Raises InputError where there is no such function or it does not take these arguments.
    """
    function = resolve_entrypoint(spec.entrypoint)
    parameters = arguments.parameters_of(function)
    what = f"entrypoint {spec.entrypoint}"
    if parameters is not None and not _takes_context(parameters):
        raise InputError.of(
            f"{what} takes no context", key=("entrypoint",), valid="def function(run, …)"
        )
    try:
        bound = arguments.bind(what, parameters and parameters[1:], spec.args, {})
    except Mistake as mistake:
        raise InputError.of(str(mistake), key=("args",)) from mistake
    return partial(function, **bound)


def resolve_entrypoint(name: str) -> Callable[..., Any]:
    """Return the function that `package.module:function` names; InputError where there is none.

    What importing the user's module raises is the user's, and is raised as it is.
    """
    try:
        function: Callable[..., Any] = imports.load(name, "entrypoint")
    except Mistake as mistake:
        raise InputError.of(str(mistake), key=("entrypoint",)) from mistake
    return function


def _takes_context(parameters: Sequence[Parameter]) -> bool:
    return bool(parameters) and parameters[0].kind in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
        Parameter.VAR_POSITIONAL,
    )


def _restore(
    store: CheckpointStore, context: Context
) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Return what the user gave to the newest checkpoint that verifies, and the metrics by then."""
    checkpoint, skipped = agreed(context, store.newest)
    reached = agreed(context, lambda: reached_before(context.folder, context.attempt))
    context.stopwatch.goes_on_from(checkpoint.step if checkpoint else 0, reached=reached)
    # Rank 0 must not write, and prune, while another rank is still looking.
    barrier()
    if context.is_main:
        for reason in skipped:
            context.reporter.event("checkpoint_skipped", reason=reason)
        context.reporter.goes_on_from(checkpoint.step if checkpoint else 0)
    if checkpoint is None:
        return None, {}
    if context.is_main:
        context.reporter.event("restored", step=checkpoint.step, checkpoint=checkpoint.folder.name)
    state = loaded(context, checkpoint.state)
    weights = loaded(context, checkpoint.weights)
    given = {"step": checkpoint.step, **state["given"], "model": weights}
    return given, state["metrics"]
