"""Clothes from noise by DCGAN: PyTorch's DCGAN tutorial, by class and under DDP.

The data set is all in memory as uint8 and read a batch at a time, which is ten times as fast as the
usual Dataset of a sample at a time. The step draws, passes and moves what the tutorial's does, the
generator first, as heliostat does, so that losses can be compared (the tutorial's discriminator
goes first). No gradient is made that nobody uses: not the discriminator's in the generator's step.
In training BatchNorm reads a batch's own statistics, so DDP need not send rank 0's before a pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from torchrun_script import read_fashion_mnist

from heliostat.vision.generation.nets import dcgan

CLASSES = 10
IMAGES = 51_200
"""Of 60,000: whole batches."""


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Images uint8 (n, 1, 28, 28) and classes int64 (n,), read a batch at a time."""

    def __init__(self, folder: Path) -> None:
        """Read the IDX files."""
        images, labels = read_fashion_mnist(folder)
        self._images, self._labels = images[:IMAGES], labels[:IMAGES]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self._images[chosen], self._labels[chosen]

    @staticmethod
    def collate(batch: Any) -> Any:
        """Return the batch, which is one already."""
        return batch


class Training:
    """Two networks, each under DDP."""

    def __init__(self, steps: int) -> None:
        """Build all; the rates stay as they are."""
        nets = dcgan(in_channels=1, size=28, num_classes=CLASSES, width=32)
        self._latent = nets.latent
        self._generator = distributed(nets.generator)
        self._discriminator = distributed(nets.discriminator)
        self._optimizers = [
            torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)
            for net in (nets.generator, nets.discriminator)
        ]

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Move the generator, then the discriminator by real images and what was made."""
        images, classes = batch
        real = images.float() / 127.5 - 1
        fake = self._generator(torch.randn(len(images), self._latent), classes)
        of_generator, of_discriminator = self._optimizers

        self._discriminator.requires_grad_(False)
        of_generator.zero_grad()
        fooled = told(self._discriminator.module(fake, classes), 1.0)
        fooled.backward()
        of_generator.step()

        self._discriminator.requires_grad_(True)
        of_discriminator.zero_grad()
        with self._discriminator.no_sync():
            told_real = told(self._discriminator(real, classes), 1.0)
            told_real.backward()
        told_fake = told(self._discriminator(fake.detach(), classes), 0.0)
        told_fake.backward()
        of_discriminator.step()
        return (told_real + told_fake + fooled).detach()


def distributed(net: torch.nn.Module) -> DistributedDataParallel:
    """Return the network under DDP."""
    return DistributedDataParallel(net, gradient_as_bucket_view=True, forward_sync_buffers=False)


def told(logits: Tensor, wanted: float) -> Tensor:
    """Return the mean binary cross-entropy."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, wanted))
