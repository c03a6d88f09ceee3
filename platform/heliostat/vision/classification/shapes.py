"""What classification takes from a model and from the data, checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heliostat.vision.mistakes import WrongTargets, WrongValue


def logits_of(output: Any, samples: int, classes: int) -> Tensor:
    """Return a model's output; WrongValue where it isn't a tensor (samples, classes)."""
    if not isinstance(output, Tensor):
        raise WrongValue(f"classification needs a tensor of logits, not {type(output).__name__}")
    check_shape(output, samples, classes)
    return output


def probabilities_of(logits: Tensor) -> Tensor:
    """Return what `Classification.predictor` gives for logits, float32 (n, K)."""
    return torch.softmax(logits, dim=1, dtype=torch.float32)


def check_shape(outputs: Tensor, samples: int, classes: int) -> None:
    """Raise WrongValue unless the outputs are (samples, classes)."""
    if outputs.shape != (samples, classes):
        raise WrongValue(
            f"the model gives shape {tuple(outputs.shape)} for {samples} samples;"
            f" classification into {classes} classes needs ({samples}, {classes})"
        )


def are_shares(targets: Any, shape: tuple[int, int]) -> bool:
    """Tell whether targets are floats of this shape (n, K): classes' shares, as MixUp makes."""
    return isinstance(targets, Tensor) and targets.is_floating_point() and targets.shape == shape


def check_targets(targets: Any, classes: int) -> None:
    """Raise WrongTargets unless they are whole numbers (n,), on a CPU within 0..classes-1.

    Their values are not looked at in a compiled step.
    """
    if not isinstance(targets, Tensor):
        kind = type(targets).__name__
        raise WrongTargets(f"a batch's targets are a {kind}; classification needs whole numbers")
    if targets.ndim != 1 or targets.is_floating_point():
        raise WrongTargets(
            f"a batch's targets are {targets.dtype} of shape {tuple(targets.shape)};"
            f" classification needs a whole number for each sample"
        )
    # Not on a GPU: looking at the values would wait for it at every step. And torch.compile would
    # have to cut the step in two here.
    if targets.device.type == "cpu" and len(targets) and not torch.compiler.is_compiling():
        low, high = (int(end) for end in targets.aminmax())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise WrongTargets(f"a target is {wrong}; {classes} classes have 0 to {classes - 1}")
