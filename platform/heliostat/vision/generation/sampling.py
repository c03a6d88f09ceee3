"""The module that a generation job registers: seeds in, images out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heliostat.vision.generation.noise import noise
from heliostat.vision.generation.pixels import to_bytes


def rows(seeds: Tensor, classes: Tensor | None) -> Tensor:
    """Return what the sampler takes for seeds int64 (n,), and classes int64 (n,) if it has any."""
    columns = [seeds] if classes is None else [seeds, classes.to(seeds.device)]
    return torch.stack(columns, dim=1)


class Sampler(nn.Module):
    """int64 (n, 1), a seed a row, or (n, 2), a seed and a class → images uint8 (n, C, H, W).

    The same row always gives the same image.
    """

    def __init__(self, generator: nn.Module, latent: int, *, conditional: bool) -> None:
        super().__init__()
        self.generator = generator
        self._latent = latent
        self._conditional = conditional

    def forward(self, rows: Tensor) -> Tensor:
        """Return the images."""
        classes = rows[:, 1] if self._conditional else None
        return to_bytes(self.generator(noise(rows[:, 0], self._latent), classes))
