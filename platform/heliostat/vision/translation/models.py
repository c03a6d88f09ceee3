"""The models that translate: two generators, two discriminators, and what these remember."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heliostat.vision.catalogue import Catalogue
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.translation.nets import (
    PatchDiscriminator,
    ResnetGenerator,
    initialise,
    patch,
)
from heliostat.vision.translation.pixels import domains
from heliostat.vision.translation.pool import ImagePool

PARTS = ("a_to_b", "b_to_a", "discriminate_a", "discriminate_b", "pool_a", "pool_b")
"""What the task needs a model to have; a model of the user's own too."""


class CycleGan(nn.Module):
    """Both directions. Generators take and give images (n, C, H, W) on -1..1."""

    def __init__(self, channels: int, width: int, blocks: int, layers: int, pool: int) -> None:
        super().__init__()
        self.a_to_b = ResnetGenerator(channels, width, blocks)
        self.b_to_a = ResnetGenerator(channels, width, blocks)
        self.discriminate_a = PatchDiscriminator(channels, width, layers)
        self.discriminate_b = PatchDiscriminator(channels, width, layers)
        self.pool_a = ImagePool(pool)
        self.pool_b = ImagePool(pool)
        initialise(self)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return uint8 (n, 2, C, H, W), an image of A and one of B, each as the other domain's.

        The result is on -1..1: A's image made one of B, and B's made one of A.
        """
        a, b = domains(pairs)
        return torch.stack([self.a_to_b(a), self.b_to_a(b)], dim=1)


def cyclegan(
    in_channels: int,
    size: tuple[int, int] | None = None,
    width: int = 64,
    blocks: int | None = None,
    layers: int | None = None,
    pool: int = 50,
) -> CycleGan:
    """Return CycleGAN for images of so many channels, with fresh weights.

    `width` is the channels of the first layer of each network. As in the paper there are 9
    residual `blocks` for images from 256 pixels a side on, else 6, and discriminators see patches
    of 70 pixels (3 `layers`): of 34 or 16 where an image has not as many. `size` is the data's:
    for crops that are much smaller, give these two. A `pool` keeps so many generated images.
    """
    smallest = min(size or (256, 256))
    if blocks is None:
        blocks = 9 if smallest >= 256 else 6
    if layers is None:
        layers = max([1, *(count for count in (2, 3) if patch(count) <= smallest)])
    if min(width, layers) < 1 or min(blocks, pool) < 0:
        raise WrongValue("width and layers are at least 1, blocks and pool at least 0")
    return CycleGan(in_channels, width, blocks, layers, pool)


CATALOGUE = Catalogue("translator", {"cyclegan": cyclegan})
