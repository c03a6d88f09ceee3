"""Some of the images that an evaluation sees, with their boxes, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from heliostat.vision.detection.records import Boxes

_LONGEST = 800


@dataclass(frozen=True)
class Page:
    """An image and its boxes."""

    image: Tensor
    """(C, h, w) on the CPU, C 1 or 3, uint8 or float: at most 800 pixels long, so maybe thinned."""
    size: tuple[int, int]
    """(height, width) of the image itself, in whose pixels the boxes are."""
    boxes: Boxes


class Album:
    """At most `limit` images, spread evenly over all that were offered. Nothing random."""

    def __init__(self, limit: int = 6) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._kept: list[Page] = []

    def offer(self, image: Tensor, boxes: Boxes) -> None:
        """Keep the image, or not; (C, H, W)."""
        wanted = self._offered % self._stride == 0
        self._offered += 1
        if not wanted:
            return
        height, width = image.shape[-2:]
        step = -(-max(height, width) // _LONGEST)
        thinned = torch.as_tensor(image[:, ::step, ::step]).as_subclass(Tensor).cpu()
        self._kept.append(Page(thinned, (height, width), boxes))
        if len(self._kept) > 2 * self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def pages(self) -> list[Page]:
        """Return the images to show, in the order of the data."""
        count = min(self._limit, len(self._kept))
        places = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        return [self._kept[place] for place in places]
