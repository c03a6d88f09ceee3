"""Batches onto the device that computes on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


def to_device(batch: Any, device: torch.device) -> Any:
    """Return any nesting of tensors on `device`; pinned memory is copied without waiting."""
    if device.type == "cpu":
        return batch
    return tree_map(
        lambda leaf: leaf.to(device, non_blocking=True) if isinstance(leaf, Tensor) else leaf,
        batch,
    )
