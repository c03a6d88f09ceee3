"""What is counted of class maps, and the figures that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from heliostat.vision import confusion
from heliostat.vision import pictures as tables
from heliostat.vision.exact import rounded
from heliostat.vision.gallery import Gallery
from heliostat.vision.metric_labels import PER_CLASS_LIMIT
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.segmentation import pictures
from heliostat.vision.segmentation.segmenter import class_map
from heliostat.vision.segmentation.targets import stacked

if TYPE_CHECKING:
    from heliostat.vision.segmentation.task import Segmentation

KINDS = ("iou", "dice")


class SegmentationEvaluation:
    """Pixels by true and predicted class, and losses rounded so that their order doesn't matter.

    The figures are those of the maps that `Segmentation.predictor` gives, so the registered model
    is evaluated to the very same ones; only it has no loss, which a map of classes doesn't tell.
    """

    def __init__(self, task: Segmentation) -> None:
        count = len(task.classes)
        self._task = task
        self.shown = Gallery(limit=6)
        self._confusion = torch.zeros(count, count, dtype=torch.int64)
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._losses = torch.zeros((), dtype=torch.int64)
        self._seen = torch.zeros((), dtype=torch.int64)

    def update(self, model: nn.Module, inputs: Any, targets: Any) -> None:
        """Count a batch of n samples; raises as `Segmentation.loss` does."""
        images = stacked(inputs)
        truth = self._task.truth(images, targets)
        logits = self._task.logits(model, images).main
        self._count(class_map(logits), truth, images)
        self._loss_sum += rounded(self._task.main_loss(logits, truth)).sum()
        self._losses += len(images)

    def update_outputs(self, maps: Any, targets: Any, inputs: Any = None) -> None:
        """Count a batch by a predictor's class maps, whole numbers (n, H, W).

        `inputs` are only for the picture of samples. Raises WrongTargets for targets that don't
        fit the maps, WrongValue for what is no map of the classes.
        """
        predicted = torch.as_tensor(maps)
        if predicted.ndim != 3 or predicted.is_floating_point():
            raise WrongValue(
                f"predictions are {predicted.dtype} of shape {tuple(predicted.shape)};"
                " segmentation counts whole numbers (n, H, W)"
            )
        if predicted.device.type == "cpu" and predicted.numel():
            highest, count = int(predicted.max()), len(self._task.classes)
            if highest >= count:
                raise WrongValue(f"a predicted class is {highest}; there are 0 to {count - 1}")
        truth = self._task.read.maps(targets, tuple(predicted.shape), predicted.device)
        self._count(predicted, truth, None if inputs is None else stacked(inputs))

    def state(self) -> dict[str, Tensor]:
        """Return the sums themselves; `seen` is the number of samples, `losses` that with one."""
        return {
            "confusion": self._confusion,
            "loss_sum": self._loss_sum,
            "losses": self._losses,
            "seen": self._seen,
        }

    def compute(self) -> dict[str, float]:
        """Return the task's metrics; NaN is what nothing was seen of."""
        counts = self._confusion.cpu().numpy()
        each = dict(zip(KINDS, (_iou(counts), _dice(counts)), strict=True))
        right, counted = int(np.trace(counts)), int(counts.sum())
        return {
            "loss": float(self._loss_sum / self._losses),
            "mean_iou": _mean(each["iou"]),
            "pixel_accuracy": right / counted if counted else float("nan"),
            "mean_dice": _mean(each["dice"]),
            **{
                f"{kind}/{label}": float(figure)
                for kind, figures in each.items()
                for label, figure in zip(self._task.metric_labels, figures, strict=False)
            },
        }

    def pictures(self) -> dict[str, Image.Image]:
        """Return `confusion_matrix`, `samples` if images were seen, `per_class` if K > 20."""
        classes = self._task.classes
        counts = self._confusion.cpu().numpy()
        drawn = {"confusion_matrix": tables.confusion_matrix(counts, classes)}
        if shown := self.shown.samples():
            drawn["samples"] = pictures.samples(
                [pictures.Segmented(s.image[:-2], s.image[-2], s.image[-1]) for s in shown], classes
            )
        if len(classes) > PER_CLASS_LIMIT:
            drawn["per_class"] = tables.per_class(confusion.per_class(counts), classes)
        return drawn

    def _count(self, predicted: Tensor, truth: Tensor, images: Tensor | None) -> None:
        self._move_to(predicted.device)
        count = len(self._task.classes)
        counted = truth != self._task.ignore_index
        cells = torch.where(counted, truth * count + predicted, count**2).flatten()
        # scatter_add_ and not bincount, which would wait for a GPU; the last cell is for ignored.
        added = torch.zeros(count**2 + 1, dtype=torch.int64, device=cells.device)
        added.scatter_add_(0, cells, torch.ones_like(cells))
        self._confusion += added[:-1].view(count, count)
        self._seen += len(predicted)
        if images is not None and images.shape[1] in (1, 3):
            self._offer(images, truth.where(counted, pictures.IGNORED), predicted)

    def _offer(self, images: Tensor, truth: Tensor, predicted: Tensor) -> None:
        """Have the gallery keep some images, with the two maps as further channels of them."""
        maps = torch.stack([truth, predicted], dim=1).to(images.device, images.dtype)
        unused = torch.zeros(len(images), device=images.device)
        self.shown.offer(torch.cat([images, maps], dim=1), unused, unused, unused)

    def _move_to(self, device: torch.device) -> None:
        """Sums live where the model's outputs are: adding then never waits for a GPU."""
        if self._confusion.device != device:
            self._confusion = self._confusion.to(device)
            self._loss_sum = self._loss_sum.to(device)
            self._losses = self._losses.to(device)
            self._seen = self._seen.to(device)


def _iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    hits = np.diagonal(counts)
    return _ratio(hits, counts.sum(axis=0) + counts.sum(axis=1) - hits)


def _dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return _ratio(2 * np.diagonal(counts), counts.sum(axis=0) + counts.sum(axis=1))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean(figures: NDArray[np.float64]) -> float:
    there = figures[~np.isnan(figures)]
    return float(there.mean()) if len(there) else float("nan")
