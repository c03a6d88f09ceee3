"""The generator and the discriminator of CycleGAN.

Zhu, Park, Isola and Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV 2017 (https://arxiv.org/abs/1703.10593), appendix 7.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from heliostat.vision.mistakes import WrongValue


class ResnetGenerator(nn.Module):
    """Images (n, C, H, W) on -1..1 to images of the same shape; 4 divides H and W.

    Two convolutions halve the size, `blocks` residual blocks work at a quarter of it, and two
    transposed ones double it again. Borders are mirrored, and each image's features normalised by
    themselves.
    """

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, width, 7, bias=False),
            *_normalised(width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            *_normalised(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False),
            *_normalised(4 * width),
            *(_Residual(4 * width) for _ in range(blocks)),
            _doubled(4 * width, 2 * width),
            *_normalised(2 * width),
            _doubled(2 * width, width),
            *_normalised(width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, channels, 7),
            nn.Tanh(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the images as the other domain has them."""
        out: Tensor = self.layers(images)
        return out


class PatchDiscriminator(nn.Module):
    """Images (n, C, H, W) on -1..1 to scores of overlapping patches, (n, 1, h, w).

    A patch has `patch(layers)` pixels a side: 16, 34 or 70 with 1, 2 or 3 halving layers. Raises
    WrongValue for images that are too small for as many.
    """

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        self._smallest = 3 * 2**layers
        self.layers = nn.Sequential(*_patch_layers(channels, width, layers))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores: 1 for a true image's patch, 0 for a generator's."""
        if min(images.shape[-2:]) < self._smallest:
            raise WrongValue(
                f"a discriminator of so many layers needs images of {self._smallest} pixels a side"
                f" or more, not {images.shape[-2]}x{images.shape[-1]}; give model.args.layers"
            )
        scores: Tensor = self.layers(images)
        return scores


def patch(layers: int) -> int:
    """Return how many pixels a side one score sees."""
    side = 1
    for stride in (1, 1, *(2,) * layers):
        side = (side - 1) * stride + 4
    return side


def initialise(net: nn.Module) -> None:
    """Draw the convolutions' weights from N(0, 0.02), torch's global generator; biases are 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            *_normalised(width),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.InstanceNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.add(features, self.layers(features))


def _normalised(width: int) -> tuple[nn.Module, nn.Module]:
    """Return what follows a convolution, whose bias it would take away again."""
    return nn.InstanceNorm2d(width), nn.ReLU(inplace=True)


def _doubled(width: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(width, out, 3, stride=2, padding=1, output_padding=1, bias=False)


def _patch_layers(channels: int, width: int, layers: int) -> Iterator[nn.Module]:
    yield nn.Conv2d(channels, width, 4, stride=2, padding=1)
    yield nn.LeakyReLU(0.2, inplace=True)
    before = width
    for number in range(1, layers + 1):
        after = width * min(2**number, 8)
        stride = 2 if number < layers else 1
        yield nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=False)
        yield nn.InstanceNorm2d(after)
        yield nn.LeakyReLU(0.2, inplace=True)
        before = after
    yield nn.Conv2d(before, 1, 4, padding=1)
