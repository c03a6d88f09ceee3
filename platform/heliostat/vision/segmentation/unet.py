"""U-Net.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015 (arXiv:1505.04597); with padded convolutions, so that the output has
the input's size, and with batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from heliostat.vision.segmentation.norm import OneValueBatchNorm2d

UPSAMPLING = ("transposed", "bilinear")


def unet(
    num_classes: int = 2,
    in_channels: int = 3,
    base: int = 32,
    depth: int = 4,
    upsampling: str = "transposed",
) -> nn.Module:
    """Return a U-Net: `base` channels at full size, twice as many after each of `depth` halvings.

    Images (n, in_channels, H, W) float32 of any size; logits (n, num_classes, H, W). Upsampling is
    by transposed convolutions, as in the paper (whose `base` is 64), or bilinear with a 1×1
    convolution. Raises ValueError for what makes no network.
    """
    if min(num_classes, in_channels, base, depth) < 1:
        raise ValueError("num_classes, in_channels, base and depth must be at least 1")
    if upsampling not in UPSAMPLING:
        raise ValueError(f"upsampling is {' or '.join(UPSAMPLING)}, not {upsampling!r}")
    return UNet(num_classes, in_channels, base, depth, upsampling)


class UNet(nn.Module):
    """The network that `unet` gives."""

    def __init__(
        self, num_classes: int, in_channels: int, base: int, depth: int, upsampling: str
    ) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths]
        self.encoder = nn.ModuleList(_convolutions(inputs[k], widths[k]) for k in range(depth))
        self.bottom = _convolutions(inputs[depth], widths[depth])
        self.decoder = nn.ModuleList(
            _Up(widths[k + 1], widths[k], upsampling) for k in reversed(range(depth))
        )
        self.head = nn.Conv2d(base, num_classes, 1)
        self._multiple = 2**depth

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        padded, top, left = _padded(images, self._multiple)
        # Channels last, which CPUs convolve faster; laid out here and not in the weights, which
        # safetensors takes only when they are contiguous.
        features = padded.contiguous(memory_format=torch.channels_last)
        skipped = []
        for stage in self.encoder:
            features = stage(features)
            skipped.append(features)
            features = functional.max_pool2d(features, 2)
        features = self.bottom(features)
        for up, skip in zip(self.decoder, reversed(skipped), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(features)
        return logits[..., top : top + images.shape[2], left : left + images.shape[3]]


class _Up(nn.Module):
    """Twice the size, beside what was skipped, then two convolutions."""

    def __init__(self, inputs: int, outputs: int, upsampling: str) -> None:
        super().__init__()
        self.up: nn.Module
        if upsampling == "transposed":
            self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        else:
            # The 1×1 convolution first: it commutes with the interpolation, on a quarter of it.
            self.up = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode="bilinear")
            )
        self.convolutions = _convolutions(2 * outputs, outputs)

    def forward(self, features: Tensor, skipped: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(torch.cat([skipped, self.up(features)], dim=1))
        return joined


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            OneValueBatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _padded(images: Tensor, multiple: int) -> tuple[Tensor, int, int]:
    """Return the images with sides that `multiple` divides, and where they begin in them."""
    height, width = images.shape[2:]
    down, across = -height % multiple, -width % multiple
    if down == across == 0:
        return images, 0, 0
    top, left = down // 2, across // 2
    # The edge repeated: a black frame would be an edge that is not in the image.
    sides = (left, across - left, top, down - top)
    return functional.pad(images, sides, mode="replicate"), top, left
