"""A plain convolutional network for images of 8×8 to 32×32 pixels."""

from __future__ import annotations

from torch import nn


def cnn_small(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return two 3×3 convolutions (32 and 64 channels), pooling to 4×4, and one linear layer.

    Images (n, in_channels, H, W) float32, H and W at least 8; logits (n, num_classes).
    """
    if min(num_classes, in_channels) < 1:
        raise ValueError("num_classes and in_channels must be at least 1")
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, num_classes),
    )
