"""Floats whose sum is the same in any order, and so at any number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor


def rounded(values: Tensor) -> Tensor:
    """Return the values, float64, rounded to multiples of 2^-32.

    Sums of such multiples are exact in float64 up to 2^21, hence equal in any order.
    """
    return (values.double() * 2.0**32).round() / 2.0**32


def losses_of(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return -log p of the targets in nats, float64 (n,), rounded.

    p is held above the least normal float32, so that no loss is above 87.3.
    """
    chosen = probabilities.gather(1, targets[:, None]).squeeze(1).double()
    return rounded(-chosen.clamp(min=torch.finfo(torch.float32).tiny).log())
