"""Losses of class maps, a value for each sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, truth: Tensor, *, ignore_index: int, weights: Tensor | None = None
) -> Tensor:
    """Return each sample's mean cross-entropy over its counted pixels in nats, float32 (n,).

    `logits` (n, K, H, W), `truth` int64 (n, H, W). With `weights`, float32 (K,), the mean is
    weighted by those of the true classes. A sample of which nothing is counted has 0.
    """
    each = functional.cross_entropy(
        logits.float(), truth, weight=weights, ignore_index=ignore_index, reduction="none"
    )
    counted = truth != ignore_index
    shares = counted if weights is None else weights[truth.where(counted, 0)] * counted
    total = shares.sum(dim=(1, 2))
    return each.sum(dim=(1, 2)) / total.where(total > 0, 1)


def soft_dice(logits: Tensor, truth: Tensor, *, ignore_index: int) -> Tensor:
    """Return 1 minus each sample's Dice coefficient of the probabilities, float32 (n,).

    The mean over the classes that are in the sample's truth; counted pixels only, and 0 where
    there are none. F. Milletari et al., "V-Net" (arXiv:1606.04797), without its squares.
    """
    probabilities = logits.float().softmax(dim=1)
    counted = truth != ignore_index
    missing, present = [], []
    for k in range(logits.shape[1]):  # a one-hot truth would be as large as the logits, K times
        real = (truth == k) & counted
        area = real.sum(dim=(1, 2))
        overlap = (probabilities[:, k] * real).sum(dim=(1, 2))
        sides = (probabilities[:, k] * counted).sum(dim=(1, 2)) + area
        missing.append(1 - 2 * overlap / sides.where(sides > 0, 1))
        present.append(area > 0)
    there = torch.stack(present, dim=1)
    return (torch.stack(missing, dim=1) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
