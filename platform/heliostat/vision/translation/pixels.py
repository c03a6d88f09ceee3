"""Images as data gives them, as generators take and give them, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heliostat.vision.mistakes import WrongTargets

SMALLEST = 8
"""Pixels of a side: the generator works at a quarter of it, where it mirrors a border of one."""


def signed(images: Tensor) -> Tensor:
    """Return uint8 images, or floats on 0..1, as float32 on -1..1."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32) / 127.5 - 1
    return images.to(torch.float32) * 2 - 1


def as_bytes(images: Tensor) -> Tensor:
    """Return images on -1..1 as uint8."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def domains(pairs: Any) -> tuple[Tensor, Tensor]:
    """Return the images of A and of B, each float32 (n, C, H, W) on -1..1.

    Raises WrongTargets where `pairs` isn't (n, 2, C, H, W) in a size that generators keep.
    """
    check_pairs(pairs)
    a, b = signed(pairs).unbind(1)
    return a, b


def check_pairs(pairs: Any) -> None:
    """Raise WrongTargets where `pairs` isn't (n, 2, C, H, W) in a size that generators keep."""
    if isinstance(pairs, list):
        raise WrongTargets("the data has boxes or masks; translation needs images of two domains")
    if not isinstance(pairs, Tensor) or pairs.ndim != 5 or pairs.shape[1] != 2:
        found = tuple(pairs.shape[1:]) if isinstance(pairs, Tensor) else type(pairs).__name__
        raise WrongTargets(
            f"a sample is {found}; translation needs an image of either of two domains,"
            f" (2, channels, height, width)"
        )
    height, width = pairs.shape[-2:]
    if height % 4 or width % 4 or min(height, width) < SMALLEST:
        raise WrongTargets(
            f"images are of {height}x{width}; translation needs sides of {SMALLEST} pixels or more"
            f" that 4 divides (data.image_size, or a crop's size)"
        )


def distance(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean absolute difference of each image's values, float32 (n,)."""
    return (images.float() - others.float()).abs().mean((1, 2, 3))
