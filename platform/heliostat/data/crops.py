"""Random windows of images: where they lie, as torchvision's `RandomResizedCrop` draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.data import counter
from heliostat.data.samples import Indices
from heliostat.spec.augmentations import RandomResizedCrop

Window = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of the image."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a batch's n samples, each known as soon as the size of its image is."""

    step: RandomResizedCrop
    draws: NDArray[np.float64]
    """Uniform in [0, 1), (n, tries, 4)."""

    @classmethod
    def of(cls, step: RandomResizedCrop, key: int, indices: Indices) -> Windows:
        """Return the windows of the samples `indices` (n,): functions of `key` and the sample."""
        places = indices[:, None] * (_TRIES * 4) + np.arange(_TRIES * 4)
        draws = (counter.draw(key, places) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return cls(step, draws.reshape(len(indices), _TRIES, 4))

    def window(self, place: int, height: int, width: int) -> Window:
        """Return the window of the batch's sample at `place`, whose image has this size.

        A window of an area in `scale` and a shape in `ratio` that fits into the image, of ten
        tries; else the largest in its middle whose shape is in `ratio`.
        """
        (smallest, largest), (narrow, wide) = self.step.scale, self.step.ratio
        for area, shape, down, right in self.draws[place].tolist():
            pixels = height * width * (smallest + (largest - smallest) * area)
            ratio = math.exp(math.log(narrow) + (math.log(wide) - math.log(narrow)) * shape)
            w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        return _middle(height, width, narrow, wide)


_TRIES = 10


def _middle(height: int, width: int, narrow: float, wide: float) -> Window:
    h, w = height, width
    if width < narrow * height:
        h = max(1, min(height, round(width / narrow)))
    elif width > wide * height:
        w = max(1, min(width, round(height * wide)))
    return (height - h) // 2, (width - w) // 2, h, w
