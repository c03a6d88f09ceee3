"""Optimizers and schedules: the spec's words → torch's objects."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from heliostat import spec as specs

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def build_optimizer(model: nn.Module, spec: specs.Optimizer) -> Optimizer:
    """Return torch's optimizer over the parameters that are trained, fused where torch can."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    settings = spec.model_dump(exclude={"name"})
    fused = all(p.is_floating_point() for p in parameters)
    return OPTIMIZERS[spec.name](parameters, fused=fused, **settings)


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
            warmup = round(spec.warmup * total_steps)
            return LambdaLR(optimizer, lambda step: _cosine(step, warmup, total_steps))
        case "step":
            return StepLR(optimizer, step_size=spec.every * steps_per_epoch, gamma=spec.gamma)
        case _:
            return LambdaLR(optimizer, lambda step: 1.0)


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


def precision_dtype(precision: str) -> torch.dtype | None:
    """Return the dtype to autocast to, or None for full precision."""
    return torch.bfloat16 if precision == "bf16" else None


def _cosine(step: int, warmup: int, total: int) -> float:
    """Return the factor at `step`: linear up to 1, then half a cosine to 0 (Loshchilov 2016)."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
