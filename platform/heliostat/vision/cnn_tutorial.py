"""The plain convolutional networks of beginners' tutorials."""

from __future__ import annotations

from torch import nn


def cnn_64(
    num_classes: int = 10,
    in_channels: int = 3,
    size: tuple[int, int] | None = None,
    hidden: int = 128,
) -> nn.Module:
    """Return two 3×3 convolutions (32 and 64 channels, each pooled) and two linear layers.

    Images (n, in_channels, *size) float32, 64×64 in the tutorials and at least 4×4; logits
    (n, num_classes). Without a size the first linear layer is lazy: it takes that of the first
    images.
    """
    _check(size, 4, num_classes, in_channels, hidden)
    return nn.Sequential(
        *_pooled(in_channels, 32),
        *_pooled(32, 64),
        nn.Flatten(),
        _linear(64, 4, size, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, num_classes),
    )


def cnn_32(
    num_classes: int = 10, in_channels: int = 3, size: tuple[int, int] | None = None
) -> nn.Module:
    """Return one 3×3 convolution (16 channels, pooled) and one linear layer.

    Images (n, in_channels, *size) float32, 32×32 in the tutorials and at least 2×2; logits
    (n, num_classes). Without a size the linear layer is lazy, as that of `cnn_64`.
    """
    _check(size, 2, num_classes, in_channels)
    return nn.Sequential(*_pooled(in_channels, 16), nn.Flatten(), _linear(16, 2, size, num_classes))


def _check(size: tuple[int, int] | None, least: int, *counts: int) -> None:
    if min(counts) < 1:
        raise ValueError("its counts of classes, channels and hidden units must be at least 1")
    if size is None:
        return
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"size is {size!r}; it is [height, width] in pixels")
    if min(size) < least:
        height, width = size
        raise ValueError(
            f"it pools images to a {'half' if least == 2 else 'quarter'} of their size,"
            f" and {height}×{width} is too small for that: at least {least}×{least}"
        )


def _pooled(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )  # fmt: skip


def _linear(channels: int, pooling: int, size: tuple[int, int] | None, outputs: int) -> nn.Module:
    if size is None:
        return nn.LazyLinear(outputs)
    height, width = size
    return nn.Linear(channels * (height // pooling) * (width // pooling), outputs)
