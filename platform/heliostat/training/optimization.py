"""Optimizers and schedules: the spec's words → torch's objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from heliostat import spec as specs
from heliostat.training.model_settings import parameters_named

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def build_optimizer(
    model: nn.Module, parameters: Sequence[nn.Parameter], spec: specs.Optimizer
) -> Optimizer:
    """Return the optimizer over `parameters`, some of the model's; torch's own fused if it can.

    Lion and Muon are pytorch_optimizer's, whose import takes 0.6 s. Raises as `check_optimizer`.
    """
    # Its batched updates are for GPUs: on a CPU they take 1.3 times as long.
    foreach = parameters[0].is_cuda
    if isinstance(spec, specs.Lion):
        from pytorch_optimizer import Lion

        return Lion(parameters, **spec.model_dump(exclude={"name"}), foreach=foreach)
    if isinstance(spec, specs.Muon):
        from pytorch_optimizer import Muon

        return Muon(_muon_groups(model, parameters, spec), foreach=foreach)
    fused = all(p.is_floating_point() for p in parameters)
    return OPTIMIZERS[spec.name](parameters, fused=fused, **spec.model_dump(exclude={"name"}))


def check_optimizer(model: nn.Module, spec: specs.Optimizer) -> None:
    """Raise InputError where a pattern of Muon's `adamw` names no parameter."""
    if isinstance(spec, specs.Muon):
        _named(model, spec)


def build_schedule(
    optimizer: Optimizer, spec: specs.Schedule, *, total_steps: int, steps_per_epoch: int
) -> LRScheduler:
    """Return the schedule of the learning rate, stepped once per optimizer step."""
    match spec.name:
        case "one_cycle":
            # Momentum stays what the optimizer's spec says; OneCycleLR would cycle it too.
            return OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=max(total_steps, 2),
                pct_start=spec.warmup,
                cycle_momentum=False,
            )
        case "cosine":
            shape = partial(_after_warmup, _cosine, round(spec.warmup * total_steps), total_steps)
            return LambdaLR(optimizer, shape)
        case "polynomial":
            fall = partial(_polynomial, spec.power)
            shape = partial(_after_warmup, fall, round(spec.warmup * total_steps), total_steps)
            return LambdaLR(optimizer, shape)
        case "step":
            return StepLR(optimizer, step_size=spec.every * steps_per_epoch, gamma=spec.gamma)
        case _:
            return LambdaLR(optimizer, lambda step: 1.0)


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Put the optimizer where another was; its settings stay those of its own spec.

    They differ where a trial of a search goes on from another one's checkpoint. The learning rate
    is at the same part of its schedule.
    """
    own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    _lay_out_as_parameters(optimizer)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        rate = group["lr"] * (settings["initial_lr"] / group["initial_lr"])
        group.update(settings, lr=rate)


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give each moment the memory layout of its parameter, channels last above all.

    In a checkpoint all is contiguous, and torch's fused optimizers go through the memory of both
    without a look at their strides.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def schedule_position(schedule: LRScheduler) -> dict[str, int]:
    """Return where the schedule is: its own settings follow from the spec, which may be raised."""
    return {name: getattr(schedule, name) for name in _POSITION}


def move_schedule(schedule: LRScheduler, position: dict[str, int]) -> None:
    """Put the schedule where another was; the optimizer's state holds the rates themselves."""
    for name in _POSITION:
        setattr(schedule, name, position[name])


_POSITION = ("last_epoch", "_step_count")


def learning_rate(optimizer: Optimizer) -> float:
    """Return the learning rate of the first parameter group."""
    return float(optimizer.param_groups[0]["lr"])


def _muon_groups(
    model: nn.Module, parameters: Sequence[nn.Parameter], spec: specs.Muon
) -> list[dict[str, Any]]:
    """Return the matrices among the parameters, and the rest, each with its settings."""
    embeddings = (m.weight for m in model.modules() if isinstance(m, nn.Embedding))
    excepted = {id(p) for p in (*_named(model, spec), *embeddings)}
    matrices = {
        id(p) for p in parameters if p.ndim > 1 and min(p.shape[:2]) > 1 and id(p) not in excepted
    }
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in parameters if id(p) in matrices],
            "use_muon": True,
            "use_adjusted_lr": True,
            **spec.model_dump(include={"lr", "weight_decay", "momentum", "nesterov"}),
        },
        {
            "params": [p for p in parameters if id(p) not in matrices],
            "use_muon": False,
            **spec.model_dump(include={"lr", "weight_decay", "betas"}),
        },
    ]
    return [group for group in groups if group["params"]]


def _named(model: nn.Module, spec: specs.Muon) -> list[nn.Parameter]:
    """Return the parameters that `adamw` names; InputError for a pattern that names none."""
    found = []
    for place, pattern in enumerate(spec.adamw):
        found += parameters_named(model, pattern, ("optimizer", "adamw", place))
    return found


def _after_warmup(fall: Callable[[float], float], warmup: int, total: int, step: int) -> float:
    """Return the factor at `step`: linear up to 1, then `fall` of the part done of the rest."""
    if step < warmup:
        return (step + 1) / warmup
    return fall((step - warmup) / max(1, total - warmup))


def _cosine(done: float) -> float:
    """Return half a cosine from 1 to 0 (Loshchilov and Hutter 2016)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _polynomial(power: float, done: float) -> float:
    return float(max(0.0, 1 - done) ** power)
