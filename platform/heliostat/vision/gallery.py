"""A few of the samples that an evaluation sees, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Shown:
    """One sample with its prediction."""

    image: Tensor
    """(C, H, W) on the CPU, C 1 or 3; uint8, or floats on any scale."""
    target: int
    predicted: int
    probability: float
    """Of the predicted class."""


class Gallery:
    """At most `limit` samples, spread evenly over all that were offered.

    The first samples alone would all be of one class wherever files lie in a folder a class.
    Which are kept depends on their number only, so epochs show the same samples. Nothing random.
    """

    def __init__(self, limit: int = 25) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._kept: list[Shown] = []

    def offer(
        self, images: Tensor, targets: Tensor, predicted: Tensor, probabilities: Tensor
    ) -> None:
        """Keep some of a batch: images (n, C, H, W), and three tensors (n,)."""
        rows = range(-self._offered % self._stride, len(images), self._stride)
        self._offered += len(images)
        if not rows:
            return
        there = torch.tensor(rows, device=images.device)
        columns = (targets[there], predicted[there], probabilities[there])
        self._kept += map(Shown, images[there].cpu(), *(column.tolist() for column in columns))
        while len(self._kept) > 2 * self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def samples(self) -> list[Shown]:
        """Return the samples to show, in the order of the data."""
        count = min(self._limit, len(self._kept))
        places = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        return [self._kept[place] for place in places]
