"""Generated images of earlier steps, which a discriminator is shown beside the newest.

Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training",
CVPR 2017 (https://arxiv.org/abs/1612.07828), section 2.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Takes generated images and gives as many: half of them, once it is full, earlier ones.

    Up to `capacity` images are kept in half precision, in the shape of the first. They are in the
    state dict, so that a resumed job goes on with them, but are no buffers: a rank's pool is its
    own, and has no moving average. Nothing waits for a GPU but the state dict.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._images = torch.zeros(0, dtype=torch.float16)
        self._count = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return images for a discriminator in place of those given, (n, C, H, W) on -1..1.

        While there is room, images are kept and returned. Then one half of them, by draws from
        torch's global generator, changes places with kept ones.
        """
        if not self._capacity:
            return images
        self._make_room(images)
        return torch.cat([self._exchanged(part) for part in torch.split(images, self._capacity)])

    def get_extra_state(self) -> Tensor:
        """Return the kept images, float16 (k, C, H, W)."""
        return self._images[: int(self._count)]

    def set_extra_state(self, state: Tensor) -> None:
        """Keep the images of another pool's state, as many as there is room for."""
        kept = state[: self._capacity]
        self._images = torch.zeros(self._capacity, *kept.shape[1:], dtype=torch.float16)
        self._images[: len(kept)] = kept
        self._count = torch.tensor(len(kept))

    def _make_room(self, images: Tensor) -> None:
        """Begin anew with images of another shape; be where they are."""
        if self._images.shape[1:] != images.shape[1:]:
            self._images = images.new_zeros(
                (self._capacity, *images.shape[1:]), dtype=torch.float16
            )
            self._count = torch.zeros((), dtype=torch.int64)
        self._images = self._images.to(images.device)
        self._count = self._count.to(images.device)

    def _exchanged(self, images: Tensor) -> Tensor:
        """Do so for at most `capacity` images, each of which has a place of its own to look at."""
        count, device = len(images), images.device
        is_full = self._count == self._capacity
        following = self._count + torch.arange(count, device=device)
        random = torch.randperm(self._capacity, device=device)[:count]
        places = torch.where(is_full, random, following % self._capacity)
        goes_in = torch.where(
            is_full, torch.rand(count, device=device) < 0.5, following < self._capacity
        )
        stays, goes_in = ~goes_in[:, None, None, None], goes_in[:, None, None, None]
        kept = self._images[places]
        self._images[places] = torch.where(stays, kept, images.to(torch.float16))
        self._count = (self._count + count).clamp(max=self._capacity)
        return torch.where(goes_in & is_full, kept.to(images.dtype), images)
