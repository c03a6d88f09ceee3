"""From the pixels that data gives to the floats that a network wants, inside the module.

Normalising inside means that the registered model takes raw uint8 images.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def pipeline(
    net: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None
) -> nn.Module:
    """Return `normalize` and then `net`, under these names in the state dict.

    Without a mean (a dataset of the user's own) only uint8 is scaled; other inputs go through.
    """
    first = AsFloat() if mean is None or std is None else Normalize(mean, std)
    return nn.Sequential(OrderedDict([("normalize", first), ("net", net)]))


class Normalize(nn.Module):
    """(n, C, H, W), uint8 on 0..255 or float on 0..1, to float32 `(x - mean) / std`.

    `mean` and `std` hold a number per channel on the scale 0..1. Raises ValueError if they differ
    in length or a std isn't positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"a mean and a positive std per channel, not {mean} and {std}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images, float32."""
        pixels = _scaled(images).to(torch.float32)
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]


class AsFloat(nn.Module):
    """uint8 to float32 on 0..1; anything else, also what is not a tensor, as it is."""

    def forward(self, inputs: Any) -> Any:
        """Return the inputs, scaled if they are bytes."""
        return _scaled(inputs) if isinstance(inputs, Tensor) else inputs


def _scaled(inputs: Tensor) -> Tensor:
    return inputs.to(torch.float32) / 255 if inputs.dtype == torch.uint8 else inputs
