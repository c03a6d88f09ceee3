"""Targets of every form as one map of classes an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heliostat.vision.mistakes import WrongTargets


def stacked(images: Tensor | Sequence[Tensor]) -> Tensor:
    """Return images (n, C, H, W), given so or as a list; WrongTargets if their shapes differ."""
    if isinstance(images, Tensor):
        return images
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        some = " and ".join(_size(shape) for shape in shapes[:2])
        raise WrongTargets(
            f"a batch's images differ in size ({some}, height x width); segmentation needs one"
            " size: give data.image_size"
        )
    return torch.stack(list(images))


@dataclass(frozen=True)
class TargetReader:
    """What a pixel's value may be."""

    classes: int
    """K, with the background."""
    ignore_index: int
    """The value of pixels that count nowhere."""
    background: bool
    """Whether class 0 is what no object covers; an object's class then is its label + 1."""

    def maps(self, targets: Any, size: tuple[int, ...], device: torch.device) -> Tensor:
        """Return the class of each pixel, int64 (n, H, W) on `device`.

        `targets` are whole numbers (n, H, W), or n mappings with a `mask` (H, W) of classes, or
        with the `masks` bool (k, H, W) and `labels` (k,) of objects: a smaller one lies over a
        larger, and pixels of nothing but a `crowd` are ignored. `size` is the images' (n, H, W).

        Raises WrongTargets for anything else; values that are no class are found on a CPU only,
        since looking at them would wait for a GPU at every step, and would cut a compiled one.
        """
        whole = self._stacked(targets, size[1:])
        if whole.shape != size:
            raise WrongTargets(
                f"the masks are {_size(whole.shape)}, {len(whole)} of them;"
                f" the images are {_size(size)}, {size[0]} of them"
            )
        if whole.device.type == "cpu" and not torch.compiler.is_compiling():
            self._check_values(whole)
        return whole.to(device, torch.int64)

    def _stacked(self, targets: Any, size: tuple[int, ...]) -> Tensor:
        if isinstance(targets, Tensor):
            if targets.ndim != 3 or targets.is_floating_point() or targets.is_complex():
                raise WrongTargets(
                    f"a batch's targets are {targets.dtype} of shape {tuple(targets.shape)};"
                    " segmentation needs a mask for each image"
                )
            return targets
        if not isinstance(targets, Sequence) or not all(isinstance(t, Mapping) for t in targets):
            kind = "None" if targets is None else f"a {type(targets).__name__}"
            raise WrongTargets(f"a batch's targets are {kind}; {_NEEDED}")
        return torch.stack([self._map(target, size) for target in targets])

    def _map(self, target: Mapping[str, Any], size: tuple[int, ...]) -> Tensor:
        if "mask" in target:
            if self.background:
                raise WrongTargets(
                    "the data has masks, whose values name the background too:"
                    " task.args.background is for data with outlined objects"
                )
            mask: Tensor = target["mask"]
        elif "masks" in target:
            if not self.background:
                raise WrongTargets(
                    "the data has objects, and no class for the pixels around them:"
                    " give task.args {background: true}"
                )
            mask = target["masks"]
        else:
            raise WrongTargets(f"the data has boxes without outlines; {_NEEDED}")
        if tuple(mask.shape[-2:]) != tuple(size):
            raise WrongTargets(f"a mask is {_size(mask.shape)}, its image {_size(size)}")
        return mask if "mask" in target else self._painted(target)

    def _painted(self, target: Mapping[str, Any]) -> Tensor:
        """Return the objects in one map, int64 (H, W), the largest at the bottom."""
        masks, labels = target["masks"], target["labels"]
        if labels.device.type == "cpu" and len(labels) and not torch.compiler.is_compiling():
            self._check_labels(labels)
        values = labels + 1
        crowd = target.get("crowd")
        # The order by area, computed without looking at it. A crowd lies under all else.
        areas = masks.sum(dim=(1, 2))
        if crowd is not None:
            values = torch.where(crowd, self.ignore_index, values)
            areas = torch.where(crowd, areas + masks[0:1].numel(), areas)
        order = areas.argsort(descending=True, stable=True)
        painted = torch.zeros(masks.shape[1:], dtype=torch.int64, device=masks.device)
        for mask, value in zip(masks[order].unbind(), values[order].unbind(), strict=True):
            painted = torch.where(mask, value, painted)
        return painted

    def _check_labels(self, labels: Tensor) -> None:
        low, high = (int(end) for end in labels.aminmax())
        if low < 0 or high >= self.classes - 1:
            wrong = low if low < 0 else high
            raise WrongTargets(f"an object's class is {wrong}; there are 0 to {self.classes - 2}")

    def _check_values(self, maps: Tensor) -> None:
        wrong = ((maps < 0) | (maps >= self.classes)) & (maps != self.ignore_index)
        if bool(wrong.any()):
            raise WrongTargets(
                f"a mask has the value {int(maps[wrong][0])}; {self.classes} classes have"
                f" 0 to {self.classes - 1}, and {self.ignore_index} is ignored"
            )


_NEEDED = "segmentation needs a mask for each image, or outlined objects"


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape[-2:]))
