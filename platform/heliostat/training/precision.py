"""The precision in which a model computes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch


def autocast(device: torch.device, precision: str) -> Any:
    """Return the context in which the forward pass runs in the spec's precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
