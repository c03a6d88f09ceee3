"""ResNet-9: a small residual network that learns 28×28 and 32×32 images in a few epochs.

After David Page's DAWNBench entry for CIFAR-10 ("How to train your ResNet",
https://github.com/davidcpage/cifar10-fast), with the pooling put before the normalisation, where
it leaves a quarter of the work, and a width that fits a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def resnet9(num_classes: int = 10, in_channels: int = 3, width: int = 16) -> nn.Module:
    """Return a ResNet-9 of four stages: `width`, 2·, 4· and 8·`width` channels.

    Images (n, in_channels, H, W) float32, H and W at least 8; logits (n, num_classes).
    Page's network, which was made for a GPU, has width 64.
    """
    if min(num_classes, in_channels, width) < 1:
        raise ValueError("num_classes, in_channels and width must be at least 1")
    return ResNet9(num_classes, in_channels, width)


class ResNet9(nn.Module):
    """The network that `resnet9` gives."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.stem = _convolution(in_channels, width)
        self.stages = nn.Sequential(
            _convolution(width, 2 * width, pool=True),
            _Residual(2 * width),
            _convolution(2 * width, 4 * width, pool=True),
            _convolution(4 * width, 8 * width, pool=True),
            _Residual(8 * width),
        )
        self.head = nn.Linear(8 * width, num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        # Channels last: 1.3 times the images/s on a CPU. Laid out here and not in the weights,
        # which safetensors takes only when they are contiguous.
        stem = self.stem(images).contiguous(memory_format=torch.channels_last)
        # amax, not AdaptiveMaxPool2d: its gradient is deterministic on a GPU too.
        pooled = self.stages(stem).amax(dim=(2, 3))
        # Page's scale of the logits: softens the loss early, when the learning rate is high.
        logits: Tensor = self.head(pooled) * 0.125
        return logits


class _Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels), _convolution(channels, channels)
        )

    def forward(self, images: Tensor) -> Tensor:
        residual: Tensor = images + self.body(images)
        return residual


def _convolution(inputs: int, outputs: int, *, pool: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
