"""Some of the images that an evaluation sees, with their boxes, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heliostat.vision.detection.records import Boxes
from heliostat.vision.spread import Spread

_LONGEST = 800


@dataclass(frozen=True)
class Page:
    """An image and its boxes."""

    image: Tensor
    """(C, h, w) on the CPU, C 1 or 3, uint8 or float: at most 800 pixels long, so maybe thinned."""
    size: tuple[int, int]
    """(height, width) of the image itself, in whose pixels the boxes are."""
    boxes: Boxes


class Album(Spread[Page]):
    """At most `limit` images, spread evenly over all that were offered."""

    def __init__(self, limit: int = 6) -> None:
        super().__init__(limit)

    def offer(self, image: Tensor, boxes: Boxes) -> None:
        """Keep the image, or not; (C, H, W)."""
        if not self.wanted(1):
            return
        height, width = image.shape[-2:]
        step = -(-max(height, width) // _LONGEST)
        thinned = torch.as_tensor(image[:, ::step, ::step]).as_subclass(Tensor).cpu().clone()
        self.keep([Page(thinned, (height, width), boxes)])
