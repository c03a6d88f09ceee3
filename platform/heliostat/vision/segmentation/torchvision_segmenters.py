"""torchvision's FCN, DeepLabV3 and LR-ASPP, by their own names.

torchvision is imported where it is needed: it costs 4 s. The networks are torchvision's own, and
so are the names in their state dicts: its published weights fit them.
"""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

from torch import Tensor, nn

from heliostat.vision.segmentation.norm import OneValueBatchNorm2d

_GIVEN = ("num_classes", "aux_loss")


def names() -> tuple[str, ...]:
    """Return the names of torchvision's segmentation models, sorted."""
    from torchvision import models

    return tuple(models.list_models(module=models.segmentation))


def parameters(name: str) -> tuple[Parameter, ...]:
    """Return the arguments that a spec can give to the model `name`.

    They are num_classes, and aux_loss (bool) where the model can have an auxiliary head.
    """
    from torchvision import models

    taken = inspect.signature(models.get_model_builder(name)).parameters
    return tuple(taken[given] for given in _GIVEN if given in taken)


def build(name: str, in_channels: int | None, **arguments: Any) -> nn.Module:
    """Return torchvision's model `name` without weights, for images of 1 or 3 channels.

    One channel is repeated three times. Raises ValueError for another number of channels, and
    what torchvision raises.
    """
    from torchvision import models

    if in_channels not in (None, 1, 3):
        raise ValueError(f"it reads images of 1 or 3 channels, not {in_channels}")
    net: nn.Module = models.get_model(name, weights=None, weights_backbone=None, **arguments)
    _take_batches_of_one(net)
    if in_channels == 1:
        # A hook and not a module around it, which would rename everything in the state dict.
        net.register_forward_pre_hook(_grey_as_rgb)
    return net


def _take_batches_of_one(net: nn.Module) -> None:
    """Have DeepLab's image pooling, which leaves a value a channel, take one image in training.

    An epoch's last batch, or a worker's part of it, may well hold one.
    """
    from torchvision.models.segmentation.deeplabv3 import ASPPPooling

    for pooling in [part for part in net.modules() if isinstance(part, ASPPPooling)]:
        for name, part in list(pooling.named_children()):
            if isinstance(part, nn.BatchNorm2d):
                setattr(pooling, name, OneValueBatchNorm2d(part.num_features))


def _grey_as_rgb(net: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].expand(-1, 3, -1, -1),)
