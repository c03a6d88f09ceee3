"""torchvision's ResNets with a stem for small images.

The stem of He et al. 2016 for CIFAR-10 (Deep Residual Learning for Image Recognition, section
4.2): a 3×3 convolution of stride 1 and no pooling, where ImageNet's 7×7 convolution and its pool
would leave an eighth of 32×32 pixels to the first block.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def resnet18_cifar(
    num_classes: int = 10, in_channels: int = 3, zero_init_residual: bool = False
) -> nn.Module:
    """Return torchvision's ResNet-18 with that stem.

    Images (n, in_channels, H, W) float32; logits (n, num_classes). Imports torchvision (4 s).
    """
    return _with_small_stem("resnet18", in_channels, num_classes, zero_init_residual)


def resnet34_cifar(
    num_classes: int = 10, in_channels: int = 3, zero_init_residual: bool = False
) -> nn.Module:
    """Return torchvision's ResNet-34 with that stem, as `resnet18_cifar`."""
    return _with_small_stem("resnet34", in_channels, num_classes, zero_init_residual)


def resnet50_cifar(
    num_classes: int = 10, in_channels: int = 3, zero_init_residual: bool = False
) -> nn.Module:
    """Return torchvision's ResNet-50 with that stem, as `resnet18_cifar`."""
    return _with_small_stem("resnet50", in_channels, num_classes, zero_init_residual)


def _with_small_stem(
    name: str, in_channels: int, num_classes: int, zero_init_residual: bool
) -> nn.Module:
    from torchvision import models

    if min(num_classes, in_channels) < 1:
        raise ValueError("num_classes and in_channels must be at least 1")
    net: Any = models.get_model(
        name, weights=None, num_classes=num_classes, zero_init_residual=zero_init_residual
    )
    net.conv1 = nn.Conv2d(in_channels, net.conv1.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
    network: nn.Module = net
    return network
