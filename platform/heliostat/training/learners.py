"""A training step: each of a task's turns computes its loss and moves its own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._pytree import tree_map

from heliostat.data import Batch
from heliostat.spec import TrainSpec
from heliostat.training.distributed import wrap
from heliostat.training.optimization import build_optimizer, build_schedule
from heliostat.training.precision import autocast
from heliostat.vision.task import Task, Turn, turns


@dataclass(frozen=True)
class Learner:
    """One turn: its loss under DDP, and what moves its parameters."""

    turn: Turn
    replica: nn.Module
    """(inputs, targets) → losses (n,) by name."""
    parameters: tuple[nn.Parameter, ...]
    optimizer: Optimizer
    schedule: LRScheduler


def build_learners(
    spec: TrainSpec,
    task: Task,
    model: nn.Module,
    device: torch.device,
    *,
    total_steps: int,
    steps_per_epoch: int,
) -> tuple[Learner, ...]:
    """Return a learner for each of the task's turns; frozen parameters belong to none.

    Raises ValueError for a turn that has nothing to move.
    """
    learners = []
    trained = [p for p in model.parameters() if p.requires_grad]
    known = {id(p) for p in trained}
    for turn in turns(task):
        parameters = tuple(p for p in turn.parameters(model) if id(p) in known)
        if not parameters:
            raise ValueError(f"the turn {turn.name!r} has no parameter to train")
        _require(trained, False)
        _require(parameters, True)
        optimizer = build_optimizer(model, parameters, spec.optimizer)
        schedule = build_schedule(
            optimizer, spec.schedule, total_steps=total_steps, steps_per_epoch=steps_per_epoch
        )
        loss = _Loss(turn, model)
        if spec.model.compile:
            loss.compile()
        replica = wrap(loss, model, device)
        learners.append(Learner(turn, replica, parameters, optimizer, schedule))
    for learner in learners:
        _require(learner.parameters, True)
    return tuple(learners)


def step(
    learners: Sequence[Learner],
    batch: Batch,
    world_size: int,
    device: torch.device,
    spec: TrainSpec,
) -> dict[str, Tensor]:
    """Take one optimizer step of every turn; return this rank's shares of the losses by name.

    A share is the local sum over the global count, so that shares add up to the global mean.
    `loss` is the sum of all turns'; a turn's parts, where it names any, stand beside it.
    """
    shares: dict[str, Tensor] = {}
    for learner in learners:
        others = [p for other in learners if other is not learner for p in other.parameters]
        _require(others, False)
        _require(learner.parameters, True)
        for name, share in _turn(learner, batch, world_size, device, spec).items():
            shares[name] = shares[name] + share if name in shares else share
        _require(others, True)
    return shares


def _turn(
    learner: Learner, batch: Batch, world_size: int, device: torch.device, spec: TrainSpec
) -> Mapping[str, Tensor]:
    shares: dict[str, Tensor] = {}
    parts = list(_parts(batch, spec.accumulate))
    for number, (inputs, targets) in enumerate(parts, start=1):
        with _synchronised(learner.replica, number == len(parts)):
            with autocast(device, spec.precision):
                losses = learner.replica(inputs, targets)
            sums = {name: values.float().sum() for name, values in losses.items()}
            # DDP averages gradients over the ranks, so this rank's share of the mean over the
            # global batch goes in times the world size: exact for slices of unequal length.
            scale = batch.weight / batch.global_size
            total = torch.stack(list(sums.values())).sum() * scale
            (total * world_size).backward()  # type: ignore[no-untyped-call]
        for name, share in _named(learner.turn, total, sums, scale):
            shares[name] = shares[name] + share if name in shares else share
    if spec.clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(learner.parameters, spec.clip_grad_norm)
    learner.optimizer.step()
    learner.schedule.step()
    learner.optimizer.zero_grad(set_to_none=True)
    return shares


def _named(
    turn: Turn, total: Tensor, sums: Mapping[str, Tensor], scale: float
) -> Iterator[tuple[str, Tensor]]:
    yield "loss", total.detach()
    if turn.name:
        yield turn.name, total.detach()
    if len(sums) > 1:
        for name, value in sums.items():
            yield name, value.detach() * scale


class _Loss(nn.Module):
    """A turn's loss as a module: DDP then sees one forward pass, whatever the task does in it."""

    def __init__(self, turn: Turn, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._turn = turn

    def forward(self, inputs: Any, targets: Any) -> dict[str, Tensor]:
        losses = self._turn.loss(self.model, inputs, targets)
        return {"loss": losses} if isinstance(losses, Tensor) else dict(losses)


def _parts(batch: Batch, count: int) -> Iterator[tuple[Any, Any]]:
    """Yield the batch's (inputs, targets) in `count` parts, fewer where there are fewer samples."""
    samples = len(batch.index)
    count = min(count, samples)
    for number in range(count):
        part = slice(samples * number // count, samples * (number + 1) // count)
        yield (batch.inputs, batch.targets) if count == 1 else _sliced(batch, part)


def _sliced(batch: Batch, part: slice) -> tuple[Any, Any]:
    def of(value: Any) -> Any:
        if isinstance(value, list):  # of images, or of targets
            return value[part]
        return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) else leaf, value)

    return of(batch.inputs), of(batch.targets)


def _synchronised(replica: nn.Module, last: bool) -> Any:
    """Return the context of a part's backward pass: gradients are averaged after the last."""
    no_sync = getattr(replica, "no_sync", None)
    return nullcontext() if last or no_sync is None else no_sync()


def _require(parameters: Sequence[nn.Parameter], gradients: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(gradients)
