"""Images ↔ masks by CycleGAN: the step of the authors' own code, pytorch-CycleGAN-and-pix2pix.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix: `optimize_parameters` of its cycle_gan
model, its image pool and its unaligned data set, under DDP.
"""

from __future__ import annotations

import random
from itertools import chain
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, default_collate
from torchvision.transforms import v2

from heliostat.vision.translation.models import cyclegan

CYCLE, IDENTITY = 10.0, 5.0
SIZE = 64

TRANSFORMS = v2.Compose(
    [
        v2.ToImage(),
        v2.RandomCrop(SIZE),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5], [0.5]),
        v2.ToPureTensor(),
    ]
)


class Images(Dataset[tuple[Tensor, Tensor]]):
    """An image of A and any of B, each float32 (1, 64, 64) on -1..1."""

    collate = staticmethod(default_collate)

    def __init__(self, folder: Path) -> None:
        """List `trainA/` and `trainB/`."""
        self._a, self._b = (sorted((folder / f"train{name}").iterdir()) for name in "AB")

    def __len__(self) -> int:
        return max(len(self._a), len(self._b))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return read(self._a[index % len(self._a)]), read(random.choice(self._b))


class Training:
    """Four networks, each under DDP, and two optimizers."""

    def __init__(self, steps: int) -> None:
        """Build all for so many steps, over which the rates fall to 0."""
        nets = cyclegan(in_channels=1, width=16, layers=2, blocks=6)
        self._a_to_b, self._b_to_a, self._judge_a, self._judge_b = (
            DistributedDataParallel(net, gradient_as_bucket_view=True)
            for net in (nets.a_to_b, nets.b_to_a, nets.discriminate_a, nets.discriminate_b)
        )
        self._pool_a, self._pool_b = ImagePool(50), ImagePool(50)
        self._optimizers = [
            torch.optim.Adam(
                chain(*(net.parameters() for net in pair)), lr=4e-4, betas=(0.5, 0.999), fused=True
            )
            for pair in ((self._a_to_b, self._b_to_a), (self._judge_a, self._judge_b))
        ]
        self._schedules = [
            LambdaLR(each, lambda step: 1 - step / steps) for each in self._optimizers
        ]

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Move the generators, then the discriminators."""
        a, b = batch
        of_generators, of_judges = self._optimizers
        fake_b, fake_a = self._a_to_b(a), self._b_to_a(b)

        self._require_judges(False)
        of_generators.zero_grad()
        generators = self._generators_loss(a, b, fake_a, fake_b)
        generators.backward()
        of_generators.step()

        self._require_judges(True)
        of_judges.zero_grad()
        judged_a = told_apart(self._judge_a, a, self._pool_a.query(fake_a.detach()))
        judged_a.backward()
        judged_b = told_apart(self._judge_b, b, self._pool_b.query(fake_b.detach()))
        judged_b.backward()
        of_judges.step()
        for schedule in self._schedules:
            schedule.step()
        return (generators + judged_a + judged_b).detach()

    def _generators_loss(self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> Tensor:
        fooled = score(self._judge_a.module(fake_a), 1.0) + score(self._judge_b.module(fake_b), 1.0)
        again_a, again_b = self._b_to_a(fake_b), self._a_to_b(fake_a)
        cycle = functional.l1_loss(again_a, a) + functional.l1_loss(again_b, b)
        same_a, same_b = self._b_to_a(a), self._a_to_b(b)
        identity = functional.l1_loss(same_a, a) + functional.l1_loss(same_b, b)
        return fooled + CYCLE * cycle + IDENTITY * identity

    def _require_judges(self, gradients: bool) -> None:
        for judge in (self._judge_a, self._judge_b):
            judge.requires_grad_(gradients)


class ImagePool:
    """Made images of earlier steps; once it is full, half of those asked for come from it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """Return as many images (n, C, H, W), new or kept ones."""
        return torch.stack([self._exchanged(image) for image in images])

    def _exchanged(self, image: Tensor) -> Tensor:
        if len(self._images) < self._capacity:
            self._images.append(image)
            return image
        if random.random() < 0.5:
            return image
        place = random.randrange(self._capacity)
        kept, self._images[place] = self._images[place], image
        return kept


def read(path: Path) -> Tensor:
    """Return a grey image, transformed."""
    with Image.open(path) as file:
        image: Tensor = TRANSFORMS(file.convert("L"))
    return image


def score(scores: Tensor, wanted: float) -> Tensor:
    """Return the mean square error of patches (LSGAN)."""
    return functional.mse_loss(scores, torch.full_like(scores, wanted))


def told_apart(judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return a discriminator's loss."""
    return 0.5 * (score(judge(real), 1.0) + score(judge(fake), 0.0))
