"""A few of the images that an evaluation sees, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heliostat.vision.spread import Spread


@dataclass(frozen=True)
class Shown:
    """One sample with its prediction."""

    image: Tensor
    """(C, H, W) on the CPU, C 1 or 3; uint8, or floats on any scale."""
    target: int
    predicted: int
    probability: float
    """Of the predicted class."""


class Gallery(Spread[Shown]):
    """At most `limit` samples with their predictions, spread evenly over all that were offered."""

    def __init__(self, limit: int = 25) -> None:
        super().__init__(limit)

    def offer(
        self, images: Tensor, targets: Tensor, predicted: Tensor, probabilities: Tensor
    ) -> None:
        """Keep some of a batch: images (n, C, H, W), and three tensors (n,)."""
        rows = self.wanted(len(images))
        if not rows:
            return
        there = torch.tensor(rows, device=images.device)
        columns = (targets[there], predicted[there], probabilities[there])
        # Each image a tensor of its own: pickled, a view takes the whole batch with it.
        kept = (image.clone() for image in images[there].cpu())
        self.keep(map(Shown, kept, *(column.tolist() for column in columns)))
