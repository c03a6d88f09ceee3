"""Average precision and recall by COCO's own evaluator (pycocotools), in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt

from heliostat.vision.detection.records import Boxes

DETECTIONS = 100
"""An image's best so many detections count."""


@dataclass(frozen=True)
class Figures:
    """COCO's curves over all areas, with at most 100 detections an image.

    Means are over classes that have a true box, and 0 where none has: COCO's evaluator says -1.
    """

    precision: npt.NDArray[np.float64]
    """(10, 101, K), at IoU 0.50 to 0.95 and recall 0.00 to 1.00; -1 for a class without a box."""
    recall: npt.NDArray[np.float64]
    """(10, K), the highest reached; -1 likewise."""

    @property
    def map(self) -> float:
        """AP over IoU 0.50 to 0.95."""
        return _mean(self.precision)

    @property
    def ar(self) -> float:
        """AR over IoU 0.50 to 0.95."""
        return _mean(self.recall)

    def ap(self, label: int) -> float:
        """Return the class's AP over IoU 0.50 to 0.95; 0 if it has no true box."""
        return _mean(self.precision[:, :, label])

    def ap_at(self, iou: float, label: int | None = None) -> float:
        """Return the AP at one IoU, 0.50 to 0.95 by 0.05, of all classes or of one."""
        level = self.precision[round((iou - 0.5) / 0.05)]
        return _mean(level if label is None else level[:, label])


def evaluate(images: Sequence[Boxes], classes: int) -> Figures:
    """Return the figures of images in the order of the data, which decides between equal scores.

    As `COCOeval` with its own settings has them. What lies in a crowd's box is not counted. A true
    box without area is one that nothing can find, so it counts as missed.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(StringIO()):  # it tells how it gets on
        true, found = COCO(), COCO()
        for side, annotations in ((true, _true(images)), (found, _found(images))):
            side.dataset = {
                "images": [{"id": number} for number in range(len(images))],
                "categories": [{"id": label} for label in range(classes)],
                "annotations": list(annotations),
            }
            side.createIndex()
        evaluator = COCOeval(true, found, "bbox")
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluator.params.maxDets = [DETECTIONS]
        evaluator.evaluate()
        evaluator.accumulate()
    return Figures(evaluator.eval["precision"][:, :, :, 0, 0], evaluator.eval["recall"][:, :, 0, 0])


def _true(images: Sequence[Boxes]) -> Iterator[dict[str, Any]]:
    rows = (
        (number, box, label, {"iscrowd": int(crowd)})
        for number, image in enumerate(images)
        for box, label, crowd in zip(
            image.true.tolist(), image.true_labels.tolist(), image.crowd.tolist(), strict=True
        )
    )
    return _annotations(rows)


def _found(images: Sequence[Boxes]) -> Iterator[dict[str, Any]]:
    rows = (
        (number, box, label, {"iscrowd": 0, "score": score})
        for number, image in enumerate(images)
        for box, label, score in zip(
            image.found.tolist(), image.labels.tolist(), image.scores.tolist(), strict=True
        )
    )
    return _annotations(rows)


def _annotations(rows: Iterator[tuple[int, list[float], int, Any]]) -> Iterator[dict[str, Any]]:
    # Counted from 1: the evaluator takes 0 for "no match".
    for number, (image, (left, top, right, bottom), label, more) in enumerate(rows, start=1):
        yield {
            "id": number,
            "image_id": image,
            "category_id": label,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            **more,
        }


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else 0.0
