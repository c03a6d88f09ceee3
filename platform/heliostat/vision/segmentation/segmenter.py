"""A network with what it needs around it: raw images in, logits out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from heliostat.vision.mistakes import WrongValue
from heliostat.vision.normalize import pipeline
from heliostat.vision.segmentation.targets import stacked


class Logits(NamedTuple):
    """What a segmenter gives, each (n, K, H, W)."""

    main: Tensor
    aux: Tensor | None = None
    """Those of an auxiliary head, which only training uses."""


class Segmenter(nn.Sequential):
    """`normalize` and then `net`, under these names in the state dict.

    The net gives logits (n, K, H, W), or a mapping with these as `out`, and perhaps `aux`, as
    torchvision's do.
    """

    def __init__(
        self, net: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        super().__init__(OrderedDict(pipeline(net, mean, std).named_children()))

    def forward(self, images: Any) -> Logits:
        """Return the logits of images (n, C, H, W), or of a list of images of one size.

        Raises WrongTargets for images of several sizes, WrongValue for a net that gives neither.
        """
        output = super().forward(stacked(images))  # type: ignore[no-untyped-call]
        main, aux = output, None
        if isinstance(output, Mapping):
            main, aux = output.get("out"), output.get("aux")
        if not isinstance(main, Tensor) or not isinstance(aux, Tensor | None):
            raise WrongValue(f"the model gives {_described(output)}, not a tensor of logits")
        return Logits(main, aux)


class ClassMap(nn.Module):
    """From logits to the likeliest class of each pixel."""

    def forward(self, logits: Logits) -> Tensor:
        """Return uint8 (n, H, W)."""
        return class_map(logits.main)


def class_map(logits: Tensor) -> Tensor:
    """Return the likeliest class of each pixel, uint8 (n, H, W), of logits (n, K, H, W)."""
    return logits.argmax(dim=1).to(torch.uint8)


def _described(output: Any) -> str:
    if isinstance(output, Mapping):
        return f"a mapping with {', '.join(map(str, output)) or 'nothing in it'}"
    return f"a {type(output).__name__}"
