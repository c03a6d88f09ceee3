"""Between the bytes of images and the scale -1..1 on which generators work."""

from __future__ import annotations

import torch
from torch import Tensor


def to_floats(images: Tensor) -> Tensor:
    """Return uint8 images as float32 on -1..1; floats as they are."""
    return images.to(torch.float32) / 127.5 - 1 if images.dtype == torch.uint8 else images


def to_bytes(images: Tensor) -> Tensor:
    """Return images on -1..1 as uint8, rounded; what is beyond is cut off."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
