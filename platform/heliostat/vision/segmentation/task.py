"""Semantic segmentation of images into K classes."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.vision.metric_labels import metric_labels
from heliostat.vision.mistakes import WrongTargets, WrongValue
from heliostat.vision.segmentation import losses
from heliostat.vision.segmentation.evaluation import KINDS, SegmentationEvaluation
from heliostat.vision.segmentation.segmenter import ClassMap, Logits, Segmenter
from heliostat.vision.segmentation.targets import TargetReader, stacked

_MOST_CLASSES = 255  # maps of classes are bytes, and one value is for pixels of no class


class Segmentation:
    """The task: a model gives logits (n, K, H, W); targets are maps of classes 0..K-1.

    Inputs are images of one size, a tensor (n, C, H, W) or a list. Targets are as
    `targets.TargetReader` says; pixels of the value `ignore_index` count nowhere.

    Data whose targets are outlined objects (COCO) has no class for the pixels around them. With
    `background` the task has a class more, `background`, before those of the data: class 0 is
    what no object covers, and the data's class c is class c + 1 of the maps and of the model.

    The loss of a sample is the mean cross-entropy of its counted pixels, weighted by
    `class_weights` (one for each of the K classes) if there are any, and `dice` times the soft
    Dice loss; the loss of an auxiliary head, where the model has one, goes in times `aux_weight`.

    Metrics: loss, mean_iou, pixel_accuracy, mean_dice, and up to 20 classes `iou/<class>` and
    `dice/<class>`, from the pixels of all images together. A class that is neither in the truth
    nor predicted has no figure: NaN, and it is left out of the means.

    Raises WrongValue (a ValueError) for classes and arguments with which nothing can be learnt.
    """

    one_size = True

    gives = "mask"

    def __init__(
        self,
        classes: Sequence[str],
        ignore_index: int = 255,
        dice: float = 0.0,
        class_weights: Sequence[float] | None = None,
        aux_weight: float = 0.5,
        background: bool = False,
    ) -> None:
        self.classes = (*(("background",) if background else ()), *map(str, classes))
        _check_count(len(self.classes), background)
        _check_weights({"dice": dice, "aux_weight": aux_weight})
        if not isinstance(ignore_index, int):
            raise WrongValue(f"ignore_index is {ignore_index!r}, not a whole number")
        self.ignore_index = ignore_index
        self.read = TargetReader(len(self.classes), ignore_index, background)
        self._dice = dice
        self._aux_weight = aux_weight
        self._class_weights = _class_weights(class_weights, len(self.classes))
        self.metric_labels = metric_labels(self.classes)
        self.metrics: tuple[str, ...] = (
            *("loss", "mean_iou", "pixel_accuracy", "mean_dice"),
            *(f"{kind}/{label}" for kind in KINDS for label in self.metric_labels),
        )

    def check_samples(self, inputs: Any, targets: Any) -> None:
        """Raise WrongTargets for images that make no batch, and for what is no map of classes."""
        if not isinstance(inputs, Tensor | list):
            raise WrongTargets(f"a batch's inputs are a {type(inputs).__name__}, and not images")
        images = stacked(inputs)
        if images.ndim != 4:
            raise WrongTargets(f"inputs of shape {tuple(images.shape[1:])} are no images (C, H, W)")
        self.truth(images, targets)

    def assemble(self, net: nn.Module, mean: Any, std: Any) -> nn.Module:
        """Return the module from raw images, in a tensor or a list, to `segmenter.Logits`."""
        return Segmenter(net, mean, std)

    def example(self, inputs: Any) -> Tensor:
        """Return the images as the predictor takes them, (n, C, H, W)."""
        return stacked(inputs)

    def loss(self, model: nn.Module, inputs: Any, targets: Any) -> Tensor | Mapping[str, Tensor]:
        """Return each sample's loss, float32 (n,): `cross_entropy`, and `dice` and `aux` if used.

        `model` is one that `assemble` gave. Raises WrongTargets as `check_samples` does, and
        WrongValue for a model's output of another shape than K and the images' size.
        """
        images = stacked(inputs)
        truth = self.truth(images, targets)
        logits = self.logits(model, images)
        parts = self._parts(logits.main, truth)
        if logits.aux is not None:
            aux = torch.stack(list(self._parts(logits.aux, truth).values())).sum(dim=0)
            parts["aux"] = self._aux_weight * aux
        return parts if len(parts) > 1 else parts["cross_entropy"]

    def main_loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return each sample's loss without an auxiliary head's, float32 (n,)."""
        return torch.stack(list(self._parts(logits, truth).values())).sum(dim=0)

    def truth(self, images: Tensor, targets: Any) -> Tensor:
        """Return the class of each pixel, int64 (n, H, W); WrongTargets for no such thing."""
        size = (len(images), *images.shape[2:])
        return self.read.maps(targets, size, images.device)

    def logits(self, model: nn.Module, images: Tensor) -> Logits:
        """Return what the model gives for the images; WrongValue if its shape doesn't fit."""
        logits: Logits = model(images)
        needed = (len(images), len(self.classes), *images.shape[2:])
        for given in logits:
            if given is not None and given.shape != needed:
                raise WrongValue(
                    f"the model gives shape {tuple(given.shape)} for images of"
                    f" {tuple(images.shape)}; segmentation into {needed[1]} classes needs {needed}"
                )
        return logits

    def evaluation(self) -> SegmentationEvaluation:
        """Return a fresh evaluation."""
        return SegmentationEvaluation(self)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module from raw images to the likeliest classes, uint8 (n, H, W)."""
        return nn.Sequential(OrderedDict(model=model, classes=ClassMap()))

    def _parts(self, logits: Tensor, truth: Tensor) -> dict[str, Tensor]:
        ignore = self.ignore_index
        weights = self._weights_on(logits.device)
        parts = {
            "cross_entropy": losses.cross_entropy(
                logits, truth, ignore_index=ignore, weights=weights
            )
        }
        if self._dice:
            parts["dice"] = self._dice * losses.soft_dice(logits, truth, ignore_index=ignore)
        return parts

    def _weights_on(self, device: torch.device) -> Tensor | None:
        """Return the class weights there, where they stay: copying would wait for a GPU."""
        if self._class_weights is not None and self._class_weights.device != device:
            self._class_weights = self._class_weights.to(device)
        return self._class_weights


def _check_count(count: int, background: bool) -> None:
    if count < 2:
        rest = "" if background else "; what is around objects is one by {background: true}"
        raise WrongValue(f"segmentation needs at least two classes, not {count}{rest}")
    if count > _MOST_CLASSES:
        raise WrongValue(f"segmentation has at most {_MOST_CLASSES} classes, not {count}")


def _check_weights(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not (isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0):
            raise WrongValue(f"{name} is {weight!r}; it must be a number, 0 or more")


def _class_weights(weights: Sequence[float] | None, count: int) -> Tensor | None:
    if weights is None:
        return None
    if not isinstance(weights, list | tuple) or len(weights) != count:
        raise WrongValue(f"class_weights is {weights}; {count} classes need a list of {count}")
    _check_weights({f"class_weights[{k}]": weight for k, weight in enumerate(weights)})
    if not any(weights):
        raise WrongValue("class_weights are all 0")
    return torch.tensor(weights, dtype=torch.float32)
