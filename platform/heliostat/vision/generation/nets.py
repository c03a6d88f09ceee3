"""DCGAN: a generator and a discriminator of strided convolutions (Radford, Metz, Chintala 2016).

https://arxiv.org/abs/1511.06434. By class: the generator adds a learnt vector of the class to its
projected noise, the discriminator adds the product of its features with another one (projection,
Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from heliostat.vision.generation.pixels import to_floats

_STD = 0.02


def dcgan(
    in_channels: int = 3,
    size: int | Sequence[int] = 64,
    num_classes: int | None = None,
    latent: int = 100,
    width: int = 64,
    discriminator_width: int | None = None,
) -> Dcgan:
    """Return a DCGAN for images of `size` (height, width): multiples of 4, at least 16.

    The layers next to the image have `width` channels (in the discriminator, if other than the
    generator's, `discriminator_width`), and each at half the size twice as many, up to 8 times.
    The paper's network for 64×64 has width 128. Raises ValueError for other sizes and numbers.
    """
    height, across = (size, size) if isinstance(size, int) else size
    narrow = width if discriminator_width is None else discriminator_width
    classes = 1 if num_classes is None else num_classes
    if min(in_channels, latent, width, narrow, classes) < 1:
        raise ValueError("channels, classes, latent and widths must be at least 1")
    return Dcgan((in_channels, height, across), num_classes, latent, width, narrow)


class Dcgan(nn.Module):
    """The two networks that `dcgan` gives; as a module it is the discriminator of raw images."""

    def __init__(
        self, shape: tuple[int, int, int], classes: int | None, latent: int, width: int, narrow: int
    ) -> None:
        super().__init__()
        self.latent = latent
        self.classes = classes
        self.shape = shape
        self.generator = Generator(shape, classes, latent, width)
        self.discriminator = Discriminator(shape, classes, narrow)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the logits, (n,), that images (n, C, H, W), uint8 or floats on -1..1, are real.

        Raises ValueError for images of another shape than it makes.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("it makes images of " + "×".join(map(str, self.shape)))
        logits: Tensor = self.discriminator(to_floats(images), classes)
        return logits

    def forget_classes(self) -> None:
        """Make both networks ones that know no classes."""
        self.classes = self.generator.classes = self.discriminator.classes = None


class Generator(nn.Module):
    """Noise (n, latent), and classes int64 (n,) if it knows any → images (n, C, H, W) on -1..1."""

    def __init__(
        self, shape: tuple[int, int, int], classes: int | None, latent: int, width: int
    ) -> None:
        super().__init__()
        channels, height, across = shape
        doublings = _doublings(height, across)
        widths = _widths(width, doublings)[::-1]
        self.start = (widths[0], height >> doublings, across >> doublings)
        self.project = nn.Linear(latent, math.prod(self.start), bias=False)
        self.classes = None if classes is None else nn.Embedding(classes, math.prod(self.start))
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.grow = nn.Sequential(*layers)
        self.apply(_initialise)
        if self.classes is not None:
            # As large as what a standard normal noise is projected to.
            nn.init.normal_(self.classes.weight, std=_STD * math.sqrt(latent))

    def forward(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the images. Raises ValueError where it knows classes and is given none."""
        projected = self.project(noise)
        if self.classes is not None:
            if classes is None:
                raise ValueError("this generator needs a class for each image")
            projected = projected + self.classes(classes)
        images: Tensor = self.grow(projected.unflatten(1, self.start))
        return images


class Discriminator(nn.Module):
    """Images (n, C, H, W) on -1..1, and classes int64 (n,) → logits (n,) that they are real."""

    def __init__(self, shape: tuple[int, int, int], classes: int | None, width: int) -> None:
        super().__init__()
        channels, height, across = shape
        halvings = _doublings(height, across)
        widths = _widths(width, halvings)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.shrink = nn.Sequential(*layers, nn.Flatten())
        features = widths[-1] * (height >> halvings) * (across >> halvings)
        self.real = nn.Linear(features, 1)
        self.classes = None if classes is None else nn.Embedding(classes, features)
        self.apply(_initialise)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the logits; without classes, those that images of any class are real."""
        features = self.shrink(images)
        logits: Tensor = self.real(features).squeeze(1)
        if self.classes is not None and classes is not None:
            logits = logits + (features * self.classes(classes)).sum(dim=1)
        return logits


def _doublings(height: int, width: int) -> int:
    """Return how often the first map doubles to the image: its sides are at least 4."""
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    if count < 2:
        scale = 2**count
        raise ValueError(
            f"a DCGAN makes no images of {height * scale}×{width * scale}: both sides must be"
            f" multiples of 4, at least 16 (data.image_size makes them so)"
        )
    return count


def _widths(width: int, count: int) -> list[int]:
    """Return the channels at a half, a quarter, … of the image's size."""
    return [width * 2 ** min(place, 3) for place in range(count)]


def _initialise(module: nn.Module) -> None:
    """Draw the weights as the paper does: normal, standard deviation 0.02."""
    with torch.no_grad():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, _STD)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.normal_(0.0, _STD)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, _STD)
