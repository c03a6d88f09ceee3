"""Detection of objects: boxes, each of one of K classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.vision.detection import standalone
from heliostat.vision.detection.evaluation import MEANS, PER_CLASS, DetectionEvaluation
from heliostat.vision.detection.standalone import Detector
from heliostat.vision.metric_labels import metric_labels
from heliostat.vision.mistakes import WrongTargets, WrongValue


class Detection:
    """The task: a batch is a list of n images uint8 (C, H, W) and a list of n targets.

    A target is {"boxes": float32 (k, 4) XYXY in pixels, "labels": int64 (k,) in 0..K-1, "crowd":
    bool (k,)}, the last optional. The loss is the model's own, in its own parts.

    Metrics are COCO's, with at most 100 detections an image: map (mean of IoU 0.50 to 0.95), ap50,
    ap75, ar; up to 20 classes also `ap/<class>` and `ap50/<class>`. Raises WrongValue where there
    are no classes.
    """

    exportable = False
    """How many boxes there are depends on the image: torch.export gives no such graph."""
    standalone = Path(standalone.__file__)
    """Builds the detector where heliostat is not."""
    gives = "objects"
    each_own_size = True

    def __init__(self, classes: Sequence[str]) -> None:
        if not classes:
            raise WrongValue("detection needs classes, and the data names none")
        self.classes = tuple(str(name) for name in classes)
        self.metric_labels = metric_labels(self.classes)
        self.metrics: tuple[str, ...] = (
            *MEANS,
            *(f"{kind}/{label}" for kind in PER_CLASS for label in self.metric_labels),
        )

    def check_samples(self, inputs: Any, targets: Any) -> None:
        """Raise WrongTargets for a batch without boxes in its targets."""
        if not _have_boxes(targets):
            raise WrongTargets(
                f"the data has {_kind(targets)}; detection needs boxes, and the class of each"
            )
        for target in targets:
            _check_labels(target["labels"], len(self.classes))

    def assemble(self, net: nn.Module, mean: Any, std: Any) -> nn.Module:
        """Return the detector that takes raw images; detectors normalise by their own constants.

        A network of the user's own that isn't a `standalone.Detector` gets images float32 on
        0..1 and, in training, targets, and gives what torchvision's detectors give; its classes
        are 0 to K-1.
        """
        return net if isinstance(net, Detector) else Detector(net, len(self.classes))

    def loss(self, model: nn.Module, inputs: Any, targets: Any) -> dict[str, Tensor]:
        """Return the model's losses of the batch by name, each expanded to (n,).

        Boxes of crowds and boxes without area are not learnt from. Raises WrongTargets for a label
        that is none of the classes.
        """
        losses = model(inputs, [self._learnt(target) for target in targets])
        if not isinstance(losses, Mapping):
            kind = type(losses).__name__
            raise WrongValue(
                f"in training the model gives a {kind}; detection needs losses by name"
            )
        return {name: value.expand(len(targets)) for name, value in losses.items()}

    def evaluation(self) -> DetectionEvaluation:
        """Return a fresh evaluation."""
        return DetectionEvaluation(self.classes, self.metric_labels)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the detector itself: raw images in, boxes in their pixels out."""
        return model

    def example(self, inputs: Any) -> Tensor:
        """Return two images of one size, (2, C, H, W), for a model that takes a tensor."""
        return torch.stack([torch.as_tensor(inputs[0]).as_subclass(Tensor)] * 2)

    def _learnt(self, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        boxes, labels = (target[key].as_subclass(Tensor) for key in ("boxes", "labels"))
        _check_labels(labels, len(self.classes))
        wanted = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        if "crowd" in target:
            wanted &= ~target["crowd"]
        return {"boxes": boxes[wanted], "labels": labels[wanted]}


def _have_boxes(targets: Any) -> bool:
    return isinstance(targets, list) and all(
        isinstance(target, Mapping) and "boxes" in target and "labels" in target
        for target in targets
    )


def _kind(targets: Any) -> str:
    if targets is None:
        return "no targets"
    if isinstance(targets, Tensor):
        return "a class for each image"
    names = sorted(set(_names(targets)))
    if "mask" in names:
        return "a mask for each image"
    return f"targets with {', '.join(names)}" if names else f"a {type(targets).__name__} of targets"


def _names(targets: Any) -> Iterator[str]:
    for target in targets if isinstance(targets, list) else ():
        yield from map(str, target if isinstance(target, Mapping) else ())


def _check_labels(labels: Tensor, classes: int) -> None:
    # Not on a GPU: looking at the values would wait for it at every step.
    if labels.device.type == "cpu" and len(labels):
        low, high = (int(end) for end in labels.aminmax())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise WrongTargets(
                f"a box's label is {wrong}; {classes} classes have 0 to {classes - 1}"
            )
