"""Optimizers and schedules: the spec's words → torch's objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from heliostat import spec as specs

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def build_optimizer(parameters: Sequence[nn.Parameter], spec: specs.Optimizer) -> Optimizer:
    """Return torch's optimizer over the parameters, fused where torch can."""
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
