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


class Lion(_Optimizer):
    """pytorch_optimizer.Lion (Chen et al. 2023): the sign of a momentum, weight decay decoupled.

    Its steps are larger than AdamW's: a rate 3 to 10 times smaller is usual.
    """

    name: Literal["lion"]
    betas: tuple[_Beta, _Beta] = Field(default=(0.9, 0.99), strict=False)
    weight_decay: float = Field(default=0.0, ge=0)


class Muon(_Optimizer):
    """pytorch_optimizer.Muon (Jordan 2024): momentum made orthogonal; AdamW for what is no matrix.

    A matrix is a parameter of two dimensions or more whose first two are larger than 1: weights
    of linear layers, and of convolutions as (out, in × height × width). AdamW moves the rest,
    with the same rate and decay: biases, norms, depthwise convolutions, position embeddings,
    the weights of `torch.nn.Embedding`, and what `adamw` names (a last layer is better there).
    A matrix's update is scaled by 0.2 √(its longer side), so that AdamW's rates fit (Liu et al.
    2025).
    """

    name: Literal["muon"]
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """The matrices'."""
    nesterov: bool = True
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled from the gradient."""
    betas: tuple[_Beta, _Beta] = Field(default=(0.9, 0.95), strict=False)
    """AdamW's."""
    adamw: tuple[str, ...] = Field(default=(), strict=False, examples=["[fc.*]"])
    """Patterns of parameters' names (`fc.*`) that AdamW moves though they are matrices."""


Optimizer = Annotated[Sgd | Adam | AdamW | Lion | Muon, Field(discriminator="name")]


class Ema(Model):
    """torch.optim.swa_utils' exponential moving average of the weights, updated at each step.

    The average is what is evaluated, selected and registered.
    """

    decay: float = Field(default=0.999, ge=0, lt=1)
