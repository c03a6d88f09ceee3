"""Optimizers, with torch's names and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from heliostat.spec.base import Model, wrong_here

_Beta = Annotated[float, Field(ge=0, lt=1)]


class _Optimizer(Model):
    lr: float = Field(gt=0, examples=["0.1"])
    """The learning rate; a schedule's highest."""


class Sgd(_Optimizer):
    """torch.optim.SGD."""

    name: Literal["sgd"]
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    nesterov: bool = False

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise wrong_here("needs momentum", "give momentum above 0")
        return nesterov


class Adam(_Optimizer):
    """torch.optim.Adam: weight decay is added to the gradient."""

    name: Literal["adam"]
    betas: tuple[_Beta, _Beta] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)


class AdamW(_Optimizer):
    """torch.optim.AdamW: weight decay is decoupled from the gradient."""

    name: Literal["adamw"]
    betas: tuple[_Beta, _Beta] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)


Optimizer = Annotated[Sgd | Adam | AdamW, Field(discriminator="name")]


class Ema(Model):
    """torch.optim.swa_utils' exponential moving average of the weights, updated at each step.

    The average is what is evaluated, selected and registered.
    """

    decay: float = Field(default=0.999, ge=0, lt=1)
