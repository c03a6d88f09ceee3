"""Schedules of the learning rate over a run's optimizer steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heliostat.spec.base import Model


class Constant(Model):
    """The optimizer's learning rate throughout."""

    name: Literal["constant"] = "constant"


class OneCycle(Model):
    """torch.optim.lr_scheduler.OneCycleLR: up to the optimizer's rate, then down to nearly 0."""

    name: Literal["one_cycle"]
    warmup: float = Field(default=0.3, gt=0, lt=1)
    """The part of all steps in which the rate rises."""


class Cosine(Model):
    """Down to 0 along half a cosine, after a linear warm-up."""

    name: Literal["cosine"]
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """The part of all steps in which the rate rises."""


class Step(Model):
    """The rate is multiplied by `gamma` after each `every` epochs."""

    name: Literal["step"]
    every: int = Field(ge=1, examples=["10"])
    """Epochs."""
    gamma: float = Field(gt=0, le=1, examples=["0.1"])


class Polynomial(Model):
    """Down to 0 as (1 - progress) ** `power`, after a linear warm-up (DeepLab's "poly")."""

    name: Literal["polynomial"]
    power: float = Field(default=1.0, gt=0)
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """The part of all steps in which the rate rises."""


Schedule = Annotated[Constant | OneCycle | Cosine | Step | Polynomial, Field(discriminator="name")]
