"""The detectors of a spec: `fcos_small`, and torchvision's by their own names."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

from torch import nn

from heliostat.vision.catalogue import Catalogue
from heliostat.vision.detection import standalone


class _Torchvision:
    """torchvision's detectors; the names are known without importing it."""

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(standalone.TORCHVISION))

    def parameters(self, name: str) -> tuple[Parameter, ...]:
        """Read them off the class, since torchvision's builders take `**kwargs` for it."""
        from torchvision.models import detection

        network = inspect.signature(getattr(detection, name)).return_annotation
        taken = inspect.signature(network).parameters.values()
        return tuple(p for p in taken if p.name == "num_classes" or _is_number(p))

    def build(self, name: str, in_channels: int | None, **arguments: Any) -> nn.Module:
        return standalone.build(name, **arguments)


def _is_number(parameter: Parameter) -> bool:
    """Tell whether a spec can give it: it isn't a network, a matcher or the like."""
    return isinstance(parameter.default, int | float)


CATALOGUE = Catalogue("detector", {"fcos_small": standalone.fcos_small}, _Torchvision())
