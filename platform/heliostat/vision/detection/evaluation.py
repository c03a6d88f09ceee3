"""The evaluation of a detector: COCO's metrics over all images, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from heliostat.vision.detection import coco, pictures
from heliostat.vision.detection.album import Album
from heliostat.vision.detection.records import Boxes
from heliostat.vision.mistakes import WrongValue

MEANS = ("map", "ap50", "ap75", "ar")
PER_CLASS = ("ap", "ap50")


class DetectionEvaluation:
    """`Evaluation` of the task `Detection`. Average precision doesn't add up: boxes are kept."""

    def __init__(self, classes: Sequence[str], metric_labels: Sequence[str]) -> None:
        self.records: list[Boxes] = []
        self._classes = classes
        self._metric_labels = metric_labels
        self.shown = Album()
        self._counts = torch.zeros(3, dtype=torch.int64)
        self._figures: coco.Figures | None = None

    def update(self, model: nn.Module, inputs: Any, targets: Any) -> None:
        """Count a batch; raises WrongValue for a model of another number of classes."""
        count = getattr(model, "num_classes", len(self._classes))
        if count != len(self._classes):
            raise WrongValue(
                f"the model finds {count} classes, and the data has {len(self._classes)}"
            )
        self.update_outputs(model(inputs), targets, inputs)

    def update_outputs(self, outputs: Any, targets: Any, inputs: Any = None) -> None:
        """Count a batch by a predictor's outputs: n dictionaries of tensors or arrays.

        `inputs` are only for the picture of samples. Raises WrongValue for other outputs.
        """
        _check(outputs, len(targets))
        seen = [Boxes.of(*pair) for pair in zip(outputs, targets, strict=True)]
        self.records += seen
        self._figures = None
        numbers = (len(seen), sum(len(b.true) for b in seen), sum(len(b.found) for b in seen))
        self._move_to(outputs[0]["boxes"] if outputs else None)
        self._counts += torch.tensor(numbers, device=self._counts.device)
        for image, boxes in zip(inputs if inputs is not None else (), seen, strict=False):
            self.shown.offer(image, boxes)

    def state(self) -> dict[str, Tensor]:
        """Return how many images, true boxes and detections were seen, int64."""
        return dict(zip(("images", "true_boxes", "detections"), self._counts, strict=True))

    def compute(self) -> dict[str, float]:
        """Return the task's metrics; a mean or class without any true box has 0."""
        figures = self.figures()
        values = {
            "map": figures.map,
            "ap50": figures.ap_at(0.5),
            "ap75": figures.ap_at(0.75),
            "ar": figures.ar,
        }
        each = list(enumerate(self._metric_labels))
        values |= {f"ap/{label}": figures.ap(number) for number, label in each}
        values |= {f"ap50/{label}": figures.ap_at(0.5, number) for number, label in each}
        return values

    def figures(self) -> coco.Figures:
        """Return COCO's curves over `records`."""
        if self._figures is None:
            self._figures = coco.evaluate(self.records, len(self._classes))
        return self._figures

    def pictures(self) -> dict[str, Image.Image]:
        """Return `precision_recall`, and `samples` if images were seen."""
        drawn = {"precision_recall": pictures.precision_recall(self.figures(), self._classes)}
        if shown := self.shown.samples():
            drawn["samples"] = pictures.samples(shown, self._classes)
        return drawn

    def _move_to(self, like: Any) -> None:
        """Counts live where the model's outputs are, as sums over ranks on GPUs need them."""
        if isinstance(like, Tensor):
            self._counts = self._counts.to(like.device)


def _check(outputs: Any, images: int) -> None:
    keys = ("boxes", "scores", "labels")
    fits = (
        isinstance(outputs, Sequence)
        and len(outputs) == images
        and all(isinstance(o, Mapping) and all(key in o for key in keys) for o in outputs)
    )
    if not fits:
        raise WrongValue(
            f"the model gives a {type(outputs).__name__} for {images} images;"
            f" detection needs a list of {images} {{boxes, scores, labels}}"
        )
