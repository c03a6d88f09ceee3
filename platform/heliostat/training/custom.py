"""A training loop of the user's own: what the function named as `entrypoint` is given."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.spec import EntrypointSpec, InputError
from heliostat.training.checkpoints import CheckpointStore
from heliostat.training.context import Context
from heliostat.training.exporting import export_model


@dataclass
class CustomRun:
    """What an entrypoint works with, as `function(run)`; `torch.distributed` is initialised
    when `world_size` is above 1."""

    args: Mapping[str, Any]
    """`args` of the spec."""
    seed: int
    rank: int
    world_size: int
    device: torch.device
    restored: Any | None
    """What was last given to `report` as `checkpoint`, its tensors on the CPU; None at first."""
    _context: Context
    _store: CheckpointStore
    _objective: str | None
    _metrics: dict[str, float] = field(default_factory=dict)

    def report(
        self, metrics: Mapping[str, float], *, step: int, checkpoint: Any | None = None
    ) -> None:
        """Record metrics at a step and, if given, a checkpoint: {"model": state dict, …}.

        A checkpoint is any nesting of dicts, lists, tensors and plain values; its `model` is
        what counts as the weights. Every rank may call this; rank 0's word is recorded.
        """
        if not self._context.is_main:
            return
        reporter = self._context.reporter
        reporter.metrics(metrics, step=step)
        reporter.progress(phase="training", step=step, metrics=dict(metrics))
        self._metrics.update({name: float(value) for name, value in metrics.items()})
        if checkpoint is not None:
            state = {"step": step, **checkpoint}
            weights = state.pop("model", {})
            objective = metrics.get(self._objective) if self._objective else None
            self._store.save(step, weights, state, objective=objective)

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


def run_entrypoint(spec: EntrypointSpec, context: Context) -> dict[str, float]:
    """Run the user's loop to its end; return the newest value of each metric it reported."""
    function = resolve_entrypoint(spec.entrypoint)
    store = CheckpointStore(
        context.folder / "checkpoints",
        attempt=context.attempt,
        keep_best=spec.checkpoint.keep_best,
        keep_latest=spec.checkpoint.keep_latest,
        maximize=spec.objective is not None and spec.objective.goal == "maximize",
    )
    run = CustomRun(
        args=spec.args,
        seed=spec.seed,
        rank=context.rank,
        world_size=context.world_size,
        device=context.device,
        restored=_restore(store, context),
        _context=context,
        _store=store,
        _objective=spec.objective.metric if spec.objective else None,
    )
    torch.manual_seed(spec.seed)
    context.reporter.event("first_step", step=0)
    function(run)
    store.wait()
    return run._metrics


def resolve_entrypoint(name: str) -> Callable[[CustomRun], Any]:
    """Return the function that `package.module:function` names.

    What importing the user's module raises is the user's, and is raised as it is.
    """
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError.of(
            f"{module_name} has no function {attribute!r}",
            key=("entrypoint",),
            valid="package.module:function",
        )
    return function  # type: ignore[no-any-return]


def _restore(store: CheckpointStore, context: Context) -> Any | None:
    checkpoint, _ = store.newest()
    if checkpoint is None:
        return None
    if context.is_main:
        context.reporter.goes_on_from(checkpoint.step)
        context.reporter.event("restored", step=checkpoint.step, checkpoint=checkpoint.folder.name)
    state = {**checkpoint.state(), "model": checkpoint.weights()}
    return state
